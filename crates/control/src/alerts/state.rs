//! Whether a rule is broken: a state machine without a clock.
//!
//! What must stay true: nothing is told before something was wrong for the rule's time without a break, and
//! it is not said to be over before it was right, by a margin, for the same time; so what swings about the
//! threshold is told once. Time of which nothing is known does not count.

/// How things are for a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As they should not be.
    Bad,
    /// As they should be, but not by the margin.
    Near,
    /// As they should be.
    Good,
}

/// Something seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) verdict: Verdict,
    /// Since when it is like that, as far as one look can tell.
    pub(super) from: u64,
}

/// Where a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    #[default]
    Ok,
    /// Broken, for too short a time.
    Pending { since: u64 },
    /// Broken, and told. `better` is since when it is right.
    Firing { since: u64, better: Option<u64> },
}

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Raised { since: u64 },
    Cleared { since: u64 },
}

impl State {
    /// What is to be told after a look, `wait` seconds being the rule's time. Without `seen` nothing is known;
    /// `lost` are the seconds before the look of which nothing is known.
    pub(super) fn turn(
        &mut self,
        now: u64,
        lost: u64,
        wait: u64,
        seen: Option<Seen>,
    ) -> Option<Turn> {
        self.skip(now, lost);
        let Seen { verdict, from } = seen?;
        match (*self, verdict) {
            (State::Ok, Verdict::Bad) => *self = State::Pending { since: from },
            (State::Pending { .. }, Verdict::Near | Verdict::Good) => *self = State::Ok,
            (State::Firing { since, better: None }, Verdict::Good) => {
                *self = State::Firing { since, better: Some(from) };
            }
            (State::Firing { since, .. }, Verdict::Near | Verdict::Bad) => {
                *self = State::Firing { since, better: None };
            }
            _ => {}
        }
        let is_time = |since: u64| now.saturating_sub(since) >= wait;
        match *self {
            State::Pending { since } if is_time(since) => {
                *self = State::Firing { since, better: None };
                Some(Turn::Raised { since })
            }
            State::Firing { since, better: Some(better) } if is_time(better) => {
                *self = State::Ok;
                Some(Turn::Cleared { since })
            }
            _ => None,
        }
    }

    /// Takes the time of which nothing is known out of what is being waited for.
    fn skip(&mut self, now: u64, lost: u64) {
        let later = |since: u64| since.saturating_add(lost).min(now);
        match self {
            State::Pending { since } => *since = later(*since),
            State::Firing { since, better } => {
                *since = (*since).min(now);
                *better = better.map(later);
            }
            State::Ok => {}
        }
    }
}

#[cfg(test)]
mod tests;
