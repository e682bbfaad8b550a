//! A value too large for the receive buffer, on its way into the store.
//!
//! Its bytes go from the receive buffer straight to their place in the store. Until it is whole nobody
//! sees it, and dropping it frees the place.

use std::ops::Deref;
use std::sync::Arc;

use larder_store::{Reservation, StoreError};

use crate::budget::{Budget, Buffer, NoBudget};

/// Where the bytes of a value go as they come.
#[derive(Debug)]
pub(crate) enum Upload {
    /// To their place in the store.
    Reserved(Reservation),
    /// To memory of our own: because the value joins what is there, or there is no place for it in the
    /// store before it is whole.
    Collected(Collected),
}

/// A value in memory of our own, charged to the budget of the connections' buffers.
#[derive(Debug)]
pub(crate) struct Collected {
    value: Buffer,
    budget: Arc<Budget>,
}

impl Upload {
    /// Collects a value of so many bytes.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when that is more than the budget has.
    pub(crate) fn collect(value_len: usize, budget: &Arc<Budget>) -> Result<Upload, StoreError> {
        let mut value = Buffer::default();
        let room = value.reserve(budget, value_len);
        room.map_err(|NoBudget| StoreError::NoRoom { bytes: value_len })?;
        Ok(Upload::Collected(Collected { value, budget: Arc::clone(budget) }))
    }

    fn append(&mut self, bytes: &[u8]) {
        match self {
            Upload::Reserved(reservation) => reservation.append(bytes),
            // There is room for all of it.
            Upload::Collected(collected) => collected.value.vec().extend_from_slice(bytes),
        }
    }
}

impl Deref for Collected {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.value.bytes()
    }
}

impl Drop for Collected {
    fn drop(&mut self) {
        self.value.clear(&self.budget);
    }
}

/// A store whose value is on its way.
#[derive(Debug)]
pub(crate) struct Uploading {
    /// What came before the value, to tell at the end what was asked for.
    head: Box<[u8]>,
    upload: Upload,
    /// Bytes of the value that have not come.
    missing: usize,
    /// Bytes of the line ending after it that have not come.
    tail: usize,
    /// Whether those that came are those of a line ending.
    good_tail: bool,
}

impl Uploading {
    pub(crate) fn new(head: &[u8], upload: Upload, value_len: usize, tail: usize) -> Uploading {
        Uploading { head: head.into(), upload, missing: value_len, tail, good_tail: true }
    }

    /// Takes what belongs to it; returns how many bytes that were.
    pub(crate) fn append(&mut self, input: &[u8]) -> usize {
        let (value, rest) = input.split_at(self.missing.min(input.len()));
        self.upload.append(value);
        self.missing -= value.len();
        if self.missing > 0 {
            return value.len();
        }
        let tail = &rest[..self.tail.min(rest.len())];
        self.good_tail &= b"\r\n"[2 - self.tail..].starts_with(tail);
        self.tail -= tail.len();
        value.len() + tail.len()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.missing == 0 && self.tail == 0
    }

    /// Memory of our own that the value takes, in bytes.
    pub(crate) fn holds(&self) -> usize {
        match &self.upload {
            Upload::Reserved(_) => 0,
            Upload::Collected(collected) => collected.value.holds(),
        }
    }

    /// The head, the value, and whether a line ending came after it.
    pub(crate) fn into_parts(self) -> (Box<[u8]>, Upload, bool) {
        (self.head, self.upload, self.good_tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uploading(tail: usize) -> Uploading {
        let upload = Upload::collect(5, &Arc::new(Budget::new(1000))).unwrap();
        Uploading::new(b"set k 0 0 5\r\n", upload, 5, tail)
    }

    #[test]
    fn a_value_in_any_pieces_is_the_same() {
        for first in 0..=7 {
            for second in first..=7 {
                let mut uploading = uploading(2);
                let input = b"value\r\nget k\r\n";
                let mut used = 0;
                for end in [first, second, input.len()] {
                    used += uploading.append(&input[used..end]);
                    assert_eq!(uploading.is_whole(), used == 7);
                }
                assert_eq!(used, 7);
                let (head, upload, good_tail) = uploading.into_parts();
                assert!(matches!(upload, Upload::Collected(value) if *value == *b"value"));
                assert_eq!((&*head, good_tail), (b"set k 0 0 5\r\n".as_slice(), true));
            }
        }
    }

    #[test]
    fn what_is_collected_is_charged_until_it_is_gone() {
        let budget = Arc::new(Budget::new(1000));
        let upload = Upload::collect(900, &budget).unwrap();
        assert!(Upload::collect(900, &budget).is_err());
        assert!(budget.used() >= 900);
        drop(upload);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_ends_a_value_is_looked_at() {
        for (tail, good) in [("\r\n", true), ("xx", false), ("\rx", false), ("x\n", false)] {
            for split in 0..=2 {
                let mut uploading = uploading(2);
                let input = ["value", tail].concat();
                let used = uploading.append(&input.as_bytes()[..5 + split]);
                assert_eq!(used, 5 + split);
                uploading.append(&input.as_bytes()[used..]);
                assert!(uploading.is_whole());
                assert_eq!(uploading.into_parts().2, good, "{tail:?} {split}");
            }
        }
        let mut binary = uploading(0);
        assert_eq!(binary.append(b"valueXX"), 5);
        assert!(binary.is_whole() && binary.into_parts().2);
    }
}
