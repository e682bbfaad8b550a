//! The text protocol's login: a `set` whose value is not stored.
//!
//! There are two forms, and both are tried. memcached's `-Y` takes any key, and `user password` as the
//! value. MemCachier takes the user as the key, and the password as the value.

use larder_proto::server::{Words, decimal};

use super::{AuthState, Login, Step, after_failure, count_failure, log_in};
use crate::cx::{CloseReason, Cx, Flow};

/// The longest line, in bytes, its ending included.
const MAX_LINE_LEN: usize = 2048;
/// The shortest, its `\n` not counted: nothing shorter begins a login (memcached's rule).
const MIN_LINE_LEN: usize = 6;
/// The longest value, in bytes (memcached's limit).
const MAX_VALUE_LEN: usize = 16 << 10;

/// One line, and the value that belongs to it.
pub(super) fn step(input: &[u8], state: &mut AuthState, cx: &Cx<'_>, out: &mut Vec<u8>) -> Step {
    let searched = &input[..input.len().min(MAX_LINE_LEN)];
    let Some(end) = searched.iter().position(|byte| *byte == b'\n') else {
        if input.len() < MAX_LINE_LEN {
            return Step::NEED_MORE;
        }
        return Step::close(0, CloseReason::Protocol);
    };
    let (line, rest) = (&input[..end], &input[end + 1..]);
    if line.len() < MIN_LINE_LEN {
        return Step::close(0, CloseReason::Unauthenticated);
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some((key, value_len)) = login_line(line) else {
        out.extend_from_slice(b"CLIENT_ERROR unauthenticated\r\n");
        return Step::go_on(end + 1);
    };
    if value_len > MAX_VALUE_LEN as u64 {
        out.extend_from_slice(b"CLIENT_ERROR auth token too long\r\n");
        return Step::go_on(end + 1);
    }
    let value_len = usize::try_from(value_len).unwrap_or(MAX_VALUE_LEN);
    let Some((value, ending)) = rest.get(..value_len + 2).map(|data| data.split_at(value_len))
    else {
        return Step::NEED_MORE;
    };
    let used = end + 1 + value_len + 2;
    if ending != b"\r\n" {
        out.extend_from_slice(b"CLIENT_ERROR bad command line termination\r\n");
        return Step::go_on(used);
    }
    let flow = attempt(key, value, state, cx, out);
    let used = if matches!(flow, Flow::Wait) { 0 } else { used };
    Step { used, swallow: 0, flow }
}

/// Key and length of `set <key> <any> <any> <length>`, whatever follows.
fn login_line(line: &[u8]) -> Option<(&[u8], u64)> {
    let mut words = Words::new(line.strip_prefix(b"set ")?);
    let (key, _, _, len) = (words.next()?, words.next()?, words.next()?, words.next()?);
    Some((key, decimal(len).filter(|len| *len <= u64::from(u32::MAX))?))
}

fn attempt(
    key: &[u8],
    value: &[u8],
    state: &mut AuthState,
    cx: &Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    let space = value.iter().position(|byte| *byte == b' ');
    let first = space.map(|space| log_in(&value[..space], &value[space + 1..], cx));
    let login = match first {
        None | Some(Login::Refused) => log_in(key, value, cx),
        Some(other) => other,
    };
    let line: &[u8] = match login {
        Login::In(access) => {
            out.extend_from_slice(b"STORED\r\n");
            return Flow::Become(access);
        }
        Login::Waits => return Flow::Wait,
        Login::Busy => b"SERVER_ERROR too many logins at once, try again\r\n",
        Login::Refused if space.is_some() => b"CLIENT_ERROR authentication failure\r\n",
        Login::Refused => b"CLIENT_ERROR bad authentication token format\r\n",
    };
    count_failure(cx);
    out.extend_from_slice(line);
    after_failure(state)
}
