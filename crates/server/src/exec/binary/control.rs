//! flush, verbosity, quit.

use std::sync::atomic::Ordering;

use larder_proto::server::binary::{Command, Status, exptime};

use crate::counters::Count;
use crate::cx::{CloseReason, Cx, Flow};

/// flush, now or later.
pub(super) fn flush(command: &Command<'_>, raw_exptime: u32, cx: &Cx<'_>, out: &mut Vec<u8>) {
    if !cx.node.settings.allow_flush {
        return command.head.refuse(out, Status::AuthFailed);
    }
    cx.flush(cx.ttl(exptime(raw_exptime)));
    cx.count(Count::CmdFlush, 1);
    if !command.quiet {
        command.head.done(out, 0);
    }
}

/// verbosity. memcached has it only on paper; libmemcached sends it.
pub(super) fn verbosity(command: &Command<'_>, level: u32, cx: &Cx<'_>, out: &mut Vec<u8>) {
    cx.node.verbosity.store(level, Ordering::Relaxed);
    command.head.done(out, 0);
}

/// quit: what came after it is not looked at.
pub(super) fn quit(command: &Command<'_>, out: &mut Vec<u8>) -> Flow {
    if !command.quiet {
        command.head.done(out, 0);
    }
    Flow::Close(CloseReason::Quit)
}
