//! A batch of requests, carried out: looked at together, then one after another.
//!
//! What was asked for ahead is never a result: each request looks up for itself, after the one before it
//! took effect. Reads that follow each other share one reader of the store, and what they refer to is sent
//! before the reader is let go. A write never runs under a reader, which would keep the store from reusing
//! memory.

use arrayvec::ArrayVec;
use larder_proto::server::Class;
use larder_store::{Foreseen, Lookups};

use crate::cx::{Cx, Flow, Pause};
use crate::desk::{Desk, Who, cx, flush};
use crate::exec;
use crate::floor;
use crate::gather::{BATCH, Entry};
use crate::output::{Output, Room};
use crate::reading::Reading;
use crate::replies::FULL;

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
        cx.first_in_batch = self.at == 0;
        let mut stopped = self.first_reads(&mut cx, &mut desk.out, output);
        while stopped.is_none()
            && let Some(entry) = self.batch.get(self.at)
        {
            cx.first_in_batch = self.at == 0;
            cx.resume = self.resume;
            stopped = match entry.class {
                Class::Read => {
                    let reader = cx.node.store.reader();
                    let lookups = reader.of(&cx.access.tenant);
                    self.reads(lookups, &[], &mut cx, &mut desk.out, output)
                }
                _ => self.write(entry, &mut cx, &mut desk.out, output),
            };
        }
        stopped
    }

    /// Has all items fetched, and carries out the reads that come first: what was foreseen of the items
    /// holds as long as the reader lives.
    fn first_reads(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Vec<u8>,
        output: &mut impl Output,
    ) -> Option<Stopped> {
        let reads = self.batch.first().is_some_and(|entry| entry.class == Class::Read);
        if !reads && self.batch.len() < 2 {
            return None;
        }
        let reader = cx.node.store.reader();
        let lookups = reader.of(&cx.access.tenant);
        let foresee = |entry: &Entry<'_>| entry.key.map(|key| lookups.foresee(key));
        let mut ahead = ArrayVec::<_, BATCH>::new();
        ahead.extend(self.batch.iter().map(|entry| foresee(entry).unwrap_or_default()));
        self.reads(lookups, &ahead, cx, out, output)
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

    /// Carries out the reads that come next. `ahead` is what was foreseen for the batch, if it was.
    fn reads<'r>(
        &mut self,
        lookups: Lookups<'r>,
        ahead: &[Foreseen<'r>],
        cx: &mut Cx<'_>,
        out: &'r mut Vec<u8>,
        output: &mut impl Output,
    ) -> Option<Stopped> {
        let mut reading = Reading::new(lookups, out);
        let mut stopped = None;
        while let Some(entry) = self.batch.get(self.at)
            && entry.class == Class::Read
            && stopped.is_none()
            && !reading.replies.is_full()
        {
            let foreseen = ahead.get(self.at).copied();
            let foreseen = foreseen.or_else(|| entry.key.map(|key| lookups.foresee(key)));
            reading.foreseen = foreseen.unwrap_or_default();
            cx.resume = self.resume;
            let is_done = cx.node.settings.floor && floor::answer(&entry.request, reading.bytes());
            let pause = if is_done {
                None
            } else {
                exec::read(&entry.request, entry.key, cx, &mut reading)
            };
            self.at += usize::from(pause.is_none());
            self.resume = pause.map_or(0, |pause| pause.answered);
            stopped = pause.map(|_| Stopped::Again);
            cx.first_in_batch = false;
        }
        let full = reading.replies.is_full();
        let (out, large) = reading.replies.parts();
        if full || !large.is_empty() {
            let room = output.send(out, large);
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
            Flow::Pause(Pause { answered }) => {
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
