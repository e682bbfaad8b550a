//! Interleaved windows: the engines take turns in short windows over many rounds, so that a slow
//! moment of the machine hits all of them.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use larder_bench_store::workload::{Key, Request, key};
use rustix::time::{ClockId, clock_gettime};

use crate::engine::Engine;

/// One thread's stream of requests and where it goes on.
pub(crate) struct Cursor<'s> {
    stream: &'s [Request],
    next: usize,
}

/// How gets are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gets {
    /// Each key is written right before its get. A processor forwards no wide read from narrow
    /// writes, so a get waits for its key, and that for all before it: gets do not overlap.
    One,
    /// In batches of so many, at most 64, their keys written before. An engine that has no call for
    /// this is asked one by one, but the processor may overlap its gets.
    Many(usize),
}

/// What one window of one engine showed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Window {
    /// Millions of requests a second, all threads together.
    pub mops: f64,
    /// CPU time of the threads per request.
    pub cpu_nanos: f64,
    /// Share of the gets that found their value.
    pub hit_ratio: f64,
}

/// What one thread did in a window.
#[derive(Default)]
struct Done {
    requests: u64,
    gets: u64,
    hits: u64,
    elapsed: Duration,
    cpu: Duration,
}

impl<'s> Cursor<'s> {
    /// Begins at the stream's beginning.
    pub(crate) fn new(stream: &'s [Request]) -> Cursor<'s> {
        Cursor { stream, next: 0 }
    }

    /// The next so many requests of the stream, which starts again at its end.
    #[inline]
    fn take(&mut self, count: usize) -> &'s [Request] {
        if self.next + count > self.stream.len() {
            self.next = 0;
        }
        let taken = &self.stream[self.next..self.next + count];
        self.next += count;
        taken
    }
}

/// Runs one window on as many threads as there are cursors.
pub(crate) fn run(
    engine: &dyn Engine,
    cursors: &mut [Cursor<'_>],
    value: &[u8],
    gets: Gets,
    length: Duration,
) -> Window {
    let barrier = Barrier::new(cursors.len());
    let done: Vec<Done> = std::thread::scope(|scope| {
        let threads: Vec<_> = cursors
            .iter_mut()
            .map(|cursor| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    work(engine, cursor, value, gets, length)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a worker panicked")).collect()
    });
    Window::of(&done)
}

impl Window {
    #[expect(clippy::cast_precision_loss, reason = "counts of a fraction of a second")]
    fn of(done: &[Done]) -> Window {
        let per_second = |d: &Done| d.requests as f64 / d.elapsed.as_secs_f64();
        let requests: u64 = done.iter().map(|d| d.requests).sum();
        let gets: u64 = done.iter().map(|d| d.gets).sum();
        let hits: u64 = done.iter().map(|d| d.hits).sum();
        let cpu: Duration = done.iter().map(|d| d.cpu).sum();
        Window {
            mops: done.iter().map(per_second).sum::<f64>() / 1e6,
            cpu_nanos: cpu.as_secs_f64() * 1e9 / requests as f64,
            hit_ratio: hits as f64 / gets as f64,
        }
    }
}

fn work(
    engine: &dyn Engine,
    cursor: &mut Cursor<'_>,
    value: &[u8],
    gets: Gets,
    length: Duration,
) -> Done {
    // The clock is read once in so many requests: its cost must not be seen.
    const BETWEEN_LOOKS: usize = 512;
    let mut done = Done::default();
    let (start, cpu_start) = (Instant::now(), thread_cpu());
    while done.elapsed < length {
        let requests = cursor.take(BETWEEN_LOOKS);
        match gets {
            Gets::One => singly(engine, requests, value, &mut done),
            Gets::Many(batch) => batched(engine, requests, batch, &mut done),
        }
        done.requests += BETWEEN_LOOKS as u64;
        done.elapsed = start.elapsed();
    }
    done.cpu = thread_cpu().saturating_sub(cpu_start);
    done
}

fn singly(engine: &dyn Engine, requests: &[Request], value: &[u8], done: &mut Done) {
    for request in requests {
        let key = key(request.id());
        if request.is_set() {
            engine.set(&key, value, None);
        } else {
            done.gets += 1;
            done.hits += u64::from(engine.get(&key));
        }
    }
}

/// All requests as gets, in batches.
fn batched(engine: &dyn Engine, requests: &[Request], batch: usize, done: &mut Done) {
    let mut keys: [Key; 64] = [key(0); 64];
    debug_assert!(batch <= keys.len());
    for requests in requests.chunks(batch) {
        for (slot, request) in keys.iter_mut().zip(requests) {
            *slot = key(request.id());
        }
        done.gets += requests.len() as u64;
        done.hits += engine.get_many(&keys[..requests.len()]) as u64;
    }
}

/// The CPU time this thread has had.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
