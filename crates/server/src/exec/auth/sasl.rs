//! SASL: the one mechanism is PLAIN (RFC 4616), its message `[role] NUL user NUL password`.

use std::sync::Arc;

use larder_proto::server::binary::{self, Action, Command, Head, Status};
use larder_proto::server::{Bad, Parsed, Request};

use super::{AuthState, Login, Step, after_failure, count_failure, log_in};
use crate::access::Access;
use crate::cx::{CloseReason, Cx, Flow};
use crate::exec;

/// The mechanism's name.
const PLAIN: &[u8] = b"PLAIN";

/// What came of a SASL request.
enum Outcome {
    /// It asked for the mechanisms.
    Listed,
    /// It named the mechanism and nothing else: a message is to follow.
    Begun,
    /// The client is let in.
    In(Arc<Access>),
    /// It is not.
    Refused,
    /// That is still to be found out; nothing was answered.
    Waits,
}

/// A SASL request of a connection that need not authenticate, or has done so: it may become somebody else.
/// If it is refused the connection is nobody's, as in memcached.
pub(crate) fn sasl(command: &Command<'_>, cx: &Cx<'_>, out: &mut Vec<u8>) -> Flow {
    match exchange(command, true, cx, out) {
        Outcome::Listed | Outcome::Begun => Flow::Continue,
        Outcome::In(access) => Flow::Become(access),
        Outcome::Refused => Flow::Forget,
        Outcome::Waits => Flow::Wait,
    }
}

/// One request of a connection that has to authenticate. What is not of use for that is refused by its
/// header alone, and closes.
pub(super) fn step(input: &[u8], state: &mut AuthState, cx: &Cx<'_>, out: &mut Vec<u8>) -> Step {
    if let Some(head) = binary::head(input).filter(|head| !head.is_login()) {
        return unauthenticated(head, out);
    }
    match binary::parse(input) {
        Parsed::NeedMore { .. } => Step::NEED_MORE,
        Parsed::Ready { request: Request::Binary(command), used } => {
            let flow = answer(&command, state, cx, out);
            let used = if matches!(flow, Flow::Wait) { 0 } else { used };
            Step { used, swallow: 0, flow }
        }
        Parsed::Bad(Bad { reply, used, swallow, close }) => {
            reply.put(out);
            if close.is_some() {
                Step::close(used, CloseReason::Protocol)
            } else {
                Step { swallow, ..Step::go_on(used) }
            }
        }
        // Of another protocol, or with a value that is not all there: none of these is a login.
        Parsed::Ready { .. } | Parsed::Partial { .. } => Step::close(0, CloseReason::Protocol),
    }
}

fn unauthenticated(head: Head, out: &mut Vec<u8>) -> Step {
    head.refuse(out, Status::AuthFailed);
    Step::close(0, CloseReason::Unauthenticated)
}

fn answer(command: &Command<'_>, state: &mut AuthState, cx: &Cx<'_>, out: &mut Vec<u8>) -> Flow {
    if command.action == Action::Version {
        command.head.text(out, exec::VERSION.as_bytes());
        return Flow::Continue;
    }
    match exchange(command, state.has_begun, cx, out) {
        Outcome::Listed => Flow::Continue,
        Outcome::Begun => {
            state.has_begun = true;
            Flow::Continue
        }
        Outcome::In(access) => Flow::Become(access),
        Outcome::Waits => Flow::Wait,
        Outcome::Refused => {
            state.has_begun = false;
            after_failure(state)
        }
    }
}

/// Carries out a SASL request and answers it. A step is taken only if the exchange `has_begun`.
fn exchange(command: &Command<'_>, has_begun: bool, cx: &Cx<'_>, out: &mut Vec<u8>) -> Outcome {
    let head = command.head;
    let login = match command.action {
        Action::SaslList => {
            head.text(out, PLAIN);
            return Outcome::Listed;
        }
        Action::SaslAuth { mechanism, data: [] } if is_plain(mechanism) => {
            head.refuse(out, Status::AuthContinue);
            return Outcome::Begun;
        }
        Action::SaslAuth { mechanism, data } if is_plain(mechanism) => verify(data, cx),
        Action::SaslStep { mechanism, data } if has_begun && is_plain(mechanism) => {
            verify(data, cx)
        }
        _ => Login::Refused,
    };
    match login {
        Login::In(access) => {
            head.text(out, b"Authenticated");
            return Outcome::In(access);
        }
        Login::Waits => return Outcome::Waits,
        // Clients know one way in which a login fails.
        Login::Refused | Login::Busy => {}
    }
    count_failure(cx);
    head.refuse(out, Status::AuthFailed);
    Outcome::Refused
}

fn is_plain(mechanism: &[u8]) -> bool {
    mechanism.eq_ignore_ascii_case(PLAIN)
}

/// Who the message's user is. There are no roles to act in but one's own.
fn verify(message: &[u8], cx: &Cx<'_>) -> Login {
    let mut parts = message.splitn(3, |byte| *byte == 0);
    let (role, user, password) = (parts.next(), parts.next(), parts.next());
    match (role, user, password) {
        (Some(role), Some(user), Some(password))
            if (role.is_empty() || role == user) && !password.contains(&0) =>
        {
            log_in(user, password, cx)
        }
        _ => Login::Refused,
    }
}
