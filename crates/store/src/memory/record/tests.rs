//! Every combination of options is read as it was written.

use super::*;
use crate::memory::stored::Stored;
use crate::sync::Ordering;

const SEGMENT: usize = 8192;

fn metas() -> impl Iterator<Item = Meta> {
    let all = [0, 7, u32::MAX].into_iter().flat_map(|flags| {
        [NEVER, 0, 12_345].into_iter().flat_map(move |expires| {
            [None, Some(1), Some(u64::MAX)].into_iter().map(move |cas| (flags, expires, cas))
        })
    });
    all.map(|(flags, expires, cas)| Meta { flags, expires, cas, accessed: 600 * 513 + 1 })
}

/// Fills a segment with something that is no record.
fn spoil(arena: &Arena) {
    // SAFETY: nobody else knows of the arena.
    unsafe { arena.write(0, 0, &[0xa5; SEGMENT]) };
}

#[test]
fn an_item_is_read_as_it_was_written_whatever_its_options() {
    let sizes = Sizes::of_segment(SEGMENT);
    let arena = Arena::new(1, 13).unwrap();
    let bytes: Vec<u8> = (0..SEGMENT).map(|n| (n % 251) as u8).collect();
    for meta in metas() {
        for key_len in [0, 1, 30, 255, 256, MAX_KEY] {
            for value_len in [0, 1, 2, 3, 100, 900, 1_000, 1_024, 4_000, 65_535, 65_536, 131_072] {
                spoil(&arena);
                let layout = Layout::of(key_len, value_len, &meta, sizes);
                let (key, value) = (&bytes[..key_len], &bytes[1..]);
                let at = 16;
                // SAFETY: nobody else knows of the arena, and the record fits it.
                let stored = unsafe {
                    layout.write(&arena, at, &meta, key);
                    if layout.chunks == 0 {
                        arena.write(at, layout.value_at(), &value[..value_len]);
                    }
                    for number in 0..layout.chunks {
                        layout.chunk(&arena, at, number).store(number as u32, Ordering::Relaxed);
                    }
                    Stored::new(&arena, at, sizes)
                };
                assert_eq!(stored.layout, layout);
                assert_eq!(stored.meta(), meta);
                assert_eq!((stored.key(), stored.has_key(key)), (key, true));
                assert!(!stored.has_key(&bytes[..key_len + 1]));
                assert_eq!(stored.value().len(), value_len);
                if layout.chunks == 0 {
                    assert_eq!(stored.value().as_slice(), Some(&value[..value_len]));
                } else {
                    let lengths: usize = stored.chunks().map(|(_, len)| len).sum();
                    let last = stored.chunks().last().unwrap();
                    assert_eq!((lengths, last.0), (value_len, (layout.chunks as u64 - 1) * 16));
                    assert!(last.1 > 0);
                }
                assert!(layout.len().is_multiple_of(4) && layout.len() <= SEGMENT);
                // SAFETY: as above.
                let record = unsafe { Record::read(&arena, at, sizes) };
                assert!(matches!(record, Record::Item(read) if read == layout));
                assert_eq!(record.len(), layout.len());
                // SAFETY: as above. What lies behind it is as it was.
                let behind = unsafe { arena.bytes(at, layout.len(), 4) };
                assert_eq!(behind, [0xa5; 4]);
            }
        }
    }
}

#[test]
fn an_item_has_room_for_a_number_when_it_moves() {
    let sizes = Sizes::of_segment(SEGMENT);
    for meta in metas() {
        for value_len in [0, 100, 1_000, 60_000] {
            let layout = Layout::of(10, value_len, &meta, sizes);
            let moved = layout.with_cas(sizes);
            assert_eq!(moved.value_len, value_len);
            let grown = moved.len() - layout.len();
            assert_eq!(grown, if meta.cas.is_none() { 8 } else { 0 });
            assert_eq!(moved.chunks, layout.chunks);
            assert_eq!(moved.has_expiry(), layout.has_expiry());
        }
    }
}

#[test]
fn a_touch_and_an_access_change_nothing_else() {
    let sizes = Sizes::of_segment(SEGMENT);
    let arena = Arena::new(1, 13).unwrap();
    for meta in metas() {
        let layout = Layout::of(3, 5, &meta, sizes);
        // SAFETY: nobody else knows of the arena.
        let stored = unsafe {
            layout.write(&arena, 4, &meta, b"key");
            arena.write(4, layout.value_at(), b"value");
            Stored::new(&arena, 4, sizes)
        };
        assert_eq!(stored.set_expires(99), meta.expires != NEVER);
        stored.set_accessed(600 * 642 + 1);
        let expires = if meta.expires == NEVER { NEVER } else { 99 };
        assert_eq!(stored.meta(), Meta { expires, accessed: 600 * 642 + 1, ..meta });
        assert_eq!((stored.key(), stored.value().as_slice()), (&b"key"[..], Some(&b"value"[..])));
    }
}

#[test]
fn chunks_and_fillers_are_read_as_they_were_written() {
    let sizes = Sizes::of_segment(SEGMENT);
    let arena = Arena::new(1, 13).unwrap();
    for len in [1, 2, 3, 4, sizes.chunk] {
        spoil(&arena);
        let chunk = Chunk { hash: u64::MAX - 7, number: u32::MAX - 1, len };
        // SAFETY: nobody else knows of the arena.
        let record = unsafe {
            chunk.write(&arena, 32);
            Record::read(&arena, 32, sizes)
        };
        assert!(matches!(record, Record::Chunk(read) if read == chunk));
        assert_eq!(record.len(), chunk_record_len(len));
    }
    for len in [4, 8, 44, SEGMENT, 1 << 20] {
        // SAFETY: as above.
        let record = unsafe {
            write_filler(&arena, 0, len);
            Record::read(&arena, 0, sizes)
        };
        assert!(matches!(record, Record::Filler(read) if read == len));
    }
}

#[test]
fn a_small_item_takes_six_bytes_besides_key_and_value() {
    let meta = Meta { flags: 0, expires: NEVER, cas: None, accessed: 0 };
    let sizes = Sizes::of_segment(1 << 16);
    assert_eq!(Layout::of(30, 100, &meta, sizes).len(), 136);
    assert_eq!(Layout::of(30, 100, &Meta { expires: 1, ..meta }, sizes).len(), 144);
}
