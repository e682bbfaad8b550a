//! What can be varied of the engine's policy, and its notation: `engine/segments=512/small=5%`.

use anyhow::{Context, bail};

/// The parameters of the engine's policy. The default is what the engine does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Segments in all, 4 at least. Fewer if they could not hold an item of mean size.
    pub segments: u32,
    /// The share of the small queue, 0 to 1.
    pub small: f64,
    /// Hits that lead from the small queue to the main one.
    pub promote: u8,
    /// Whether hits beyond those come along.
    pub keep: bool,
    /// What staying in the main queue costs.
    pub decay: Decay,
    /// The share of the small queue in which hits do not count, 0 to 1.
    pub window: f64,
    /// Ghosts per item that the cache has room for.
    pub ghosts: f64,
    /// Ghosts in a bucket.
    pub ways: usize,
    /// Whether a key that comes back as a ghost enters the main queue; if not, the small one.
    pub ghost_main_queue: bool,
    /// The hits that a key which comes back as a ghost starts with.
    pub ghost_hits: u8,
    /// Whether what leaves the main queue becomes a ghost, too.
    pub ghost_main: bool,
    /// Whether the share of the small queue adapts, between 1 % and 20 %.
    pub adapt: bool,
    /// How fast, relative to the inverse of the number of keys.
    pub step: f64,
}

/// What staying in the main queue costs an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    /// One hit.
    One,
    /// Half of its hits; half of one is none.
    Half,
    /// All of them.
    All,
}

impl Decay {
    /// What is left of `hits`.
    #[must_use]
    pub fn apply(self, hits: u8) -> u8 {
        match self {
            Self::One => hits.saturating_sub(1),
            Self::Half => hits / 2,
            Self::All => 0,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segments: 128,
            small: 0.12,
            promote: 1,
            keep: false,
            decay: Decay::One,
            window: 0.25,
            ghosts: 1.0,
            ways: 4,
            ghost_main_queue: true,
            ghost_hits: 0,
            ghost_main: false,
            adapt: false,
            step: 1.0,
        }
    }
}

impl Options {
    /// Reads what follows `engine`: nothing, or `/name=value` for each parameter that differs.
    ///
    /// # Errors
    ///
    /// When a name is not known, or a value is none.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut options = Self::default();
        for part in text.split('/').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            options.set(name, value).with_context(|| format!("engine: {part:?}"))?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> anyhow::Result<()> {
        match name {
            "segments" => self.segments = value.parse()?,
            "small" => self.small = share(value)?,
            "promote" => self.promote = value.parse()?,
            "keep" => self.keep = value.parse()?,
            "decay" => {
                self.decay = match value {
                    "one" => Decay::One,
                    "half" => Decay::Half,
                    "all" => Decay::All,
                    _ => bail!("one, half or all?"),
                }
            }
            "window" => self.window = share(value)?,
            "ghosts" => self.ghosts = value.parse()?,
            "ways" => self.ways = value.parse()?,
            "ghost-to" => {
                self.ghost_main_queue = match value {
                    "main" => true,
                    "small" => false,
                    _ => bail!("main or small?"),
                }
            }
            "ghost-hits" => self.ghost_hits = value.parse()?,
            "ghost-main" => self.ghost_main = value.parse()?,
            "adapt" => self.adapt = value.parse()?,
            "step" => self.step = value.parse()?,
            _ => bail!("no such parameter"),
        }
        Ok(())
    }

    /// How many ghosts there are, for a cache with room for `items`.
    #[must_use]
    pub fn ghosts_for(&self, items: u64) -> u64 {
        super::super::share(items, self.ghosts)
    }
}

fn share(text: &str) -> anyhow::Result<f64> {
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>()? / 100.0,
        None => text.parse()?,
    };
    if !(0.0..=1.0).contains(&value) {
        bail!("not between 0 and 1");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_default() {
        assert_eq!(Options::parse("").unwrap(), Options::default());
        let options = Options::parse("/segments=512/small=5%/decay=all/ghost-to=small").unwrap();
        assert_eq!((options.segments, options.small, options.decay), (512, 0.05, Decay::All));
        assert!(!options.ghost_main_queue && options.ways == Options::default().ways);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in ["/segments=-1", "/small=101%", "/decay=two", "/window", "/colour=red"] {
            let error = format!("{:#}", Options::parse(wrong).unwrap_err());
            assert!(error.contains(&wrong[1..]), "{error}");
        }
    }
}
