//! Bytes as operations on a store, each compared with what a plain map does.
//!
//! Every sequence of bytes means something, so that a fuzzer finds its way. The map never loses
//! anything; a store does when it is full, so a miss is right once it has evicted something, and the
//! map forgets the item too. What the store gives must be what the map has.

use std::collections::HashMap;
use std::time::Duration;

use larder_store::{
    Arith, Clock, Commit, Config, Limits, Mode, Outcome, Position, Reservation, Store, StoreError,
    Tenant,
};

/// Steps of time and of TTLs: what the store counts in.
const STEP_MS: u64 = 100;

const TENANTS: usize = 2;

/// Does what the bytes say, and recounts the store now and then and in the end.
///
/// # Panics
///
/// When the store does anything a map would not do.
pub(crate) fn run(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let max_bytes = if bytes.byte().is_multiple_of(2) { 1 << 20 } else { 5 << 20 };
    let clock = Clock::manual(1_000_000);
    let store =
        Store::new(Config { clock: clock.clone(), ..Config::new(max_bytes) }).expect("memory");
    let tenants = std::array::from_fn(|_| Side::new(&store));
    let mut world = World { clock, now: 0, tenants, reserved: None, store };
    while !bytes.0.is_empty() {
        world.step(&mut bytes);
    }
    world.reserved = None;
    world.check();
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    /// The next byte, or 0 at the end.
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A length: most are short, some of several chunks, a few beyond every limit.
    fn len(&mut self) -> usize {
        let (kind, fine) = (self.byte(), usize::from(self.byte()));
        match kind {
            0..128 => usize::from(kind) / 8,
            128..200 => 200 + fine * 5,
            200..250 => fine * 64,
            _ => fine * 1_200,
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let len = self.len();
        let seed = self.byte();
        if seed < 32 {
            return u64::from(seed).wrapping_pow(9).wrapping_sub(1).to_string().into_bytes();
        }
        (0..=250).cycle().take(len).map(|at| seed.wrapping_add(at)).collect()
    }

    fn key(&mut self) -> Vec<u8> {
        match self.byte() {
            byte @ 0..240 => vec![b'k', byte % 40],
            byte => vec![byte; usize::from(byte - 239) * 128],
        }
    }

    /// A time in steps, and as a TTL; `None`: never.
    fn steps(&mut self) -> Option<u64> {
        match self.byte() {
            0..128 => None,
            byte @ 128..192 => Some(u64::from(byte - 128)),
            byte => Some(u64::from(byte - 191) * 700),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    value: Vec<u8>,
    flags: u32,
    /// The step at which it expires.
    expires: Option<u64>,
}

/// A tenant and what it should have.
struct Side {
    tenant: Tenant,
    items: HashMap<Vec<u8>, Entry>,
    flush_at: Option<u64>,
}

impl Side {
    fn new(store: &Store) -> Side {
        Side { tenant: store.add_tenant(Limits::NONE), items: HashMap::new(), flush_at: None }
    }
}

struct World {
    /// Before the store: it gives its room back.
    reserved: Option<(Reservation, usize, Vec<u8>, Entry)>,
    store: Store,
    clock: Clock,
    /// In steps since the start.
    now: u64,
    tenants: [Side; TENANTS],
}

fn ttl(steps: Option<u64>) -> Option<Duration> {
    steps.map(|steps| Duration::from_millis(steps * STEP_MS))
}

impl World {
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let op = bytes.byte();
        let side = usize::from(bytes.byte()) % TENANTS;
        match op % 24 {
            0..4 => self.store(side, Mode::Set, bytes),
            4 => self.store(side, Mode::Add, bytes),
            5 => self.store(side, Mode::Replace, bytes),
            6 => self.store(side, Mode::Append, bytes),
            7 => self.store(side, Mode::Prepend, bytes),
            8 => self.compare_and_store(side, bytes),
            9..11 => self.arith(side, op.is_multiple_of(2), bytes),
            11 => self.touch(side, bytes),
            12 => self.delete(side, bytes),
            13 => self.invalidate(side, bytes),
            14 => self.flush(side, bytes),
            15 => self.advance(bytes),
            16 => self.reserve(side, bytes),
            17..19 => self.arrive(bytes),
            19 => self.fill(side, bytes),
            20 => self.walk(side),
            21 => self.maintain(bytes),
            22 => self.start_again(side, bytes),
            _ => self.get_many(side),
        }
        let key = bytes.key();
        self.get(side, &key);
    }

    /// What should be there, by now.
    fn expected(&mut self, side: usize, key: &[u8]) -> Option<Entry> {
        let now = self.now;
        let side = &mut self.tenants[side];
        if side.flush_at.is_some_and(|at| at <= now) {
            side.flush_at = None;
            side.items.clear();
        }
        side.items.retain(|_, entry| entry.expires.is_none_or(|at| at > now));
        side.items.get(key).cloned()
    }

    /// The store has not what it should: it must have evicted it.
    fn forget(&mut self, side: usize, key: &[u8]) {
        assert!(self.store.stats().evictions > 0, "{key:?} is missing, and nothing was evicted");
        self.tenants[side].items.remove(key);
    }

    fn put(&mut self, side: usize, key: Vec<u8>, entry: Entry) {
        self.tenants[side].items.insert(key, entry);
    }

    fn get(&mut self, side: usize, key: &[u8]) {
        let expected = self.expected(side, key);
        let now = self.now;
        let found = self.tenants[side].tenant.get(key, |item| {
            assert_eq!(item.key(), key);
            let left =
                item.ttl().map(|left| now + u64::try_from(left.as_millis()).unwrap() / STEP_MS);
            Entry { value: item.value().to_vec(), flags: item.flags(), expires: left }
        });
        match (&expected, found) {
            (Some(_), None) => self.forget(side, key),
            (_, found) => assert!(found == expected, "{key:?} has not what it should"),
        }
    }

    /// Whether an error may be: there is no room, which leaves things as they were.
    fn may_fail(error: &StoreError) {
        assert!(!matches!(error, StoreError::NoMemory { .. }), "{error}");
    }

    fn store(&mut self, side: usize, mode: Mode, bytes: &mut Bytes<'_>) {
        let (key, value, steps) = (bytes.key(), bytes.value(), bytes.steps());
        let flags = u32::from(value.first().copied().unwrap_or(0) % 3);
        let old = self.expected(side, &key);
        let done = self.tenants[side].tenant.store(mode, &key, &value, flags, ttl(steps));
        let expires = steps.map(|steps| self.now + steps);
        let new = match (mode, &old) {
            (Mode::Append, Some(old)) => {
                Entry { value: [&old.value[..], &value].concat(), ..old.clone() }
            }
            (Mode::Prepend, Some(old)) => {
                Entry { value: [&value[..], &old.value].concat(), ..old.clone() }
            }
            _ => Entry { value, flags, expires },
        };
        match done {
            Ok(Outcome::Stored { cas }) => {
                assert!(
                    cas > 0
                        && (mode != Mode::Add || old.is_none() || self.store.stats().evictions > 0)
                );
                assert!(old.is_some() || matches!(mode, Mode::Set | Mode::Add));
                self.put(side, key, new);
            }
            Ok(outcome) => {
                assert_eq!(outcome, Outcome::NotStored);
                match mode {
                    Mode::Set => panic!("a set is not refused"),
                    Mode::Add => assert!(old.is_some()),
                    _ if old.is_some() => self.forget(side, &key),
                    _ => {}
                }
            }
            Err(error) => {
                Self::may_fail(&error);
                if mode == Mode::Set {
                    self.tenants[side].items.remove(&key);
                }
            }
        }
    }

    fn compare_and_store(&mut self, side: usize, bytes: &mut Bytes<'_>) {
        let (key, value, wrong) = (bytes.key(), bytes.value(), bytes.byte() % 2);
        if self.expected(side, &key).is_none() {
            return;
        }
        let tenant = self.tenants[side].tenant.clone();
        let Some(cas) = tenant.get(&key, |item| item.cas()) else { return self.forget(side, &key) };
        match tenant.store(Mode::Cas(cas + u64::from(wrong)), &key, &value, 0, None) {
            Ok(Outcome::Stored { cas: new }) => {
                assert!(wrong == 0 && new > cas, "{new} after {cas}");
                self.put(side, key, Entry { value, flags: 0, expires: None });
            }
            Ok(Outcome::Exists) => assert_eq!(wrong, 1),
            Ok(Outcome::NotFound) => self.forget(side, &key),
            Ok(Outcome::NotStored) => panic!("not what a comparison says"),
            Err(error) => Self::may_fail(&error),
        }
    }

    fn arith(&mut self, side: usize, up: bool, bytes: &mut Bytes<'_>) {
        let (key, by) = (bytes.key(), u64::from(bytes.byte()));
        let expected = self.expected(side, &key);
        let tenant = &self.tenants[side].tenant;
        let done = if up { tenant.incr(&key, by) } else { tenant.decr(&key, by) };
        match (done, expected) {
            (Ok(Arith::Value(found)), Some(entry)) => {
                let text = std::str::from_utf8(&entry.value).expect("digits");
                let old: u64 = text.trim_end_matches(' ').parse().expect("a number");
                let new = if up { old.wrapping_add(by) } else { old.saturating_sub(by) };
                assert_eq!(found, new);
                self.put(side, key, Entry { value: new.to_string().into_bytes(), ..entry });
            }
            (Ok(Arith::NotANumber), Some(entry)) => {
                let number =
                    std::str::from_utf8(&entry.value).ok().map(|it| it.trim_end_matches(' '));
                let is_number =
                    number.is_some_and(|it| !it.starts_with('+') && it.parse::<u64>().is_ok());
                assert!(!is_number, "{number:?} is a number");
            }
            (Ok(Arith::NotFound), Some(_)) => self.forget(side, &key),
            (Ok(done), None) => assert_eq!(done, Arith::NotFound),
            (Err(error), _) => Self::may_fail(&error),
        }
    }

    fn touch(&mut self, side: usize, bytes: &mut Bytes<'_>) {
        let (key, steps) = (bytes.key(), bytes.steps());
        let expected = self.expected(side, &key);
        match (self.tenants[side].tenant.touch(&key, ttl(steps)), expected) {
            (Ok(true), Some(entry)) => {
                let expires = steps.map(|steps| self.now + steps);
                self.put(side, key, Entry { expires, ..entry });
            }
            (Ok(false), Some(_)) => self.forget(side, &key),
            (Ok(there), None) => assert!(!there),
            (Err(error), _) => Self::may_fail(&error),
        }
    }

    fn delete(&mut self, side: usize, bytes: &mut Bytes<'_>) {
        let key = bytes.key();
        let expected = self.expected(side, &key);
        let deleted = self.tenants[side].tenant.delete(&key);
        match expected {
            Some(_) if !deleted => self.forget(side, &key),
            Some(_) => drop(self.tenants[side].items.remove(&key)),
            None => assert!(!deleted),
        }
    }

    fn invalidate(&mut self, side: usize, bytes: &mut Bytes<'_>) {
        let key = bytes.key();
        let expected = self.expected(side, &key);
        match (self.tenants[side].tenant.invalidate(&key, None), expected) {
            (Ok(false), Some(_)) => self.forget(side, &key),
            (Ok(there), expected) => assert_eq!(there, expected.is_some()),
            (Err(error), _) => Self::may_fail(&error),
        }
    }

    fn flush(&mut self, side: usize, bytes: &mut Bytes<'_>) {
        self.expected(side, &[]);
        let now = self.now;
        let steps = bytes.steps();
        let side = &mut self.tenants[side];
        match steps {
            None | Some(0) => {
                side.tenant.flush();
                side.items.clear();
                side.flush_at = None;
            }
            Some(steps) => {
                side.tenant.flush_in(Duration::from_millis(steps * STEP_MS));
                side.flush_at = Some(now + steps);
            }
        }
    }

    fn advance(&mut self, bytes: &mut Bytes<'_>) {
        let steps = u64::from(bytes.byte()).pow(2);
        self.now += steps;
        self.clock.advance(Duration::from_millis(steps * STEP_MS));
    }

    fn reserve(&mut self, side: usize, bytes: &mut Bytes<'_>) {
        let (key, value, steps) = (bytes.key(), bytes.value(), bytes.steps());
        self.reserved = None;
        self.expected(side, &key);
        match self.tenants[side].tenant.reserve(
            self.tenants[side].tenant.hashed(&key),
            value.len(),
            9,
            ttl(steps),
        ) {
            Ok(reservation) => {
                let expires = steps.map(|steps| self.now + steps);
                let entry = Entry { value, flags: 9, expires };
                self.reserved = Some((reservation, side, key, entry));
            }
            Err(error) => Self::may_fail(&error),
        }
    }

    /// The next bytes of what was reserved; with the last ones it is committed.
    fn arrive(&mut self, bytes: &mut Bytes<'_>) {
        let Some((mut reservation, side, key, entry)) = self.reserved.take() else { return };
        let len = (usize::from(bytes.byte()) * 97).min(reservation.missing());
        let from = entry.value.len() - reservation.missing();
        reservation.append(&entry.value[from..from + len]);
        if reservation.missing() > 0 {
            self.reserved = Some((reservation, side, key, entry));
            return;
        }
        self.expected(side, &key);
        match reservation.commit(&Commit::new(Mode::Set)) {
            Ok(outcome) => {
                assert!(matches!(outcome, Outcome::Stored { .. }));
                self.put(side, key, entry);
            }
            Err(error) => Self::may_fail(&error),
        }
    }

    /// Other items, so many that the store may be full of them.
    fn fill(&mut self, side: usize, bytes: &mut Bytes<'_>) {
        let (count, len) = (u32::from(bytes.byte()) * 4, bytes.len().min(20_000));
        for number in 0..count {
            let key = number.to_le_bytes();
            let done = self.tenants[side].tenant.set(&key, &vec![b'f'; len], 0, ttl(bytes.steps()));
            done.unwrap_or_else(|error| Self::may_fail(&error));
        }
    }

    fn walk(&mut self, side: usize) {
        self.expected(side, &[]);
        let Side { tenant, items, .. } = &self.tenants[side];
        let mut from = Some(Position::START);
        let mut met = 0;
        while let Some(position) = from {
            from = tenant.walk(position, |item| {
                if let Some(entry) = items.get(item.key()) {
                    assert!(item.value() == entry.value[..], "{:?} in a walk", item.key());
                    met += 1;
                }
            });
        }
        assert!(met >= items.len() || self.store.stats().evictions > 0);
    }

    fn get_many(&mut self, side: usize) {
        self.expected(side, &[]);
        let Side { tenant, items, .. } = &self.tenants[side];
        let keys: Vec<&Vec<u8>> = items.keys().collect();
        tenant.get_many(&keys, |number, item| {
            assert!(item.is_none_or(|item| item.value() == items[keys[number]].value[..]));
        });
    }

    fn maintain(&mut self, bytes: &mut Bytes<'_>) {
        let steps = usize::from(bytes.byte());
        self.store.maintain(steps);
        if steps > 250 {
            self.check();
        }
    }

    /// Removes a tenant, or limits it.
    fn start_again(&mut self, side: usize, bytes: &mut Bytes<'_>) {
        let segments = usize::from(bytes.byte());
        if segments > 128 {
            let limits = Limits { floor_bytes: 0, ceiling_bytes: segments << 13 };
            self.tenants[side].tenant.set_limits(limits);
        } else {
            self.reserved = None;
            self.store.remove_tenant(&self.tenants[side].tenant);
            self.tenants[side] = Side::new(&self.store);
        }
    }

    fn check(&self) {
        self.store.validate().expect("a recount");
        let stats = self.store.stats();
        assert!(stats.bytes <= stats.max_bytes, "{stats:?}");
    }
}
