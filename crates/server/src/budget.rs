//! The memory of all connections' buffers: half commands, unsent replies, and what TLS keeps.
//!
//! A [`Buffer`] belongs to one connection and is charged by its capacity, so the sum of all of them never
//! exceeds the limit, whatever clients send or do not take. For buffers that a library manages there is a
//! [`Charge`].

use std::sync::atomic::{AtomicUsize, Ordering};

/// What all buffers of a node together may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    /// Of that, what is charged for connections that are there, whatever they do.
    at_rest: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Budget {
        Budget { used: AtomicUsize::new(0), at_rest: AtomicUsize::new(0), limit }
    }

    /// Bytes that buffers may hold.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that buffers hold now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether so much is used that somebody should give some back.
    pub(crate) fn is_short(&self) -> bool {
        self.used() > self.limit / 8 * 7
    }

    fn charge(&self, bytes: usize) -> bool {
        charge(&self.used, bytes, self.limit)
    }

    fn discharge(&self, bytes: usize) {
        discharge(&self.used, bytes);
    }
}

fn charge(used: &AtomicUsize, bytes: usize, limit: usize) -> bool {
    // What does not fit is never counted, not even for a moment: others would be refused for it.
    let charged = |used: usize| used.checked_add(bytes).filter(|after| *after <= limit);
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged).is_ok()
}

fn discharge(used: &AtomicUsize, bytes: usize) {
    let before = used.fetch_sub(bytes, Ordering::Relaxed);
    debug_assert!(before >= bytes, "more given back than was taken");
}

/// The budget is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoBudget;

/// Bytes that a connection keeps from one turn to the next. Holds no memory while it is empty. Its owner
/// calls [`clear`](Self::clear) before it drops it.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Of `bytes`, from the start: done with.
    done: usize,
    /// What the budget was charged.
    charged: usize,
}

impl Buffer {
    /// What is there.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.done..]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    /// Makes room for `more` bytes behind what is there.
    pub(crate) fn reserve(&mut self, budget: &Budget, more: usize) -> Result<(), NoBudget> {
        if self.bytes.len() + more > self.bytes.capacity() {
            self.bytes.drain(..self.done);
            self.done = 0;
            let wanted = (self.bytes.len() + more).max(MIN_CAPACITY);
            let before = self.bytes.capacity();
            if wanted > before {
                // Twice what it was, so that a buffer that grows is not copied again and again; or just
                // what is needed, if no more is to be had.
                let sizes = [wanted.max(2 * before), wanted];
                let size = sizes.into_iter().find(|size| budget.charge(size - self.charged));
                let size = size.ok_or(NoBudget)?;
                self.charged = size;
                self.bytes.reserve_exact(size - self.bytes.len());
            }
        }
        self.account(budget)
    }

    /// Charges what the buffer has grown by without having been charged.
    pub(crate) fn account(&mut self, budget: &Budget) -> Result<(), NoBudget> {
        let more = self.bytes.capacity().saturating_sub(self.charged);
        if more > 0 && !budget.charge(more) {
            return Err(NoBudget);
        }
        self.charged += more;
        Ok(())
    }

    /// Appends.
    pub(crate) fn append(&mut self, budget: &Budget, bytes: &[u8]) -> Result<(), NoBudget> {
        self.reserve(budget, bytes.len())?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Holds `bytes` instead.
    pub(crate) fn replace(&mut self, budget: &Budget, bytes: &[u8]) -> Result<(), NoBudget> {
        if bytes.is_empty() && self.bytes.capacity() == 0 {
            return Ok(());
        }
        self.bytes.clear();
        self.done = 0;
        if bytes.is_empty() {
            self.clear(budget);
            return Ok(());
        }
        self.append(budget, bytes)
    }

    /// All of it, with what is done with: to read a socket into the room that was
    /// [reserved](Self::reserve). Whoever may have made it grow has it [accounted](Self::account) for.
    pub(crate) fn vec(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// How much of [`vec`](Self::vec) is done with.
    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// What it was charged, in bytes.
    pub(crate) fn holds(&self) -> usize {
        self.charged
    }

    /// Takes `bytes` away from the front; the memory too, if nothing is left.
    pub(crate) fn consume(&mut self, budget: &Budget, bytes: usize) {
        self.done += bytes;
        debug_assert!(self.done <= self.bytes.len(), "more than there is");
        if self.is_empty() {
            self.clear(budget);
        }
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self, budget: &Budget) {
        budget.discharge(self.charged);
        *self = Buffer::default();
    }
}

/// What the budget is charged for memory that others manage. Its owner calls [`clear`](Self::clear) before
/// it drops it.
#[derive(Debug)]
pub(crate) struct Charge {
    /// As long as there is this.
    at_rest: usize,
    /// All of it.
    bytes: usize,
}

impl Charge {
    /// So many bytes, as long as there is this. All that is charged so, which nobody gives back for being
    /// slow, is three quarters of the budget at most: the rest is for what is sent and not taken.
    pub(crate) fn new(budget: &Budget, bytes: usize) -> Result<Charge, NoBudget> {
        if !charge(&budget.at_rest, bytes, budget.limit / 4 * 3) {
            return Err(NoBudget);
        }
        if !budget.charge(bytes) {
            discharge(&budget.at_rest, bytes);
            return Err(NoBudget);
        }
        Ok(Charge { at_rest: bytes, bytes })
    }

    /// So many from now on.
    pub(crate) fn set(&mut self, budget: &Budget, bytes: usize) -> Result<(), NoBudget> {
        if bytes > self.bytes && !budget.charge(bytes - self.bytes) {
            return Err(NoBudget);
        }
        if bytes < self.bytes {
            budget.discharge(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self, budget: &Budget) {
        discharge(&budget.at_rest, std::mem::take(&mut self.at_rest));
        budget.discharge(std::mem::take(&mut self.bytes));
    }
}

/// The least that a buffer that is not empty holds, in bytes.
const MIN_CAPACITY: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_buffers_hold_is_counted_and_given_back() {
        let budget = Budget::new(1000);
        let (mut one, mut two) = (Buffer::default(), Buffer::default());
        one.append(&budget, &[1; 300]).unwrap();
        two.append(&budget, &[2; 600]).unwrap();
        assert!(budget.used() >= 900);
        assert_eq!(one.append(&budget, &[1; 200]), Err(NoBudget));
        assert_eq!(one.bytes(), [1; 300], "as it was");
        two.consume(&budget, 600);
        one.append(&budget, &[3; 200]).unwrap();
        one.consume(&budget, 300);
        assert_eq!(one.bytes(), [3; 200]);
        one.clear(&budget);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_buffer_that_is_read_from_the_front_does_not_grow() {
        let budget = Budget::new(4096);
        let mut buffer = Buffer::default();
        for round in 0..1000_u32 {
            buffer.append(&budget, &round.to_le_bytes().repeat(50)).unwrap();
            if round > 0 {
                assert_eq!(buffer.bytes()[..4], (round - 1).to_le_bytes());
                buffer.consume(&budget, 200);
            }
        }
        buffer.consume(&budget, 200);
        assert!(buffer.is_empty());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_buffer_that_has_grown_by_itself_gives_back_what_it_was_charged() {
        let budget = Budget::new(1 << 20);
        for is_accounted in [true, false] {
            let mut buffer = Buffer::default();
            buffer.append(&budget, &[1; 1000]).unwrap();
            buffer.vec().extend_from_slice(&[2; 100_000]);
            if is_accounted {
                buffer.account(&budget).unwrap();
                assert!(budget.used() >= 101_000);
            }
            buffer.clear(&budget);
            assert_eq!(budget.used(), 0);
        }
        let mut large = Buffer::default();
        large.vec().reserve(2 << 20);
        assert_eq!(large.account(&budget), Err(NoBudget));
        large.clear(&budget);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_charge_is_what_it_was_last_set_to() {
        let budget = Budget::new(1000);
        let mut one = Charge::new(&budget, 400).unwrap();
        let mut two = Charge::new(&budget, 350).unwrap();
        assert_eq!((one.set(&budget, 600), one.set(&budget, 651)), (Ok(()), Err(NoBudget)));
        assert_eq!(budget.used(), 600 + 350, "what is refused changes nothing");
        one.set(&budget, 400).unwrap();
        assert_eq!(budget.used(), 400 + 350);
        one.clear(&budget);
        two.clear(&budget);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_charged_for_being_there_leaves_a_quarter() {
        let budget = Budget::new(1000);
        let mut one = Charge::new(&budget, 700).unwrap();
        assert!(Charge::new(&budget, 100).is_err());
        let mut two = Charge::new(&budget, 50).unwrap();
        let mut buffer = Buffer::default();
        buffer.append(&budget, &[1; 250]).unwrap();
        one.clear(&budget);
        // What others send does not count for it, only that there is room.
        buffer.append(&budget, &[1; 500]).unwrap();
        let mut three = Charge::new(&budget, 150).unwrap();
        assert!(Charge::new(&budget, 100).is_err(), "all is used");
        for charge in [&mut two, &mut three] {
            charge.clear(&budget);
        }
        buffer.clear(&budget);
        assert_eq!((budget.used(), budget.at_rest.into_inner()), (0, 0));
    }

    #[test]
    fn sizes_near_the_largest_number_do_not_wrap() {
        let budget = Budget::new(usize::MAX);
        assert!(budget.charge(usize::MAX - 10));
        assert!(!budget.charge(100));
    }
}
