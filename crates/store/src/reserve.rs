//! Values that arrive piece by piece are written straight to their place.

use std::time::Duration;

use crate::draft::{Draft, New};
use crate::error::StoreError;
use crate::key::HashedKey;
use crate::publish::{Number, Terms};
use crate::request::{Commit, Outcome};
use crate::sync::Ordering;
use crate::tenant::Tenant;

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
    /// all reservations of the store would hold more than an eighth of it, or, where there are several
    /// tenants, more than one of this one more than half of that; each counts at least a segment.
    pub fn reserve(
        &self,
        key: HashedKey<'_>,
        value_len: usize,
        flags: u32,
        ttl: Option<Duration>,
    ) -> Result<Reservation, StoreError> {
        self.owns(key);
        let shared = &*self.shared;
        shared.check_size(&self.state, key.bytes, value_len)?;
        shared.flush_if_due(&self.state, shared.time.tick());
        // While it is there it keeps a segment from being taken back, however small it is.
        let bytes = (key.bytes.len() + value_len).max(shared.arena.segment_bytes()) as u64;
        let limit = shared.max_bytes() / SHARE;
        let all = shared.shifting.reserved.fetch_add(bytes, Ordering::Relaxed);
        let own = self.state.reserved.fetch_add(bytes, Ordering::Relaxed);
        let mut reservation =
            Reservation { tenant: self.clone(), key: key.bytes.into(), draft: None, bytes };
        // However large, one is allowed.
        let share = if own > 0 && shared.tenants.count() > 1 { limit / 2 } else { limit };
        if all + bytes > limit || own + bytes > share {
            let limit = if own + bytes > share { share } else { limit };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let bytes = key.bytes.len() + value_len;
            return Err(StoreError::TooMuchReserved { bytes, limit });
        }
        let mut pin = shared.epoch.pin();
        let tick = shared.time.tick();
        let prior = shared.prior(&pin, &self.state, key, tick);
        let new = New {
            key: key.bytes,
            hash: key.hash,
            value_len,
            flags,
            expires: shared.time.expiry(ttl),
            tick,
            queue: prior.map(|prior| shared.queue_of(&prior.stored)),
            cas: shared.room_for(Number::Next, prior.as_ref()),
        };
        reservation.draft = Some(shared.begin(&mut pin, &self.state, new)?);
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

    /// Makes it the item of its key, as `commit` says.
    ///
    /// # Panics
    ///
    /// When bytes of the value are missing, or it is to be appended or prepended.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoRoom`] when the tenant was flushed since the room was reserved, or the item needs
    /// a little more room for its number or TTL than was reserved, and there is no other just now.
    pub fn commit(mut self, commit: &Commit) -> Result<Outcome, StoreError> {
        let terms = Terms::of_commit(commit);
        assert_eq!(self.missing(), 0, "a value that is not all there");
        let mut draft = self.draft.take().expect("there until the reservation is gone");
        let shared = &*self.tenant.shared;
        let mut pin = shared.epoch.pin();
        let tenant = &self.tenant.state;
        draft.tick = shared.time.tick();
        shared.flush_if_due(tenant, draft.tick);
        Ok(terms.outcome(shared.publish(&mut pin, tenant, &self.key, draft, &terms)?))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let shared = &*self.tenant.shared;
        shared.shifting.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
        self.tenant.state.reserved.fetch_sub(self.bytes, Ordering::Relaxed);
        if let Some(draft) = self.draft.take() {
            shared.give_up(&self.tenant.state, draft);
        }
    }
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reservation").field("missing", &self.missing()).finish_non_exhaustive()
    }
}
