//! The in-process cache when it is far too small and used by many threads: what it answers is never
//! older than the last change that was invalidated, and its figures add up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder::{Cache, CacheKey, Ttl};
use serde::{Deserialize, Serialize};

const KEYS: u64 = 1500;
const TASKS: usize = 6;
const STEPS: usize = 4000;

/// What the cached values are computed from.
struct Source {
    versions: Vec<AtomicU64>,
    /// The version whose invalidation is done.
    done: Vec<AtomicU64>,
}

/// A version, and as much text as its number says: small, or of many pieces.
#[derive(Serialize, Deserialize)]
struct Value {
    version: u64,
    text: String,
}

impl Source {
    fn value(&self, key: usize) -> Value {
        let version = self.versions[key].load(Ordering::SeqCst);
        let len = (key * 7 + usize::try_from(version).unwrap() * 131) % 3000;
        Value { version, text: "x".repeat(len) }
    }
}

fn key(number: usize) -> CacheKey {
    CacheKey::new("row").with(number)
}

async fn change(cache: &Cache, source: &Source, number: usize) {
    let version = source.versions[number].fetch_add(1, Ordering::SeqCst) + 1;
    cache.delete(key(number)).await;
    source.done[number].fetch_max(version, Ordering::SeqCst);
}

async fn read(cache: &Cache, source: &Source, number: usize) {
    let oldest = source.done[number].load(Ordering::SeqCst);
    let compute = async || {
        let value = source.value(number);
        tokio::task::yield_now().await;
        Ok::<_, std::convert::Infallible>(value)
    };
    let Ok(value) = cache.get_or_compute(key(number), Ttl::Never, compute).await;
    assert!(value.version >= oldest, "row {number}: {} after {oldest}", value.version);
    assert!(value.text.bytes().all(|byte| byte == b'x'));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowded_cache_answers_nothing_stale() {
    let cache = Cache::in_process(1 << 20);
    let counters = || (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let source = Arc::new(Source { versions: counters(), done: counters() });
    let tasks: Vec<_> = (1..=TASKS as u64)
        .map(|seed| {
            let (cache, source) = (cache.clone(), Arc::clone(&source));
            tokio::spawn(async move {
                let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                for _ in 0..STEPS {
                    // xorshift; low keys more often than high ones.
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let number = ((random >> 8) % KEYS).min((random >> 32) % KEYS);
                    let number = usize::try_from(number).unwrap();
                    match random % 8 {
                        0 => change(&cache, &source, number).await,
                        _ => read(&cache, &source, number).await,
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let engine = cache.backend().engine().unwrap();
    engine.validate().unwrap();
    let (stats, figures) = (engine.stats(), cache.figures());
    assert!(stats.evictions > 0 && stats.bytes <= stats.max_bytes, "{stats:?}");
    assert!(figures.hits > 0 && figures.misses > 0 && figures.errors == 0, "{figures:?}");
}
