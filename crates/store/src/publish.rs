//! How a draft becomes the item of its key: under the lock of its home in the index, on a condition,
//! with the CAS number and the flags that follow from the version before it.

use crate::draft::{Draft, New};
use crate::epoch::Pin;
use crate::error::StoreError;
use crate::index::{At, Home, Slot};
use crate::memory::arena::Location;
use crate::memory::record::{Layout, Meta};
use crate::memory::stored::Stored;
use crate::reclaim::{Effort, Pace};
use crate::request::{Commit, Mode, Outcome, Write};
use crate::room::Patience;
use crate::stats::Event;
use crate::store::Shared;
use crate::sync::Ordering;
use crate::tenant::TenantState;

/// On what condition a draft becomes the item of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Absent,
    Present,
    /// The item has this number; or, if `or_older`, a higher one: then the draft is stored as stale.
    Cas {
        cas: u64,
        or_older: bool,
    },
    /// The item is the version that lies here.
    Unchanged(Location),
}

/// How a draft is published.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) when: When,
    pub(crate) flags: Flags,
    pub(crate) number: Number,
    /// Whether it expires when the version before it does.
    pub(crate) keep_ttl: bool,
}

/// The CAS number of a new version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    /// Another one than all before it had.
    Next,
    /// That of the version before it.
    Keep,
    /// What the caller says.
    Given(u64),
}

/// The flags of a new version's slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags {
    set: u64,
    /// Those it has if the version before has them.
    inherit: u64,
}

impl Flags {
    /// Those of a new value. That somebody knows a number of some version is never forgotten: it is
    /// why later ones are higher.
    pub(crate) const NEW: Flags = Flags { set: 0, inherit: Slot::CAS_KNOWN };
    /// Those of the version before.
    pub(crate) const SAME: Flags = Flags {
        set: 0,
        inherit: Slot::FETCHED | Slot::CAS_KNOWN | Slot::STALE | Slot::WON | Slot::MARKED,
    };
    /// Those of a version that is served until somebody replaces it.
    pub(crate) const STALE: Flags =
        Flags { set: Slot::STALE, inherit: Slot::FETCHED | Slot::CAS_KNOWN | Slot::MARKED };

    /// The same, and `flag` is set, if so it is.
    pub(crate) fn with(self, flag: u64, is_set: bool) -> Flags {
        Flags { set: self.set | if is_set { flag } else { 0 }, ..self }
    }

    /// The same, and what others set is set.
    pub(crate) fn and(self, others: Flags) -> Flags {
        Flags { set: self.set | others.set, ..self }
    }

    /// Those of a value that was stored although it is older than the version there is.
    fn outdated(self) -> Flags {
        Flags { set: self.set | Slot::STALE, inherit: self.inherit | Slot::WON }
    }

    /// The slot with what it inherits.
    fn inherited(self, old: Slot, new: Slot) -> Slot {
        new.with(old.word() & self.inherit)
    }
}

/// Why a draft did not become an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// There is an item.
    Present,
    /// There is none.
    Absent,
    /// There is another version.
    Changed,
}

/// Why a draft must be made again: since it was begun the tenant was flushed, and the draft's memory
/// with it; or what there is now asks for more than it has room for.
#[derive(Debug, Clone, Copy, Default)]
struct Outdated {
    /// It needs room for a number of its own.
    unnumbered: bool,
    /// It needs room for a time of expiry, which is this.
    expires: Option<u32>,
}

/// What becomes of a draft under the lock of its home.
enum Attempt {
    Published(u64),
    Refused(Refused),
    Outdated(Outdated),
    /// The index has no room at the moment.
    Full,
}

impl Terms {
    /// Those of a write that looks at no more than whether there is an item, or at its number.
    pub(crate) fn of(write: &Write<'_>) -> Terms {
        let cas = match write.mode {
            Mode::Cas(cas) => Some(cas),
            Mode::Set | Mode::Replace => write.cas,
            Mode::Add | Mode::Append | Mode::Prepend => None,
        };
        let when = match (write.mode, cas) {
            (_, Some(cas)) => When::Cas { cas, or_older: write.stale_if_older },
            (Mode::Add | Mode::Append | Mode::Prepend, None) => When::Absent,
            (Mode::Replace, None) => When::Present,
            (Mode::Set | Mode::Cas(_), None) => When::Always,
        };
        Terms {
            when,
            flags: Flags::NEW
                .with(Slot::CAS_KNOWN, write.tell_cas || write.new_cas.is_some())
                .with(Slot::MARKED, write.marked),
            number: Number::given(write.new_cas),
            keep_ttl: false,
        }
    }

    /// Those of a reservation.
    ///
    /// # Panics
    ///
    /// When it is to be appended or prepended.
    pub(crate) fn of_commit(commit: &Commit) -> Terms {
        let Commit { mode, cas, new_cas, stale_if_older, marked, tell_cas } = *commit;
        let extends = matches!(mode, Mode::Append | Mode::Prepend);
        assert!(!extends, "{mode:?} of a reservation");
        let write =
            Write { cas, new_cas, stale_if_older, marked, tell_cas, ..Write::new(mode, &[]) };
        Terms::of(&write)
    }

    /// What the caller is told.
    pub(crate) fn outcome(&self, stored: Result<u64, Refused>) -> Outcome {
        match (stored, self.when) {
            (Ok(cas), _) => {
                Outcome::Stored { cas: if self.flags.set & Slot::CAS_KNOWN == 0 { 0 } else { cas } }
            }
            (Err(Refused::Changed), _) => Outcome::Exists,
            (Err(Refused::Absent), When::Cas { .. }) => Outcome::NotFound,
            (Err(Refused::Absent | Refused::Present), _) => Outcome::NotStored,
        }
    }
}

impl Number {
    pub(crate) fn given(number: Option<u64>) -> Number {
        number.map_or(Number::Next, Number::Given)
    }
}

impl Shared {
    /// Makes a finished draft the item of its key, or gives it up. Returns its CAS number.
    ///
    /// # Errors
    ///
    /// When it had to be drawn again, and there was no room for that.
    pub(crate) fn publish(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        key: &[u8],
        mut draft: Draft,
        terms: &Terms,
    ) -> Result<Result<u64, Refused>, StoreError> {
        let mut patience = Patience::default();
        loop {
            match self.try_publish(pin, tenant, key, &mut draft, terms) {
                Attempt::Published(cas) => {
                    self.resize_index(pin);
                    return Ok(Ok(cas));
                }
                Attempt::Refused(refused) => {
                    self.give_up(tenant, draft);
                    return Ok(Err(refused));
                }
                Attempt::Outdated(why) => draft = self.draw_again(pin, tenant, key, draft, why)?,
                Attempt::Full => {
                    if !self.grow_index(pin, tenant) && !self.await_others(pin, &mut patience) {
                        break;
                    }
                }
            }
        }
        if !self.evicts {
            let bytes = draft.layout.len();
            self.give_up(tenant, draft);
            return Err(StoreError::NoRoom { bytes });
        }
        // Stored, and evicted at once: the index has no room near this hash, and gets none.
        let cas = self.cas_at(draft.place.at);
        let slot = Slot::new(draft.hash, draft.place.at, 0);
        self.give_up(tenant, draft);
        pin.worker.counters.of(tenant.id).removed(Event::Evicted, slot);
        Ok(Ok(cas))
    }

    /// Lets the index grow, as far as this thread can help: another one may be at it, or the memory
    /// may be missing. Returns whether it has helped.
    #[inline(never)]
    fn grow_index(&self, pin: &mut Pin<'_>, tenant: &TenantState) -> bool {
        self.check_index();
        self.resize_index(pin)
            || self.is_scarce()
                && self.reclaim_step(pin, tenant, Pace::Steady, &mut Effort::piece())
    }

    fn try_publish(
        &self,
        pin: &Pin<'_>,
        tenant: &TenantState,
        key: &[u8],
        draft: &mut Draft,
        terms: &Terms,
    ) -> Attempt {
        assert_eq!(draft.missing(), 0, "a value that is not all there");
        let mut home = self.index.lock(draft.hash);
        let since = tenant.flushed_before.load(Ordering::Acquire);
        if !self.segments.owner(draft.place.segment).is(tenant.id, since) {
            return Attempt::Outdated(Outdated::default());
        }
        let found = home.find(|slot| self.is_item(pin, slot, tenant.id, since, key));
        let old = found.map(|at| (at, self.stored_under_lock(pin, at)));
        let live = old.filter(|(_, stored)| stored.expires() > draft.tick);
        let (cas, flags) = match self.agree(draft, terms, live.as_ref()) {
            Ok(agreed) => agreed,
            Err(attempt) => return attempt,
        };
        let freq = live.map_or(0, |(at, _)| at.slot.freq());
        let slot = Slot::new(draft.hash, draft.place.at, freq).with(flags.set);
        let Some(last) = self.put_slot(pin, &mut home, found, flags, slot) else {
            return Attempt::Full;
        };
        // Under the lock: nobody may remove the item before it is counted.
        self.segments.about(draft.place.segment).publish_item();
        drop(home);
        for chunk in &draft.chunks {
            self.segments.about(chunk.segment).publish_part();
        }
        let row = pin.worker.counters.of(tenant.id);
        // What keeps its number is the same item, written anew.
        let is_same = terms.number == Number::Keep;
        if let Some((_, stored)) = old {
            match live {
                None => row.removed(Event::Expired, last),
                Some(_) if is_same => {}
                Some(_) => row.removed(Event::Replaced, last),
            }
            self.forget(tenant, &stored);
        }
        row.add(Event::Set, u64::from(!is_same));
        Attempt::Published(cas)
    }

    /// Puts the slot of a new version where the old one's is, or where there is room; returns the old
    /// one, with what readers have set to the last, or an empty one. `None`: there is no room.
    fn put_slot(
        &self,
        pin: &Pin<'_>,
        home: &mut Home<'_>,
        old: Option<At>,
        flags: Flags,
        slot: Slot,
    ) -> Option<Slot> {
        if let Some(at) = old {
            return Some(home.update(at, |old| flags.inherited(old, slot)));
        }
        home.insert(slot).ok()?;
        if pin.worker.counters.filled_slot() {
            self.check_index();
        }
        Some(Slot::EMPTY)
    }

    /// What a draft becomes after the live version there is, under the lock of its home: its number and
    /// its flags, if the terms are met.
    #[allow(unsafe_code)]
    fn agree(
        &self,
        draft: &mut Draft,
        terms: &Terms,
        live: Option<&(At, Stored<'_>)>,
    ) -> Result<(u64, Flags), Attempt> {
        let is_older = self.check(terms.when, live).map_err(Attempt::Refused)?;
        if (is_older || terms.keep_ttl)
            && let Some((_, stored)) = live
        {
            // Somebody may have touched it since the draft was begun.
            let expires = stored.expires();
            if !draft.expire(&self.arena, expires) {
                let why = Outdated { expires: Some(expires), ..Outdated::default() };
                return Err(Attempt::Outdated(why));
            }
        }
        let known = live.filter(|(at, _)| at.slot.has(Slot::CAS_KNOWN));
        let known = known.map(|(_, stored)| self.cas_of(stored));
        let Some(cas) = self.number(draft, terms.number, known) else {
            let why = Outdated { unnumbered: true, ..Outdated::default() };
            return Err(Attempt::Outdated(why));
        };
        Ok((cas, if is_older { terms.flags.outdated() } else { terms.flags }))
    }

    /// Whether the condition is met; if so, whether what is stored is older than what there is.
    fn check(&self, when: When, live: Option<&(At, Stored<'_>)>) -> Result<bool, Refused> {
        match (when, live) {
            (When::Always, _) | (When::Absent, None) | (When::Present, Some(_)) => Ok(false),
            (When::Absent, Some(_)) => Err(Refused::Present),
            (When::Present | When::Cas { .. }, None) => Err(Refused::Absent),
            (When::Cas { cas, or_older }, Some((_, stored))) => match self.cas_of(stored) {
                there if there == cas => Ok(false),
                there if or_older && there > cas => Ok(true),
                _ => Err(Refused::Changed),
            },
            (When::Unchanged(place), Some((_, stored))) if stored.at == place => Ok(false),
            (When::Unchanged(_), _) => Err(Refused::Changed),
        }
    }

    /// The CAS number of a draft that takes the place of a version whose number is `known`, under the
    /// lock of its home; `None` if it needs one and has no room for it.
    #[allow(unsafe_code)]
    fn number(&self, draft: &Draft, number: Number, known: Option<u64>) -> Option<u64> {
        // While the draft keeps its segment: once it is an item, it may move.
        let of_place = self.cas_at(draft.place.at);
        let has_room = draft.meta.cas.is_some();
        let cas = match (number, known) {
            (Number::Given(number), _) | (Number::Keep, Some(number)) => number,
            (Number::Next, Some(known)) if of_place <= known => {
                if !has_room {
                    return None;
                }
                self.next_cas(known)
            }
            (Number::Next | Number::Keep, _) => of_place,
        };
        if !has_room {
            return (cas == of_place).then_some(cas);
        }
        // SAFETY: the draft's bytes are reserved and not published.
        unsafe { draft.layout.write_cas(&self.arena, draft.place.at, cas) };
        Some(cas)
    }

    /// Copies a draft to memory that was not flushed, with room for what it needs, and gives the old
    /// one up.
    #[allow(unsafe_code)]
    fn draw_again(
        &self,
        pin: &mut Pin<'_>,
        tenant: &TenantState,
        key: &[u8],
        draft: Draft,
        why: Outdated,
    ) -> Result<Draft, StoreError> {
        let Layout { value_len, .. } = draft.layout;
        let Meta { flags, expires, cas, .. } = draft.meta;
        let expires = why.expires.unwrap_or(expires);
        let cas = cas.or(why.unnumbered.then_some(0));
        let Draft { hash, tick, queue, .. } = draft;
        let new = New { key, hash, value_len, flags, expires, tick, queue: Some(queue), cas };
        let again = (|| {
            let mut again = self.begin(pin, tenant, new)?;
            // SAFETY: the draft is complete, nobody else knows of it, and it keeps its segments.
            let stored = unsafe { self.stored(draft.place.at) };
            for piece in stored.value().pieces() {
                self.append(&mut again, piece);
            }
            Ok(again)
        })();
        self.give_up(tenant, draft);
        again
    }
}
