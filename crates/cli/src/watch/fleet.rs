//! What a console tells: all tenants, and the prefixes and keys of one of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use larder_control::{Accounts, Actor, Principal};
use larder_tenancy::TenantName;
use serde::Deserialize;

use super::console::Console;
use super::live::View;
use super::show::{self, NONE};
use crate::accounts::table::{Side, Table};
use crate::units;

/// Most rows of a table.
const MOST: usize = 20;

/// A console, and the token by which it is asked.
pub(super) struct Held {
    console: Console,
    /// What ends the token, where it was made for this.
    made: Option<(Accounts, Actor, Principal, Option<String>)>,
}

impl Held {
    pub(super) fn of_console(console: Console) -> Held {
        Held { console, made: None }
    }

    pub(super) fn of_accounts(
        console: Console,
        accounts: Accounts,
        by: Actor,
        of: Principal,
        id: Option<String>,
    ) -> Held {
        Held { console, made: Some((accounts, by, of, id)) }
    }

    /// Ends the token. One that is left over ends by itself within a day.
    pub(super) async fn end(self) {
        if let Some((accounts, by, of, Some(id))) = self.made {
            let _ = accounts.revoke_token(&by, &of, &id).await;
            accounts.close().await;
        }
    }
}

/// The names of the API.
#[derive(Debug, Clone, Deserialize)]
struct Me {
    tenant: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Tenants {
    tenants: Vec<Tenant>,
}

#[derive(Debug, Clone, Deserialize)]
struct Tenant {
    name: String,
    /// Bytes that it may reach, where that is told.
    ceiling: Option<u64>,
    figures: BTreeMap<String, Option<f64>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Stats {
    figures: BTreeMap<String, Option<f64>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Prefixes {
    share: f64,
    prefixes: Vec<Prefix>,
}

#[derive(Debug, Clone, Deserialize)]
struct Prefix {
    pattern: String,
    hits: u64,
    misses: u64,
    sets: u64,
    evicted_unread: u64,
    missed: BTreeMap<String, u64>,
    never_hits: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Debug, Clone, Deserialize)]
struct Key {
    key: String,
    hits: u64,
    misses: u64,
    sets: u64,
    bytes: u64,
}

/// What was seen of a server's tenants.
pub(super) struct Fleet<'a> {
    held: &'a Held,
    /// Whose prefixes and keys are wanted.
    wanted: Option<TenantName>,
    before: Option<Seen>,
    now: Option<Seen>,
    /// Whose prefixes and keys are shown, and these.
    one: Option<(String, Prefixes, Keys)>,
}

struct Seen {
    at: Instant,
    tenants: Vec<Tenant>,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(held: &'a Held, wanted: Option<TenantName>) -> Fleet<'a> {
        Fleet { held, wanted, before: None, now: None, one: None }
    }

    /// The tenants as the busiest are first, each with what it did since the time before.
    fn busiest(&self) -> Vec<(&Tenant, Option<&Tenant>)> {
        let Some(now) = &self.now else { return Vec::new() };
        let old =
            |name: &str| self.before.as_ref()?.tenants.iter().find(|tenant| tenant.name == name);
        let mut all: Vec<_> =
            now.tenants.iter().map(|tenant| (tenant, old(&tenant.name))).collect();
        let work = |(now, before): &(&Tenant, Option<&Tenant>)| {
            ["gets", "sets"].map(|name| now.since(*before, name)).iter().sum::<u64>()
        };
        let ever = |tenant: &Tenant| tenant.figure("gets") + tenant.figure("sets");
        all.sort_by(|one, other| {
            work(other).cmp(&work(one)).then_with(|| ever(other.0).cmp(&ever(one.0)))
        });
        all
    }

    fn tenants(&self, bold: (&str, &str)) -> String {
        let right = Side::Right;
        let mut table = Table::new([
            ("TENANT", Side::Left),
            ("GETS/s", right),
            ("HIT RATE", right),
            ("SETS/s", right),
            ("EVICTED/s", right),
            ("ITEMS", right),
            ("MEMORY", right),
            ("CONNECTIONS", right),
        ]);
        let time = match (&self.before, &self.now) {
            (Some(before), Some(now)) => now.at.saturating_duration_since(before.at),
            _ => Duration::from_secs(1),
        };
        let all = self.busiest();
        for (now, before) in all.iter().take(MOST) {
            let rate = |name| match before {
                Some(_) => show::rate(now.since(*before, name), time),
                None => NONE.to_owned(),
            };
            let (hits, gets) = (now.since(*before, "get_hits"), now.since(*before, "gets"));
            // A server has no limit yet for a tenant that never used it.
            let limit = match now.figure("limit_bytes") {
                0 => now.ceiling.unwrap_or(0),
                limit => limit,
            };
            let [used, limit] = [now.figure("bytes"), limit].map(units::show_size);
            table.row([
                now.name.clone(),
                rate("gets"),
                show::share(hits, gets).unwrap_or_else(|| NONE.to_owned()),
                rate("sets"),
                rate("evictions"),
                show::count(now.figure("items")),
                format!("{used} of {limit}"),
                show::count(now.figure("connections")),
            ]);
        }
        let more = all.len().saturating_sub(MOST);
        let mut text = table.text(bold);
        if more > 0 {
            text += &format!("and {more} tenants that do less\n");
        }
        text
    }
}

impl View for Fleet<'_> {
    async fn look(&mut self) -> anyhow::Result<()> {
        let console = &self.held.console;
        let me: Me = console.get("me").await?;
        let tenants = match me.tenant {
            None => console.get::<Tenants>("tenants").await?.tenants,
            Some(name) => {
                let Stats { figures } = console.get(&format!("tenants/{name}/stats")).await?;
                vec![Tenant { name, ceiling: None, figures }]
            }
        };
        self.before = self.now.take();
        self.now = Some(Seen { at: Instant::now(), tenants });
        let wanted = self.wanted.as_ref().map(ToString::to_string);
        let busiest = || self.busiest().first().map(|(tenant, _)| tenant.name.clone());
        self.one = match wanted.or_else(busiest) {
            None => None,
            Some(name) => {
                let prefixes = console.get(&format!("tenants/{name}/prefixes")).await?;
                let keys = console.get(&format!("tenants/{name}/keys")).await?;
                Some((name, prefixes, keys))
            }
        };
        Ok(())
    }

    fn text(&self, bold: (&str, &str)) -> String {
        let mut text = format!("{}\n\n{}", self.held.console.url, self.tenants(bold));
        let Some((name, prefixes, keys)) = &self.one else {
            return text + "\nThere are no tenants; larder provision NAME makes one.\n";
        };
        if prefixes.prefixes.is_empty() && keys.keys.is_empty() {
            return text + &format!("\n{name} has not been used yet.\n");
        }
        let sampled = match prefixes.share {
            share if share < 1.0 => format!(", from a sample of {}", show::percent(share)),
            _ => String::new(),
        };
        text += &format!("\nPrefixes of {name}{sampled}\n{}", prefixes.table(bold));
        text + &format!("\nKeys of {name}{sampled}\n{}", keys.table(bold))
    }
}

impl Prefixes {
    fn table(&self, bold: (&str, &str)) -> String {
        let right = Side::Right;
        let mut table = Table::new([
            ("PREFIX", Side::Left),
            ("HITS", right),
            ("MISSES", right),
            ("SETS", right),
            ("HIT RATE", right),
            ("EVICTED UNREAD", right),
            ("MISSED BECAUSE", Side::Left),
        ]);
        for one in self.prefixes.iter().take(MOST) {
            let because =
                if one.never_hits { "it is set, and never hits".to_owned() } else { one.because() };
            table.row([
                plain(&one.pattern),
                show::count(one.hits),
                show::count(one.misses),
                show::count(one.sets),
                show::share(one.hits, one.hits + one.misses).unwrap_or_else(|| NONE.to_owned()),
                show::count(one.evicted_unread),
                because,
            ]);
        }
        table.text(bold)
    }
}

impl Prefix {
    /// The most frequent reasons of misses.
    fn because(&self) -> String {
        let mut all: Vec<_> = self.missed.iter().filter(|(_, count)| **count > 0).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown = all
            .iter()
            .take(3)
            .map(|(name, count)| format!("{} {}", name.replace('_', " "), show::count(**count)));
        shown.collect::<Vec<_>>().join(", ")
    }
}

impl Keys {
    fn table(&self, bold: (&str, &str)) -> String {
        let right = Side::Right;
        let mut table = Table::new([
            ("KEY", Side::Left),
            ("HITS", right),
            ("MISSES", right),
            ("SETS", right),
            ("SIZE", right),
        ]);
        for one in self.keys.iter().take(MOST) {
            table.row([
                plain(&one.key),
                show::count(one.hits),
                show::count(one.misses),
                show::count(one.sets),
                units::show_size(one.bytes),
            ]);
        }
        table.text(bold)
    }
}

impl Tenant {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts are whole numbers from 0; the API's hit rate is none of them"
    )]
    fn figure(&self, name: &str) -> u64 {
        self.figures.get(name).copied().flatten().unwrap_or(0.0) as u64
    }

    /// What was counted since `before`.
    fn since(&self, before: Option<&Tenant>, name: &str) -> u64 {
        let now = self.figure(name);
        before.map_or(0, |before| now.checked_sub(before.figure(name)).unwrap_or(now))
    }
}

/// Text that a client chose, which must not command the terminal.
pub(super) fn plain(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut plain = String::new();
    for c in text.chars() {
        if c.is_control() { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    if plain.chars().count() > LONGEST {
        plain = plain.chars().take(LONGEST - 1).chain(['…']).collect();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_command_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(plain("ключ"), "ключ");
        assert_eq!(plain(&"x".repeat(250)).chars().count(), 60);
    }

    #[test]
    fn what_began_anew_counts_from_there() {
        let tenant = |gets: f64| Tenant {
            name: "a".to_owned(),
            ceiling: None,
            figures: BTreeMap::from([
                ("gets".to_owned(), Some(gets)),
                ("hit_rate".to_owned(), None),
            ]),
        };
        assert_eq!(tenant(7.0).since(Some(&tenant(5.0)), "gets"), 2);
        assert_eq!(tenant(3.0).since(Some(&tenant(5.0)), "gets"), 3);
        assert_eq!((tenant(3.0).since(None, "gets"), tenant(3.0).figure("hit_rate")), (0, 0));
    }
}
