//! What any server tells by its `stats`: rates, and prefixes where it counts them.

use super::live::View;
use super::servers::{Source, ask_all};
use super::show::{self, NONE};
use super::stats::Servers;
use crate::accounts::table::{Side, Table};

/// Most rows of a table.
const MOST: usize = 20;

/// Servers, as far as they tell.
pub(super) struct Memcached {
    servers: Servers,
}

impl Memcached {
    pub(super) fn new(sources: Vec<Source>) -> Memcached {
        Memcached { servers: Servers { sources } }
    }

    /// Prefixes of all servers together: name, gets, hits, sets, deletes.
    fn prefixes(&self) -> Vec<(String, [u64; 4])> {
        let mut all: Vec<(String, [u64; 4])> = Vec::new();
        let readings = self.servers.sources.iter().filter_map(Source::reading);
        for (name, line) in readings.flat_map(|reading| &reading.prefixes) {
            let counts = ["get", "hit", "set", "del"].map(|what| count_of(line, what));
            match all.iter_mut().find(|(one, _)| one == name) {
                Some((_, sum)) => {
                    for (sum, count) in sum.iter_mut().zip(counts) {
                        *sum = sum.saturating_add(count);
                    }
                }
                None => all.push((name.clone(), counts)),
            }
        }
        all.sort_by_key(|(_, [gets, _, sets, _])| std::cmp::Reverse(gets.saturating_add(*sets)));
        all
    }
}

impl View for Memcached {
    async fn look(&mut self) -> anyhow::Result<()> {
        let mut sources = std::mem::take(&mut self.servers.sources);
        self.servers.sources = tokio::task::spawn_blocking(move || {
            ask_all(&mut sources, true);
            sources
        })
        .await?;
        Ok(())
    }

    fn text(&self, bold: (&str, &str)) -> String {
        let text = self.servers.rates(bold);
        let prefixes = self.prefixes();
        if prefixes.is_empty() {
            return text
                + "\nPrefixes: not counted; the command `stats detail on` has a server begin to.\n\
                   Keys: no stats tell which are busy. larder serve --data DIR finds keys and prefixes by \
                   itself.\n";
        }
        let right = Side::Right;
        let mut table = Table::new([
            ("PREFIX", Side::Left),
            ("HITS", right),
            ("MISSES", right),
            ("SETS", right),
            ("DELETES", right),
            ("HIT RATE", right),
        ]);
        for (name, [gets, hits, sets, deletes]) in prefixes.into_iter().take(MOST) {
            table.row([
                super::fleet::plain(&name),
                show::count(hits),
                show::count(gets.saturating_sub(hits)),
                show::count(sets),
                show::count(deletes),
                show::share(hits, gets).unwrap_or_else(|| NONE.to_owned()),
            ]);
        }
        text + "\n" + &table.text(bold) + "\nKeys: no stats tell which are busy.\n"
    }
}

/// The number after a word: of `get 3 hit 1 set 2 del 0`.
fn count_of(line: &str, what: &str) -> u64 {
    let mut words = line.split_whitespace();
    let found = words.by_ref().any(|word| word == what).then(|| words.next()).flatten();
    found.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_prefixes_are_found_by_name() {
        let line = "get 3 hit 1 set 2 del 0";
        assert_eq!(
            ["get", "hit", "set", "del", "x"].map(|what| count_of(line, what)),
            [3, 1, 2, 0, 0]
        );
        assert_eq!(count_of("get", "get"), 0);
    }
}
