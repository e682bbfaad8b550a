//! Which server a key belongs to: hash rings that agree with libmemcached's, key for key.
//!
//! A ring is built once from the list of servers and never changes: a server that is down keeps its
//! keys (they are misses), so that no key is ever read from a server that missed its invalidations.

mod hash;
mod ketama;
mod weighted;

use crate::addr::{DEFAULT_PORT, Endpoint, ServerAddr};
use crate::config::RingKind;

/// The servers' points on a circle of 32-bit hashes, in order.
#[derive(Debug)]
pub(crate) struct Ring {
    kind: RingKind,
    points: Vec<Point>,
}

/// One place of one server on the circle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    hash: u32,
    server: usize,
}

impl Ring {
    /// The ring of these servers, which must not be empty.
    pub(crate) fn new(kind: RingKind, servers: &[ServerAddr]) -> Self {
        let mut points = match (servers.len(), kind) {
            // One server holds every key.
            (0 | 1, _) => Vec::new(),
            // libmemcached weighs the points as soon as one server has a weight above 1, whatever
            // behaviour was asked for; the keys' hash stays that of the behaviour.
            (_, RingKind::Ketama) if servers.iter().all(|server| server.weight() == 1) => {
                ketama::points(servers)
            }
            (_, RingKind::Ketama | RingKind::KetamaWeighted) => weighted::points(servers),
        };
        points.sort_unstable();
        Self { kind, points }
    }

    /// The index of the server that `key` belongs to.
    pub(crate) fn server_of(&self, key: &[u8]) -> usize {
        if self.points.is_empty() {
            return 0;
        }
        let hash = match self.kind {
            RingKind::Ketama => hash::one_at_a_time(key),
            RingKind::KetamaWeighted => hash::md5_word(key, 0),
        };
        // The first point at or after the hash; past the last one, the circle closes.
        let next = self.points.partition_point(|point| point.hash < hash);
        let point = self.points.get(next).or(self.points.first());
        point.map_or(0, |point| point.server)
    }
}

/// The text a server's points are hashed from: host and port, the port left out when it is the
/// default, as libmemcached does.
fn point_name(server: &ServerAddr) -> String {
    match server.endpoint() {
        Endpoint::Tcp { host, port: DEFAULT_PORT } => host.clone(),
        Endpoint::Tcp { host, port } => format!("{host}:{port}"),
        // libmemcached keeps port 0 for a socket.
        Endpoint::Unix(path) => format!("{}:0", path.display()),
    }
}
