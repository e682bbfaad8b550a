//! From bytes to a batch: the whole requests that a connection's unread bytes begin with, their keys hashed,
//! and what follows them.

use arrayvec::ArrayVec;
use larder_proto::server::{Bad, Class, Parsed, Request, meta, text};
use larder_store::{HashedKey, Store, Tenant};

use crate::protocol::Protocol;
use crate::session::Wanted;

/// A request of at most so many bytes, its value included, is waited for; the value of a larger one goes
/// to the store as it comes.
const WHOLE: usize = 32 * 1024;

/// Requests looked at together: twice as many lines as a core can wait for at once.
pub(crate) const BATCH: usize = 64;

/// A request of a batch.
pub(crate) struct Entry<'b> {
    pub(crate) request: Request<'b>,
    pub(crate) class: Class,
    pub(crate) key: Option<HashedKey<'b>>,
    /// Where it ends in the input.
    pub(crate) end: usize,
}

impl<'b> Entry<'b> {
    /// Of a request of this tenant, which ends there.
    #[inline]
    pub(crate) fn new(request: Request<'b>, end: usize, tenant: &Tenant) -> Entry<'b> {
        let key = request.single_key().map(|key| tenant.hashed(key));
        Entry { class: request.class(), request, key, end }
    }

    /// The same of one whose class and key are known.
    #[inline(always)]
    fn known(
        class: Class,
        request: Request<'b>,
        key: &'b [u8],
        end: usize,
        tenant: &Tenant,
    ) -> Entry<'b> {
        Entry { request, class, key: Some(tenant.hashed(key)), end }
    }
}

/// Requests looked at together.
pub(crate) type Batch<'b> = ArrayVec<Entry<'b>, BATCH>;

/// What follows the requests of a batch.
#[derive(Clone, Copy)]
pub(crate) enum Rest<'b> {
    /// Nothing, or what the next batch begins with.
    More,
    /// The beginning of a request.
    Missing(Wanted),
    /// A store whose value goes to the store as it comes.
    Large { request: Request<'b>, head: usize, value_len: usize, tail: usize },
    /// No request.
    Bad(Bad),
}

/// Unread bytes of a connection.
pub(crate) struct Unread<'b, 's> {
    pub(crate) bytes: &'b [u8],
    pub(crate) protocol: Protocol,
    pub(crate) tenant: &'s Tenant,
    pub(crate) store: &'s Store,
}

impl<'b> Unread<'b, '_> {
    /// Parses requests until `batch` has `most`, and has the places fetched where the search for their keys
    /// begins. Says what comes after them. The first `paused` bytes, if any, are a line of keys that was
    /// parsed before.
    #[inline]
    pub(crate) fn gather(
        &self,
        paused: usize,
        scan: &mut text::Scan,
        most: usize,
        batch: &mut Batch<'b>,
    ) -> Rest<'b> {
        let Unread { bytes, tenant, .. } = *self;
        let mut end = 0;
        if let Some(request) = bytes.get(..paused).and_then(text::again) {
            end = paused;
            batch.push(Entry::new(request, end, tenant));
        }
        loop {
            // One alone waits for its memory, whether that was asked for or not.
            if (end < bytes.len() || batch.len() > 1)
                && let Some(key) = batch.last().and_then(|entry| entry.key)
            {
                self.store.prefetch(key);
            }
            if end == bytes.len() || batch.len() == most {
                return Rest::More;
            }
            if let Some(after) = self.add_plain(end, batch) {
                *scan = text::Scan::default();
                end = after;
                continue;
            }
            match self.protocol.parse(&bytes[end..], scan) {
                Parsed::Ready { request, used } => {
                    end += used;
                    batch.push(Entry::new(request, end, tenant));
                    if request.class() == Class::Control {
                        return Rest::More;
                    }
                }
                otherwise => return Rest::of(otherwise),
            }
        }
    }

    /// Adds what begins at `start`, if that is plain, as nearly all requests are: what is known of it need not
    /// be found out. Where it ends.
    #[inline]
    fn add_plain(&self, start: usize, batch: &mut Batch<'b>) -> Option<usize> {
        let (rest, tenant) = (&self.bytes[start..], self.tenant);
        if self.protocol != Protocol::Text {
            return None;
        }
        let used = match rest.first()? {
            b'g' => {
                let (key, used) = text::plain_get(rest)?;
                let get = Request::Text(text::Command::get(key));
                batch.push(Entry::known(Class::Read, get, key, start + used, tenant));
                used
            }
            b's' => {
                let (store, used) = text::plain_set(rest)?;
                let set = Request::Text(text::Command::Store(store));
                batch.push(Entry::known(Class::Write, set, store.key, start + used, tenant));
                used
            }
            b'm' => {
                let (command, used) = meta::plain_get(rest)?;
                let get = Request::Meta(command);
                batch.push(Entry::known(Class::Read, get, command.key, start + used, tenant));
                used
            }
            _ => return None,
        };
        Some(start + used)
    }
}

impl<'b> Rest<'b> {
    /// What is no whole request.
    #[inline]
    fn of(parsed: Parsed<'b>) -> Rest<'b> {
        match parsed {
            Parsed::Ready { .. } => Rest::More,
            Parsed::NeedMore { .. } => Rest::Missing(Wanted::Rest),
            Parsed::Partial { head, value_len, tail, .. }
                if head.saturating_add(value_len).saturating_add(tail) <= WHOLE =>
            {
                Rest::Missing(Wanted::Value)
            }
            Parsed::Partial { request, head, value_len, tail } => {
                Rest::Large { request, head, value_len, tail }
            }
            Parsed::Bad(bad) => Rest::Bad(bad),
        }
    }
}
