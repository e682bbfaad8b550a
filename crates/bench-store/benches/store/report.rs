//! What has been found so far: printed at once, and kept for the JSON file.

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use larder_bench_store::machine;
use larder_bench_store::table::{self, Bar, Table};
use serde_json::{Value, json};

use crate::engine::Kind;

/// The report of one run.
pub(crate) struct Report {
    start: Instant,
    machine: Vec<(String, String)>,
    tables: Vec<Table>,
    bars: Vec<Bar>,
}

impl Report {
    /// Prints what it is measured on.
    pub(crate) fn begin() -> Report {
        let peers: Vec<&str> = Kind::LIBRARIES.iter().filter_map(|kind| kind.package()).collect();
        let machine = machine::describe(&peers);
        for (what, value) in &machine {
            println!("{what:<11} {value}");
        }
        println!();
        Report { start: Instant::now(), machine, tables: Vec::new(), bars: Vec::new() }
    }

    /// Says on the terminal what is being done.
    pub(crate) fn progress(&self, what: &str) {
        eprintln!("[{:>4} s] {what}", self.start.elapsed().as_secs());
    }

    /// Prints a table.
    pub(crate) fn table(&mut self, table: Table) {
        println!("{table}");
        self.tables.push(table);
    }

    /// Keeps a bar for the last table.
    pub(crate) fn bar(&mut self, bar: Bar) {
        self.bars.push(bar);
    }

    /// Prints the bars and writes the file.
    pub(crate) fn end(self, file: Option<&Path>) -> anyhow::Result<()> {
        if !self.bars.is_empty() {
            println!("{}", table::bars(&self.bars));
        }
        self.progress("done");
        let Some(file) = file else {
            return Ok(());
        };
        let machine: serde_json::Map<String, Value> =
            self.machine.into_iter().map(|(what, value)| (what, value.into())).collect();
        let bar = |bar: &Bar| json!({ "what": bar.what, "found": bar.found, "limit": bar.limit, "met": bar.met() });
        let report = json!({
            "machine": machine,
            "tables": self.tables.iter().map(Table::json).collect::<Vec<_>>(),
            "bars": self.bars.iter().map(bar).collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&report)?;
        fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
    }
}
