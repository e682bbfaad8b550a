//! A batch of requests: looked at together, carried out one after another.
//!
//! What was asked for ahead is never a result: each request looks up for itself, after the one before it
//! took effect. Reads that follow each other share one reader of the store, and what they refer to is sent
//! before the reader is let go. A write never runs under a reader, which would keep the store from reusing
//! memory.

use arrayvec::ArrayVec;
use larder_proto::server::{Class, Request};
use larder_store::{HashedKey, Tenant};

use crate::cx::{Cx, Flow};
use crate::desk::{Desk, Who, cx, flush};
use crate::exec;
use crate::floor;
use crate::output::{Output, Room};
use crate::replies::{FULL, Replies};

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
    pub(crate) fn new(request: Request<'b>, end: usize, tenant: &Tenant) -> Entry<'b> {
        let key = request.single_key().map(|key| tenant.hashed(key));
        Entry { class: request.class(), request, key, end }
    }
}

pub(crate) type Batch<'b> = ArrayVec<Entry<'b>, BATCH>;

/// Requests of a batch, being carried out.
pub(crate) struct Run<'r, 'b> {
    pub(crate) batch: &'r [Entry<'b>],
    /// The next.
    pub(crate) at: usize,
    /// Keys of it that are answered.
    pub(crate) resume: usize,
}

/// Why the requests of a batch are not all carried out.
pub(crate) enum Stopped {
    /// There is no room for replies.
    Full,
    /// One of them says so.
    Flow(Flow),
    /// Replies had to be sent; there is room again.
    Again,
}

impl Run<'_, '_> {
    /// Carries them out.
    pub(crate) fn all(
        &mut self,
        desk: &mut Desk,
        who: Who<'_>,
        output: &mut impl Output,
    ) -> Option<Stopped> {
        let mut cx = cx(&desk.node, desk.worker, &desk.dice, who);
        while let Some(entry) = self.batch.get(self.at) {
            cx.first_in_batch = self.at == 0;
            cx.resume = self.resume;
            let stopped = match entry.class {
                Class::Read => self.reads(&mut cx, &mut desk.out, output),
                _ => self.write(entry, &mut cx, &mut desk.out, output),
            };
            if stopped.is_some() {
                return stopped;
            }
        }
        None
    }

    /// Carries out a request that is no read, or does more than that.
    fn write(
        &mut self,
        entry: &Entry<'_>,
        cx: &mut Cx<'_>,
        out: &mut Vec<u8>,
        output: &mut impl Output,
    ) -> Option<Stopped> {
        let flow = exec::write(&entry.request, entry.key, cx, out);
        let stopped = self.advance(flow);
        if out.len() >= FULL && flush(out, output) == Room::Full {
            return Some(stopped.unwrap_or(Stopped::Full).without_room());
        }
        stopped
    }

    /// Carries out the reads that come next.
    fn reads(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Vec<u8>,
        output: &mut impl Output,
    ) -> Option<Stopped> {
        let node = cx.node;
        let reader = node.store.reader();
        let mut replies = Replies::new(out);
        let mut stopped = None;
        while let Some(entry) = self.batch.get(self.at)
            && entry.class == Class::Read
            && stopped.is_none()
            && !replies.is_full()
        {
            let constant = match cx.node.settings.floor {
                true => floor::answer(&entry.request, replies.bytes()),
                false => None,
            };
            let flow = constant.unwrap_or_else(|| {
                exec::read(&entry.request, entry.key, cx, &reader, &mut replies)
            });
            stopped = self.advance(flow);
            cx.resume = 0;
            cx.first_in_batch = false;
        }
        let full = replies.is_full();
        let (out, large) = replies.into_parts();
        if full || !large.is_empty() {
            let room = output.send(out, &large);
            out.clear();
            if room == Room::Full {
                return Some(stopped.unwrap_or(Stopped::Full).without_room());
            }
        }
        stopped
    }

    /// Goes to the next request, unless this one says otherwise.
    fn advance(&mut self, flow: Flow) -> Option<Stopped> {
        self.resume = 0;
        match flow {
            Flow::Pause { answered } => {
                self.resume = answered;
                Some(Stopped::Again)
            }
            Flow::Wait => Some(Stopped::Flow(Flow::Wait)),
            flow => {
                self.at += 1;
                (!matches!(flow, Flow::Continue)).then_some(Stopped::Flow(flow))
            }
        }
    }
}

impl Stopped {
    /// The same, now that there is no room for replies.
    fn without_room(self) -> Stopped {
        match self {
            Stopped::Again => Stopped::Full,
            other => other,
        }
    }
}

/// Asks for the memory of all keys ahead: first where the items are, then the items.
pub(crate) fn prefetch(batch: &Batch<'_>, desk: &Desk) {
    let store = &desk.node.store;
    // So that the looks need not announce themselves one by one.
    let _reader = store.reader();
    for key in batch.iter().filter_map(|entry| entry.key) {
        store.prefetch(key);
    }
    for key in batch.iter().filter_map(|entry| entry.key) {
        store.prefetch_item(key);
    }
}
