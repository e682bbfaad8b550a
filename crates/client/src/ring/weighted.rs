//! `MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED`: points by weight, names hashed with MD5. One digest gives
//! four points; a server of average weight has 160.

use super::{Point, hash, point_name};
use crate::addr::ServerAddr;

/// libmemcached's `MEMCACHED_POINTS_PER_SERVER_KETAMA`, over the four points of one digest.
const DIGESTS_PER_SERVER: f32 = 40.0;

/// The points of all servers, unsorted.
pub(super) fn points(servers: &[ServerAddr]) -> Vec<Point> {
    let total: u64 = servers.iter().map(|addr| u64::from(addr.weight())).sum();
    let mut points = Vec::new();
    for (server, addr) in servers.iter().enumerate() {
        let name = point_name(addr);
        for number in 0..digests(addr.weight(), total, servers.len()) {
            let words = hash::md5_words(format!("{name}-{number}").as_bytes());
            points.extend(words.map(|hash| Point { hash, server }));
        }
    }
    points
}

/// How many digests a server of this weight gets. In single precision and in libmemcached's order,
/// because a rounding difference would move keys.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "the same narrow arithmetic as libmemcached"
)]
fn digests(weight: u32, total: u64, servers: usize) -> u32 {
    let share = weight as f32 / total as f32;
    let exact = share * (DIGESTS_PER_SERVER * 4.0) / 4.0 * servers as f32;
    (f64::from(exact) + 1e-10).floor() as u32
}
