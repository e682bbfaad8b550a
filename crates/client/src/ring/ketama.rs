//! `MEMCACHED_BEHAVIOR_KETAMA`: 100 points per server, names hashed one-at-a-time.

use super::{Point, hash, point_name};
use crate::addr::ServerAddr;

/// libmemcached's `MEMCACHED_POINTS_PER_SERVER`.
const POINTS_PER_SERVER: u32 = 100;

/// The points of all servers, unsorted.
pub(super) fn points(servers: &[ServerAddr]) -> Vec<Point> {
    let mut points = Vec::new();
    for (server, addr) in servers.iter().enumerate() {
        let name = point_name(addr);
        points.extend((0..POINTS_PER_SERVER).map(|number| Point {
            hash: hash::one_at_a_time(format!("{name}-{number}").as_bytes()),
            server,
        }));
    }
    points
}
