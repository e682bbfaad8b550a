//! Values that arrive piece by piece are written straight to their place.

use std::time::Duration;

use crate::commands::Outcome;
use crate::error::StoreError;
use crate::sync::Ordering;
use crate::tenant::Tenant;
use crate::write::{Draft, Flags, New, Refused, When};

/// All reservations together hold at most this share of a store: one in so many bytes.
const SHARE: u64 = 8;

/// An item on its way, from [`Tenant::reserve`]. Nobody sees it before [`commit`](Self::commit);
/// dropped without that, it was never there.
pub struct Reservation {
    tenant: Tenant,
    key: Box<[u8]>,
    draft: Option<Draft>,
    /// Bytes counted as reserved.
    bytes: u64,
}

impl Tenant {
    /// Reserves room for an item whose value of `value_len` bytes will arrive piece by piece. Its TTL
    /// counts from now.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set), but the item there was stays; [`StoreError::TooMuchReserved`] when
    /// all reservations of the store would hold more than an eighth of it; each counts at least a
    /// segment.
    pub fn reserve(
        &self,
        key: &[u8],
        value_len: usize,
        flags: u32,
        ttl: Option<Duration>,
    ) -> Result<Reservation, StoreError> {
        let shared = &*self.shared;
        shared.check_size(&self.state, key, value_len)?;
        shared.flush_if_due(&self.state, shared.time.tick());
        // While it is there it keeps a segment from being taken back, however small it is.
        let bytes = (key.len() + value_len).max(shared.arena.segment_bytes()) as u64;
        let limit = shared.geometry.max_bytes as u64 / SHARE;
        let before = shared.shifting.reserved.fetch_add(bytes, Ordering::Relaxed);
        let mut reservation =
            Reservation { tenant: self.clone(), key: key.into(), draft: None, bytes };
        if before + bytes > limit {
            let (bytes, limit) = (key.len() + value_len, shared.geometry.max_bytes / 8);
            return Err(StoreError::TooMuchReserved { bytes, limit });
        }
        let mut pin = shared.epoch.pin();
        let hash = shared.hash(self.state.id, key);
        let tick = shared.time.tick();
        let new = New { key, hash, value_len, flags, expires: shared.expiry(ttl), tick };
        let prior = shared.prior(&pin, &self.state, hash, key, tick);
        let after = prior.map(|prior| shared.after(&prior));
        reservation.draft = Some(shared.begin(&mut pin, &self.state, new, after)?);
        drop(pin);
        Ok(reservation)
    }
}

impl Reservation {
    /// Bytes of the value still to come.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.draft.as_ref().map_or(0, Draft::missing)
    }

    /// Writes the next bytes of the value.
    ///
    /// # Panics
    ///
    /// When there are more than [`missing`](Self::missing).
    pub fn append(&mut self, data: &[u8]) {
        let draft = self.draft.as_mut().expect("there until the reservation is gone");
        self.tenant.shared.append(draft, data);
    }

    /// Makes it the item of its key, as `mode` says; `Append` and `Prepend` are not for this.
    ///
    /// # Panics
    ///
    /// When bytes of the value are missing, or `mode` is `Append` or `Prepend`.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when the tenant was flushed since the room was reserved, and there is
    /// no other just now.
    pub fn commit(mut self, mode: crate::Mode) -> Result<Outcome, StoreError> {
        let when = match mode {
            crate::Mode::Set => When::Always,
            crate::Mode::Add => When::Absent,
            crate::Mode::Replace => When::Present,
            crate::Mode::Cas(cas) => When::Cas(cas),
            crate::Mode::Append | crate::Mode::Prepend => panic!("{mode:?} of a reservation"),
        };
        assert_eq!(self.missing(), 0, "a value that is not all there");
        let mut draft = self.draft.take().expect("there until the reservation is gone");
        let shared = &*self.tenant.shared;
        let mut pin = shared.epoch.pin();
        let tenant = &self.tenant.state;
        draft.tick = shared.time.tick();
        shared.flush_if_due(tenant, draft.tick);
        loop {
            return Ok(
                match shared.publish(&mut pin, tenant, &self.key, &draft, when, Flags::CAS_ASKED) {
                    Ok(cas) => Outcome::Stored { cas },
                    Err(Refused::Changed) => Outcome::Exists,
                    Err(Refused::Absent) if matches!(mode, crate::Mode::Cas(_)) => {
                        Outcome::NotFound
                    }
                    Err(Refused::Absent | Refused::Present) => Outcome::NotStored,
                    Err(Refused::Outdated { unnumbered }) => {
                        draft =
                            shared.draw_again(&mut pin, tenant, &self.key, &draft, unnumbered)?;
                        continue;
                    }
                },
            );
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let shared = &*self.tenant.shared;
        shared.shifting.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(draft) = &self.draft {
            shared.give_up(draft);
        }
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reservation").field("missing", &self.missing()).finish_non_exhaustive()
    }
}
