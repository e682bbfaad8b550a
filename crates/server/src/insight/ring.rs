//! Where a worker leaves its samples until the collector comes for them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};

use larder_tenancy::{Command, TenantId};

use crate::node::lock;

/// Samples that a ring holds.
const MOST_SAMPLES: usize = 4096;
/// Bytes of their keys.
const MOST_KEY_BYTES: usize = 128 * 1024;
/// How much of both is kept for flushes, which are never sampled.
const FOR_FLUSHES: usize = 64;

/// Something that a client did with a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Its place in the order of all samples; given by whoever takes it.
    pub(crate) number: u64,
    pub(crate) tenant: TenantId,
    pub(crate) unix_ms: u64,
    pub(crate) command: Command,
    pub(crate) found: bool,
    pub(crate) hash: u64,
    pub(crate) bytes: u32,
    /// When the item expires, in seconds since 1970.
    pub(crate) expires: Option<u64>,
    pub(crate) request_weight: u32,
    pub(crate) key_weight: u32,
}

/// Samples in the order in which they came, with their keys.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// Each with the place where its key ends, which is where the next one's begins.
    samples: Vec<(Sample, usize)>,
    keys: Vec<u8>,
}

/// Samples of one worker. Its memory is fixed, and taken when it is made.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Ring {
    /// Locked by the worker for a sample, and by the collector to exchange it for an empty one.
    samples: Mutex<Samples>,
    dropped: AtomicU64,
}

impl Sample {
    /// A flush. It is always looked at, and stands for itself.
    pub(crate) fn flush(tenant: TenantId, unix_ms: u64) -> Sample {
        Sample {
            number: 0,
            tenant,
            unix_ms,
            command: Command::Flush,
            found: true,
            hash: 0,
            bytes: 0,
            expires: None,
            request_weight: 1,
            key_weight: 0,
        }
    }
}

impl Samples {
    pub(super) fn with_room() -> Samples {
        Samples {
            samples: Vec::with_capacity(MOST_SAMPLES),
            keys: Vec::with_capacity(MOST_KEY_BYTES),
        }
    }

    /// All of them, with their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Sample, &[u8])> {
        let mut begin = 0;
        self.samples.iter().map(move |(sample, end)| {
            let key = &self.keys[begin..*end];
            begin = *end;
            (sample, key)
        })
    }

    pub(super) fn clear(&mut self) {
        self.samples.clear();
        self.keys.clear();
    }

    /// Whether one more fits.
    fn push(&mut self, sample: Sample, key: &[u8]) -> bool {
        let reserved = if sample.command == Command::Flush { 0 } else { FOR_FLUSHES };
        let fits = self.samples.len() + reserved < MOST_SAMPLES
            && self.keys.len() + key.len() <= MOST_KEY_BYTES;
        if fits {
            self.keys.extend_from_slice(key);
            self.samples.push((sample, self.keys.len()));
        }
        fits
    }
}

impl Ring {
    pub(super) fn new() -> Ring {
        Ring { samples: Mutex::new(Samples::with_room()), dropped: AtomicU64::new(0) }
    }

    /// Leaves a sample, if there is room and the collector is not just here. A flush waits for it, which
    /// takes no longer than exchanging two pointers.
    pub(super) fn push(&self, sample: Sample, key: &[u8]) {
        let samples = match self.samples.try_lock() {
            Ok(samples) => Some(samples),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if sample.command == Command::Flush => {
                Some(lock(&self.samples))
            }
            Err(TryLockError::WouldBlock) => None,
        };
        if !samples.is_some_and(|mut samples| samples.push(sample, key)) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes all there are, for an empty place that the next may be left in. Returns how many were dropped.
    pub(super) fn take(&self, empty: &mut Samples) -> u64 {
        std::mem::swap(&mut *lock(&self.samples), empty);
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::insight) fn sample(number: u64, command: Command) -> Sample {
        Sample { number, command, ..Sample::flush(TenantId::DEFAULT, 0) }
    }

    #[test]
    fn what_is_left_is_taken_once_in_order() {
        let (ring, mut place) = (Ring::new(), Samples::with_room());
        let keys = [&b"a"[..], b"", b"bcd"];
        for (number, key) in (0..).zip(keys) {
            ring.push(sample(number, Command::Get), key);
        }
        assert_eq!(ring.take(&mut place), 0);
        let taken: Vec<_> = place.iter().map(|(sample, key)| (sample.number, key)).collect();
        assert_eq!(taken, [(0, &b"a"[..]), (1, b""), (2, b"bcd")]);
        place.clear();
        ring.take(&mut place);
        assert_eq!(place.iter().count(), 0);
    }

    #[test]
    fn a_full_ring_drops_but_not_flushes_and_takes_no_more_memory() {
        let (ring, mut place) = (Ring::new(), Samples::with_room());
        let key = [b'k'; 250];
        for number in 0..10_000 {
            ring.push(sample(number, Command::Get), &key);
        }
        ring.push(sample(10_000, Command::Flush), b"");
        let dropped = ring.take(&mut place);
        let taken = place.iter().count() as u64;
        assert!(taken > 500 && taken + dropped == 10_001, "{taken} {dropped}");
        assert_eq!(place.iter().last().unwrap().0.command, Command::Flush);
        let room = (place.samples.capacity(), place.keys.capacity());
        assert_eq!(room, (MOST_SAMPLES, MOST_KEY_BYTES));
        for number in 0..10_000 {
            ring.push(sample(number, Command::Flush), b"");
        }
        place.clear();
        assert!(ring.take(&mut place) > 5_000, "flushes have an end, too");
    }

    #[test]
    fn while_the_collector_is_there_nobody_waits() {
        let ring = Ring::new();
        let held = ring.samples.lock().unwrap();
        ring.push(sample(1, Command::Get), b"k");
        drop(held);
        assert_eq!(ring.take(&mut Samples::with_room()), 1);
    }
}
