//! A long run at the limit: threads mix all commands on checksummed values under eviction, while the
//! sizes of items shift between 32 bytes and 4 KiB. Started by `cargo xtask soak store`.
//!
//! Every value that is read must be whole and belong to its key and tenant: the program ends with an
//! error at the first that is not. At the end everything is recounted. `--csv FILE` keeps the figures
//! printed every few seconds.

#![allow(clippy::print_stdout, reason = "a command-line tool talks to a terminal")]
#![allow(clippy::cast_possible_truncation, reason = "numbers are small, or parts of them will do")]

use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use larder_store::{Arith, Config, Item, Limits, Mode, Stats, Store, StoreError, Tenant};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const TENANTS: u64 = 4;
/// Seconds between figures.
const TICK: Duration = Duration::from_secs(5);
/// How long small items are stored before large ones are, and so on.
const PHASE: Duration = Duration::from_secs(20);
const SMALL: u64 = 32;
const LARGE: u64 = 4096;
/// One operation in so many is timed.
const TIMED: u64 = 8;

fn main() -> Result<(), Failure> {
    let args = Args::parse()?;
    let store = Store::new(Config::new(args.mib << 20))?;
    let soak = Soak {
        tenants: (0..TENANTS).map(|_| store.add_tenant(Limits::NONE)).collect(),
        // At once being written, they are a small part of the store.
        longest: (store.max_item_bytes() as u64 / 16).min(100_000),
        // A few times as many as fit while they are small.
        keys: (args.mib as u64) << 20 >> 7,
        start: Instant::now(),
        stop: AtomicBool::new(false),
        ops: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        gets: Histogram::default(),
        sets: Histogram::default(),
        store,
    };
    let mut csv = args.csv.as_deref().map(File::create).transpose()?;
    if let Some(csv) = &mut csv {
        writeln!(csv, "{}", Figures::HEAD)?;
    }
    println!("{}", Figures::HEAD.replace(',', "\t"));
    let faults = thread::scope(|scope| {
        let soak = &soak;
        let seeds = 1..=args.threads as u64;
        let workers: Vec<_> = seeds.map(|seed| scope.spawn(move || soak.work(seed))).collect();
        let reported = soak.report(args.minutes, csv.as_mut(), || {
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
    let stats = soak.store.stats();
    println!("{} sets refused; recounted: all is well\n{stats:?}", soak.refused.into_inner());
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
    tenants: Vec<Tenant>,
    /// Per tenant.
    keys: u64,
    /// The largest value in bytes.
    longest: u64,
    start: Instant,
    stop: AtomicBool,
    ops: AtomicU64,
    /// Commands for which there was no room.
    refused: AtomicU64,
    gets: Histogram,
    sets: Histogram,
}

impl Soak {
    /// One thread's operations, until the time is over or a value is wrong.
    fn work(&self, seed: u64) -> Result<(), Failure> {
        let mut next = numbers(seed);
        let mut version = seed << 48;
        while !self.stop.load(Ordering::Relaxed) {
            let large = self.start.elapsed().as_secs() / PHASE.as_secs() % 2 == 1;
            for _ in 0..1024 {
                version += 1;
                self.step(&mut next, version, large)?;
            }
            self.ops.fetch_add(1024, Ordering::Relaxed);
        }
        Ok(())
    }

    fn step(
        &self,
        next: &mut impl FnMut() -> u64,
        version: u64,
        large: bool,
    ) -> Result<(), Failure> {
        let who = next() % TENANTS;
        let tenant = &self.tenants[usize::try_from(who)?];
        // Few keys are asked for often: the logarithm is spread evenly.
        let uniform = next() % (1 << 32);
        let key = (self.keys as f64).powf(uniform as f64 / f64::from(1 << 30) / 4.0) as u64;
        let name = key.to_be_bytes();
        let flags = key as u32;
        let ttl = (next().is_multiple_of(4)).then(|| Duration::from_millis(next() % 20_000));
        let timed = next().is_multiple_of(TIMED);
        let done = match next() % 1_000 {
            0..600 => {
                let read = || tenant.get(&name, |item| is_sound(&item, who, key));
                let sound = if timed { self.gets.time(read) } else { read() };
                self.judge(sound, who, key)?;
                Ok(())
            }
            600..900 => {
                // Now and then one in chunks.
                let len = match (large, next() % 500) {
                    (_, 0) => next() % self.longest,
                    (false, _) => SMALL,
                    (true, _) => LARGE,
                };
                let value = sealed(who, key, version, usize::try_from(len)?);
                let store = || tenant.set(&name, &value, flags, ttl);
                if timed { self.sets.time(store) } else { store() }
            }
            900..940 => {
                tenant.delete(&name);
                Ok(())
            }
            940..970 => tenant.touch(&name, ttl).map(drop),
            970..985 => tenant.store(Mode::Append, &name, MARK, 0, None).map(drop),
            985..999 => self.count(tenant, key % 64),
            _ if key.is_multiple_of(2_000) => {
                tenant.flush();
                Ok(())
            }
            _ => {
                let batch: Vec<u64> = (key..key + 16).collect();
                let names: Vec<[u8; 8]> = batch.iter().map(|key| key.to_be_bytes()).collect();
                let mut torn = None;
                tenant.get_many(&names, |number, item| {
                    if item.is_some_and(|item| !is_sound(&item, who, batch[number])) {
                        torn = Some(batch[number]);
                    }
                });
                self.judge(torn.map(|_| false), who, torn.unwrap_or(0))?;
                Ok(())
            }
        };
        match done {
            Ok(()) | Err(StoreError::TooLarge { .. }) => {}
            Err(StoreError::NoRoom { .. }) => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn judge(&self, sound: Option<bool>, who: u64, key: u64) -> Result<(), Failure> {
        if sound == Some(false) {
            return Err(
                format!("key {key} of tenant {who} has a value that is torn or another's").into()
            );
        }
        Ok(())
    }

    /// Counts in a number of its own, which only grows while it is there.
    fn count(&self, tenant: &Tenant, key: u64) -> Result<(), StoreError> {
        let name = format!("count{key}");
        match tenant.incr(name.as_bytes(), 1)? {
            Arith::Value(_) => Ok(()),
            Arith::NotFound => tenant.store(Mode::Add, name.as_bytes(), b"0", 0, None).map(drop),
            Arith::NotANumber => unreachable!("nothing else is stored there"),
        }
    }

    /// Prints figures until the time is over, or a worker has ended.
    fn report(
        &self,
        minutes: f64,
        mut csv: Option<&mut File>,
        ended: impl Fn() -> bool,
    ) -> std::io::Result<()> {
        let end = self.start + Duration::from_secs_f64(minutes * 60.0);
        let mut before = (Instant::now(), 0, self.store.stats());
        while Instant::now() < end && !ended() {
            let next = (before.0 + TICK).min(end);
            while Instant::now() < next && !ended() {
                thread::sleep(Duration::from_millis(50));
            }
            let now = (Instant::now(), self.ops.load(Ordering::Relaxed), self.store.stats());
            let figures = Figures::between(&before, &now, self);
            println!("{}", figures.row("\t"));
            if let Some(csv) = &mut csv {
                writeln!(csv, "{}", figures.row(","))?;
            }
            before = now;
        }
        Ok(())
    }
}

/// What was measured in one interval.
struct Figures {
    seconds: f64,
    ops_per_second: f64,
    hit_ratio: f64,
    rss_mib: f64,
    get_p99: u64,
    set_p99: u64,
    items: u64,
    bytes: u64,
    refused: u64,
}

impl Figures {
    const HEAD: &'static str =
        "seconds,ops_per_second,hit_ratio,rss_mib,get_p99_ns,set_p99_ns,items,store_bytes,refused";

    fn between(
        before: &(Instant, u64, Stats),
        now: &(Instant, u64, Stats),
        soak: &Soak,
    ) -> Figures {
        let (hits, misses) = (now.2.hits - before.2.hits, now.2.misses - before.2.misses);
        Figures {
            seconds: (now.0 - soak.start).as_secs_f64(),
            ops_per_second: (now.1 - before.1) as f64 / (now.0 - before.0).as_secs_f64(),
            hit_ratio: hits as f64 / (hits + misses).max(1) as f64,
            rss_mib: rss_mib(),
            get_p99: soak.gets.take_p99(),
            set_p99: soak.sets.take_p99(),
            items: now.2.items,
            bytes: now.2.bytes,
            refused: soak.refused.load(Ordering::Relaxed),
        }
    }

    fn row(&self, between: &str) -> String {
        [
            format!("{:.1}", self.seconds),
            format!("{:.0}", self.ops_per_second),
            format!("{:.4}", self.hit_ratio),
            format!("{:.1}", self.rss_mib),
            self.get_p99.to_string(),
            self.set_p99.to_string(),
            self.items.to_string(),
            self.bytes.to_string(),
            self.refused.to_string(),
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
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX).max(8);
        let octave = u64::from(nanos.ilog2());
        let eighth = nanos >> (octave - 3) & 7;
        self.0[(octave * 8 + eighth) as usize].fetch_add(1, Ordering::Relaxed);
        done
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
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}
