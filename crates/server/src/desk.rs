//! What the sessions of a worker share, one after another: replies that are not sent yet, who a newcomer
//! is, and how much of a turn is left.

use std::cell::Cell;
use std::sync::Arc;

use larder_tenancy::DirectoryReader;

use crate::access::Access;
use crate::cx::Cx;
use crate::node::Node;
use crate::output::{Output, Room};
use crate::replies::FULL;
use crate::stopwatch::Stopwatch;

/// What all sessions of a worker share, one after another.
pub(crate) struct Desk {
    pub(crate) node: Arc<Node>,
    pub(crate) worker: usize,
    pub(crate) directory: DirectoryReader,
    /// Who need not authenticate, as of the version of the directory.
    anonymous: Option<(u64, Arc<Access>)>,
    /// Replies that are not sent yet.
    pub(crate) out: Vec<u8>,
    pub(crate) dice: Dice,
    pub(crate) stopwatch: Stopwatch,
}

impl Desk {
    pub(crate) fn new(node: Arc<Node>, worker: usize) -> Desk {
        let directory = node.directory.reader();
        // Workers throw differently.
        let dice = Dice::new(worker as u64);
        let stopwatch = Stopwatch::default();
        Desk { node, worker, directory, anonymous: None, out: Vec::new(), dice, stopwatch }
    }

    /// Who a connection is that has not authenticated, whether it has to, and the directory's version.
    pub(crate) fn newcomer(&mut self) -> (Arc<Access>, bool, u64) {
        let directory = self.directory.load();
        let version = directory.version();
        let Some(grant) = directory.anonymous() else {
            return (self.node.nobody(self.worker), true, version);
        };
        match &self.anonymous {
            Some((same, access)) if *same == version => (Arc::clone(access), false, version),
            _ => {
                let access = self.node.access(self.worker, grant.clone());
                self.anonymous = Some((version, Arc::clone(&access)));
                (access, false, version)
            }
        }
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Who<'w> {
    pub(crate) access: &'w Access,
    pub(crate) fd: i32,
}

/// Random enough to choose what is looked at.
#[derive(Debug)]
pub(crate) struct Dice(Cell<u64>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(Cell::new(seed))
    }

    /// 32 bits of a linear congruential generator (Knuth's).
    #[inline]
    pub(crate) fn throw(&self) -> u32 {
        let next = self.0.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.0.set(next);
        (next >> 32) as u32
    }
}

/// What executing sees, for a connection that has sent something.
#[inline]
pub(crate) fn cx<'w>(node: &'w Node, worker: usize, dice: &Dice, who: Who<'w>) -> Cx<'w> {
    let (Who { access, fd }, now) = (who, node.now());
    access.note_used(now.unix());
    let sampling = access.trace.sampling(dice.throw());
    Cx { node, access, worker, fd, now, sampling, first_in_batch: true, resume: 0 }
}

/// Sends what there is.
pub(crate) fn flush(out: &mut Vec<u8>, output: &mut impl Output) -> Room {
    if out.is_empty() {
        return Room::Free;
    }
    let room = output.send(out, &[]);
    out.clear();
    if out.capacity() > 4 * FULL {
        out.shrink_to(FULL);
    }
    room
}

/// What a connection may do before others have their turn.
pub(crate) struct Allowance {
    /// Requests.
    pub(crate) left: usize,
}

impl Allowance {
    pub(crate) fn new(requests: u32) -> Allowance {
        Allowance { left: requests.max(1) as usize }
    }

    pub(crate) fn spend(&mut self, requests: usize) {
        self.left = self.left.saturating_sub(requests);
    }
}
