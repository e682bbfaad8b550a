//! A store under test: recounted when the test ends, its clock at hand.

use std::ops::Deref;
use std::time::Duration;

use larder_store::{Clock, Config, Mode, Outcome, Store};

/// A store that is validated when it is dropped.
pub(crate) struct Checked {
    store: Store,
    /// The store's clock, which stands still until it is advanced.
    pub(crate) clock: Clock,
}

impl Checked {
    /// A store of `max_bytes` whose time is 1 000 000 ms.
    pub(crate) fn new(max_bytes: usize) -> Checked {
        let clock = Clock::manual(1_000_000);
        let config = Config { clock: clock.clone(), ..Config::new(max_bytes) };
        Checked { store: Store::new(config), clock }
    }

    /// Moves the clock on.
    pub(crate) fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Sets with flags 0 and no TTL; returns the CAS number.
    pub(crate) fn set(&self, key: &str, value: &str) -> u64 {
        let outcome = self.store(Mode::Set, key.as_bytes(), value.as_bytes(), 0, None);
        let Ok(Outcome::Stored { cas }) = outcome else { panic!("{outcome:?}") };
        cas
    }

    /// The value as text.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.get(key.as_bytes(), |item| String::from_utf8(item.value.to_vec()).unwrap())
    }
}

impl Deref for Checked {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.store.validate().unwrap();
        }
    }
}
