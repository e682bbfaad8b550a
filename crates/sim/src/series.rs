//! The picture of a long run: what it held, how often it hit and how long it took, over time, as SVG.
//!
//! The figures are those of `cargo xtask soak store --csv`: a line for each interval. Phases in which
//! large values were stored are shaded. What is written beside a panel is from the second halves of the
//! phases, when the store has adapted to the size.

mod panel;

use anyhow::{Context, ensure};

use crate::svg::{self, BLUE, GREEN, RUST, TEXT, line};
use panel::{Line, Panel, Scale};

/// The panels are this wide and high, and so far apart; their titles are in between.
const PANEL: f64 = 730.0;
const HEIGHT: f64 = 112.0;
const BETWEEN: f64 = 42.0;
/// To the left of a panel the figures of its axis, to the right the names of its lines.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 104.0;
/// Above the first panel: titles. Below the last: time.
const HEAD: f64 = 88.0;
const FOOT: f64 = 30.0;
/// The distance of labels of lines.
const LABEL: f64 = 14.0;

/// The figures of a run.
#[derive(Debug)]
pub struct Series {
    rows: Vec<Row>,
}

/// Those of an interval. What is counted is counted from the start.
#[derive(Debug, Clone)]
struct Row {
    /// When it ended.
    seconds: f64,
    value_bytes: f64,
    hit_ratio: f64,
    rss_mib: f64,
    get_p99_ns: f64,
    set_p99_ns: f64,
    operations: f64,
    written_bytes: f64,
    limit_mib: f64,
    threads: f64,
}

/// Intervals in a row in which values of one size were stored.
struct Phase<'a> {
    start: f64,
    rows: &'a [Row],
}

impl Series {
    /// Reads the figures: names of columns, and a line for each interval.
    ///
    /// # Errors
    ///
    /// If a column is missing, or something in one is not a number, or there are no lines.
    pub fn parse(csv: &str) -> anyhow::Result<Series> {
        let mut lines = csv.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let rows: Vec<Row> = lines
            .enumerate()
            .map(|(number, text)| {
                Row::parse(&names, text).with_context(|| format!("line {}", number + 2))
            })
            .collect::<anyhow::Result<_>>()?;
        ensure!(!rows.is_empty(), "there are no figures");
        Ok(Series { rows })
    }

    /// Draws them.
    #[must_use]
    pub fn svg(&self) -> String {
        let panels = [self.memory(), self.hits(), self.times()];
        let number = panels.len() as f64;
        let (width, bottom) =
            (LEFT + PANEL + RIGHT, HEAD + number * HEIGHT + (number - 1.0) * BETWEEN);
        let mut svg = svg::open(width, bottom + FOOT);
        self.head(&mut svg);
        for (number, panel) in panels.iter().enumerate() {
            let top = HEAD + (HEIGHT + BETWEEN) * number as f64;
            self.shades(&mut svg, top);
            panel.draw(&mut svg, top, |seconds| self.place(seconds));
        }
        self.sizes(&mut svg);
        self.axis(&mut svg, bottom);
        svg.push_str("</svg>\n");
        svg
    }

    fn last(&self) -> &Row {
        self.rows.last().expect("there are figures")
    }

    fn phases(&self) -> impl Iterator<Item = Phase<'_>> {
        let mut start = 0.0;
        self.rows.chunk_by(|a, b| a.value_bytes == b.value_bytes).map(move |rows| {
            let phase = Phase { start, rows };
            start = rows[rows.len() - 1].seconds;
            phase
        })
    }

    /// The smallest and the largest value stored in a phase.
    fn both_sizes(&self) -> (f64, f64) {
        range(self.rows.iter().map(|row| row.value_bytes))
    }

    fn place(&self, seconds: f64) -> f64 {
        LEFT + PANEL * seconds / self.last().seconds
    }

    fn head(&self, svg: &mut String) {
        let (last, (small, large)) = (self.last(), self.both_sizes());
        let sizes = format!("{} and {}", bytes(small), bytes(large));
        svg::title(svg, &format!("A long run at the limit, values shifting between {sizes}"));
        let threads = if last.threads == 1.0 { "thread" } else { "threads" };
        let turnovers = last.written_bytes / (last.limit_mib * f64::from(1 << 20));
        let text = format!(
            "Limit {:.0} MiB · {:.0} {threads} · {:.0} million operations, every value read is checked · \
             {:.0} GiB stored, {turnovers:.0} times the limit",
            last.limit_mib,
            last.threads,
            last.operations / 1e6,
            last.written_bytes / f64::from(1 << 30),
        );
        svg::subtitle(svg, &text);
    }

    fn memory(&self) -> Panel {
        let limit = self.last().limit_mib;
        // At first the memory is taken.
        let full = self.phases().skip(1).flat_map(|phase| phase.rows).map(|row| row.rss_mib);
        let (low, high) = range(full);
        Panel {
            title: "RSS of the process, MiB".to_owned(),
            side: format!("{low:.1} to {high:.1} from the second phase on"),
            scale: Scale::linear(limit * 1.25),
            ticks: [0.0, 0.5, 1.0]
                .map(|part| (part * limit, format!("{:.0}", part * limit)))
                .into(),
            lines: vec![self.line("RSS", BLUE, |row| row.rss_mib)],
            limit: Some((limit, format!("limit {limit:.0}"))),
        }
    }

    fn hits(&self) -> Panel {
        let percent =
            |(low, high): (f64, f64)| format!("{:.0} to {:.0} %", low * 100.0, high * 100.0);
        Panel {
            title: "Hit ratio, %".to_owned(),
            side: self.by_size(|size| percent(self.settled(size, |row| row.hit_ratio))),
            scale: Scale::linear(1.0),
            ticks: [0.0, 0.5, 1.0].map(|part| (part, format!("{:.0}", part * 100.0))).into(),
            lines: vec![self.line("gets", GREEN, |row| row.hit_ratio)],
            limit: None,
        }
    }

    fn times(&self) -> Panel {
        let (get, set) = (|row: &Row| row.get_p99_ns / 1e3, |row: &Row| row.set_p99_ns / 1e3);
        let (low, high) = range(self.rows.iter().flat_map(|row| [get(row), set(row)]));
        let scale = Scale::logarithmic(low, high);
        let step = self.last().seconds / self.rows.len() as f64;
        let micros = |(low, high): (f64, f64)| format!("{low:.1} to {high:.1}");
        Panel {
            title: format!("p99 in each {}, µs", duration(step)),
            side: self.by_size(|size| {
                let (get, set) = (self.settled(size, get), self.settled(size, set));
                format!("get {}, set {}", micros(get), micros(set))
            }),
            ticks: scale.powers(),
            scale,
            lines: vec![self.line("set", RUST, set), self.line("get", BLUE, get)],
            limit: None,
        }
    }

    fn line(&self, name: &str, colour: &'static str, value: impl Fn(&Row) -> f64) -> Line {
        let points = self.rows.iter().map(|row| (row.seconds, value(row))).collect();
        Line { name: name.to_owned(), colour, points }
    }

    /// What is to be said of each size.
    fn by_size(&self, say: impl Fn(f64) -> String) -> String {
        let (small, large) = self.both_sizes();
        let both = [small, large].map(|size| format!("{}: {}", bytes(size), say(size)));
        both.join(" · ")
    }

    /// The lowest and the highest median of a second half of a phase with values of this size.
    fn settled(&self, size: f64, value: impl Fn(&Row) -> f64) -> (f64, f64) {
        let phases = self.phases().filter(|phase| phase.rows[0].value_bytes == size);
        range(phases.map(|phase| {
            let rows = &phase.rows[phase.rows.len() / 2..];
            let mut values: Vec<f64> = rows.iter().map(&value).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        }))
    }

    /// Shades the phases of large values.
    fn shades(&self, svg: &mut String, top: f64) {
        let (small, _) = self.both_sizes();
        for phase in self.phases().filter(|phase| phase.rows[0].value_bytes > small) {
            let (x, end) = (self.place(phase.start), self.place(phase.end()));
            let width = end - x;
            line(
                svg,
                &format!(
                    "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" \
                     fill=\"{TEXT}\" fill-opacity=\"0.13\"/>"
                ),
            );
        }
    }

    /// Writes into the first panel what the shades mean.
    fn sizes(&self, svg: &mut String) {
        let y = HEAD + HEIGHT - 8.0;
        for phase in self.phases() {
            let middle = f64::midpoint(self.place(phase.start), self.place(phase.end()));
            let size = bytes(phase.rows[0].value_bytes);
            line(
                svg,
                &format!(
                    "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" font-size=\"11\">{size}</text>"
                ),
            );
        }
    }

    /// The time, in minutes.
    fn axis(&self, svg: &mut String, bottom: f64) {
        let (minutes, y) = (self.last().seconds / 60.0, bottom + 18.0);
        let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0];
        let step = steps.into_iter().find(|step| minutes / step <= 10.5).unwrap_or(60.0);
        let ticks = (0..).map(|number| f64::from(number) * step);
        // The end is a little late.
        for tick in ticks.take_while(|tick| *tick <= minutes + 0.001) {
            let x = self.place((tick * 60.0).min(self.last().seconds));
            let unit = if tick + step > minutes + 0.001 { " min" } else { "" };
            let label = format!("{}{unit}", (tick * 10.0).round() / 10.0);
            line(
                svg,
                &format!(
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" font-size=\"12\">{label}</text>"
                ),
            );
        }
    }
}

impl Row {
    fn parse(names: &[&str], text: &str) -> anyhow::Result<Row> {
        let cells: Vec<&str> = text.split(',').collect();
        let read = |name: &str| -> anyhow::Result<f64> {
            let at = names.iter().position(|it| *it == name);
            let cell = at.and_then(|at| cells.get(at));
            let cell = cell.with_context(|| format!("there is no {name}"))?;
            cell.parse().with_context(|| format!("{name} {cell:?} is not a number"))
        };
        Ok(Row {
            seconds: read("seconds")?,
            value_bytes: read("value_bytes")?,
            hit_ratio: read("hit_ratio")?,
            rss_mib: read("rss_mib")?,
            get_p99_ns: read("get_p99_ns")?,
            set_p99_ns: read("set_p99_ns")?,
            operations: read("operations")?,
            written_bytes: read("written_bytes")?,
            limit_mib: read("limit_mib")?,
            threads: read("threads")?,
        })
    }
}

impl Phase<'_> {
    fn end(&self) -> f64 {
        self.rows[self.rows.len() - 1].seconds
    }
}

/// The lowest and the highest; zeros of nothing.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .map(|value| (value, value))
        .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
        .unwrap_or_default()
}

fn bytes(size: f64) -> String {
    if size >= 1024.0 { format!("{} KiB", size / 1024.0) } else { format!("{size} B") }
}

fn duration(seconds: f64) -> String {
    if seconds >= 0.995 { format!("{seconds:.0} s") } else { format!("{:.0} ms", seconds * 1e3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "seconds,value_bytes,hit_ratio,rss_mib,get_p99_ns,set_p99_ns,operations,\
                        written_bytes,limit_mib,threads";

    /// Two phases of each size, of four intervals; in the second half of each the figures have settled.
    fn csv() -> String {
        let rows = (0..16_u64).map(|at| {
            let size = if at / 4 % 2 == 0 { 32 } else { 4096 };
            let (ratio, rss) = if at % 4 < 2 { (0.1, 1) } else { (0.7, 66) };
            let (seconds, done) = (at * 15 + 15, (at + 1) * 1_000_000);
            let written = done << 10;
            format!("{seconds},{size},{ratio},{rss},600,7000,{done},{written},64,2\n")
        });
        format!("{HEAD}\n{}", rows.collect::<String>())
    }

    #[test]
    fn the_picture_has_lines_phases_and_what_they_settle_to() {
        let svg = Series::parse(&csv()).unwrap().svg();
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert_eq!(svg.matches("fill-opacity").count(), 3 * 2);
        for part in [
            "between 32 B and 4 KiB<",
            "16 million operations",
            "15 GiB stored, 244 times the limit",
            "2 threads",
            "32 B: 70 to 70 % · 4 KiB: 70 to 70 %",
            "get 0.6 to 0.6, set 7.0 to 7.0",
            ">p99 in each 15 s, µs<",
            ">limit 64<",
            ">4 min<",
        ] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn what_is_no_series_is_refused_with_its_place() {
        let refused = |csv: &str| format!("{:#}", Series::parse(csv).unwrap_err());
        assert_eq!(refused(""), "there are no figures");
        assert_eq!(refused("seconds\n1\n"), "line 2: there is no value_bytes");
        let broken = csv().replacen("0.7", "?", 1);
        assert!(refused(&broken).starts_with("line 4: hit_ratio \"?\" is not a number"));
    }

    #[test]
    fn a_run_of_one_interval_is_drawn() {
        let csv = format!("{HEAD}\n3,32,0,0,0,0,0,0,1,1\n");
        let svg = Series::parse(&csv).unwrap().svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
