//! What one thread, or all of them, counted.

/// Counts of operations and errors. A multi-get counts each of its keys.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Commands that were answered.
    pub commands: u64,
    /// Keys that were found, with the right value.
    pub hits: u64,
    /// Keys that were not found.
    pub misses: u64,
    /// Values that were stored.
    pub sets: u64,
    /// Replies with a wrong byte, or that are not replies at all.
    pub wrong: u64,
    /// Commands the server answered with an error.
    pub refused: u64,
    /// Connections that ended, or had to be given up.
    pub lost: u64,
    /// The first error, in words.
    pub first_error: Option<String>,
}

impl Tally {
    /// Keys that were read or written, whatever the answer.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.hits + self.misses + self.sets + self.wrong + self.refused
    }

    /// Everything that should not be.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.wrong + self.refused + self.lost
    }

    /// The share of keys that were found among those that were looked up, or NaN if none was.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "less than 2^53 of anything")]
    pub fn hit_ratio(&self) -> f64 {
        self.hits as f64 / (self.hits + self.misses) as f64
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Tally) {
        self.commands += other.commands;
        self.hits += other.hits;
        self.misses += other.misses;
        self.sets += other.sets;
        self.wrong += other.wrong;
        self.refused += other.refused;
        self.lost += other.lost;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
    }

    /// Begins anew, but for errors: they are never forgotten.
    pub(crate) fn restart(&mut self) {
        (self.commands, self.hits, self.misses, self.sets) = (0, 0, 0, 0);
    }

    /// Keeps the first error.
    #[cold]
    pub(crate) fn note(&mut self, error: impl FnOnce() -> String) {
        self.first_error.get_or_insert_with(error);
    }
}
