//! `stats items` and `stats slabs`: memcached tells them for each class of sizes. Here items of all sizes
//! lie side by side, so there is one class, number 1, and only what is true of it.

use super::{Figures, Seen};
use crate::counters::Count;
use crate::cx::Cx;

/// `stats items`. Without items there is no class to tell of.
pub(super) fn items(figures: &mut Figures<'_>, cx: &Cx<'_>) {
    let Seen { counted, stored, .. } = Seen::by(cx);
    if stored.items == 0 {
        return;
    }
    for (name, value) in [
        ("number", stored.items),
        ("mem_requested", stored.live_bytes),
        ("evicted", stored.evictions),
        ("outofmemory", counted.get(Count::StoreNoMemory)),
        ("reclaimed", stored.expired + stored.flushed),
        ("expired_unfetched", stored.expired_unread),
        ("evicted_unfetched", stored.evicted_unread),
    ] {
        figures.put(format_args!("items:1:{name}"), value);
    }
}

/// `stats slabs`. A chunk is an item. No page is taken for good, so there is no `total_malloced`.
pub(super) fn slabs(figures: &mut Figures<'_>, cx: &Cx<'_>) {
    let Seen { counted, stored, .. } = Seen::by(cx);
    if stored.items > 0 {
        figures.put("1:used_chunks", stored.items);
        for (name, count) in [
            ("get_hits", Count::GetHits),
            ("cmd_set", Count::CmdSet),
            ("delete_hits", Count::DeleteHits),
            ("incr_hits", Count::IncrHits),
            ("decr_hits", Count::DecrHits),
            ("cas_hits", Count::CasHits),
            ("cas_badval", Count::CasBadval),
            ("touch_hits", Count::TouchHits),
        ] {
            figures.put(format_args!("1:{name}"), counted.get(count));
        }
    }
    figures.put("active_slabs", u8::from(stored.items > 0));
}
