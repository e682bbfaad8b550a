//! What comes out: aligned tables, the bars and whether they were met, and the same as JSON.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

/// A table of text.
#[derive(Debug, Clone)]
pub struct Table {
    title: String,
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    /// A table without rows. The first column is aligned left, all others right.
    #[must_use]
    pub fn new(title: impl Into<String>, headings: &[&str]) -> Table {
        let headings = headings.iter().map(|&heading| heading.to_owned()).collect();
        Table { title: title.into(), headings, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row. Cells that are missing are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut cells: Vec<String> = cells.into_iter().collect();
        cells.resize(self.headings.len(), String::new());
        self.rows.push(cells);
    }

    /// Adds a line to be printed under the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The table for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "title": self.title, "headings": self.headings, "rows": self.rows, "notes": self.notes,
        })
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.headings]).map(|row| &row[column]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        writeln!(f, "{}", self.title)?;
        for row in [&self.headings].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let padding = " ".repeat(width - cell.chars().count());
                line += &match column {
                    0 => format!("  {cell}{padding}"),
                    _ => format!("  {padding}{cell}"),
                };
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  ({note})"))
    }
}

/// A target, and what was found.
#[derive(Debug, Clone)]
pub struct Bar {
    /// What was compared.
    pub what: String,
    /// What was found.
    pub found: f64,
    /// The limit.
    pub limit: f64,
    /// Which side of the limit is good.
    pub side: Side,
}

/// Which side of a limit is good. The limit itself is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// At least the limit.
    Above,
    /// At most the limit.
    Below,
}

impl Bar {
    /// A figure that has to be at least `limit`.
    #[must_use]
    pub fn at_least(what: impl Into<String>, found: f64, limit: f64) -> Bar {
        Bar { what: what.into(), found, limit, side: Side::Above }
    }

    /// A figure that has to be at most `limit`.
    #[must_use]
    pub fn at_most(what: impl Into<String>, found: f64, limit: f64) -> Bar {
        Bar { what: what.into(), found, limit, side: Side::Below }
    }

    /// Whether the target is met; what could not be measured is not.
    #[must_use]
    pub fn met(&self) -> bool {
        match self.side {
            Side::Above => self.found >= self.limit,
            Side::Below => self.found <= self.limit,
        }
    }
}

/// All bars of a run as a table.
#[must_use]
pub fn bars(bars: &[Bar]) -> Table {
    let mut table = Table::new("Bars", &["what", "found", "bar", ""]);
    for bar in bars {
        let sign = if bar.side == Side::Above { "≥" } else { "≤" };
        let verdict = if bar.met() { "pass" } else { "MISS" };
        let limit = format!("{sign} {}", number(bar.limit));
        table.row([bar.what.clone(), number(bar.found), limit, verdict.to_owned()]);
    }
    table
}

/// A number with as many digits as it deserves.
#[must_use]
pub fn number(x: f64) -> String {
    match x.abs() {
        a if a.is_nan() => "-".to_owned(),
        a if a >= 1000.0 => format!("{x:.0}"),
        a if a >= 100.0 => format!("{x:.1}"),
        a if a >= 1.0 || a == 0.0 => format!("{x:.2}"),
        _ => format!("{x:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new("T", &["name", "×"]);
        table.row(["a".into(), "10.5".into()]);
        table.row(["longer".into()]);
        table.note("why");
        assert_eq!(table.to_string(), "T\n  name       ×\n  a       10.5\n  longer\n  (why)\n");
        assert_eq!(table.json()["rows"][1], json!(["longer", ""]));
    }

    #[test]
    fn a_bar_is_met_at_its_limit_and_never_by_nothing() {
        for (bar, met) in [
            (Bar::at_least("x", 2.0, 2.0), true),
            (Bar::at_least("x", 1.9, 2.0), false),
            (Bar::at_most("x", 2.0, 2.0), true),
            (Bar::at_most("x", 2.1, 2.0), false),
            (Bar::at_least("x", f64::NAN, 2.0), false),
            (Bar::at_most("x", f64::NAN, 2.0), false),
        ] {
            assert_eq!(bar.met(), met, "{bar:?}");
        }
        let text = bars(&[Bar::at_least("x", 1.5, 2.0)]).to_string();
        assert!(text.contains("≥ 2.00") && text.contains("MISS"), "{text}");
    }

    #[test]
    fn numbers_are_short() {
        for (x, expected) in [
            (1234.5, "1234"),
            (123.45, "123.5"),
            (2.0, "2.00"),
            (0.81294, "0.8129"),
            (0.0, "0.00"),
            (f64::NAN, "-"),
        ] {
            assert_eq!(number(x), expected);
        }
    }
}
