//! How much of a tenant's requests is looked at.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Nothing is looked at.
const OFF: u32 = u32::MAX;

/// The highest exponent: one of so many is looked at, at least.
pub(crate) const MOST: u32 = 24;

/// How much of a tenant's requests is looked at, and what was flushed: written by the collector, read by the
/// workers once a batch.
#[derive(Debug)]
pub(crate) struct Trace {
    /// One of 2 to the power of the lower half is looked at of batches of requests, and of the upper half of
    /// keys.
    exponents: AtomicU32,
    /// When a flush that was planned takes effect, in milliseconds since 1970; `u64::MAX`: none is.
    flush_at: AtomicU64,
}

/// What is looked at in a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sampling {
    /// A key is looked at if its hash has none of these bits.
    mask: u64,
    /// The same if it were only for the key.
    key_mask: u64,
    /// For how many requests each of the batch stands; 0: for none, it was not chosen.
    request_weight: u32,
}

impl Trace {
    /// Looks at everything.
    pub(super) fn of_all() -> Trace {
        Trace { exponents: AtomicU32::new(0), flush_at: AtomicU64::new(u64::MAX) }
    }

    /// Looks at nothing, ever.
    pub(crate) fn off() -> Trace {
        Trace { exponents: AtomicU32::new(OFF), flush_at: AtomicU64::new(u64::MAX) }
    }

    /// What is looked at in a batch that threw `dice`, 32 random bits.
    #[inline]
    pub(crate) fn sampling(&self, dice: u32) -> Sampling {
        let exponents = self.exponents.load(Ordering::Relaxed);
        if exponents == OFF {
            return Sampling { mask: u64::MAX, key_mask: u64::MAX, request_weight: 0 };
        }
        let (by_request, by_key) = (1_u32 << (exponents & 31), 1_u64 << (exponents >> 16 & 31));
        let chosen = dice & (by_request - 1) == 0;
        let key_mask = by_key - 1;
        Sampling {
            mask: if chosen { 0 } else { key_mask },
            key_mask,
            request_weight: if chosen { by_request } else { 0 },
        }
    }

    /// The exponents by request and by key; none if nothing is looked at.
    pub(super) fn exponents(&self) -> Option<(u32, u32)> {
        let exponents = self.exponents.load(Ordering::Relaxed);
        (exponents != OFF).then_some((exponents & 31, exponents >> 16 & 31))
    }

    pub(super) fn set_exponents(&self, exponents: Option<(u32, u32)>) {
        let exponents = exponents
            .map_or(OFF, |(by_request, by_key)| by_request.min(MOST) | by_key.min(MOST) << 16);
        self.exponents.store(exponents, Ordering::Relaxed);
    }

    /// Everything is flushed then; `None`: what was planned is not.
    pub(crate) fn plan_flush(&self, unix_ms: Option<u64>) {
        self.flush_at.store(unix_ms.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When a flush was planned for, if that time has come.
    pub(super) fn due_flush(&self, unix_ms: u64) -> Option<u64> {
        let at = self.flush_at.load(Ordering::Relaxed);
        let is_due = at <= unix_ms
            && self
                .flush_at
                .compare_exchange(at, u64::MAX, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        is_due.then_some(at)
    }
}

impl Sampling {
    /// Whether a key with this hash is looked at.
    #[inline]
    pub(crate) fn sees(self, hash: u64) -> bool {
        hash & self.mask == 0
    }

    /// For how many requests, and for how many keys, one with this hash stands; 0: for none.
    pub(crate) fn weights(self, hash: u64) -> (u32, u32) {
        let by_key = self.key_mask != u64::MAX && hash & self.key_mask == 0;
        let key_weight = u32::try_from(self.key_mask.wrapping_add(1)).unwrap_or(u32::MAX);
        (self.request_weight, if by_key { key_weight } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::Dice;

    #[test]
    fn samples_stand_for_as_many_as_were_there() {
        let trace = Trace::of_all();
        for exponents in [(0, 0), (1, 3), (3, 0), (7, 5), (MOST, MOST)] {
            trace.set_exponents(Some(exponents));
            let (mut requests, mut keys) = (0_u64, 0_u64);
            let many = 1_u64 << 14;
            let dice = Dice::new(1);
            for number in 0..many {
                let hash = (number ^ 0x5555).wrapping_mul(0x9e37_79b9_7f4a_7c15).swap_bytes();
                let dice = dice.throw();
                let sampling = trace.sampling(dice);
                let (by_request, by_key) = sampling.weights(hash);
                assert_eq!(sampling.sees(hash), by_request > 0 || by_key > 0);
                requests += u64::from(by_request);
                keys += u64::from(by_key);
            }
            if exponents.0 < 8 {
                assert!(requests.abs_diff(many) < many / 4, "{exponents:?}: {requests}");
                assert!(keys.abs_diff(many) < many / 4, "{exponents:?}: {keys}");
            }
        }
    }

    #[test]
    fn what_is_off_sees_nothing() {
        let sampling = Trace::off().sampling(0);
        assert!(!sampling.sees(1) && !sampling.sees(u64::MAX));
        assert_eq!(sampling.weights(0), (0, 0));
    }

    #[test]
    fn a_planned_flush_is_due_once() {
        let trace = Trace::of_all();
        assert_eq!(trace.due_flush(u64::MAX - 1), None);
        trace.plan_flush(Some(100));
        assert_eq!(
            (trace.due_flush(99), trace.due_flush(100), trace.due_flush(100)),
            (None, Some(100), None)
        );
        trace.plan_flush(Some(100));
        trace.plan_flush(None);
        assert_eq!(trace.due_flush(100), None);
    }
}
