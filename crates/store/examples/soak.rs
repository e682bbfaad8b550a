//! A long run at the limit: threads read through the store, and now and then use all other commands,
//! while the sizes of items shift between 32 bytes and 4 KiB. Started by `cargo xtask soak store`.
//!
//! Keys are asked for as Zipf has it (0.9), and a miss is filled. There are many keys while items are
//! small and few while they are large: together they always are four times what fits. The hit ratio is
//! that of these gets.
//!
//! Every value that is read must be whole and belong to its key and tenant: the program ends with an
//! error at the first that is not. At the end everything is recounted. `--csv FILE` keeps the figures
//! that are printed.

#![allow(clippy::print_stdout, reason = "a command-line tool talks to a terminal")]
#![allow(clippy::cast_possible_truncation, reason = "numbers are small, or parts of them will do")]

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder_store::{Arith, Config, Item, Limits, Mode, Store, StoreError, Tenant};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Tenants that share the store evenly.
const TENANTS: u64 = 3;
/// And one that is asked once in so many operations, and flushed once in so many of these.
const SELDOM: u64 = TENANTS;
const ASKED: u64 = 32;
const FLUSHED: u64 = 100_000;
/// A run has so many phases, in turn of small and of large items, and a phase so many intervals.
const PHASES: u32 = 20;
const INTERVALS: u32 = 30;
const SMALL: u64 = 32;
const LARGE: u64 = 4096;
/// What all keys of the tenants would take, as a multiple of the limit.
const FOOTPRINT: u64 = 4;
/// About what an item takes beside its value.
const BESIDE: u64 = 32;
/// One value in so many is of another size, mostly in chunks.
const ODD: u64 = 4_000;
/// One operation in so many is timed.
const TIMED: u64 = 8;
/// A thread looks up from its work after so many operations.
const BATCH: u64 = 1024;

fn main() -> Result<(), Failure> {
    let args = Args::parse()?;
    let soak = Soak::new(&args)?;
    let mut csv = args.csv.as_deref().map(File::create).transpose()?;
    if let Some(csv) = &mut csv {
        writeln!(csv, "{}", Figures::HEAD)?;
    }
    println!("{}", Figures::HEAD.replace(',', "\t"));
    let faults = thread::scope(|scope| {
        let soak = &soak;
        let seeds = 1..=args.threads as u64;
        let workers: Vec<_> =
            seeds.map(|seed| scope.spawn(move || Worker::new(soak, seed).work())).collect();
        let reported = soak.report(args.threads, csv.as_mut(), || {
            workers.iter().any(thread::ScopedJoinHandle::is_finished)
        });
        soak.stop.store(true, Ordering::Relaxed);
        let faults = workers.into_iter().filter_map(|worker| match worker.join() {
            Ok(result) => result.err(),
            Err(_) => Some("a worker panicked".into()),
        });
        faults.chain(reported.err().map(Into::into)).collect::<Vec<Failure>>()
    });
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault);
    }
    soak.store.validate()?;
    soak.conclude();
    Ok(())
}

/// The command line.
struct Args {
    minutes: f64,
    mib: usize,
    threads: usize,
    csv: Option<String>,
}

impl Args {
    fn parse() -> Result<Args, Failure> {
        let mut args = Args { minutes: 1.0, mib: 64, threads: 4, csv: None };
        let mut words = std::env::args().skip(1);
        while let Some(option) = words.next() {
            let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--minutes" => args.minutes = value.parse()?,
                "--mib" => args.mib = value.parse()?,
                "--threads" => args.threads = value.parse()?,
                "--csv" => args.csv = Some(value),
                _ => return Err(format!("unknown option {option}").into()),
            }
        }
        Ok(args)
    }
}

/// The store at work.
struct Soak {
    store: Store,
    /// In the end the one seldom asked.
    tenants: Vec<Tenant>,
    limit: u64,
    /// The largest value in bytes.
    longest: u64,
    start: Instant,
    phase: Duration,
    stop: AtomicBool,
    counts: Counts,
    gets: Histogram,
    sets: Histogram,
}

/// What all threads did.
#[derive(Default)]
struct Counts {
    operations: AtomicU64,
    /// Of gets that fill what they miss.
    hits: AtomicU64,
    misses: AtomicU64,
    /// Bytes of keys and values that were set.
    written: AtomicU64,
    /// Commands for which there was no room.
    refused: AtomicU64,
}

impl Soak {
    fn new(args: &Args) -> Result<Soak, Failure> {
        let limit = (args.mib as u64) << 20;
        let store = Store::new(Config::new(args.mib << 20))?;
        Ok(Soak {
            tenants: (0..=TENANTS).map(|_| store.add_tenant(Limits::NONE)).collect(),
            limit,
            // At once being written, they are a small part of the store.
            longest: (store.max_item_bytes() as u64 / 16).min(100_000),
            start: Instant::now(),
            phase: Duration::from_secs_f64(args.minutes * 60.0 / f64::from(PHASES)),
            stop: AtomicBool::new(false),
            counts: Counts::default(),
            gets: Histogram::default(),
            sets: Histogram::default(),
            store,
        })
    }

    /// The size of the values that are stored at a time after the start.
    fn size_at(&self, time: Duration) -> u64 {
        let phase = time.as_secs_f64() / self.phase.as_secs_f64();
        if (phase as u64).is_multiple_of(2) { SMALL } else { LARGE }
    }

    /// Prints figures until the time is over, or a worker has ended.
    fn report(
        &self,
        threads: usize,
        mut csv: Option<&mut File>,
        ended: impl Fn() -> bool,
    ) -> std::io::Result<()> {
        let interval = self.phase / INTERVALS;
        let mut before = Snapshot::of(self);
        for number in 1..=PHASES * INTERVALS {
            let end = self.start + interval * number;
            while let left = end.saturating_duration_since(Instant::now())
                && !left.is_zero()
                && !ended()
            {
                thread::sleep(left.min(Duration::from_millis(50)));
            }
            let now = Snapshot::of(self);
            let size = self.size_at(interval * number - interval / 2);
            let figures = Figures::between(&before, &now, self, size, threads);
            println!("{}", figures.row("\t"));
            if let Some(csv) = &mut csv {
                writeln!(csv, "{}", figures.row(","))?;
            }
            if ended() {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// What is to be said at the end.
    fn conclude(&self) {
        let (end, stats) = (Snapshot::of(self), self.store.stats());
        println!(
            "{} operations; {} bytes set, {:.1} times the limit; {:.4} relocated per set",
            end.operations,
            end.written,
            end.written as f64 / self.limit as f64,
            stats.relocated as f64 / stats.sets.max(1) as f64,
        );
        println!("{} refused; recounted: all is well\n{stats:?}", end.refused);
    }
}

/// One thread.
struct Worker<'a> {
    soak: &'a Soak,
    numbers: Numbers,
    /// Of the next value it stores.
    version: u64,
    /// The size of values it stores.
    size: u64,
    /// The keys of a tenant at that size, to the power of a tenth.
    keys: f64,
    hits: u64,
    misses: u64,
    written: u64,
}

impl<'a> Worker<'a> {
    fn new(soak: &'a Soak, seed: u64) -> Worker<'a> {
        let (numbers, version) = (Numbers::new(seed), seed << 48);
        Worker { soak, numbers, version, size: 0, keys: 0.0, hits: 0, misses: 0, written: 0 }
    }

    /// Works until the time is over or a value is wrong.
    fn work(mut self) -> Result<(), Failure> {
        while !self.soak.stop.load(Ordering::Relaxed) {
            self.size = self.soak.size_at(self.soak.start.elapsed());
            let keys = self.soak.limit * FOOTPRINT / TENANTS / (self.size + BESIDE);
            self.keys = (keys as f64).powf(0.1);
            for _ in 0..BATCH {
                self.step()?;
            }
            self.hand_in();
        }
        Ok(())
    }

    /// Adds what it counted to what all did.
    fn hand_in(&mut self) {
        let counts = &self.soak.counts;
        for (count, to) in [
            (BATCH, &counts.operations),
            (self.hits, &counts.hits),
            (self.misses, &counts.misses),
            (self.written, &counts.written),
        ] {
            to.fetch_add(count, Ordering::Relaxed);
        }
        (self.hits, self.misses, self.written) = (0, 0, 0);
    }

    fn step(&mut self) -> Result<(), Failure> {
        let who = match self.numbers.below(ASKED) {
            0 => SELDOM,
            number => number % TENANTS,
        };
        let tenant = &self.soak.tenants[who as usize];
        if who == SELDOM && self.numbers.once_in(FLUSHED) {
            tenant.flush();
        }
        let key = self.key();
        let name = key.to_be_bytes();
        match self.numbers.below(1_000) {
            0..800 => self.read(tenant, who, key),
            800..900 => self.set(tenant, who, key),
            900..930 => {
                tenant.delete(&name);
                Ok(())
            }
            930..960 => {
                let ttl = self.ttl();
                self.allow(tenant.touch(&name, ttl))
            }
            960..985 => self.allow(tenant.store(Mode::Append, &name, MARK, 0, None)),
            985..999 => self.allow(count(tenant, key % 64)),
            _ => self.read_many(tenant, who, key),
        }
    }

    /// Zipf 0.9: a key's share falls with the power of 0.9 of its number, so the share of all before
    /// it grows with the power of 0.1.
    fn key(&mut self) -> u64 {
        (1.0 + self.numbers.share() * (self.keys - 1.0)).powi(10) as u64 - 1
    }

    /// A quarter of what is stored expires, soon.
    fn ttl(&mut self) -> Option<Duration> {
        let short = Duration::from_millis(self.numbers.below(20_000));
        self.numbers.once_in(4).then_some(short)
    }

    /// Gets, and stores what is missing. The time is without that of checking the value.
    fn read(&mut self, tenant: &Tenant, who: u64, key: u64) -> Result<(), Failure> {
        let timed = self.numbers.once_in(TIMED).then(Instant::now);
        let mut checking = Duration::ZERO;
        let found = tenant.get(&key.to_be_bytes(), |item| {
            let start = timed.map(|_| Instant::now());
            let sound = is_sound(&item, who, key);
            checking = start.map_or(Duration::ZERO, |start| start.elapsed());
            sound
        });
        if let Some(start) = timed {
            self.soak.gets.add(start.elapsed().saturating_sub(checking));
        }
        match found {
            Some(sound) => {
                self.hits += 1;
                judge(sound, who, key)
            }
            None => {
                self.misses += 1;
                self.set(tenant, who, key)
            }
        }
    }

    fn read_many(&mut self, tenant: &Tenant, who: u64, key: u64) -> Result<(), Failure> {
        let batch: Vec<u64> = (key..key + 16).collect();
        let names: Vec<[u8; 8]> = batch.iter().map(|key| key.to_be_bytes()).collect();
        let mut torn = None;
        tenant.get_many(&names, |number, item| {
            if item.is_some_and(|item| !is_sound(&item, who, batch[number])) {
                torn = Some(batch[number]);
            }
        });
        torn.map_or(Ok(()), |key| judge(false, who, key))
    }

    fn set(&mut self, tenant: &Tenant, who: u64, key: u64) -> Result<(), Failure> {
        let odd = self.numbers.once_in(ODD);
        let len = if odd { self.numbers.below(self.soak.longest) } else { self.size };
        self.version += 1;
        let value = sealed(who, key, self.version, len as usize);
        let (name, ttl) = (key.to_be_bytes(), self.ttl());
        let store = || tenant.set(&name, &value, key as u32, ttl);
        let timed = self.numbers.once_in(TIMED);
        let done = if timed { self.soak.sets.time(store) } else { store() };
        if done.is_ok() {
            self.written += (name.len() + value.len()) as u64;
        }
        self.allow(done)
    }

    /// Lets a command find no room, or append too much.
    fn allow<T>(&self, done: Result<T, StoreError>) -> Result<(), Failure> {
        match done {
            Ok(_) | Err(StoreError::TooLarge { .. }) => Ok(()),
            Err(StoreError::NoRoom { .. }) => {
                self.soak.counts.refused.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn judge(sound: bool, who: u64, key: u64) -> Result<(), Failure> {
    match sound {
        true => Ok(()),
        false => {
            Err(format!("key {key} of tenant {who} has a value that is torn or another's").into())
        }
    }
}

/// Counts in a number of its own, which only grows while it is there.
fn count(tenant: &Tenant, key: u64) -> Result<(), StoreError> {
    let name = format!("count{key}");
    match tenant.incr(name.as_bytes(), 1)? {
        Arith::Value(_) => Ok(()),
        Arith::NotFound => tenant.store(Mode::Add, name.as_bytes(), b"0", 0, None).map(drop),
        Arith::NotANumber => unreachable!("nothing else is stored there"),
    }
}

/// What was counted up to a time.
struct Snapshot {
    time: Instant,
    operations: u64,
    hits: u64,
    misses: u64,
    written: u64,
    refused: u64,
}

impl Snapshot {
    fn of(soak: &Soak) -> Snapshot {
        let Counts { operations, hits, misses, written, refused } = &soak.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Snapshot {
            time: Instant::now(),
            operations: read(operations),
            hits: read(hits),
            misses: read(misses),
            written: read(written),
            refused: read(refused),
        }
    }
}

/// What was measured in one interval, and the sums up to its end.
struct Figures {
    seconds: f64,
    value_bytes: u64,
    ops_per_second: f64,
    hit_ratio: f64,
    rss_mib: f64,
    get_p99: u64,
    set_p99: u64,
    items: u64,
    bytes: u64,
    operations: u64,
    written: u64,
    refused: u64,
    limit_mib: u64,
    threads: usize,
}

impl Figures {
    const HEAD: &'static str = "seconds,value_bytes,ops_per_second,hit_ratio,rss_mib,get_p99_ns,\
                                set_p99_ns,items,store_bytes,operations,written_bytes,refused,\
                                limit_mib,threads";

    fn between(
        before: &Snapshot,
        now: &Snapshot,
        soak: &Soak,
        value_bytes: u64,
        threads: usize,
    ) -> Figures {
        let (hits, misses) = (now.hits - before.hits, now.misses - before.misses);
        let operations = now.operations - before.operations;
        let stats = soak.store.stats();
        Figures {
            seconds: (now.time - soak.start).as_secs_f64(),
            value_bytes,
            ops_per_second: operations as f64 / (now.time - before.time).as_secs_f64(),
            hit_ratio: hits as f64 / (hits + misses).max(1) as f64,
            rss_mib: rss_mib(),
            get_p99: soak.gets.take_p99(),
            set_p99: soak.sets.take_p99(),
            items: stats.items,
            bytes: stats.bytes,
            operations: now.operations,
            written: now.written,
            refused: now.refused,
            limit_mib: soak.limit >> 20,
            threads,
        }
    }

    fn row(&self, between: &str) -> String {
        [
            format!("{:.2}", self.seconds),
            self.value_bytes.to_string(),
            format!("{:.0}", self.ops_per_second),
            format!("{:.4}", self.hit_ratio),
            format!("{:.2}", self.rss_mib),
            self.get_p99.to_string(),
            self.set_p99.to_string(),
            self.items.to_string(),
            self.bytes.to_string(),
            self.operations.to_string(),
            self.written.to_string(),
            self.refused.to_string(),
            self.limit_mib.to_string(),
            self.threads.to_string(),
        ]
        .join(between)
    }
}

/// What the process has in memory; 0 where the system does not say.
fn rss_mib() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / f64::from(1 << 20)
}

/// Durations in eighths of octaves of nanoseconds.
struct Histogram([AtomicU64; 64 * 8]);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram([const { AtomicU64::new(0) }; 64 * 8])
    }
}

impl Histogram {
    fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let done = work();
        self.add(start.elapsed());
        done
    }

    fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(8);
        let octave = u64::from(nanos.ilog2());
        let eighth = nanos >> (octave - 3) & 7;
        self.0[(octave * 8 + eighth) as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The upper end of the eighth in which the 99th percentile lies, and starts anew.
    fn take_p99(&self) -> u64 {
        let counts: Vec<u64> =
            self.0.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let mut below = 0;
        let place = counts.iter().position(|count| {
            below += count;
            below * 100 >= all * 99 && all > 0
        });
        place.map_or(0, |place| (9 + place as u64 % 8) << (place / 8) >> 3)
    }
}

/// What appending puts behind a value.
const MARK: &[u8] = b"++++++++";

/// A value that says whose it is, filled with what follows from that, with a checksum at the end.
fn sealed(tenant: u64, key: u64, version: u64, len: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(len + 40);
    for number in [tenant << 56 | key, version] {
        value.extend(number.to_le_bytes());
    }
    value.resize(len.max(24) - 8, version as u8);
    value.extend(checksum(&value).to_le_bytes());
    value
}

/// Whether a value is whole, and is its tenant's and key's.
fn is_sound(item: &Item<'_>, tenant: u64, key: u64) -> bool {
    let copy;
    let value = item.value();
    let value = match value.as_slice() {
        Some(bytes) => bytes,
        None => {
            copy = value.to_vec();
            &copy
        }
    };
    let marks = value.rchunks(8).take_while(|mark| *mark == MARK).count();
    let Some((body, sum)) = value[..value.len() - marks * 8].split_last_chunk::<8>() else {
        return false;
    };
    body.len() >= 16
        && checksum(body) == u64::from_le_bytes(*sum)
        && body[..8] == (tenant << 56 | key).to_le_bytes()
        && body[16..].iter().all(|byte| *byte == body[8])
        && item.flags() == key as u32
        && item.key() == key.to_be_bytes()
}

fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words.chain(rest.iter().map(|byte| u64::from(*byte))).fold(bytes.len() as u64, |sum, word| {
        (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

/// A cheap deterministic stream of numbers (xorshift).
struct Numbers(u64);

impl Numbers {
    fn new(seed: u64) -> Numbers {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// From 0 to below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    /// From 0 to below 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
