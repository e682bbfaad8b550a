//! What is asked for and how hard: the numbers of a load, and how they are written on a command line.

use std::fmt::{self, Display, Formatter};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::data::{LONGEST_KEY, MOST_KEYS, SHORTEST_KEY};
use crate::protocol::Protocol;

/// The largest value that can be asked for, in bytes: what memcached can be configured to take.
pub const LARGEST_VALUE: u32 = 1 << 30;

/// The shortest measurement.
const SHORTEST: Duration = Duration::from_millis(10);

/// The most connections of a load.
pub const MOST_CONNECTIONS: u32 = 1_000_000;

/// A load: what every connection does, and for how long.
#[derive(Debug, Clone)]
pub struct Load {
    /// The language of the wire.
    pub protocol: Protocol,
    /// How many different keys there are.
    pub keys: u32,
    /// Their length in bytes.
    pub key_size: usize,
    /// Which of them are asked for.
    pub choice: Choice,
    /// How long the values are.
    pub values: Sizes,
    /// How many commands are gets, how many are sets.
    pub mix: Mix,
    /// What is stored lives this many seconds; 0: for ever.
    pub ttl: u32,
    /// Keys of one get command.
    pub multiget: u32,
    /// Commands that are sent together; the next ones follow when all are answered.
    pub pipeline: u32,
    /// Connections, shared out among the threads.
    pub connections: u32,
    /// Threads, each with a loop of its own.
    pub threads: u32,
    /// The cores the threads are pinned to, in turns; empty: wherever the system puts them.
    pub cores: Vec<usize>,
    /// Operations per second at which requests become due (the open loop); none: the next request
    /// follows a reply (the closed loop).
    pub rate: Option<f64>,
    /// Time before anything is counted.
    pub warmup: Duration,
    /// Time of measurement.
    pub duration: Duration,
    /// What the random numbers follow from.
    pub seed: u64,
}

impl Default for Load {
    fn default() -> Load {
        Load {
            protocol: Protocol::Text,
            keys: 1_000_000,
            key_size: 30,
            choice: Choice::Zipf(0.99),
            values: Sizes { min: 32, max: 32 },
            mix: Mix { gets: 90, sets: 10 },
            ttl: 0,
            multiget: 1,
            pipeline: 1,
            connections: 16,
            threads: 1,
            cores: Vec::new(),
            rate: None,
            warmup: Duration::from_secs(1),
            duration: Duration::from_secs(5),
            seed: 1,
        }
    }
}

impl Load {
    /// What is wrong with these numbers: the first that is out of its range, as a sentence.
    ///
    /// # Errors
    ///
    /// The sentence; it names the number and its range.
    pub fn check(&self) -> Result<(), String> {
        let within = |what: &str, value: u64, range: RangeInclusive<u64>| {
            let (from, to) = (range.start(), range.end());
            let fault = || format!("{what} {value}: must be between {from} and {to}");
            range.contains(&value).then_some(()).ok_or_else(fault)
        };
        within("keys", self.keys.into(), 1..=MOST_KEYS.into())?;
        within("key size", self.key_size as u64, SHORTEST_KEY as u64..=LONGEST_KEY as u64)?;
        within("value size", self.values.max.into(), 0..=LARGEST_VALUE.into())?;
        within("multi-get", self.multiget.into(), 1..=10_000)?;
        within("pipeline", self.pipeline.into(), 1..=10_000)?;
        within("threads", self.threads.into(), 1..=1024)?;
        within("connections", self.connections.into(), 1..=MOST_CONNECTIONS.into())?;
        if self.connections < self.threads {
            let (connections, threads) = (self.connections, self.threads);
            return Err(format!("connections {connections}: fewer than the {threads} threads"));
        }
        if self.duration < SHORTEST {
            return Err(format!("seconds {}: must be at least 0.01", self.duration.as_secs_f64()));
        }
        match self.rate {
            Some(rate) if !(rate.is_finite() && rate > 0.0) => {
                Err(format!("rate {rate}: must be a number of operations per second above 0"))
            }
            _ => Ok(()),
        }
    }

    /// Operations (keys read or written) of an average command.
    #[must_use]
    pub fn operations_per_command(&self) -> f64 {
        let sets = self.mix.share_of_sets();
        sets + (1.0 - sets) * f64::from(self.multiget)
    }
}

impl Display for Load {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Load { protocol, mix, multiget, pipeline, connections, threads, .. } = self;
        write!(
            f,
            "{protocol}, {mix}, values of {}, {} keys {}",
            self.values, self.keys, self.choice
        )?;
        if *multiget > 1 {
            write!(f, ", multi-get {multiget}")?;
        }
        if *pipeline > 1 {
            write!(f, ", pipeline {pipeline}")?;
        }
        let s = |n: &u32| if *n == 1 { "" } else { "s" };
        write!(f, ", {connections} connection{}, {threads} thread{}", s(connections), s(threads))?;
        self.rate.map_or(Ok(()), |rate| write!(f, ", {rate:.0} operations/s offered"))
    }
}

/// How keys are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    /// All alike.
    Uniform,
    /// By Zipf's law with this exponent: few are popular.
    Zipf(f64),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        let exponent = match text.split_once(':') {
            None if text == "uniform" => return Ok(Choice::Uniform),
            None if text == "zipf" => Some(0.99),
            Some(("zipf", exponent)) => exponent.parse().ok(),
            _ => None,
        };
        exponent
            .filter(|exponent| *exponent > 0.0 && *exponent <= 10.0)
            .map(Choice::Zipf)
            .ok_or_else(|| {
                "give uniform, zipf, or zipf:EXPONENT with an exponent above 0, up to 10".to_owned()
            })
    }
}

impl Display for Choice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Uniform => f.write_str("(uniform)"),
            Choice::Zipf(exponent) => write!(f, "(Zipf {exponent})"),
        }
    }
}

/// Sizes of values in bytes: all from `min` to `max` are as frequent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The smallest.
    pub min: u32,
    /// The largest; not below `min`.
    pub max: u32,
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Sizes, String> {
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let sizes = size(min).zip(size(max)).map(|(min, max)| Sizes { min, max });
        sizes.filter(|sizes| sizes.min <= sizes.max && sizes.max <= LARGEST_VALUE).ok_or_else(
            || "give a number of bytes or a range, up to 1g: 100, 4k, 10-200, 1k-64k".to_owned(),
        )
    }
}

impl Display for Sizes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Sizes { min, max } if min == max => write!(f, "{min} B"),
            Sizes { min, max } => write!(f, "{min}–{max} B"),
        }
    }
}

/// A number of bytes; `k`, `m` and `g` are powers of 1024.
fn size(text: &str) -> Option<u32> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1 << 10),
        b'm' | b'M' => (&text[..text.len() - 1], 1 << 20),
        b'g' | b'G' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits.parse::<u32>().ok()?.checked_mul(unit)
}

/// How many commands in a row are gets and how many are sets, on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix {
    /// Parts that are gets.
    pub gets: u32,
    /// Parts that are sets. Not both are 0.
    pub sets: u32,
}

impl Mix {
    /// The share of commands that are sets, from 0 to 1.
    #[must_use]
    pub fn share_of_sets(self) -> f64 {
        f64::from(self.sets) / (f64::from(self.gets) + f64::from(self.sets))
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Mix, String> {
        let parts = text.split_once(':').and_then(|(gets, sets)| {
            Some(Mix { gets: gets.parse().ok()?, sets: sets.parse().ok()? })
        });
        parts
            .filter(|mix| mix.gets > 0 || mix.sets > 0)
            .ok_or_else(|| "give parts of gets and of sets, not both 0: 90:10, 1:0, 0:1".to_owned())
    }
}

impl Display for Mix {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Mix { sets: 0, .. } => f.write_str("all gets"),
            Mix { gets: 0, .. } => f.write_str("all sets"),
            Mix { gets, sets } => write!(f, "{gets}:{sets} get:set"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, min, max) in [
            ("0", 0, 0),
            ("32", 32, 32),
            ("4k", 4096, 4096),
            ("1K-1m", 1024, 1 << 20),
            ("1g", LARGEST_VALUE, LARGEST_VALUE),
        ] {
            assert_eq!(text.parse(), Ok(Sizes { min, max }), "{text}");
        }
        for text in
            ["", "k", "-", "-5", "5-", "9-8", "2g", "4294967296", "4194304k", "x", "1kk", "é"]
        {
            let error = text.parse::<Sizes>().unwrap_err();
            assert!(error.contains("10-200"), "{text}: {error}");
        }
    }

    #[test]
    fn mixes_are_read() {
        assert_eq!("90:10".parse(), Ok(Mix { gets: 90, sets: 10 }));
        assert_eq!("0:1".parse::<Mix>().unwrap().share_of_sets().to_bits(), 1f64.to_bits());
        for text in ["", "90", "0:0", "1:-1", "a:b", "1:2:3"] {
            assert!(text.parse::<Mix>().is_err(), "{text}");
        }
    }

    #[test]
    fn choices_are_read() {
        assert_eq!("uniform".parse(), Ok(Choice::Uniform));
        assert_eq!("zipf".parse(), Ok(Choice::Zipf(0.99)));
        assert_eq!("zipf:1.2".parse(), Ok(Choice::Zipf(1.2)));
        for text in ["", "zipf:", "zipf:0", "zipf:-1", "zipf:nan", "zipf:inf", "uniform:1", "gauss"]
        {
            assert!(text.parse::<Choice>().is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let load = Load::default();
        assert_eq!(load.check(), Ok(()));
        let faulty = [
            (Load { keys: 0, ..load.clone() }, "keys 0"),
            (Load { keys: MOST_KEYS + 1, ..load.clone() }, "keys 100000001"),
            (Load { key_size: 251, ..load.clone() }, "key size 251: must be between 12 and 250"),
            (Load { multiget: 0, ..load.clone() }, "multi-get 0"),
            (Load { pipeline: 0, ..load.clone() }, "pipeline 0"),
            (Load { connections: 1, threads: 2, ..load.clone() }, "fewer than the 2 threads"),
            (Load { duration: Duration::ZERO, ..load.clone() }, "seconds 0: must be at least 0.01"),
            (Load { rate: Some(0.0), ..load.clone() }, "rate 0"),
            (Load { rate: Some(f64::NAN), ..load.clone() }, "rate NaN"),
        ];
        for (load, part) in faulty {
            let error = load.check().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_multi_get_counts_its_keys() {
        let load = Load { multiget: 100, mix: Mix { gets: 1, sets: 1 }, ..Load::default() };
        assert!((load.operations_per_command() - 50.5).abs() < 1e-9);
    }
}
