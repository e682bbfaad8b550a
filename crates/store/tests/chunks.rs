//! Large items are chains of chunks, and behave like all others.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use common::{Checked, MIB, cas, ms, numbers, pattern};
use larder_store::{Config, Mode, Outcome};

#[test]
fn values_of_every_size_come_back_whole() {
    for max_bytes in [MIB, 8 * MIB, 64 * MIB, 4_096 * MIB] {
        let tenant = Checked::new(max_bytes);
        let most = tenant.max_item_bytes();
        // Around an eighth of a segment, a sixteenth (a chunk), and whole numbers of chunks.
        let segment: usize = match max_bytes / MIB {
            0..4 => 8_192,
            8..4_096 => 32_768,
            _ => 65_536,
        };
        let chunk = segment / 16 - 64;
        let mut sizes = vec![0, 1, most - 2, most / 2];
        for around in [segment / 8, segment / 16, chunk, 2 * chunk, 7 * chunk, segment, 65_536] {
            sizes.extend(around.saturating_sub(20)..around + 4);
        }
        sizes.retain(|size| *size <= most - 2);
        for (number, size) in sizes.into_iter().enumerate() {
            let value = pattern(number as u64, size);
            tenant.set(b"kk", &value, 1, None).unwrap();
            let pieces = tenant.get(b"kk", |item| {
                assert_eq!((item.value().len(), item.flags()), (size, 1));
                let mut joined = Vec::new();
                item.value().pieces().for_each(|piece| joined.extend_from_slice(piece));
                assert!(joined == value && item.value().to_vec() == value, "{max_bytes} {size}");
                let whole = item.value().as_slice().map(<[u8]>::len);
                assert_eq!(whole, (size <= segment / 8 - 20).then_some(size).or(whole));
                item.value().pieces().all(|piece| !piece.is_empty() || size == 0)
            });
            assert_eq!(pieces, Some(true), "{max_bytes} {size}");
        }
    }
}

#[test]
fn the_largest_item_fits_a_64_mib_store_and_a_larger_one_does_not() {
    let tenant = Checked::with(&Config { max_item_bytes: 128 * MIB, ..Config::new(64 * MIB) });
    assert_eq!(tenant.max_item_bytes(), 8 * MIB);
    let value = pattern(1, 8 * MIB - 1);
    tenant.set(b"k", &value, 0, None).unwrap();
    assert!(tenant.get(b"k", |item| item.value() == *value).unwrap());
    assert!(tenant.store(Mode::Append, b"k", b"x", 0, None).is_err());
    assert!(tenant.get(b"k", |item| item.value() == *value).unwrap());
}

#[test]
fn append_and_prepend_cross_the_border_to_chunks() {
    for max_bytes in [MIB, 16 * MIB] {
        let tenant = Checked::new(max_bytes);
        tenant.set(b"k", b"", 4, ms(9_000)).unwrap();
        let mut value = Vec::new();
        for n in 0..60 {
            let piece = pattern(n, 701);
            let (mode, at) =
                if n % 2 == 0 { (Mode::Append, value.len()) } else { (Mode::Prepend, 0) };
            value.splice(at..at, piece.iter().copied());
            let outcome = tenant.store(mode, b"k", &piece, 0, None).unwrap();
            assert_eq!(Some(outcome), cas(&tenant, "k").map(|cas| Outcome::Stored { cas }));
            assert!(tenant.get(b"k", |item| item.value() == *value).unwrap(), "{n}");
        }
        let meta = tenant.get(b"k", |item| (item.flags(), item.ttl()));
        assert_eq!(meta, Some((4, ms(9_000))));
    }
}

#[test]
fn large_items_live_through_eviction_and_compaction_whole_or_not_at_all() {
    for (max_bytes, seed) in [(MIB, 1), (2 * MIB, 2), (4 * MIB, 3)] {
        let tenant = Checked::new(max_bytes);
        let mut next = numbers(seed);
        let most = tenant.max_item_bytes() as u64 - 16;
        let mut versions = vec![None; 100];
        for step in 0..1_500_u64 {
            let key = usize::try_from(next() % 100).unwrap();
            let name = [u8::try_from(key).unwrap()];
            match next() % 10 {
                0..4 => {
                    let len = if next().is_multiple_of(4) { next() % most } else { next() % 6_000 };
                    let len = usize::try_from(len).unwrap();
                    tenant.set(&name, &pattern(step, len), 0, ms(60_000)).unwrap();
                    versions[key] = Some((step, len));
                }
                4 => drop(tenant.delete(&name)),
                5 => drop(tenant.touch(&name, ms(next() % 9_000 + 1)).unwrap()),
                6 => tenant.advance_ms(next() % 200),
                _ => {}
            }
            tenant.get(&name, |item| {
                let (seed, len) = versions[key].unwrap();
                assert!(item.value() == *pattern(seed, len), "key {key} at step {step}");
            });
            if step % 200 == 0 {
                tenant.store.validate().unwrap();
            }
        }
        let stats = tenant.stats();
        assert!(stats.hits > 200 && stats.evictions > 20 && stats.relocated > 20, "{stats:?}");
    }
}

#[test]
fn a_large_item_that_is_read_often_stays_and_keeps_its_chunks() {
    let tenant = Checked::new(4 * MIB);
    let value = pattern(3, 60_000);
    tenant.set(b"k", &value, 0, None).unwrap();
    for n in 0..40_000_u64 {
        tenant.set(&n.to_be_bytes(), &[b'c'; 300], 0, None).unwrap();
        if n % 200 == 0 {
            assert!(tenant.get(b"k", |item| item.value() == *value).unwrap(), "{n}");
        }
    }
    assert!(tenant.stats().relocated > 0);
}
