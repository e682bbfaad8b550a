//! segcache: a log of segments with S3-FIFO, bounded by the bytes of its heap.

use std::time::Duration;

use anyhow::Context;
use segcache::{Policy, Segcache, Value};

use crate::engine::{Engine, Limit, Size, touch};

pub(crate) struct Segments {
    cache: Segcache,
}

impl Segments {
    /// What it adds to an item: a header of 12 bytes, and the sum rounded up to 8.
    const HEADER: usize = 12;
    /// More than this many segments are taken of a small heap, so that it can work at all.
    const MIN_SEGMENTS: usize = 128;

    pub(crate) fn new(size: &Size) -> anyhow::Result<Segments> {
        let item = (size.item_bytes + Segments::HEADER).next_multiple_of(8);
        let heap = match size.limit {
            Limit::Roomy => 2 * size.items * item,
            Limit::Items => size.items * item,
            Limit::Bytes(bytes) => bytes,
        };
        let largest = 1 << 20;
        let segment = (heap / Segments::MIN_SEGMENTS).clamp(8 << 10, largest).next_power_of_two();
        // About half of the slots in use.
        let slots = (2 * size.items).next_power_of_two().max(1 << 7);
        let power = u8::try_from(slots.trailing_zeros()).context("too many items")?;
        let cache = Segcache::builder()
            .heap_size(heap.next_multiple_of(segment))
            .segment_size(i32::try_from(segment).context("too large a segment")?)
            .hash_power(power)
            .eviction(Policy::S3Fifo { admission_ratio: 0.1 })
            .build()
            .context("segcache could not be built")?;
        Ok(Segments { cache })
    }
}

impl Engine for Segments {
    fn get(&self, key: &[u8]) -> bool {
        self.cache.get(key).is_some_and(|item| {
            if let Value::Bytes(bytes) = item.value() {
                touch(bytes);
            }
            true
        })
    }

    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) {
        // A cache may refuse; what was refused is a miss later.
        let _ = self.cache.insert(key, value, None, ttl.unwrap_or(Duration::ZERO));
    }

    fn peek(&self, key: &[u8]) -> bool {
        self.cache.get_no_freq_incr(key).is_some()
    }
}
