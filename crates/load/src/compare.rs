//! Several servers under the same load, in turns: whatever slows the machine down for a while meets all
//! of them, and the quotients of one round tell more than those of two averages.

use crate::figures::{median, paired_ratio};
use crate::run::{Error, Figures, Generator, Progress};
use crate::server::Server;

/// A server, and what was found in each round.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Where it is.
    pub address: String,
    /// What it says its version is.
    pub version: String,
    /// In the order in which they were measured.
    pub rounds: Vec<Figures>,
}

impl Compared {
    /// The median of a figure over the rounds.
    #[must_use]
    pub fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        median(&self.series(figure))
    }

    /// The median of this server's figure ÷ another's, round by round.
    #[must_use]
    pub fn ratio(&self, other: &Compared, figure: impl Fn(&Figures) -> f64) -> f64 {
        paired_ratio(&self.series(&figure), &other.series(&figure))
    }

    /// Errors of all rounds.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.rounds.iter().map(|figures| figures.tally.errors()).sum()
    }

    /// The first error of all rounds, in words.
    #[must_use]
    pub fn first_error(&self) -> Option<&str> {
        self.rounds.iter().find_map(|figures| figures.tally.first_error.as_deref())
    }

    fn series(&self, figure: impl Fn(&Figures) -> f64) -> Vec<f64> {
        self.rounds.iter().map(figure).collect()
    }
}

/// How far a comparison is.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'s> {
    /// The server whose turn it is.
    pub server: &'s Server,
    /// Which round this is, from 1; 0 while servers are filled.
    pub round: u32,
    /// How far its load is.
    pub progress: Progress,
}

/// Asks each server for its version, fills it if `fill` says so, and runs the load `rounds` times on all.
///
/// # Errors
///
/// When a server cannot be reached, or does not take what it is filled with.
pub fn compare(
    generator: &Generator,
    servers: &[Server],
    rounds: u32,
    fill: bool,
    watch: &mut dyn FnMut(Turn<'_>),
) -> Result<Vec<Compared>, Error> {
    let mut compared = Vec::new();
    for server in servers {
        let version = server.version(generator.load().protocol)?;
        let address = server.address.to_string();
        compared.push(Compared { address, version, rounds: Vec::new() });
    }
    for server in servers.iter().filter(|_| fill) {
        let tell = &mut |progress| watch(Turn { server, round: 0, progress });
        let tally = generator.fill(server, tell)?.tally;
        if tally.errors() > 0 {
            let (errors, first) = (tally.errors(), tally.first_error.unwrap_or_default());
            return Err(server.refused(&format!("{errors} errors while filling it: {first}")));
        }
    }
    for round in 1..=rounds {
        for (server, compared) in servers.iter().zip(&mut compared) {
            let tell = &mut |progress| watch(Turn { server, round, progress });
            compared.rounds.push(generator.run(server, tell)?);
        }
    }
    Ok(compared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tally;
    use std::time::Duration;

    fn compared(micros: &[u64]) -> Compared {
        let figures = |&micros: &u64| Figures {
            seconds: 1.0,
            server_cpu: Some(Duration::from_micros(micros)),
            tally: Tally { sets: 1, ..Tally::default() },
            ..Figures::default()
        };
        let rounds = micros.iter().map(figures).collect();
        Compared { address: String::new(), version: String::new(), rounds }
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        // The machine was slow in the second round, for both.
        let (ours, theirs) = (compared(&[10, 50, 12]), compared(&[20, 100, 24]));
        assert!((ours.median(Figures::cpu_micros) - 12.0).abs() < 1e-9);
        assert!((ours.ratio(&theirs, Figures::cpu_micros) - 0.5).abs() < 1e-9);
        assert!(ours.median(Figures::generator_cores).is_nan());
    }
}
