//! flush_all, verbosity, cache_memlimit, shutdown, refresh_certs, debugtime; and the way to the commands
//! about memcached's own machinery, which do nothing here.

use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_proto::server::text::Admin;
use larder_proto::server::{Words, decimal, signed, signed32};

use super::{idle, line};
use crate::counters::Count;
use crate::cx::{CloseReason, Cx, Flow};
use crate::exec::dump;

/// As `verbosity` can set it; memcached has no more either.
const MOST_VERBOSE: u32 = 2;

/// The least and the most that `cache_memlimit` accepts, in MiB.
const MEMLIMIT: std::ops::RangeInclusive<u64> = 8..=1_000_000_000;

/// Executes a command to the server.
pub(super) fn admin(
    verb: Admin,
    args: Words<'_>,
    noreply: bool,
    cx: &mut Cx<'_>,
    out: &mut Vec<u8>,
) -> Flow {
    let line = match verb {
        Admin::FlushAll => flush_all(args, noreply, cx),
        Admin::Verbosity => verbosity(args, cx),
        Admin::CacheMemlimit => cache_memlimit(args, cx),
        Admin::Shutdown => match shutdown(args, cx) {
            Ok(flow) => return flow,
            Err(line) => line,
        },
        Admin::Slabs => idle::slabs(args),
        Admin::Lru => idle::lru(args),
        Admin::LruCrawler => match dump::lru_crawler(args, cx, out) {
            Some(flow) => return flow,
            None => idle::lru_crawler(args),
        },
        Admin::Watch => idle::watch(args),
        Admin::RefreshCerts => refresh_certs(cx),
        Admin::DebugTime => debugtime(args, cx),
    };
    super::answer(line, noreply, out);
    Flow::Continue
}

/// What the command is called.
pub(super) fn name(verb: Admin) -> &'static str {
    match verb {
        Admin::FlushAll => "flush_all",
        Admin::Verbosity => "verbosity",
        Admin::CacheMemlimit => "cache_memlimit",
        Admin::Shutdown => "shutdown",
        Admin::Slabs => "slabs",
        Admin::Lru => "lru",
        Admin::LruCrawler => "lru_crawler",
        Admin::Watch => "watch",
        Admin::RefreshCerts => "refresh_certs",
        Admin::DebugTime => "debugtime",
    }
}

/// `flush_all [delay]`: now if the delay is not positive.
fn flush_all(mut args: Words<'_>, noreply: bool, cx: &Cx<'_>) -> &'static [u8] {
    cx.count(Count::CmdFlush, 1);
    if !cx.node.settings.allow_flush {
        return b"CLIENT_ERROR flush_all not allowed\r\n";
    }
    let delay =
        if args.count() == usize::from(noreply) { Some(0) } else { args.next().and_then(signed32) };
    match delay.map(|delay| cx.ttl(delay.into())) {
        None => return b"CLIENT_ERROR invalid exptime argument\r\n",
        Some(delay) => cx.flush(delay),
    }
    line::OK
}

/// `verbosity <level>`
fn verbosity(mut args: Words<'_>, cx: &Cx<'_>) -> &'static [u8] {
    let level = args.next().and_then(decimal).and_then(|level| u32::try_from(level).ok());
    let Some(level) = level else { return line::FORMAT };
    cx.node.verbosity.store(level.min(MOST_VERBOSE), Ordering::Relaxed);
    line::OK
}

/// `cache_memlimit <MiB>`: up to the limit that the server was started with.
fn cache_memlimit(mut args: Words<'_>, cx: &Cx<'_>) -> &'static [u8] {
    match args.next().and_then(decimal) {
        None => line::ERROR,
        Some(mib) if mib < *MEMLIMIT.start() => {
            b"MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"
        }
        Some(mib) if mib > *MEMLIMIT.end() => {
            b"MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"
        }
        Some(mib) => {
            let store = &cx.node.store;
            let before = usize::try_from(store.stats().max_bytes).unwrap_or(usize::MAX);
            let wanted = usize::try_from(mib << 20).unwrap_or(usize::MAX);
            if store.set_max_bytes(wanted) == wanted {
                return line::OK;
            }
            store.set_max_bytes(before);
            b"MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"
        }
    }
}

/// `shutdown [graceful]`: there is one way to stop, and it is graceful.
fn shutdown(mut args: Words<'_>, cx: &Cx<'_>) -> Result<Flow, &'static [u8]> {
    if !cx.node.settings.allow_shutdown {
        return Err(b"SERVER_ERROR: shutdown not enabled\r\n");
    }
    match (args.next(), args.next()) {
        (None | Some(b"graceful"), None) => {
            cx.node.stop.ask();
            Ok(Flow::Close(CloseReason::Shutdown))
        }
        _ => Err(b"CLIENT_ERROR invalid shutdown mode\r\n"),
    }
}

/// `refresh_certs`: certificates and keys are read again.
fn refresh_certs(cx: &Cx<'_>) -> &'static [u8] {
    if cx.node.tls.get().is_none_or(Vec::is_empty) {
        return b"Error TLS not enabled\r\n";
    }
    match cx.node.reload_tls() {
        Ok(()) => line::OK,
        Err(error) => {
            tracing::warn!(%error, "certificates stay as they were");
            b"Error reading certificates, the log says why\r\n"
        }
    }
}

/// `debugtime <seconds>`: the server's clock is moved ahead. For tests only.
fn debugtime(mut args: Words<'_>, cx: &Cx<'_>) -> &'static [u8] {
    let seconds = args.next().and_then(signed).and_then(|seconds| u64::try_from(seconds).ok());
    match seconds {
        Some(seconds) if cx.node.settings.debug_commands => {
            cx.node.clock.advance(Duration::from_secs(seconds));
            line::OK
        }
        _ => line::ERROR,
    }
}
