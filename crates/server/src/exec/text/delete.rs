//! delete, touch.

use larder_store::{HashedKey, Removed};

use super::line;
use crate::counters::Count;
use crate::cx::Cx;

/// delete; the reply.
pub(super) fn delete(key: HashedKey<'_>, cx: &Cx<'_>) -> &'static [u8] {
    cx.node.detail.delete(cx.access, key.key());
    if cx.remove(key, None) == Removed::Deleted {
        cx.count(Count::DeleteHits, 1);
        return b"DELETED\r\n";
    }
    cx.count(Count::DeleteMisses, 1);
    line::NOT_FOUND
}

/// touch; the reply.
pub(super) fn touch(key: HashedKey<'_>, exptime: i64, cx: &Cx<'_>) -> &'static [u8] {
    cx.count(Count::CmdTouch, 1);
    match cx.retouch(key, cx.ttl(exptime)) {
        Ok(true) => {
            cx.count(Count::TouchHits, 1);
            b"TOUCHED\r\n"
        }
        Ok(false) => {
            cx.count(Count::TouchMisses, 1);
            line::NOT_FOUND
        }
        Err(_) => line::OUT_OF_MEMORY,
    }
}
