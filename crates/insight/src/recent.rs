//! The latest commands, in a ring.

use std::collections::VecDeque;

use larder_tenancy::{Command, Recent};

/// How many there are at most.
pub(crate) const MOST: usize = 100;

/// The latest commands: at most [`MOST`], and fewer if their keys are long. The keys stand one behind the
/// other in one ring of bytes, so that none is allocated by itself.
#[derive(Debug)]
pub(crate) struct Ring {
    records: VecDeque<Record>,
    keys: VecDeque<u8>,
    most_key_bytes: usize,
}

#[derive(Debug)]
struct Record {
    unix_ms: u64,
    bytes: u32,
    key_len: u16,
    command: Command,
    found: bool,
}

impl Ring {
    /// One that takes at most `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        // The ring of the records grows by doubling, up to the power of two above `MOST`.
        let records = MOST.next_power_of_two() * size_of::<Record>();
        let most_key_bytes = bytes.saturating_sub(records).max(512);
        Self { records: VecDeque::new(), keys: VecDeque::new(), most_key_bytes }
    }

    /// Adds the latest; `key` has at most 250 bytes.
    pub(crate) fn push(
        &mut self,
        unix_ms: u64,
        command: Command,
        found: bool,
        key: &[u8],
        bytes: u32,
    ) {
        while self.records.len() == MOST || self.keys.len() + key.len() > self.most_key_bytes {
            let Some(oldest) = self.records.pop_front() else { return };
            self.keys.drain(..usize::from(oldest.key_len));
        }
        let Ok(key_len) = u16::try_from(key.len()) else { return };
        let wanted = self.keys.len() + key.len();
        if wanted > self.keys.capacity() {
            let capacity = (wanted * 2).min(self.most_key_bytes);
            self.keys.reserve_exact(capacity - self.keys.len());
        }
        self.keys.extend(key);
        self.records.push_back(Record { unix_ms, bytes, key_len, command, found });
    }

    /// All of them, the latest first.
    pub(crate) fn latest(&self) -> Vec<Recent> {
        let mut end = self.keys.len();
        let mut all = Vec::with_capacity(self.records.len());
        for record in self.records.iter().rev() {
            let start = end - usize::from(record.key_len);
            all.push(Recent {
                unix_ms: record.unix_ms,
                command: record.command,
                key: self.keys.range(start..end).copied().collect(),
                found: record.found,
                bytes: record.bytes.into(),
            });
            end = start;
        }
        all
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.records.capacity() * size_of::<Record>() + self.keys.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_hundred_stay_in_order() {
        let mut ring = Ring::new(6 << 10);
        for at in 0..1000_u32 {
            let key = format!("key{at}");
            ring.push(at.into(), Command::Get, at % 2 == 0, key.as_bytes(), at);
        }
        let latest = ring.latest();
        assert_eq!(latest.len(), MOST);
        for (at, record) in (0..1000_u32).rev().zip(&latest) {
            assert_eq!((&*record.key, record.unix_ms), (format!("key{at}").as_bytes(), at.into()));
            assert_eq!((record.found, record.bytes), (at % 2 == 0, at.into()));
        }
    }

    #[test]
    fn long_keys_make_it_shorter_but_no_larger() {
        for bytes in [0, 4 << 10, 6 << 10, 24 << 10, 48 << 10] {
            let mut ring = Ring::new(bytes);
            for at in 0..5000_usize {
                ring.push(0, Command::Set, true, &vec![b'x'; if at % 7 == 0 { 0 } else { 250 }], 1);
            }
            ring.push(1, Command::Flush, true, b"", 0);
            assert!(
                ring.bytes() <= bytes.max(2 * MOST * size_of::<Record>() + 512),
                "{bytes}: {}",
                ring.bytes()
            );
            let latest = ring.latest();
            assert!(latest.len() > 2 && latest.iter().all(|one| matches!(one.key.len(), 0 | 250)));
            assert_eq!(latest[0].command, Command::Flush);
        }
    }
}
