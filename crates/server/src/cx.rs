//! What the execution of a request sees, and what it tells the connection.

use std::sync::Arc;
use std::time::Duration;

use crate::access::Access;
use crate::counters::Count;
use crate::exec;
use crate::insight::Sampling;
use crate::node::Node;

/// What the execution of a request sees. Made anew for each batch.
pub(crate) struct Cx<'w> {
    pub(crate) node: &'w Node,
    /// Who the connection is.
    pub(crate) access: &'w Access,
    /// The number of this worker.
    pub(crate) worker: usize,
    /// The connection's descriptor, by which `stats conns` names it.
    pub(crate) fd: i32,
    pub(crate) now: Now,
    /// Whether no other request of this batch came before.
    pub(crate) first_in_batch: bool,
    /// What is looked at of what this batch asks for.
    pub(crate) sampling: Sampling,
    /// Keys of this request that were answered before a [`Flow::Pause`].
    pub(crate) resume: usize,
}

impl Cx<'_> {
    /// The store's tenant of this connection.
    #[inline]
    pub(crate) fn tenant(&self) -> &larder_store::Tenant {
        &self.access.tenant
    }

    #[inline]
    pub(crate) fn count(&self, count: Count, by: u64) {
        self.access.counters.add(count, by);
    }

    /// The TTL that memcached's exptime means now: `None` never expires, zero is expired at once.
    #[inline]
    pub(crate) fn ttl(&self, exptime: i64) -> Option<Duration> {
        crate::exptime::ttl(exptime, self.now.unix_ms)
    }
}

/// The node's time, read once a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Milliseconds since 1970.
    pub(crate) unix_ms: u64,
}

impl Now {
    /// Seconds since 1970.
    #[inline]
    pub(crate) fn unix(self) -> u64 {
        self.unix_ms / 1000
    }
}

/// How a connection goes on after a request.
#[derive(Debug)]
pub(crate) enum Flow {
    /// With the next request.
    Continue,
    /// It is closed when its replies are sent. What else it has sent is not looked at.
    Close(CloseReason),
    /// With the same request and [`Cx::resume`] as said here, when there is room for more replies.
    Pause(Pause),
    /// As somebody else.
    Become(Arc<Access>),
    /// As nobody, who has to say who it is.
    Forget,
    /// With the same request, when a password was verified.
    Wait,
    /// By listing keys until that is done.
    Dump(Box<exec::dump::Dump>),
}

/// A request of many keys lets others have their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pause {
    /// How far it is answered, with what was answered before.
    pub(crate) answered: usize,
}

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// The client closed it.
    Hangup,
    /// `quit`.
    Quit,
    /// Something was sent after which requests cannot be told apart.
    Protocol,
    /// A connection that must authenticate did something else.
    Unauthenticated,
    /// Its credential was revoked, changed or has expired.
    Revoked,
    /// Nothing was sent for longer than the idle timeout.
    Idle,
    /// A command did not come whole, or a handshake did not end, within the deadline.
    SlowRequest,
    /// Replies were not taken within the deadline, or held memory that others needed.
    SlowReader,
    /// The TLS handshake or a record of it failed.
    Tls,
    /// The socket failed.
    Socket,
    /// The server stops.
    Shutdown,
}
