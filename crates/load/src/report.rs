//! What came out, for people and for programs.

use serde_json::{Map, Value, json};

use crate::compare::Compared;
use crate::load::Load;
use crate::run::Figures;
use crate::table::Table;

/// A generator that uses this share of its cores was perhaps the limit itself.
const BUSY: f64 = 0.9;

/// A figure: what people and programs call it, itself, and the decimals it deserves (none: its digits in
/// groups).
type Line = (&'static str, &'static str, fn(&Figures) -> f64, usize);

const LINES: [Line; 8] = [
    ("operations/s", "operations_per_second", Figures::operations_per_second, 0),
    ("server CPU, µs per operation", "server_cpu_micros_per_operation", Figures::cpu_micros, 3),
    ("latency p50, µs", "p50_micros", |figures| figures.latency_micros(0.5), 1),
    ("latency p99, µs", "p99_micros", |figures| figures.latency_micros(0.99), 1),
    ("latency p99.9, µs", "p999_micros", |figures| figures.latency_micros(0.999), 1),
    ("latency max, µs", "max_micros", max_micros, 1),
    ("hits, %", "hits_percent", |figures| figures.tally.hit_ratio() * 100.0, 2),
    ("generator, cores", "generator_cores", Figures::generator_cores, 2),
];

/// The figures of all servers side by side, medians of the rounds; the first server's ÷ each other's behind
/// them.
#[must_use]
pub fn table(load: &Load, compared: &[Compared]) -> Table {
    let Some((first, others)) = compared.split_first() else {
        return Table::new(load.to_string(), &[]);
    };
    let mut headings = vec![String::new()];
    headings.extend(compared.iter().map(|server| server.address.clone()));
    headings.extend((2..=compared.len()).map(|other| format!("1st ÷ {}", ordinal(other))));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(load.to_string(), &headings);
    let versions = compared.iter().map(|server| server.version.clone());
    table.row(std::iter::once("version".to_owned()).chain(versions));
    for (name, _, figure, digits) in LINES {
        let medians = compared.iter().map(|server| match digits {
            0 => whole(server.median(figure)),
            _ => decimals(server.median(figure), digits),
        });
        let ratios = others.iter().map(|other| decimals(first.ratio(other, figure), 2));
        table.row(std::iter::once(name.to_owned()).chain(medians).chain(ratios));
    }
    let errors = compared.iter().map(|server| server.errors().to_string());
    table.row(std::iter::once("errors".to_owned()).chain(errors));
    for note in notes(load, compared) {
        table.note(note);
    }
    table
}

/// What a reader of the figures has to know.
fn notes(load: &Load, compared: &[Compared]) -> Vec<String> {
    let mut notes = Vec::new();
    let rounds = compared.iter().map(|server| server.rounds.len()).max().unwrap_or(0);
    let seconds = load.duration.as_secs_f64();
    notes.push(match rounds {
        1 => format!("{seconds} s"),
        _ => format!("medians of {rounds} rounds of {seconds} s; quotients are of the same round"),
    });
    for server in compared {
        let address = &server.address;
        if let Some(error) = server.first_error() {
            notes.push(format!("{address}: the first error: {error}"));
        }
        if server.median(Figures::cpu_micros).is_nan() {
            notes.push(format!("{address}: its process is not known here, so its CPU time is not"));
        }
        if server.rounds.iter().any(|figures| figures.behind > 0) {
            let offered = load.rate.unwrap_or_default();
            let served = server.median(Figures::operations_per_second);
            notes.push(format!(
                "{address}: behind: of {offered:.0} operations/s offered {served:.0} were served, and \
                 the latencies are those of a queue"
            ));
        }
        let open = load.rate.is_some();
        if !open && server.median(Figures::generator_cores) > BUSY * f64::from(load.threads) {
            notes.push(format!(
                "{address}: the generator was busy: more threads might ask for more"
            ));
        }
    }
    notes
}

/// The load; and of every server each round, the medians, and the first server's figures ÷ its own. What
/// is not known is null.
#[must_use]
pub fn json(load: &Load, compared: &[Compared]) -> Value {
    let server = |server: &Compared| {
        let ratio = |figure| compared[0].ratio(server, figure);
        json!({
            "address": server.address,
            "version": server.version,
            "errors": server.errors(),
            "first_error": server.first_error(),
            "median": figures_json(|figure| server.median(figure)),
            "first_divided_by_this": figures_json(ratio),
            "rounds": server.rounds.iter().map(round_json).collect::<Vec<_>>(),
        })
    };
    json!({
        "load": {
            "text": load.to_string(),
            "protocol": load.protocol.to_string(),
            "keys": load.keys,
            "key_size": load.key_size,
            "values": [load.values.min, load.values.max],
            "gets": load.mix.gets,
            "sets": load.mix.sets,
            "multiget": load.multiget,
            "pipeline": load.pipeline,
            "connections": load.connections,
            "threads": load.threads,
            "rate": load.rate,
            "seconds": load.duration.as_secs_f64(),
        },
        "servers": compared.iter().map(server).collect::<Vec<_>>(),
    })
}

/// All figures, each as `value` has it.
fn figures_json(value: impl Fn(fn(&Figures) -> f64) -> f64) -> Map<String, Value> {
    LINES.iter().map(|&(_, name, figure, _)| (name.to_owned(), json!(value(figure)))).collect()
}

fn round_json(figures: &Figures) -> Value {
    let tally = &figures.tally;
    let mut round = figures_json(|figure| figure(figures));
    round.insert("seconds".to_owned(), json!(figures.seconds));
    for (name, count) in [
        ("operations", tally.operations()),
        ("commands", tally.commands),
        ("hits", tally.hits),
        ("misses", tally.misses),
        ("sets", tally.sets),
        ("wrong", tally.wrong),
        ("refused", tally.refused),
        ("lost", tally.lost),
        ("behind", figures.behind),
    ] {
        round.insert(name.to_owned(), json!(count));
    }
    Value::Object(round)
}

#[expect(clippy::cast_precision_loss, reason = "less than 2^53 ns are 104 days")]
fn max_micros(figures: &Figures) -> f64 {
    figures.latency.max() as f64 / 1e3
}

fn decimals(x: f64, decimals: usize) -> String {
    if x.is_finite() { format!("{x:.decimals$}") } else { "–".to_owned() }
}

/// A number without decimals, its digits in groups of three.
fn whole(x: f64) -> String {
    if !x.is_finite() {
        return "–".to_owned();
    }
    let digits = format!("{x:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

fn ordinal(n: usize) -> String {
    match n {
        2 => "2nd".to_owned(),
        3 => "3rd".to_owned(),
        _ => format!("{n}th"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tally;
    use crate::histogram::Histogram;
    use std::time::Duration;

    fn server(address: &str, operations: u64, cpu: Option<Duration>) -> Compared {
        let mut latency = Histogram::default();
        latency.add_many(64_000, operations);
        let tally = Tally { hits: operations, commands: operations, ..Tally::default() };
        let figures =
            Figures { seconds: 1.0, tally, latency, server_cpu: cpu, ..Figures::default() };
        let rounds = vec![figures];
        Compared { address: address.into(), version: "1.6.18".into(), rounds }
    }

    #[test]
    fn servers_stand_side_by_side() {
        let second = Duration::from_secs(1);
        let compared =
            [server("a:1", 1_234_567, Some(second)), server("b:2", 617_284, Some(second))];
        let text = table(&Load::default(), &compared).to_string();
        for part in ["a:1", "1st ÷ 2nd", "1 234 567", "0.810", "2.00", "0.50", "64.0", "1.6.18"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("not known"), "{text}");
    }

    #[test]
    fn what_is_not_known_or_wrong_is_said() {
        let mut lame = server("a:1", 10, None);
        lame.rounds[0].behind = 7;
        lame.rounds[0].tally.wrong = 1;
        lame.rounds[0].tally.first_error = Some("get key:1: byte 3".to_owned());
        let load = Load { rate: Some(1000.0), ..Load::default() };
        let text = table(&load, std::slice::from_ref(&lame)).to_string();
        for part in ["not known here", "behind", "byte 3", "1000 operations/s offered"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let json = json(&load, &[lame]);
        assert_eq!(json["servers"][0]["first_error"], json!("get key:1: byte 3"));
        assert_eq!(json["servers"][0]["median"]["operations_per_second"], json!(11.0));
        let round = &json["servers"][0]["rounds"][0];
        assert_eq!((&round["wrong"], &round["operations"]), (&json!(1), &json!(11)));
        assert!(round["server_cpu_micros_per_operation"].is_null());
        assert_eq!(json["load"]["rate"], json!(1000.0));
    }

    #[test]
    fn numbers_are_grouped() {
        for (x, text) in [(0.0, "0"), (999.6, "1 000"), (12_345.0, "12 345"), (f64::NAN, "–")] {
            assert_eq!(whole(x), text);
        }
    }
}
