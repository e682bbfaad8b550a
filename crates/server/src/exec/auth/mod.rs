//! Who a connection is: SASL on the binary protocol, and a first `set` on the text protocol.
//!
//! A connection that must authenticate comes to [`step`] with all it sends, until it is let in. It is
//! served there and nowhere else, so nothing of a cache is reachable from here. What failed is answered,
//! and after some failures the connection is closed.
//!
//! On a connection that need not authenticate, or has done so, a SASL request comes to [`sasl()`] like any
//! other command: whoever is let in is somebody else from then on.

mod sasl;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use crate::access::Access;
use crate::counters::Count;
use crate::cx::{CloseReason, Cx, Flow};
use crate::protocol::Protocol;

pub(crate) use sasl::sasl;

/// As many wrong passwords are answered; with the next the connection is closed, too.
const MOST_FAILURES: u8 = 10;
/// As many requests of any kind are answered before one of them is a login.
const MOST_REQUESTS: u8 = 100;

/// What is kept of a connection that has to authenticate.
#[derive(Debug, Default)]
pub(crate) struct AuthState {
    failures: u8,
    requests: u8,
    /// Whether SASL was begun without credentials, which are to come in a message of their own.
    has_begun: bool,
}

/// What a step did.
#[derive(Debug)]
pub(crate) struct Step {
    /// Bytes of the input that are done with. With [`Flow::Continue`] and none, more are needed.
    pub(crate) used: usize,
    /// Bytes after those that are to be thrown away as they come.
    pub(crate) swallow: u64,
    pub(crate) flow: Flow,
}

impl Step {
    const NEED_MORE: Step = Step { used: 0, swallow: 0, flow: Flow::Continue };

    fn go_on(used: usize) -> Step {
        Step { used, swallow: 0, flow: Flow::Continue }
    }

    fn close(used: usize, reason: CloseReason) -> Step {
        Step { used, swallow: 0, flow: Flow::Close(reason) }
    }
}

/// Does one thing with what a connection sends that has to authenticate.
pub(crate) fn step(
    input: &[u8],
    protocol: Protocol,
    state: &mut AuthState,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Step {
    let mut step = match protocol {
        Protocol::Binary => sasl::step(input, state, cx, out),
        Protocol::Text => text::step(input, state, cx, out),
    };
    if step.used > 0 && matches!(step.flow, Flow::Continue) {
        state.requests += 1;
        if state.requests > MOST_REQUESTS {
            step.flow = Flow::Close(CloseReason::Unauthenticated);
        }
    }
    step
}

/// What comes of a login.
#[derive(Debug)]
pub(crate) enum Login {
    /// The client is let in.
    In(Arc<Access>),
    /// It is not.
    Refused,
    /// It is not now: too many passwords wait to be verified.
    Busy,
    /// That is still to be found out.
    Waits,
}

/// Who `user` is, if the password is right. Counted: what fails with the connection's present tenant, what
/// succeeds with the tenant it is now of.
fn log_in(user: &[u8], password: &[u8], cx: &Cx<'_>) -> Login {
    let login = cx.node.login(cx.worker, user, password, cx.now);
    if let Login::In(access) = &login {
        access.counters.add(Count::AuthCmds, 1);
    }
    login
}

/// Counts an attempt that failed.
fn count_failure(cx: &Cx<'_>) {
    cx.count(Count::AuthCmds, 1);
    cx.count(Count::AuthErrors, 1);
}

/// How a connection goes on whose attempt failed, and was counted and answered.
fn after_failure(state: &mut AuthState) -> Flow {
    state.failures += 1;
    if state.failures > MOST_FAILURES {
        Flow::Close(CloseReason::Unauthenticated)
    } else {
        Flow::Continue
    }
}
