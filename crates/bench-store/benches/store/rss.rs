//! How much memory a process has resident, as the kernel sees it.

use std::fs;

use anyhow::Context;

/// Of this process, in bytes.
pub(crate) fn own() -> anyhow::Result<u64> {
    of("self")
}

/// Of a process by its id.
pub(crate) fn of(pid: &str) -> anyhow::Result<u64> {
    // Exact, where /proc/self/statm may be behind by some pages of every core.
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    kilobytes(&text, "Rss:").map(|kb| kb * 1024).with_context(|| format!("{path} has no Rss"))
}

/// Memory that could be taken without pushing anything out, in bytes.
pub(crate) fn available() -> anyhow::Result<u64> {
    let path = "/proc/meminfo";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    kilobytes(&text, "MemAvailable:").map(|kb| kb * 1024).context("no MemAvailable in it")
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
