//! `stats` without a name.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::{Figures, Seen};
use crate::counters::Count;
use crate::cx::Cx;
use crate::exec::VERSION;

/// Things that memcached has and this server has none of, so that 0 is true.
const ABSENT: [&str; 6] = [
    "slab_reassign_running",
    "slabs_moved",
    "lru_crawler_running",
    "lru_crawler_starts",
    "log_watchers",
    "lrutail_reflocked",
];

/// What is counted, in memcached's order, up to what the store counts.
const COMMANDS: [(&str, Count); 7] = [
    ("cmd_get", Count::CmdGet),
    ("cmd_set", Count::CmdSet),
    ("cmd_flush", Count::CmdFlush),
    ("cmd_touch", Count::CmdTouch),
    ("cmd_meta", Count::CmdMeta),
    ("get_hits", Count::GetHits),
    ("get_misses", Count::GetMisses),
];

/// And after that.
const OUTCOMES: [(&str, Count); 17] = [
    ("delete_misses", Count::DeleteMisses),
    ("delete_hits", Count::DeleteHits),
    ("incr_misses", Count::IncrMisses),
    ("incr_hits", Count::IncrHits),
    ("decr_misses", Count::DecrMisses),
    ("decr_hits", Count::DecrHits),
    ("cas_misses", Count::CasMisses),
    ("cas_hits", Count::CasHits),
    ("cas_badval", Count::CasBadval),
    ("touch_hits", Count::TouchHits),
    ("touch_misses", Count::TouchMisses),
    ("store_too_large", Count::StoreTooLarge),
    ("store_no_memory", Count::StoreNoMemory),
    ("auth_cmds", Count::AuthCmds),
    ("auth_errors", Count::AuthErrors),
    ("bytes_read", Count::BytesRead),
    ("bytes_written", Count::BytesWritten),
];

pub(super) fn put(figures: &mut Figures<'_>, cx: &Cx<'_>) {
    let seen = Seen::by(cx);
    process(figures, &seen, cx);
    connections(figures, &seen, cx);
    commands(figures, &seen);
    figures.put("limit_maxbytes", seen.stored.max_bytes);
    if seen.node_wide {
        turns(figures, cx);
    }
    items(figures, &seen);
    figures.put("larder_denied", seen.counted.get(Count::Denied));
    // With segments that are partly empty, ghosts, and the index.
    figures.put("larder_bytes_held", seen.stored.bytes);
    if seen.node_wide {
        figures.put("larder_buffer_bytes", cx.node.budget.used());
        let tally = &cx.node.tally;
        figures.put("larder_slow_requests", load(&tally.slow_requests));
        figures.put("larder_slow_readers", load(&tally.slow_readers));
    }
    figures.put("larder_version", env!("CARGO_PKG_VERSION"));
}

/// What is true of the process, whoever asks; how busy it is only if nobody else shares it.
fn process(figures: &mut Figures<'_>, seen: &Seen, cx: &Cx<'_>) {
    figures.put("pid", std::process::id());
    figures.put("uptime", cx.now.unix().saturating_sub(cx.node.started));
    figures.put("time", cx.now.unix());
    figures.put("version", VERSION);
    figures.put("pointer_size", usize::BITS);
    if let Some(usage) = getrusage(UsageWho::RUSAGE_SELF).ok().filter(|_| seen.node_wide) {
        figures.put("rusage_user", seconds(usage.user_time()));
        figures.put("rusage_system", seconds(usage.system_time()));
    }
}

fn connections(figures: &mut Figures<'_>, seen: &Seen, cx: &Cx<'_>) {
    figures.put("max_connections", cx.node.settings.max_connections);
    if seen.node_wide {
        figures.put("curr_connections", cx.node.connections.open());
        figures.put("total_connections", load(&cx.node.tally.total_connections));
        figures.put("rejected_connections", load(&cx.node.tally.rejected_connections));
        figures.put("connection_structures", cx.node.connections.open());
    } else {
        let opened = seen.counted.get(Count::Opened);
        let closed = seen.counted.get(Count::Closed);
        figures.put("curr_connections", opened.saturating_sub(closed));
        figures.put("total_connections", opened);
    }
}

fn commands(figures: &mut Figures<'_>, seen: &Seen) {
    for (name, count) in COMMANDS {
        figures.put(name, seen.counted.get(count));
    }
    figures.put("get_expired", seen.stored.expired_misses);
    figures.put("get_flushed", seen.stored.flushed_misses);
    for (name, count) in OUTCOMES {
        figures.put(name, seen.counted.get(count));
    }
}

/// How the node takes turns, and whom it turns away.
fn turns(figures: &mut Figures<'_>, cx: &Cx<'_>) {
    let tally = &cx.node.tally;
    if cx.node.settings.idle_timeout.is_some() {
        figures.put("idle_kicks", load(&tally.idle_kicks));
    }
    figures.put("accepting_conns", u8::from(tally.accepting.load(Ordering::Relaxed)));
    figures.put("listen_disabled_num", load(&tally.listen_disabled));
    figures.put("time_in_listen_disabled_us", load(&tally.listen_disabled_us));
    figures.put("threads", cx.node.settings.workers);
    figures.put("conn_yields", load(&tally.conn_yields));
    for name in ABSENT {
        figures.put(name, 0);
    }
    if let Some(tls) = cx.node.tls.get().filter(|all| !all.is_empty()) {
        // As in memcached only where sessions are kept.
        if tls.iter().any(|tls| tls.settings().resumption) {
            figures.put("ssl_new_sessions", load(&tally.ssl_new_sessions));
        }
        figures.put("ssl_handshake_errors", load(&tally.ssl_handshake_errors));
        figures.put("ssl_proto_errors", load(&tally.ssl_proto_errors));
        let loaded = tls.iter().map(|tls| tls.loaded()).max().unwrap_or_default();
        figures.put("time_since_server_cert_refresh", cx.now.unix().saturating_sub(loaded));
    }
}

fn items(figures: &mut Figures<'_>, seen: &Seen) {
    let stored = &seen.stored;
    figures.put("bytes", stored.live_bytes);
    figures.put("curr_items", stored.items);
    figures.put("total_items", stored.sets);
    figures.put("expired_unfetched", stored.expired_unread);
    figures.put("evicted_unfetched", stored.evicted_unread);
    figures.put("evictions", stored.evictions);
    figures.put("reclaimed", stored.expired + stored.flushed);
}

fn load(figure: &AtomicU64) -> u64 {
    figure.load(Ordering::Relaxed)
}

/// Seconds and microseconds.
fn seconds(time: TimeVal) -> String {
    format!("{}.{:06}", time.tv_sec(), time.tv_usec())
}
