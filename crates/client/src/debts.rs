//! The deletes one server is owed: keys whose invalidation may not have reached it.
//!
//! As long as a debt stands, nothing may be read from that server. The set is bounded; past the
//! bound the whole content is distrusted and one flush is owed instead. Every debt has a stamp, so
//! that paying an older one does not cancel a newer one for the same key.
//!
//! Some deletes are only to be made once nothing is owed here any more, on this server or another:
//! what they delete may have been made from values that should be gone. They are bounded likewise.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use larder_proto::Key;

use crate::server::Server;

/// The most keys remembered per server.
pub(crate) const MAX_OWED_DELETES: usize = 100_000;

/// Deletes to be owed later, each with the server of its key.
pub(crate) type Later = BTreeMap<Key, Weak<Server>>;

/// What one server is owed.
#[derive(Debug, Default)]
pub(crate) struct Debts {
    book: Mutex<Book>,
    /// Entries in the book, a flush counting as one: lets the common case skip the lock.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Book {
    deletes: BTreeMap<Key, Stamp>,
    flush: Option<Stamp>,
    last_stamp: u64,
    /// Owed once the rest is paid; empty while nothing else is owed.
    later: Later,
}

/// Tells a debt from a later one for the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u64);

/// What to pay next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    Nothing,
    Deletes(Vec<(Key, Stamp)>),
    Flush(Stamp),
}

impl Debts {
    /// Records that `keys` must be deleted. True when this was one too many, so that a flush is
    /// owed from now on.
    pub(crate) fn add<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) -> bool {
        let mut book = self.lock();
        let had_flush = book.flush.is_some();
        for key in keys {
            let stamp = book.stamp();
            if book.flush.is_some() {
                book.flush = Some(stamp);
            } else {
                book.deletes.insert(key.clone(), stamp);
                if book.deletes.len() > MAX_OWED_DELETES {
                    book.owe_flush(stamp);
                }
            }
        }
        self.publish(&book);
        !had_flush && book.flush.is_some()
    }

    /// Records that everything must be deleted.
    pub(crate) fn add_flush(&self) {
        let mut book = self.lock();
        let stamp = book.stamp();
        book.owe_flush(stamp);
        self.publish(&book);
    }

    /// Records that `key` of `server` must be deleted once nothing is owed here. False when it is
    /// to be owed at once: nothing is owed here, or there is no room to remember it.
    pub(crate) fn add_later(&self, key: &Key, server: &Weak<Server>) -> bool {
        let mut book = self.lock();
        let room = book.later.len() < MAX_OWED_DELETES || book.later.contains_key(key);
        let accepted = room && !book.is_empty();
        if accepted {
            book.later.insert(key.clone(), server.clone());
        }
        accepted
    }

    /// What is to be owed now that nothing else is: empty as long as something is.
    pub(crate) fn take_later(&self) -> Later {
        let mut book = self.lock();
        if book.is_empty() { std::mem::take(&mut book.later) } else { Later::new() }
    }

    /// Whether nothing is owed.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Whether what the server has under `key` is not to be trusted.
    pub(crate) fn covers(&self, key: &Key) -> bool {
        if self.is_empty() {
            return false;
        }
        let book = self.lock();
        book.flush.is_some() || book.deletes.contains_key(key)
    }

    /// What to pay next, at most `max` deletes.
    pub(crate) fn next(&self, max: usize) -> Owed {
        let book = self.lock();
        if let Some(stamp) = book.flush {
            return Owed::Flush(stamp);
        }
        if book.deletes.is_empty() {
            return Owed::Nothing;
        }
        let deletes = book.deletes.iter().take(max);
        Owed::Deletes(deletes.map(|(key, stamp)| (key.clone(), *stamp)).collect())
    }

    /// The delete of `key` was applied.
    pub(crate) fn delete_paid(&self, key: &Key, stamp: Stamp) {
        let mut book = self.lock();
        if book.deletes.get(key) == Some(&stamp) {
            book.deletes.remove(key);
        }
        self.publish(&book);
    }

    /// The flush was applied.
    pub(crate) fn flush_paid(&self, stamp: Stamp) {
        let mut book = self.lock();
        if book.flush == Some(stamp) {
            book.flush = None;
        }
        self.publish(&book);
    }

    /// How many deletes are owed, and whether a flush is.
    pub(crate) fn figures(&self) -> (usize, bool) {
        let book = self.lock();
        (book.deletes.len(), book.flush.is_some())
    }

    fn publish(&self, book: &Book) {
        let count = book.deletes.len() + usize::from(book.flush.is_some());
        self.count.store(count, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn is_empty(&self) -> bool {
        self.deletes.is_empty() && self.flush.is_none()
    }

    fn stamp(&mut self) -> Stamp {
        self.last_stamp += 1;
        Stamp(self.last_stamp)
    }

    fn owe_flush(&mut self, stamp: Stamp) {
        self.deletes = BTreeMap::new();
        self.flush = Some(stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    #[test]
    fn paying_an_older_debt_leaves_the_newer_one() {
        let debts = Debts::default();
        debts.add([&key("a")]);
        let Owed::Deletes(first) = debts.next(10) else {
            panic!("a delete is owed");
        };
        debts.add([&key("a")]);
        debts.delete_paid(&first[0].0, first[0].1);
        assert!(debts.covers(&key("a")));
        let Owed::Deletes(second) = debts.next(10) else {
            panic!("the newer delete is still owed");
        };
        debts.delete_paid(&second[0].0, second[0].1);
        assert!(debts.is_empty());
        assert_eq!(debts.next(10), Owed::Nothing);
    }

    #[test]
    fn past_the_bound_a_flush_is_owed() {
        let debts = Debts::default();
        let keys: Vec<Key> = (0..MAX_OWED_DELETES).map(|n| key(&format!("k{n}"))).collect();
        assert!(!debts.add(&keys));
        assert!(!debts.covers(&key("other")));
        assert!(debts.add([&key("other")]));
        assert_eq!(debts.figures(), (0, true));
        assert!(debts.covers(&key("never-mentioned")));
        let Owed::Flush(stamp) = debts.next(1) else {
            panic!("a flush is owed");
        };
        debts.add([&key("later")]);
        debts.flush_paid(stamp);
        assert!(debts.covers(&key("k1")), "a debt made during the flush needs another one");
        let Owed::Flush(stamp) = debts.next(1) else {
            panic!("another flush is owed");
        };
        debts.flush_paid(stamp);
        assert!(debts.is_empty());
    }

    #[test]
    fn what_is_for_later_comes_once_nothing_is_owed() {
        let debts = Debts::default();
        assert!(!debts.add_later(&key("tag"), &Weak::new()), "nothing to wait for");
        debts.add([&key("a")]);
        assert!(debts.add_later(&key("tag"), &Weak::new()));
        assert!(debts.take_later().is_empty());
        debts.add_flush();
        assert_eq!(debts.figures(), (0, true));
        let Owed::Flush(stamp) = debts.next(1) else {
            panic!("a flush is owed");
        };
        debts.flush_paid(stamp);
        assert!(debts.is_empty());
        assert_eq!(debts.take_later().into_keys().collect::<Vec<_>>(), [key("tag")]);
        assert!(debts.take_later().is_empty());
    }
}
