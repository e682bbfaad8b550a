//! `larder stats`: what servers count, one column each and one of all together; as differences with
//! `--watch`.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Map, Value, json};

use super::live::{self, View};
use super::servers::{Reading, Source, Which, ask_all};
use super::show::{self, NONE};
use crate::accounts::ListFormat;
use crate::accounts::table::{Side, Table};
use crate::{tell, units};

const EXAMPLES: &str = "\
Examples:
  larder stats                                the configured servers, else 127.0.0.1:11211
  larder stats --watch cache1 cache2          per second, drawn anew each second
  LARDER_PASSWORD=… larder stats --user ann cache1:11211

A server with tenants tells of the tenant that the user is of.";

/// Flags of `larder stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Shows what happens per second, again and again, SECONDS apart
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true,
        default_missing_value = "1", value_parser = clap::value_parser!(u64).range(1..=3600))]
    watch: Option<u64>,
    /// As a table or as JSON
    #[arg(long, value_enum, default_value_t = ListFormat::Table, conflicts_with = "watch")]
    format: ListFormat,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut servers = Servers { sources: args.which.sources()? };
    if let Some(seconds) = args.watch {
        return live::watch(servers, Duration::from_secs(seconds)).await;
    }
    servers.look().await?;
    if args.format == ListFormat::Json {
        tell::out(format_args!("{:#}\n", servers.json()));
    } else if servers.sources.iter().any(|source| source.reading().is_some()) {
        tell::out(servers.table(crate::accounts::bold()));
    }
    let errors: Vec<_> = servers.sources.iter().filter_map(Source::error).collect();
    if errors.is_empty() { Ok(()) } else { bail!("{}", errors.join("; ")) }
}

/// A line of the table.
enum Row {
    /// A word of each server.
    Text(&'static str),
    /// Seconds.
    Time(&'static str),
    /// Something that goes up and down.
    Level(&'static [&'static str]),
    /// Bytes of a limit.
    Memory(&'static str, &'static str),
    /// The first of both together.
    Share(&'static [&'static str], &'static [&'static str]),
    /// What is counted.
    Count(&'static [&'static str]),
    /// What is counted, in bytes.
    Bytes(&'static str),
}

const ROWS: &[(&str, Row)] = &[
    ("version", Row::Text("version")),
    ("up", Row::Time("uptime")),
    ("connections", Row::Level(&["curr_connections"])),
    ("items", Row::Level(&["curr_items"])),
    ("memory", Row::Memory("bytes", "limit_maxbytes")),
    ("hit rate", Row::Share(&["get_hits"], &["get_misses"])),
    ("get hits", Row::Count(&["get_hits"])),
    ("get misses", Row::Count(&["get_misses"])),
    ("sets", Row::Count(&["cmd_set"])),
    ("deletes", Row::Count(&["delete_hits", "delete_misses"])),
    ("incrs and decrs", Row::Count(&["incr_hits", "incr_misses", "decr_hits", "decr_misses"])),
    ("touches", Row::Count(&["touch_hits", "touch_misses"])),
    ("flushes", Row::Count(&["cmd_flush"])),
    ("evictions", Row::Count(&["evictions"])),
    ("  of them unread", Row::Count(&["evicted_unfetched"])),
    ("expired", Row::Count(&["reclaimed"])),
    ("new connections", Row::Count(&["total_connections"])),
    ("refused logins", Row::Count(&["auth_errors"])),
    ("refused commands", Row::Count(&["larder_denied"])),
    ("received", Row::Bytes("bytes_read")),
    ("sent", Row::Bytes("bytes_written")),
];

/// The servers that are looked at.
pub(super) struct Servers {
    pub(super) sources: Vec<Source>,
}

impl View for Servers {
    async fn look(&mut self) -> anyhow::Result<()> {
        let mut sources = std::mem::take(&mut self.sources);
        self.sources = tokio::task::spawn_blocking(move || {
            ask_all(&mut sources, false);
            sources
        })
        .await?;
        Ok(())
    }

    fn text(&self, bold: (&str, &str)) -> String {
        self.rates(bold)
    }
}

impl Servers {
    /// What was counted since the servers started.
    fn table(&self, bold: (&str, &str)) -> String {
        self.columns(bold, total)
    }

    /// What was counted per second, since the time before.
    pub(super) fn rates(&self, bold: (&str, &str)) -> String {
        let mut text = self.columns(bold, rate);
        text += "\nWhat is counted is per second.\n";
        for error in self.sources.iter().filter_map(Source::error) {
            text += &format!("{error}\n");
        }
        text
    }

    fn columns(
        &self,
        bold: (&str, &str),
        cell: impl Fn(&Row, &[&Source]) -> Option<String>,
    ) -> String {
        let all: Vec<_> = self.sources.iter().filter(|source| source.reading().is_some()).collect();
        let mut headings = vec![String::new()];
        headings.extend(all.iter().map(|source| source.name.clone()));
        let with_sum = all.len() > 1;
        headings.extend(with_sum.then(|| "all".to_owned()));
        let columns = headings.iter().enumerate().map(|(at, heading)| {
            (heading.as_str(), if at == 0 { Side::Left } else { Side::Right })
        });
        let mut table = Table::new(columns);
        for (name, row) in ROWS {
            let mut cells: Vec<_> =
                all.iter().map(|source| cell(row, std::slice::from_ref(source))).collect();
            let has_sum = !matches!(row, Row::Text(_) | Row::Time(_));
            cells.extend(
                with_sum.then(|| if has_sum { cell(row, &all) } else { Some(String::new()) }),
            );
            // Not every server tells everything; and a share of nothing is none.
            if cells.iter().flatten().all(String::is_empty) && !matches!(row, Row::Share(..)) {
                continue;
            }
            let cells = cells.into_iter().map(|cell| cell.unwrap_or_else(|| NONE.to_owned()));
            table.row(std::iter::once((*name).to_owned()).chain(cells));
        }
        table.text(bold)
    }

    fn json(&self) -> Value {
        let one = |source: &Source| match source.reading() {
            Some(reading) => json!({ "server": source.name, "stats": reading.json() }),
            None => json!({ "server": source.name, "error": source.error() }),
        };
        self.sources.iter().map(one).collect()
    }
}

impl Reading {
    fn json(&self) -> Value {
        let value = |text: &str| text.parse::<u64>().map_or_else(|_| text.into(), Value::from);
        let all = self.all().map(|(name, text)| (name.to_owned(), value(text)));
        Value::Object(all.collect::<Map<_, _>>())
    }
}

/// The cell of a row that tells what was counted since the servers started.
fn total(row: &Row, sources: &[&Source]) -> Option<String> {
    let sum = |names: &[&str]| sum(sources, |source| source.reading()?.number(names));
    match row {
        Row::Count(names) => sum(names).map(show::count),
        Row::Bytes(name) => sum(&[name]).map(units::show_size),
        Row::Share(part, rest) => {
            let (part, rest) = (sum(part)?, sum(rest)?);
            show::share(part, part.saturating_add(rest))
        }
        _ => level(row, sources),
    }
}

/// The cell of a row that tells what was counted per second since the time before.
fn rate(row: &Row, sources: &[&Source]) -> Option<String> {
    let more = |names: &[&str]| {
        sum(sources, |source| source.reading()?.since(source.before.as_ref()?, names))
    };
    let time = sources
        .iter()
        .filter_map(|source| Some(source.reading()?.time_since(source.before.as_ref()?)))
        .max()
        .unwrap_or_default();
    match row {
        Row::Count(names) => Some(show::rate(more(names)?, time)),
        Row::Bytes(name) => Some(units::show_size(per_second(more(&[name])?, time))),
        Row::Share(part, rest) => {
            let (part, rest) = (more(part)?, more(rest)?);
            show::share(part, part.saturating_add(rest))
        }
        _ => level(row, sources),
    }
}

fn level(row: &Row, sources: &[&Source]) -> Option<String> {
    let sum = |name: &[&str]| sum(sources, |source| source.reading()?.number(name));
    match row {
        Row::Text(name) => Some(sources.first()?.reading()?.text(name)?.to_owned()),
        Row::Time(name) => sum(&[name]).map(show::time),
        Row::Level(names) => sum(names).map(show::count),
        Row::Memory(used, limit) => {
            let (used, limit) = (sum(&[used])?, sum(&[limit])?);
            let share = show::share(used, limit).map(|share| format!(" ({share})"));
            let [used, limit] = [used, limit].map(units::show_size);
            Some(format!("{used} of {limit}{}", share.unwrap_or_default()))
        }
        Row::Share(..) | Row::Count(_) | Row::Bytes(_) => None,
    }
}

/// The sum of what the servers tell, of those that tell it.
fn sum(sources: &[&Source], figure: impl Fn(&Source) -> Option<u64>) -> Option<u64> {
    let mut all = sources.iter().filter_map(|source| figure(source));
    let first = all.next()?;
    Some(all.fold(first, u64::saturating_add))
}

fn per_second(bytes: u64, time: Duration) -> u64 {
    let ms = u128::max(time.as_millis(), 1);
    u64::try_from(u128::from(bytes) * 1000 / ms).unwrap_or(u64::MAX)
}
