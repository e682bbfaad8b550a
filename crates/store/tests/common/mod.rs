//! A store under test: recounted when the test ends, its clock at hand.

use std::ops::Deref;
use std::time::Duration;

use larder_store::{Clock, Config, Item, Mode, Outcome, Store, Tenant};

pub(crate) const MIB: usize = 1024 * 1024;

/// A store that is validated when it is dropped. It derefs to its first tenant.
pub(crate) struct Checked {
    pub(crate) store: Store,
    /// The store's clock, which stands still until it is advanced.
    pub(crate) clock: Clock,
}

impl Checked {
    /// A store of `max_bytes` whose time is 1 000 000 ms.
    pub(crate) fn new(max_bytes: usize) -> Checked {
        Checked::with(&Config::new(max_bytes))
    }

    /// The same with other settings; its clock is moved by hand all the same.
    pub(crate) fn with(config: &Config) -> Checked {
        let clock = Clock::manual(1_000_000);
        let store = Store::new(Config { clock: clock.clone(), ..config.clone() }).unwrap();
        Checked { store, clock }
    }

    /// Moves the clock on.
    pub(crate) fn advance_ms(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// Takes back all that may be taken back by now.
    pub(crate) fn maintain(&self) {
        while self.store.maintain(1_000) {}
    }
}

impl Deref for Checked {
    type Target = Tenant;

    fn deref(&self) -> &Tenant {
        self.store.tenant()
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.store.validate().unwrap();
            let stats = self.store.stats();
            assert!(stats.bytes <= stats.max_bytes, "{stats:?}");
        }
    }
}

/// Sets with flags 0 and no TTL; returns the CAS number.
pub(crate) fn set(tenant: &Tenant, key: &str, value: &str) -> u64 {
    cas_of(tenant.store(Mode::Set, key.as_bytes(), value.as_bytes(), 0, None).unwrap())
}

/// The CAS number of something that must have been stored.
pub(crate) fn cas_of(outcome: Outcome) -> u64 {
    let Outcome::Stored { cas } = outcome else { panic!("{outcome:?}") };
    cas
}

/// The value as text.
pub(crate) fn text(tenant: &Tenant, key: &str) -> Option<String> {
    tenant.get(key.as_bytes(), |item| String::from_utf8(item.value().to_vec()).unwrap())
}

/// The CAS number as a reader gets it.
pub(crate) fn cas(tenant: &Tenant, key: &str) -> Option<u64> {
    tenant.get(key.as_bytes(), |item: Item<'_>| item.cas())
}

/// A TTL in milliseconds.
pub(crate) fn ms(ms: u64) -> Option<Duration> {
    Some(Duration::from_millis(ms))
}

/// `len` bytes that no other seed gives.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut next = numbers(seed);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend(next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A cheap deterministic stream of numbers (xorshift).
pub(crate) fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}
