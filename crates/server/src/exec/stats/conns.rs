//! `stats conns`: the listeners, by descriptor, and the open connections of one worker after the other, the
//! oldest first.
//!
//! A connection that is there throughout is told of once.

use std::fmt;

use super::{Figures, Form, is_node_wide};
use crate::connections::{Info, Waiting};
use crate::cx::{Cx, Flow};
use crate::exec::dump::Dump;
use crate::node::Listening;
use crate::settings::Address;

/// Connections told of in one step.
const STEP: usize = 128;

/// The connections that are still to be told of. It may be many thousands, so they are told piece by piece;
/// and looked up so, for a list of them would be kept for as long as the client does not read.
#[derive(Debug)]
pub(crate) struct Conns {
    form: Form,
    /// Who asks.
    fd: i32,
    /// Whether the listeners were told of, which come first.
    has_begun: bool,
    /// Whose are told of.
    worker: usize,
    /// From which number on.
    from: u64,
}

/// Begins to tell, if the connection may see those of others.
pub(super) fn start(form: Form, cx: &Cx<'_>) -> Option<Flow> {
    if !is_node_wide(cx) {
        return None;
    }
    let conns = Conns { form, fd: cx.fd, has_begun: false, worker: 0, from: 0 };
    Some(Flow::Dump(Box::new(Dump::Conns(conns))))
}

impl Conns {
    /// Tells of some; whether there are more.
    pub(crate) fn step(&mut self, cx: &Cx<'_>, out: &mut Vec<u8>) -> bool {
        let mut figures = Figures::new(self.form, out);
        if !self.has_begun {
            self.has_begun = true;
            listeners(&mut figures, cx);
        }
        let connections = &cx.node.connections;
        let some = connections.some(self.worker, self.from, STEP);
        for (number, info) in &some {
            connection(&mut figures, info, info.fd == self.fd, cx);
            self.from = number + 1;
        }
        if some.len() < STEP {
            (self.worker, self.from) = (self.worker + 1, 0);
        }
        if self.worker < connections.workers() {
            return true;
        }
        figures.end();
        false
    }
}

fn listeners(figures: &mut Figures<'_>, cx: &Cx<'_>) {
    for Listening { fd, address } in cx.node.listening.get().into_iter().flatten() {
        figures.put(format_args!("{fd}:addr"), Shown(address));
        figures.put(format_args!("{fd}:state"), "conn_listening");
    }
}

fn connection(figures: &mut Figures<'_>, info: &Info, asks: bool, cx: &Cx<'_>) {
    let fd = info.fd;
    figures.put(format_args!("{fd}:addr"), Shown(&info.peer));
    let listening = cx.node.listening.get().and_then(|all| all.get(info.listener?));
    if let Some(listening) = listening {
        figures.put(format_args!("{fd}:listen_addr"), Shown(&listening.address));
    }
    let state = match info.waiting() {
        _ if asks => "conn_parse_cmd",
        Waiting::Request => "conn_read",
        Waiting::Rest => "conn_waiting",
        Waiting::Value => "conn_nread",
        Waiting::Swallow => "conn_swallow",
        Waiting::Write => "conn_mwrite",
        Waiting::Closing => "conn_closing",
    };
    figures.put(format_args!("{fd}:state"), state);
    let idle_ms = cx.node.age_ms().saturating_sub(info.last_active());
    figures.put(format_args!("{fd}:secs_since_last_cmd"), idle_ms / 1000);
}

/// An address in memcached's words.
struct Shown<'a>(&'a Address);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Address::Tcp(address) if address.is_ipv4() => write!(f, "tcp:{address}"),
            Address::Tcp(address) => write!(f, "tcp6:{address}"),
            Address::Unix(path) => write!(f, "unix:{path}"),
            Address::Unknown => f.write_str("unknown"),
        }
    }
}
