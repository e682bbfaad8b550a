//! Sessions without sockets, for tests and fuzzers. Not for anybody else: it may change at any time.

use std::sync::Arc;

use larder_tenancy::SharedDirectory;

use crate::desk::Desk;
use crate::node::Node;
use crate::output::{Output, Room, pieces};
use crate::replies::Large;
use crate::server::ServerError;
use crate::session::{Next, Session};
use crate::settings::{ProtocolPin, Settings};

/// A worker without sockets.
pub struct Bench {
    desk: Desk,
}

/// A connection without a socket.
pub struct Wire {
    session: Session,
    /// What was put in and not used.
    input: Vec<u8>,
    closed: bool,
}

impl Bench {
    /// One worker, whatever the settings say.
    ///
    /// # Errors
    ///
    /// When there is no memory for the store.
    pub fn new(settings: Settings, directory: SharedDirectory) -> Result<Bench, ServerError> {
        let node = Node::new(Settings { workers: 1, ..settings }, directory)?;
        Ok(Bench { desk: Desk::new(Arc::new(node), 0) })
    }

    /// A new connection.
    pub fn wire(&mut self, protocol: ProtocolPin) -> Wire {
        let session = Session::new(&mut self.desk, protocol, -1);
        Wire { session, input: Vec::new(), closed: false }
    }

    /// Sends bytes; returns the replies.
    pub fn send(&mut self, wire: &mut Wire, bytes: &[u8]) -> Vec<u8> {
        let mut replies = Vec::new();
        self.send_into(wire, bytes, &mut replies);
        replies
    }

    /// Sends bytes; `replies` are the replies to them, and nothing else, afterwards.
    pub fn send_into(&mut self, wire: &mut Wire, bytes: &[u8], replies: &mut Vec<u8>) {
        replies.clear();
        let mut replies = Kept(replies);
        wire.input.extend_from_slice(bytes);
        while !wire.closed {
            let turn = wire.session.process(&wire.input, &mut self.desk, &mut replies);
            wire.input.drain(..turn.used);
            match turn.next {
                Next::Close(_) => wire.closed = true,
                Next::Read(_) => break,
                Next::Turn | Next::Room => {}
                Next::Verdict => _ = self.desk.node.verifier.check_next(),
            }
        }
    }
}

impl Wire {
    /// Whether the server has closed it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Bytes that were sent and are not a whole request yet.
    #[must_use]
    pub fn unused(&self) -> usize {
        self.input.len()
    }
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("closed", &self.closed).finish_non_exhaustive()
    }
}

/// Takes everything.
struct Kept<'r>(&'r mut Vec<u8>);

impl Output for Kept<'_> {
    fn send(&mut self, bytes: &[u8], large: &[Large<'_>]) -> Room {
        pieces(bytes, large, |piece| self.0.extend_from_slice(piece));
        Room::Free
    }
}
