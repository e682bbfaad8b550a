//! `stats settings`: how the server is set up, in memcached's names and words.
//!
//! Settings of memcached's that mean nothing here are left out, unless the command line said something of
//! them: then they are shown as it did ([`Settings::shown`](crate::Settings::shown)).

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use super::{Figures, is_node_wide};
use crate::cx::Cx;
use crate::settings::Address;

pub(super) fn put(figures: &mut Figures<'_>, cx: &Cx<'_>) {
    let mut lines = Lines { figures, cx };
    if is_node_wide(cx) {
        node(&mut lines);
    } else {
        lines.put("maxbytes", cx.tenant().stats().max_bytes);
    }
    anybody(&mut lines);
    if is_node_wide(cx) {
        for (name, value) in &cx.node.settings.shown {
            lines.figures.put(name, value);
        }
    }
}

/// Lines but those that are shown otherwise.
struct Lines<'l, 'o, 'w> {
    figures: &'l mut Figures<'o>,
    cx: &'l Cx<'w>,
}

impl Lines<'_, '_, '_> {
    fn put(&mut self, name: &str, value: impl Display) {
        if !self.cx.node.settings.shown.iter().any(|(shown, _)| shown == name) {
            self.figures.put(name, value);
        }
    }
}

/// What concerns the node.
fn node(lines: &mut Lines<'_, '_, '_>) {
    let (node, settings) = (lines.cx.node, &lines.cx.node.settings);
    let listening = node.listening.get().map_or(&[][..], Vec::as_slice);
    let tcp = listening.iter().find_map(|listening| match &listening.address {
        Address::Tcp(address) => Some(*address),
        _ => None,
    });
    let unix = listening.iter().find_map(|listening| match &listening.address {
        Address::Unix(path) => Some(path.as_str()),
        _ => None,
    });
    lines.put("maxbytes", node.store.stats().max_bytes);
    lines.put("maxconns", settings.max_connections);
    lines.put("tcpport", tcp.as_ref().map_or(0, SocketAddr::port));
    lines.put("udpport", 0);
    lines.put("inter", tcp.map_or("NULL".to_owned(), |address| address.ip().to_string()));
    lines.put("verbosity", node.verbosity.load(Ordering::Relaxed));
    lines.put("domain_socket", unix.unwrap_or("NULL"));
    lines.put("shutdown_command", yes(settings.allow_shutdown));
    lines.put("num_threads", settings.workers);
    lines.put("reqs_per_event", settings.requests_per_turn);
    lines.put("maxconns_fast", "yes");
    lines.put("idle_timeout", settings.idle_timeout.map_or(0, |idle| idle.as_secs()));
    let has_tls = node.tls.get().is_some_and(|all| !all.is_empty());
    lines.put("ssl_enabled", yes(has_tls));
}

/// What concerns whoever uses the cache.
fn anybody(lines: &mut Lines<'_, '_, '_>) {
    let (node, settings) = (lines.cx.node, &lines.cx.node.settings);
    let must_log_in = node.directory.load().anonymous().is_none();
    lines.put("evictions", if settings.evict { "on" } else { "off" });
    lines.put("stat_key_prefix", char::from(settings.detail_delimiter));
    lines.put("detail_enabled", yes(node.detail.is_on(lines.cx.access.grant.tenant())));
    lines.put("cas_enabled", yes(settings.cas));
    lines.put("binding_protocol", "auto-negotiate");
    lines.put("auth_enabled_sasl", yes(must_log_in));
    lines.put("auth_enabled_ascii", yes(must_log_in));
    lines.put("item_size_max", settings.max_item_bytes);
    lines.put("lru_crawler", "no");
    lines.put("flush_enabled", yes(settings.allow_flush));
    lines.put("dump_enabled", yes(settings.allow_dumps));
    lines.put("track_sizes", "no");
    lines.put("client_flags_size", 4);
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
