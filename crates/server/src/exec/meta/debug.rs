//! me: what is known of an item, for people.

use larder_proto::server::meta::put_base64;

use super::{Subject, seconds_left};
use crate::counters::Count;
use crate::cx::Cx;
use crate::exec::shown;
use crate::reading::Reading;

/// Tells of the item as if nobody had looked.
pub(super) fn debug(subject: Subject<'_, '_>, cx: &Cx<'_>, reading: &mut Reading<'_>) {
    cx.count(Count::CmdMeta, 1);
    let item = reading.lookups.peek(subject.key);
    let out = reading.bytes();
    let Some(item) = item else { return out.extend_from_slice(b"EN\r\n") };
    out.extend_from_slice(b"ME ");
    if item.marked() {
        put_base64(out, item.key());
    } else {
        out.extend_from_slice(item.key());
    }
    let ttl = item.ttl().map_or(-1, |left| i64::try_from(seconds_left(left)).unwrap_or(i64::MAX));
    let fetched = if item.fetched() { "yes" } else { "no" };
    let (idle, cas, size) = (item.idle().as_secs(), shown(item.cas(), cx), item.stored_bytes());
    let facts = format!(" exp={ttl} la={idle} cas={cas} fetch={fetched} cls=1 size={size}\r\n");
    out.extend_from_slice(facts.as_bytes());
}
