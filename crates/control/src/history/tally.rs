//! What was counted in a period, and how it is kept in few bytes.
//!
//! A row is a list of the figures that are not 0, and one of the latency buckets that are not empty: the
//! distance to the one before and the value, in varints of 7 bits a byte, with a 0 as its end. Figures are
//! known by their place in a list of names, which is stored once; so a row can be read by a program that
//! has others, which passes over those it does not know.

use std::sync::LazyLock;

use larder_tenancy::{Figures, Latency};

/// What was counted in a period; levels as they were at its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) figures: Figures,
    pub(super) latency: Latency,
}

impl Tally {
    /// Adds what was counted after this.
    pub(super) fn add(&mut self, later: &Tally) {
        self.figures = then(&self.figures, &later.figures);
        self.latency.merge(&later.latency);
    }

    /// As a row, for a reader who has [`names`].
    pub(super) fn encode(&self) -> Box<[u8]> {
        let mut row = Vec::with_capacity(128);
        put_sparse(&mut row, self.figures.fields().map(|(_, value, _)| value));
        put_sparse(&mut row, self.latency.counts().iter().copied());
        row.into_boxed_slice()
    }

    /// Reads a row that was written by a program with these names; none if it is damaged.
    pub(super) fn decode(mut row: &[u8], names: &[Box<str>]) -> Option<Self> {
        let mut tally = Tally::default();
        for (at, value) in take_sparse(&mut row)? {
            if let Some(figure) = tally.figures.named_mut(names.get(at)?) {
                *figure = value;
            }
        }
        for (bucket, count) in take_sparse(&mut row)? {
            // So that sums of what was damaged stay within their type.
            tally.latency.add(bucket, count.min(1 << 48));
        }
        Some(tally)
    }
}

/// The names of this program's figures, as a row of [`Tally::encode`] refers to them.
pub(super) fn names() -> &'static [Box<str>] {
    static NAMES: LazyLock<Box<[Box<str>]>> =
        LazyLock::new(|| Figures::default().fields().map(|(name, ..)| name.into()).collect());
    &NAMES
}

/// Figures of a period and of one after it as those of both.
pub(super) fn then(earlier: &Figures, later: &Figures) -> Figures {
    earlier.joined(later, |earlier, later, is_level| match is_level {
        true => later,
        false => earlier.saturating_add(later),
    })
}

/// Figures of the same node or tenant, as far as they were counted after `before`; levels as they are. A
/// count does not go back while the node runs, whatever becomes of a tenant.
pub(super) fn counted(now: &Figures, before: &Figures) -> Figures {
    now.joined(before, |now, before, is_level| match is_level {
        true => now,
        false => now.saturating_sub(before),
    })
}

/// Keys asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Gets {
    hits: u64,
    all: u64,
}

impl Gets {
    pub(super) fn of(figures: &Figures) -> Self {
        Self { hits: figures.get_hits, all: figures.gets() }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { hits: self.hits.saturating_add(other.hits), all: self.all.saturating_add(other.all) }
    }

    /// The share of them that was found, from 0 to 1; none if none was asked for.
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more digits")]
    pub(super) fn hit_rate(self) -> Option<f64> {
        (self.all > 0).then(|| self.hits as f64 / self.all as f64)
    }
}

/// Writes a list of what is not 0, and a 0 as its end.
fn put_sparse(row: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    let mut last = 0;
    for (place, value) in (1..).zip(values).filter(|(_, value)| *value > 0) {
        put(row, place - last);
        put(row, value);
        last = place;
    }
    row.push(0);
}

/// Reads such a list: places, from 0, and values; none if it is damaged.
fn take_sparse(row: &mut &[u8]) -> Option<Vec<(usize, u64)>> {
    let mut values = Vec::with_capacity(row.len() / 2);
    let mut last = 0_usize;
    loop {
        match usize::try_from(take(row)?).ok()? {
            0 => return Some(values),
            step => last = last.checked_add(step)?,
        }
        values.push((last - 1, take(row)?));
    }
}

/// Appends a varint: seven bits a byte, the low ones first, all but the last byte with the high bit.
pub(super) fn put(row: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        row.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    row.push(value.to_le_bytes()[0]);
}

/// Reads a varint; none if the row ends within it or it is no number of 64 bits.
pub(super) fn take(row: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = row.split_first()?;
        *row = rest;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
