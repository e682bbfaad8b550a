//! Runs policies over traces and compares them.

use std::sync::Mutex;
use std::thread;

use anyhow::{Context, bail};

use crate::policy::{Access, Key, NEVER, Named, share};
use crate::trace::Trace;

/// The hit ratio of one policy on one trace with one capacity.
pub type Ratio = f64;

/// One trace with one capacity, and what each policy made of it.
#[derive(Debug, Clone)]
pub struct Point {
    /// The trace's name.
    pub trace: String,
    /// The capacity as it was asked for.
    pub asked: String,
    /// The capacity, in items or bytes.
    pub capacity: u64,
    /// By policy.
    pub ratios: Vec<Ratio>,
}

/// Capacities as they are asked for (`1%` of the footprint, or `1000`), and what they are.
///
/// # Errors
///
/// When one is no size.
pub fn sizes(asked: &[String], footprint: u64) -> anyhow::Result<Vec<(String, u64)>> {
    let size = |text: &String| {
        let size = match text.strip_suffix('%') {
            Some(percent) => {
                let percent: f64 = percent.parse().with_context(|| format!("size {text:?}"))?;
                if !(0.0..=100.0).contains(&percent) {
                    bail!("size {text:?}: not between 0 % and 100 %");
                }
                share(footprint, percent / 100.0)
            }
            None => text.parse().with_context(|| format!("size {text:?}"))?,
        };
        Ok((text.clone(), size.max(1)))
    };
    asked.iter().map(size).collect()
}

/// The number of the request that asks for the same key next, for each request.
#[must_use]
pub fn next_requests(requests: &[Key]) -> Vec<u32> {
    let keys = requests.iter().max().map_or(0, |&key| key as usize + 1);
    let mut seen = vec![NEVER; keys];
    let mut next = vec![NEVER; requests.len()];
    for (at, &key) in requests.iter().enumerate().rev() {
        #[allow(clippy::cast_possible_truncation, reason = "a trace has fewer than 2^32 requests")]
        let at32 = at as u32;
        next[at] = std::mem::replace(&mut seen[key as usize], at32);
    }
    next
}

/// The share of a trace's requests that a policy has an answer to. `next` is for those that foresee.
#[must_use]
pub fn hit_ratio(
    trace: &Trace,
    named: &Named,
    capacity: u64,
    bytes: bool,
    next: Option<&[u32]>,
) -> Ratio {
    let footprint = trace.footprint(bytes).max(1);
    let items = u128::from(capacity) * trace.keys as u128 / u128::from(footprint);
    let items = u64::try_from(items).unwrap_or(u64::MAX).max(1);
    let mut policy = named.make(capacity, trace.keys, items);
    let mut expiry = vec![u32::MAX; if trace.lifetimes.is_empty() { 0 } else { trace.keys }];
    let mut hits = 0_u64;
    for (at, &key) in trace.requests.iter().enumerate() {
        let now = trace.times.get(at).copied().unwrap_or(0);
        let expired = expiry.get(key as usize).is_some_and(|&expiry| expiry <= now);
        if expired {
            policy.remove(key);
        }
        let next = next.map_or(NEVER, |next| next[at]);
        let hit = policy.access(Access { key, size: trace.size(key, bytes), next });
        hits += u64::from(hit);
        if !hit && let Some(expiry) = expiry.get_mut(key as usize) {
            let lifetime = trace.lifetimes[key as usize];
            *expiry = if lifetime == 0 { u32::MAX } else { now.saturating_add(lifetime) };
        }
    }
    hits as f64 / trace.requests.len().max(1) as f64
}

/// Runs every policy with every capacity over a trace, on as many threads as there are cores.
#[must_use]
pub fn points(
    trace: &Trace,
    sizes: &[(String, u64)],
    policies: &[Named],
    bytes: bool,
) -> Vec<Point> {
    let foresees = policies.iter().any(Named::foresees);
    let next = foresees.then(|| next_requests(&trace.requests));
    let jobs: Vec<(usize, usize)> = (0..sizes.len())
        .flat_map(|size| (0..policies.len()).map(move |policy| (size, policy)))
        .collect();
    let mut points: Vec<Point> = sizes
        .iter()
        .map(|(asked, capacity)| Point {
            trace: trace.name.clone(),
            asked: asked.clone(),
            capacity: *capacity,
            ratios: vec![0.0; policies.len()],
        })
        .collect();
    let jobs = Mutex::new(jobs.into_iter());
    let work = || {
        let mut done = Vec::new();
        loop {
            let job = jobs.lock().ok().and_then(|mut jobs| jobs.next());
            let Some((size, policy)) = job else { return done };
            let named = &policies[policy];
            let next = next.as_deref().filter(|_| named.foresees());
            done.push((size, policy, hit_ratio(trace, named, sizes[size].1, bytes, next)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let done = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |worker: thread::ScopedJoinHandle<'_, _>| match worker.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        workers.into_iter().flat_map(join).collect::<Vec<_>>()
    });
    for (size, policy, ratio) in done {
        points[size].ratios[policy] = ratio;
    }
    points
}

/// Of the distance between LRU and Belady, the share that a policy covers: the mean over `points`.
///
/// `None` without both of them, or where Belady is no better than LRU everywhere.
#[must_use]
pub fn gap_closed(points: &[Point], policy: usize, lru: usize, belady: usize) -> Option<f64> {
    let shares: Vec<f64> = points
        .iter()
        .map(|Point { ratios, .. }| (ratios[policy] - ratios[lru], ratios[belady] - ratios[lru]))
        .filter(|&(_, gap)| gap > 0.0)
        .map(|(gain, gap)| gain / gap)
        .collect();
    let count = shares.len() as f64;
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Named {
        Named::parse(name).unwrap()
    }

    fn trace(requests: &[Key]) -> Trace {
        let keys = requests.iter().max().map_or(0, |&key| key as usize + 1);
        Trace { requests: requests.to_vec(), keys, ..Trace::default() }
    }

    #[test]
    fn the_future_is_foreseen() {
        assert_eq!(next_requests(&[0, 1, 0, 0, 2]), [2, NEVER, 3, NEVER, NEVER]);
        assert!(next_requests(&[]).is_empty());
    }

    #[test]
    fn hits_are_counted() {
        let requests = trace(&[0, 1, 0, 1]);
        assert_eq!(hit_ratio(&requests, &named("lru"), 2, false, None), 0.5);
        assert_eq!(hit_ratio(&requests, &named("lru"), 1, false, None), 0.0);
        assert_eq!(hit_ratio(&trace(&[]), &named("lru"), 1, false, None), 0.0);
    }

    #[test]
    fn what_expired_is_a_miss_and_lives_anew() {
        let mut requests = trace(&[0, 0, 0, 0, 0, 1, 1]);
        requests.times = vec![10, 11, 12, 13, 14, 14, 99];
        requests.lifetimes = vec![2, 0];
        // 0 expires at 12 and at 14; 1 never does.
        assert_eq!(hit_ratio(&requests, &named("lru"), 2, false, None), 3.0 / 7.0);
    }

    #[test]
    fn sizes_are_counted_if_wanted() {
        let mut requests = trace(&[0, 1, 0, 1]);
        requests.sizes = vec![10, 10];
        assert_eq!(hit_ratio(&requests, &named("lru"), 10, true, None), 0.0);
        assert_eq!(hit_ratio(&requests, &named("lru"), 10, false, None), 0.5);
        assert_eq!((requests.footprint(true), requests.footprint(false)), (20, 2));
    }

    #[test]
    fn the_gap_is_a_mean_of_shares() {
        let point = |ratios: [f64; 3]| Point {
            trace: String::new(),
            asked: String::new(),
            capacity: 1,
            ratios: ratios.to_vec(),
        };
        // Half of the gap, nothing of it, and no gap.
        let points = [point([0.4, 0.5, 0.6]), point([0.4, 0.4, 0.6]), point([0.4, 0.4, 0.4])];
        let share = gap_closed(&points, 1, 0, 2).unwrap();
        assert!((share - 0.25).abs() < 1e-9, "{share}");
        assert_eq!(gap_closed(&points[2..], 1, 0, 2), None);
    }

    #[test]
    fn points_are_in_the_order_of_sizes_and_policies() {
        let policies = ["lru", "belady"].map(named);
        let sizes = sizes(&["1".into(), "100%".into()], 2).unwrap();
        let points = points(&trace(&[0, 1, 0, 1, 0, 1]), &sizes, &policies, false);
        let ratios: Vec<_> = points.iter().map(|point| (point.capacity, &*point.ratios)).collect();
        assert_eq!(ratios, [(1, &[0.0, 2.0 / 6.0][..]), (2, &[4.0 / 6.0, 4.0 / 6.0])]);
    }

    #[test]
    fn wrong_sizes_are_refused() {
        for wrong in ["", "-1", "101%", "x%", "NaN%"] {
            let error = sizes(&[wrong.to_owned()], 10).unwrap_err();
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
    }
}
