//! Any sequence of operations gives what plain maps give, one for each tenant.
//!
//! In a roomy store results are equal. In one that is exhausted an item may be missing, having been
//! evicted, but is never wrong: when results differ, the maps forget the key, and must then agree.

#[allow(dead_code, reason = "shared by test programs that each use a part")]
mod common;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use common::{Checked, MIB, pattern};
use larder_store::{
    Arith, Arithmetic, Commit, Computed, Item, Limits, Mode, Outcome, Removed, Reservation, Stale,
    StoreError, Tenant, Write,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;

const TENANTS: usize = 2;
const KEYS: u8 = 12;
const RESERVATIONS: usize = 3;
/// The longest time, in 100 ms.
const MOST_TICKS: u64 = (1 << 32) - 3;

#[derive(Debug, Clone)]
enum Op {
    Get(u8),
    /// Takes the CAS number, too, and asks for the right to replace.
    Look(u8),
    GetMany(Vec<u8>),
    Set(u8, Bytes, u32, Ttl),
    Store(Which, u8, Bytes, u32, Ttl),
    Ask(Which, u8, Bytes, Asked),
    Incr(u8, u64),
    /// By how much, down or up; the number to compare; the TTL, and that of one to create.
    Compute(u8, u64, bool, Compared, Option<Ttl>, Option<Ttl>),
    Peek(u8),
    Remove(u8, Compared),
    /// Marked as stale or not, cleared or not; the number to compare; the TTL.
    MarkStale(u8, bool, bool, Compared, Option<Ttl>),
    Vivify(u8, Ttl),
    Decr(u8, u64),
    Touch(u8, Ttl),
    Invalidate(u8, Ttl),
    Delete(u8),
    Flush,
    FlushIn(u64),
    Advance(u64),
    Walk,
    Reserve(usize, u8, Bytes, u32, Ttl),
    Write(usize, u8),
    Commit(usize, Which),
    Abort(usize),
    Maintain,
}

/// A mode; the CAS number is made up when it is used.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Which {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    CasRight,
    CasOld,
    CasMadeUp(u64),
}

/// What else can be asked of a write.
#[derive(Debug, Clone, Copy)]
struct Asked {
    flags: u32,
    ttl: Ttl,
    cas: Compared,
    /// Whether it is to have a number that nobody else has.
    new_cas: bool,
    stale_if_older: bool,
    marked: bool,
    create: Option<Ttl>,
    tell_cas: bool,
}

/// A number to compare with; which one it is becomes known when it is used.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Compared {
    Nothing,
    Right,
    Zero,
    Highest,
}

#[derive(Debug, Clone)]
enum Bytes {
    Text(&'static str),
    Pattern(u64, usize),
}

impl Bytes {
    fn get(&self) -> Vec<u8> {
        match self {
            Bytes::Text(text) => text.as_bytes().to_vec(),
            Bytes::Pattern(seed, len) => pattern(*seed, *len),
        }
    }
}

type Ttl = Option<Duration>;

#[derive(Debug, Clone, PartialEq, Default)]
struct Expected {
    value: Vec<u8>,
    flags: u32,
    /// Milliseconds since the start.
    expires: Option<u64>,
    fetched: bool,
    stale: bool,
    won: bool,
    marked: bool,
    /// Once somebody has asked for it.
    cas: Option<u64>,
    /// The highest number any version of this item had, as far as anybody knows.
    above: u64,
}

/// What a reader sees of an item.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    value: Vec<u8>,
    flags: u32,
    ttl: Option<Duration>,
    fetched: bool,
    stale: bool,
    won: bool,
    marked: bool,
}

impl Seen {
    fn of(item: &Item<'_>) -> Seen {
        Seen {
            value: item.value().to_vec(),
            flags: item.flags(),
            ttl: item.ttl(),
            fetched: item.fetched(),
            stale: item.is_stale(),
            won: item.has_winner(),
            marked: item.marked(),
        }
    }
}

/// What a cache is by definition: a map, a clock, and no limit but that of an item.
#[derive(Debug, Default)]
struct Model {
    items: HashMap<u8, Expected>,
    flush_at: Option<u64>,
    now: u64,
    most: usize,
}

impl Model {
    fn live(&mut self, key: u8) -> Option<&mut Expected> {
        let now = self.now;
        self.items.get_mut(&key).filter(|item| item.expires.is_none_or(|at| now < at))
    }

    fn pass(&mut self, ms: u64) {
        self.now += ms;
        if self.flush_at.is_some_and(|at| at <= self.now) {
            self.items.clear();
            self.flush_at = None;
        }
    }

    /// Times are rounded up to 100 ms, and end after 13 years; zero is at once.
    fn expiry(&self, ttl: Ttl) -> Option<u64> {
        let ms = u64::try_from(ttl?.as_nanos().div_ceil(1_000_000)).unwrap();
        let at = (self.now + ms).div_ceil(100).min(MOST_TICKS) * 100;
        Some(if ms == 0 { 0 } else { at })
    }

    fn seen(&mut self, key: u8) -> Option<Seen> {
        let tick = self.now / 100;
        self.live(key).map(|item| Seen {
            value: item.value.clone(),
            flags: item.flags,
            ttl: item.expires.map(|at| Duration::from_millis((at / 100 - tick) * 100)),
            fetched: item.fetched,
            stale: item.stale,
            won: item.won,
            marked: item.marked,
        })
    }

    /// What storing should give, but for the number, which is the store's to choose.
    fn store(&mut self, mode: Mode, key: u8, new: Expected) -> Result<Outcome, StoreError> {
        let (key_len, most) = (name(key).len(), self.most);
        let too_large = |len: usize| {
            let bytes = key_len + len;
            (bytes > most).then_some(StoreError::TooLarge { bytes, limit: most })
        };
        let extends = matches!(mode, Mode::Append | Mode::Prepend);
        if let Some(error) = too_large(new.value.len()).filter(|_| !extends) {
            if mode == Mode::Set {
                self.items.remove(&key);
            }
            return Err(error);
        }
        let now = self.now;
        let old = self.items.get_mut(&key).filter(|item| item.expires.is_none_or(|at| now < at));
        match (mode, old) {
            (Mode::Add, Some(_)) | (Mode::Replace | Mode::Append | Mode::Prepend, None) => {
                return Ok(Outcome::NotStored);
            }
            (Mode::Cas(_), None) => return Ok(Outcome::NotFound),
            (Mode::Cas(cas), Some(item)) if item.cas != Some(cas) => return Ok(Outcome::Exists),
            (Mode::Append | Mode::Prepend, Some(item)) => {
                if let Some(error) = too_large(item.value.len() + new.value.len()) {
                    return Err(error);
                }
                let at = if mode == Mode::Append { item.value.len() } else { 0 };
                item.value.splice(at..at, new.value);
                item.cas = None;
            }
            (_, old) => {
                let above = old.map_or(0, |old| old.above);
                self.items.insert(key, Expected { above, ..new });
            }
        }
        Ok(Outcome::Stored { cas: 0 })
    }

    /// What a write with all that can be asked should give.
    fn write(&mut self, key: u8, write: &Write<'_>) -> Result<Outcome, StoreError> {
        let new = Expected {
            value: write.value.to_vec(),
            flags: write.flags,
            expires: self.expiry(write.ttl),
            marked: write.marked,
            ..Expected::default()
        };
        let extends = matches!(write.mode, Mode::Append | Mode::Prepend);
        let is_compared = write.mode != Mode::Add;
        let old = self.live(key).cloned();
        match (&old, write.cas.filter(|_| is_compared)) {
            (None, Some(_)) if !extends => {
                let too_large = name(key).len() + new.value.len() > self.most;
                return if too_large {
                    self.store(Mode::Add, key, new)
                } else {
                    Ok(Outcome::NotFound)
                };
            }
            (Some(old), Some(cas)) if old.cas != Some(cas) => {
                // All there are lie between zero and the highest.
                if !write.stale_if_older || cas != 0 || extends {
                    let too_large = name(key).len() + new.value.len() > self.most && !extends;
                    return if too_large {
                        self.store(Mode::Add, key, new)
                    } else {
                        Ok(Outcome::Exists)
                    };
                }
                let (expires, won) = (old.expires, old.won);
                return self.store(
                    Mode::Replace,
                    key,
                    Expected { expires, won, stale: true, ..new },
                );
            }
            _ => {}
        }
        match (write.mode, write.create) {
            (_, Some(ttl)) if extends && old.is_none() => {
                let expires = self.expiry(ttl);
                self.store(Mode::Add, key, Expected { expires, ..new })
            }
            (Mode::Set, _) if write.cas.is_some() => self.store(Mode::Replace, key, new),
            (mode, _) => {
                let stored = self.store(mode, key, new);
                if extends
                    && let (Ok(Outcome::Stored { .. }), Some(item)) = (&stored, self.live(key))
                {
                    item.marked |= write.marked;
                }
                stored
            }
        }
    }

    fn arith(&mut self, key: u8, f: impl FnOnce(u64) -> u64) -> Arith {
        let Some(item) = self.live(key) else {
            return Arith::NotFound;
        };
        let text = String::from_utf8_lossy(&item.value).into_owned();
        let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let text = text.strip_prefix('+').unwrap_or(text);
        // Whatever follows a space is none of its business.
        let text = text.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or(text);
        let digits = item.value.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(number) = digits.then(|| text.parse().ok()).flatten() else {
            return Arith::NotANumber;
        };
        let result = f(number);
        item.value = format!("{result:<0$}", item.value.len()).into_bytes();
        item.cas = None;
        Arith::Value(result)
    }
}

/// A reservation with what is known of it.
struct Reserved {
    reservation: Reservation,
    key: u8,
    expected: Expected,
    written: usize,
}

/// The store beside its model.
struct Pair {
    store: Checked,
    tenants: Vec<Tenant>,
    models: Vec<Model>,
    reserved: Vec<[Option<Reserved>; RESERVATIONS]>,
    numbers: HashSet<u64>,
    /// Numbers that were right once.
    old: HashMap<(usize, u8), u64>,
    evicting: bool,
    step: u64,
}

impl Pair {
    fn new(max_bytes: usize, evicting: bool) -> Pair {
        let store = Checked::new(max_bytes);
        let tenants: Vec<Tenant> =
            (0..TENANTS).map(|_| store.store.add_tenant(Limits::NONE)).collect();
        let most = store.max_item_bytes();
        Pair {
            tenants,
            models: (0..TENANTS).map(|_| Model { most, ..Model::default() }).collect(),
            reserved: (0..TENANTS).map(|_| [const { None }; RESERVATIONS]).collect(),
            numbers: HashSet::new(),
            old: HashMap::new(),
            evicting,
            step: 0,
            store,
        }
    }

    /// Fills the store with what nobody asks for.
    fn press(&mut self) {
        for number in 0..12 {
            self.step += 1;
            let len = [0, 30, 300, 3_000, 9_000][usize::try_from(self.step % 5).unwrap()];
            let ttl = (number % 4 == 0).then_some(Duration::from_millis(300));
            self.store.set(&self.step.to_be_bytes(), &vec![b'b'; len], 0, ttl).unwrap();
        }
    }

    /// Compares what the store gave with what the model gives; if an item may have been evicted, with
    /// what it gives without the item.
    fn agree<T: PartialEq + std::fmt::Debug>(
        &mut self,
        who: usize,
        key: u8,
        found: &T,
        expect: impl Fn(&mut Model) -> T,
    ) -> Result<(), TestCaseError> {
        let before = self.models[who].items.get(&key).cloned();
        let expected = expect(&mut self.models[who]);
        if expected == *found {
            return Ok(());
        }
        let shown = format!("found {}, expected {}", short(found), short(&expected));
        prop_assert!(self.evicting && before.is_some(), "{}", shown);
        self.models[who].items.remove(&key);
        let expected = expect(&mut self.models[who]);
        prop_assert!(expected == *found, "{}, without it {}", shown, short(&expected));
        Ok(())
    }

    /// A version has been stored under a number nobody has seen.
    fn learn(&mut self, who: usize, key: u8, cas: u64) -> Result<(), TestCaseError> {
        prop_assert!(cas != 0 && self.numbers.insert(cas), "CAS {} was given before", cas);
        // It may have been stored with no time to live.
        if let Some(item) = self.models[who].items.get_mut(&key) {
            prop_assert!(cas > item.above, "CAS {} after {}", cas, item.above);
            item.cas = Some(cas);
            item.above = cas;
            self.old.entry((who, key)).or_insert(cas);
        }
        Ok(())
    }

    fn mode(&mut self, which: Which, who: usize, key: u8) -> Mode {
        match which {
            Which::Set => Mode::Set,
            Which::Add => Mode::Add,
            Which::Replace => Mode::Replace,
            Which::Append => Mode::Append,
            Which::Prepend => Mode::Prepend,
            Which::CasRight => {
                Mode::Cas(self.models[who].live(key).and_then(|it| it.cas).unwrap_or(1))
            }
            Which::CasOld => Mode::Cas(self.old.get(&(who, key)).copied().unwrap_or(2)),
            Which::CasMadeUp(number) => Mode::Cas(number),
        }
    }

    /// Stores by `store`, and compares.
    fn check_store(
        &mut self,
        who: usize,
        key: u8,
        mode: Mode,
        new: &Expected,
        store: impl FnOnce(&Tenant) -> Result<Outcome, StoreError>,
    ) -> Result<(), TestCaseError> {
        let found = store(&self.tenants[who]);
        let plain = match &found {
            Ok(Outcome::Stored { .. }) => Ok(Outcome::Stored { cas: 0 }),
            other => other.clone(),
        };
        self.agree(who, key, &plain, |model| model.store(mode, key, new.clone()))?;
        if let Ok(Outcome::Stored { cas }) = found {
            self.learn(who, key, cas)?;
        }
        Ok(())
    }

    fn expected(&self, who: usize, value: &Bytes, flags: u32, ttl: Ttl) -> Expected {
        Expected {
            value: value.get(),
            flags,
            expires: self.models[who].expiry(ttl),
            fetched: false,
            stale: false,
            won: false,
            marked: false,
            cas: None,
            above: 0,
        }
    }

    fn run(&mut self, who: usize, op: &Op) -> Result<(), TestCaseError> {
        let tenant = self.tenants[who].clone();
        match op {
            Op::Get(key) => {
                let found = tenant.get(&name(*key), |item| Seen::of(&item));
                self.agree(who, *key, &found, |model| model.seen(*key))?;
                self.models[who].live(*key).into_iter().for_each(|item| item.fetched = true);
            }
            Op::Look(key) => {
                let found =
                    tenant.get(&name(*key), |item| (Seen::of(&item), item.win(), item.cas()));
                let won = found.as_ref().map(|(seen, won, _)| (seen.clone(), *won));
                self.agree(who, *key, &won, |model| {
                    let seen = model.seen(*key)?;
                    let won = !seen.won;
                    Some((seen, won))
                })?;
                let Some((.., cas)) = found else { return Ok(()) };
                let item = self.models[who].live(*key).unwrap();
                (item.fetched, item.won) = (true, true);
                match item.cas {
                    Some(known) => prop_assert_eq!(cas, known),
                    None => self.learn(who, *key, cas)?,
                }
            }
            Op::GetMany(keys) => {
                let names: Vec<Vec<u8>> = keys.iter().map(|key| name(*key)).collect();
                let mut found = Vec::new();
                tenant.get_many(&names, |number, item| {
                    assert_eq!(number, found.len());
                    found.push(item.map(|item| Seen::of(&item)));
                });
                prop_assert_eq!(found.len(), keys.len());
                for (key, found) in keys.iter().zip(found) {
                    self.agree(who, *key, &found, |model| model.seen(*key))?;
                }
                for key in keys {
                    self.models[who].live(*key).into_iter().for_each(|item| item.fetched = true);
                }
            }
            Op::Set(key, value, flags, ttl) => {
                let new = self.expected(who, value, *flags, *ttl);
                let found = tenant.set(&name(*key), &new.value, *flags, *ttl);
                let expected = self.models[who].store(Mode::Set, *key, new);
                prop_assert_eq!(found, expected.map(|_| ()));
            }
            Op::Store(which, key, value, flags, ttl) => {
                let mode = self.mode(*which, who, *key);
                let new = self.expected(who, value, *flags, *ttl);
                self.check_store(who, *key, mode, &new, |tenant| {
                    tenant.store(mode, &name(*key), &new.value, *flags, *ttl)
                })?;
            }
            Op::Ask(which, key, value, asked) => {
                self.ask(who, &tenant, *which, *key, value, asked)?;
            }
            Op::Compute(key, delta, down, compared, ttl, initial) => {
                let cas = self.compared(who, *key, *compared);
                let initial = initial.map(|ttl| (delta / 2, ttl));
                let arith =
                    Arithmetic { cas, initial, ttl: *ttl, down: *down, ..Arithmetic::up(*delta) };
                let name = name(*key);
                let computed = tenant.arith(tenant.hashed(&name), &arith).unwrap();
                let (number, told) = match computed {
                    Computed::Value { number, cas, .. } => (Arith::Value(number), Some(cas)),
                    Computed::NotANumber => (Arith::NotANumber, None),
                    Computed::NotFound => (Arith::NotFound, None),
                    Computed::Exists => (Arith::NotFound, Some(0)),
                };
                let exists = computed == Computed::Exists;
                self.agree(who, *key, &(number, exists), |model| {
                    let (expires, now) = (ttl.map(|ttl| model.expiry(ttl)), model.now);
                    let Some(item) = model.live(*key) else {
                        let Some((number, ttl)) = initial else { return (Arith::NotFound, false) };
                        let value = number.to_string().into_bytes();
                        let new =
                            Expected { value, expires: model.expiry(ttl), ..Expected::default() };
                        let stored = model.store(Mode::Add, *key, new);
                        assert!(stored.is_ok() || now == u64::MAX, "{stored:?}");
                        return (Arith::Value(number), false);
                    };
                    if cas.is_some_and(|cas| item.cas != Some(cas)) {
                        return (Arith::NotFound, true);
                    }
                    let computed = model.arith(*key, |number| {
                        if *down {
                            number.saturating_sub(*delta)
                        } else {
                            number.wrapping_add(*delta)
                        }
                    });
                    if let (Arith::Value(_), Some(item)) = (computed, model.items.get_mut(key)) {
                        item.expires = expires.unwrap_or(item.expires);
                    }
                    (computed, false)
                })?;
                if let (Arith::Value(_), Some(cas)) = (number, told) {
                    self.learn(who, *key, cas)?;
                }
            }
            Op::Peek(key) => {
                let name = name(*key);
                let reader = self.store.store.reader();
                let key_here = tenant.hashed(&name);
                let found = reader.of(&tenant).peek(key_here).map(|item| Seen::of(&item));
                drop(reader);
                self.agree(who, *key, &found, |model| model.seen(*key))?;
            }
            Op::Remove(key, compared) => {
                let cas = self.compared(who, *key, *compared);
                let name = name(*key);
                let found = tenant.remove(tenant.hashed(&name), cas);
                self.agree(who, *key, &found, |model| match model.live(*key) {
                    None => Removed::NotFound,
                    Some(item) if cas.is_some_and(|cas| item.cas != Some(cas)) => Removed::Exists,
                    Some(_) => Removed::Deleted,
                })?;
                if found != Removed::Exists {
                    self.models[who].items.remove(key);
                }
            }
            Op::MarkStale(key, mark, clear_value, compared, ttl) => {
                let cas = self.compared(who, *key, *compared);
                let stale =
                    Stale { mark: *mark, clear_value: *clear_value, cas, ttl: *ttl, new_cas: None };
                let name = name(*key);
                let found = tenant.mark_stale(tenant.hashed(&name), &stale).unwrap();
                let plain = match found {
                    Outcome::Stored { .. } => Outcome::Stored { cas: 0 },
                    other => other,
                };
                self.agree(who, *key, &plain, |model| {
                    let expires = ttl.map(|ttl| model.expiry(ttl));
                    let Some(item) = model.live(*key) else { return Outcome::NotFound };
                    if cas.is_some_and(|cas| item.cas != Some(cas)) {
                        return Outcome::Exists;
                    }
                    if *clear_value {
                        (item.value, item.flags, item.expires) = (Vec::new(), 0, None);
                    }
                    item.expires = expires.unwrap_or(item.expires);
                    if *mark {
                        (item.stale, item.won, item.cas) = (true, false, None);
                    }
                    Outcome::Stored { cas: 0 }
                })?;
                if let Outcome::Stored { cas } = found {
                    match self.models[who].items.get(key).and_then(|item| item.cas) {
                        Some(kept) => prop_assert_eq!(cas, kept),
                        None => self.learn(who, *key, cas)?,
                    }
                }
            }
            Op::Vivify(key, ttl) => {
                let new = Expected { won: true, ..self.expected(who, &Bytes::Text(""), 0, *ttl) };
                self.check_store(who, *key, Mode::Add, &new, |tenant| {
                    tenant.vivify(tenant.hashed(&name(*key)), *ttl, None, false)
                })?;
            }
            Op::Incr(key, delta) => {
                let found = tenant.incr(&name(*key), *delta).unwrap();
                self.agree(who, *key, &found, |model| {
                    model.arith(*key, |n| n.wrapping_add(*delta))
                })?;
            }
            Op::Decr(key, delta) => {
                let found = tenant.decr(&name(*key), *delta).unwrap();
                self.agree(who, *key, &found, |model| {
                    model.arith(*key, |n| n.saturating_sub(*delta))
                })?;
            }
            Op::Touch(key, ttl) => {
                let found = tenant.touch(&name(*key), *ttl).unwrap();
                self.agree(who, *key, &found, |model| {
                    let expires = model.expiry(*ttl);
                    model.live(*key).map(|item| item.expires = expires).is_some()
                })?;
            }
            Op::Invalidate(key, ttl) => {
                let found = tenant.invalidate(&name(*key), *ttl).unwrap();
                self.agree(who, *key, &found, |model| {
                    let expires = model.expiry(*ttl);
                    let Some(item) = model.live(*key) else { return false };
                    (item.stale, item.won, item.cas) = (true, false, None);
                    item.expires = expires.or(item.expires);
                    true
                })?;
            }
            Op::Delete(key) => {
                let found = tenant.delete(&name(*key));
                self.agree(who, *key, &found, |model| model.live(*key).is_some())?;
                self.models[who].items.remove(key);
            }
            Op::Flush => {
                tenant.flush();
                self.models[who].items.clear();
                self.models[who].flush_at = None;
                prop_assert!(tenant.is_empty());
            }
            Op::FlushIn(ms) => {
                let ttl = Duration::from_millis(*ms);
                tenant.flush_in(ttl);
                self.models[who].flush_at = self.models[who].expiry(Some(ttl));
                self.models.iter_mut().for_each(|model| model.pass(0));
            }
            Op::Advance(ms) => {
                self.store.advance_ms(*ms);
                self.models.iter_mut().for_each(|model| model.pass(*ms));
            }
            Op::Walk => self.walk(who, &tenant)?,
            Op::Reserve(slot, key, value, flags, ttl) => {
                let expected = self.expected(who, value, *flags, *ttl);
                self.reserved[who][*slot] = None;
                let limit = usize::try_from(self.store.store.stats().max_bytes).unwrap() / 8;
                // However small, each keeps a segment.
                let segment = if limit < MIB { 8 * 1024 } else { 32 * 1024 };
                let bytes = name(*key).len() + expected.value.len();
                let all = self.reserved.iter().flatten().flatten();
                let of_one = |it: &Reserved| name(it.key).len() + it.expected.value.len();
                let held: usize = all.map(|it| of_one(it).max(segment)).sum();
                // Of several, one may hold half.
                let own = self.reserved[who].iter().flatten();
                let own: usize = own.map(|it| of_one(it).max(segment)).sum();
                let full = held + bytes.max(segment) > limit
                    || own > 0 && own + bytes.max(segment) > limit / 2;
                match tenant.reserve(tenant.hashed(&name(*key)), expected.value.len(), *flags, *ttl)
                {
                    Ok(reservation) => {
                        prop_assert!(!full && bytes <= self.models[who].most);
                        let reserved = Reserved { reservation, key: *key, expected, written: 0 };
                        self.reserved[who][*slot] = Some(reserved);
                    }
                    Err(StoreError::TooLarge { .. }) => prop_assert!(bytes > self.models[who].most),
                    Err(StoreError::TooMuchReserved { .. }) => prop_assert!(full),
                    Err(error) => prop_assert!(false, "{}", error),
                }
            }
            Op::Write(slot, share) => {
                if let Some(reserved) = &mut self.reserved[who][*slot] {
                    reserved.write(usize::from(*share))?;
                }
            }
            Op::Commit(slot, which) => {
                let Some(mut reserved) = self.reserved[who][*slot].take() else { return Ok(()) };
                reserved.write(usize::from(u8::MAX))?;
                let key = reserved.key;
                let which = match which {
                    Which::Append | Which::Prepend => Which::Set,
                    which => *which,
                };
                let mode = self.mode(which, who, key);
                let Reserved { reservation, expected, .. } = reserved;
                self.check_store(who, key, mode, &expected, |_| {
                    reservation.commit(&Commit::new(mode))
                })?;
            }
            Op::Abort(slot) => self.reserved[who][*slot] = None,
            Op::Maintain => drop(self.store.store.maintain(20)),
        }
        Ok(())
    }

    /// A number to compare with. The right one is made up if nobody knows it.
    fn compared(&mut self, who: usize, key: u8, compared: Compared) -> Option<u64> {
        match compared {
            Compared::Nothing => None,
            Compared::Right => {
                self.models[who].live(key).and_then(|item| item.cas).or(Some(u64::MAX))
            }
            Compared::Zero => Some(0),
            Compared::Highest => Some(u64::MAX),
        }
    }

    /// Writes with everything that can be asked, and compares.
    fn ask(
        &mut self,
        who: usize,
        tenant: &Tenant,
        which: Which,
        key: u8,
        value: &Bytes,
        asked: &Asked,
    ) -> Result<(), TestCaseError> {
        let mode = match which {
            Which::Add => Mode::Add,
            Which::Replace => Mode::Replace,
            Which::Append => Mode::Append,
            Which::Prepend => Mode::Prepend,
            _ => Mode::Set,
        };
        let value = value.get();
        // Above all that were given so far, and below the next that is asked for.
        self.step += 1;
        let new_cas = asked.new_cas.then_some((1 << 62) + (self.step << 24));
        let Asked { flags, ttl, stale_if_older, marked, create, tell_cas, .. } = *asked;
        let cas = self.compared(who, key, asked.cas);
        let write = Write {
            flags,
            ttl,
            cas,
            new_cas,
            stale_if_older,
            marked,
            create,
            tell_cas,
            ..Write::new(mode, &value)
        };
        let found = tenant.write(tenant.hashed(&name(key)), &write);
        let plain = match &found {
            Ok(Outcome::Stored { .. }) => Ok(Outcome::Stored { cas: 0 }),
            other => other.clone(),
        };
        self.agree(who, key, &plain, |model| model.write(key, &write))?;
        match found {
            Ok(Outcome::Stored { cas }) if tell_cas || new_cas.is_some() => {
                prop_assert_eq!(cas, new_cas.unwrap_or(cas));
                self.learn(who, key, cas)
            }
            Ok(Outcome::Stored { cas }) => {
                prop_assert_eq!(cas, 0);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn walk(&mut self, who: usize, tenant: &Tenant) -> Result<(), TestCaseError> {
        let mut met = HashMap::new();
        let mut twice = false;
        tenant.for_each(|item| twice |= met.insert(item.key().to_vec(), Seen::of(&item)).is_some());
        prop_assert!(!twice, "an item met twice while nothing changed");
        for key in 0..KEYS {
            let found = met.remove(&name(key));
            self.agree(who, key, &found, |model| model.seen(key))?;
        }
        prop_assert!(met.is_empty(), "{} keys that were never stored", met.len());
        Ok(())
    }
}

impl Reserved {
    /// Writes a share of what is missing, in 255ths.
    fn write(&mut self, share: usize) -> Result<(), TestCaseError> {
        let missing = self.expected.value.len() - self.written;
        prop_assert_eq!(self.reservation.missing(), missing);
        let now = missing * share / 255;
        let bytes = &self.expected.value[self.written..self.written + now];
        self.reservation.append(bytes);
        self.written += now;
        Ok(())
    }
}

/// What fits on a screen.
fn short(value: &impl std::fmt::Debug) -> String {
    let mut text = format!("{value:?}");
    text.truncate(text.floor_char_boundary(300));
    text
}

/// Keys of different lengths, each a prefix of the next; the last is the longest there is.
fn name(key: u8) -> Vec<u8> {
    vec![b'k'; if key == KEYS - 1 { larder_store::MAX_KEY_BYTES } else { usize::from(key) * 3 }]
}

fn ttl() -> impl Strategy<Value = Ttl> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Duration::ZERO)),
        1 => Just(Some(Duration::from_micros(1))),
        1 => Just(Some(Duration::MAX / 1_000_000_000)),
        4 => (0_u64..800).prop_map(|ms| Some(Duration::from_millis(ms))),
    ]
}

/// Lengths up to `small`, and now and then up to `large`.
fn bytes(small: usize, large: usize) -> impl Strategy<Value = Bytes> {
    let numbers =
        ["0", "7", "10", "007", "5  ", "18446744073709551615", "18446744073709551616", "", "x"];
    prop_oneof![
        6 => (any::<u64>(), 0..small).prop_map(|(seed, len)| Bytes::Pattern(seed, len)),
        1 => (any::<u64>(), 0..large).prop_map(|(seed, len)| Bytes::Pattern(seed, len)),
        4 => prop::sample::select(numbers.to_vec()).prop_map(Bytes::Text),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![
        3 => Just(Which::Set),
        2 => Just(Which::Add),
        2 => Just(Which::Replace),
        3 => Just(Which::Append),
        3 => Just(Which::Prepend),
        3 => Just(Which::CasRight),
        2 => Just(Which::CasOld),
        1 => (0_u64..1 << 23).prop_map(Which::CasMadeUp),
    ]
}

fn compared() -> impl Strategy<Value = Compared> {
    prop_oneof![
        6 => Just(Compared::Nothing),
        3 => Just(Compared::Right),
        2 => Just(Compared::Zero),
        1 => Just(Compared::Highest),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (0_u32..3, ttl(), compared(), flags, option::of(ttl())).prop_map(
        |(flags, ttl, cas, (new_cas, stale_if_older, marked, tell_cas), create)| Asked {
            flags,
            ttl,
            cas,
            new_cas,
            stale_if_older,
            marked,
            create,
            tell_cas,
        },
    )
}

fn op(small: usize, large: usize) -> impl Strategy<Value = Op> {
    let key = || 0..KEYS;
    let value = move || bytes(small, large);
    let slot = || 0..RESERVATIONS;
    prop_oneof![
        6 => key().prop_map(Op::Get),
        4 => key().prop_map(Op::Look),
        1 => subsequence((0..KEYS).collect::<Vec<_>>(), 0..=usize::from(KEYS))
            .prop_shuffle()
            .prop_map(Op::GetMany),
        8 => (key(), value(), any::<u32>(), ttl()).prop_map(|(k, v, f, t)| Op::Set(k, v, f, t)),
        8 => (which(), key(), value(), 0_u32..3, ttl())
            .prop_map(|(w, k, v, f, t)| Op::Store(w, k, v, f, t)),
        12 => (which(), key(), value(), asked()).prop_map(|(w, k, v, a)| Op::Ask(w, k, v, a)),
        4 => (key(), 0_u64..9, any::<bool>(), compared(), option::of(ttl()), option::of(ttl()))
            .prop_map(|(k, d, down, c, t, i)| Op::Compute(k, d, down, c, t, i)),
        3 => key().prop_map(Op::Peek),
        2 => (key(), compared()).prop_map(|(key, compared)| Op::Remove(key, compared)),
        3 => (key(), any::<bool>(), any::<bool>(), compared(), option::of(ttl()))
            .prop_map(|(k, m, v, c, t)| Op::MarkStale(k, m, v, c, t)),
        2 => (key(), ttl()).prop_map(|(key, ttl)| Op::Vivify(key, ttl)),
        3 => (key(), 0_u64..5).prop_map(|(key, delta)| Op::Incr(key, delta)),
        1 => (key(), any::<u64>()).prop_map(|(key, delta)| Op::Incr(key, delta)),
        2 => (key(), 0_u64..9).prop_map(|(key, delta)| Op::Decr(key, delta)),
        3 => (key(), ttl()).prop_map(|(key, ttl)| Op::Touch(key, ttl)),
        2 => (key(), ttl()).prop_map(|(key, ttl)| Op::Invalidate(key, ttl)),
        2 => key().prop_map(Op::Delete),
        1 => Just(Op::Flush),
        1 => (0_u64..900).prop_map(Op::FlushIn),
        4 => (0_u64..250).prop_map(Op::Advance),
        1 => Just(Op::Walk),
        3 => (slot(), key(), value(), 0_u32..3, ttl())
            .prop_map(|(s, k, v, f, t)| Op::Reserve(s, k, v, f, t)),
        3 => (slot(), any::<u8>()).prop_map(|(slot, share)| Op::Write(slot, share)),
        3 => (slot(), which()).prop_map(|(slot, which)| Op::Commit(slot, which)),
        1 => slot().prop_map(Op::Abort),
        1 => Just(Op::Maintain),
    ]
}

fn ops(small: usize, large: usize, count: usize) -> impl Strategy<Value = Vec<(usize, Op)>> {
    vec((0..TENANTS, op(small, large)), 1..count)
}

/// Runs the operations on both and compares each result.
fn compare(max_bytes: usize, evicting: bool, ops: &[(usize, Op)]) -> Result<(), TestCaseError> {
    let mut pair = Pair::new(max_bytes, evicting);
    for (number, (who, op)) in ops.iter().enumerate() {
        if evicting {
            pair.press();
        }
        let result = pair.run(*who, op);
        if let Err(TestCaseError::Fail(why)) = result {
            return Err(TestCaseError::fail(format!("{why} at {number}: {}", short(op))));
        }
        if !evicting || number % 8 == 0 {
            let fault = pair.store.store.validate();
            prop_assert!(fault.is_ok(), "{fault:?} after {number}: {}", short(op));
        }
    }
    if !evicting {
        prop_assert_eq!(pair.store.store.stats().evictions, 0);
    }
    Ok(())
}

/// `LARDER_CASES=20` runs twenty times as many.
fn config(cases: u32) -> ProptestConfig {
    let factor = std::env::var("LARDER_CASES").ok().and_then(|factor| factor.parse().ok());
    let cases = cases * factor.unwrap_or(1);
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn a_roomy_store_is_a_map(ops in ops(60, 3_000, 150)) {
        compare(2 * MIB, false, &ops)?;
    }
}

proptest! {
    #![proptest_config(config(60))]

    #[test]
    fn an_exhausted_store_forgets_but_never_lies(ops in ops(300, 20_000, 200)) {
        compare(MIB, true, &ops)?;
    }
}

proptest! {
    #![proptest_config(config(12))]

    /// Values up to the largest item, and a little more.
    #[test]
    fn items_in_chunks_are_forgotten_as_a_whole(ops in ops(20_000, 132_000, 120)) {
        compare(MIB, true, &ops)?;
    }
}

proptest! {
    #![proptest_config(config(6))]

    #[test]
    fn a_roomy_store_keeps_items_in_chunks(ops in ops(3_000, 1_100_000, 60)) {
        compare(64 * MIB, false, &ops)?;
    }
}
