//! The load generator, wrk: one run against one server, and what it says.

use std::process::Command;

use anyhow::{Context, ensure};

use super::process::Server;

/// What one run measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) requests_per_second: f64,
    pub(super) cpu_micros_per_request: f64,
    pub(super) p50_micros: f64,
    pub(super) p99_micros: f64,
}

/// Loads `server` for `seconds` over `connections` connections.
pub(super) fn run(server: &Server, seconds: u64, connections: u32) -> anyhow::Result<Measured> {
    let before = server.cpu_time()?;
    let output = Command::new("taskset")
        .args(["-c", "1", "wrk", "--latency", "-t1"])
        .arg(format!("-c{connections}"))
        .arg(format!("-d{seconds}s"))
        .arg(format!("http://{}/", server.addr))
        .output()
        .context("running wrk")?;
    let cpu = server.cpu_time()? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk against {}: {text}", server.name);
    let refused = text.contains("Non-2xx") || text.contains("Socket errors");
    ensure!(!refused, "{} failed requests: {text}", server.name);
    let field = |name: &str| -> anyhow::Result<&str> {
        let line = text.lines().find(|line| line.trim_start().starts_with(name));
        let value = line.and_then(|line| line.split_whitespace().last());
        value.with_context(|| format!("{name:?} in wrk's output: {text}"))
    };
    let requests: f64 = text
        .lines()
        .find(|line| line.contains(" requests in "))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("the number of requests in wrk's output: {text}"))?;
    Ok(Measured {
        requests_per_second: field("Requests/sec:")?.parse()?,
        cpu_micros_per_request: cpu.as_secs_f64() * 1e6 / requests,
        p50_micros: micros(field("50%")?)?,
        p99_micros: micros(field("99%")?)?,
    })
}

/// The median of each figure.
pub(super) fn median(runs: &[Measured]) -> Measured {
    let middle = |figure: fn(&Measured) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Measured {
        requests_per_second: middle(|run| run.requests_per_second),
        cpu_micros_per_request: middle(|run| run.cpu_micros_per_request),
        p50_micros: middle(|run| run.p50_micros),
        p99_micros: middle(|run| run.p99_micros),
    }
}

/// A duration as wrk writes it: `12.34us`, `5.60ms` or `1.02s`.
fn micros(text: &str) -> anyhow::Result<f64> {
    for (unit, micros) in [("us", 1.0), ("ms", 1e3), ("s", 1e6)] {
        if let Some(number) = text.strip_suffix(unit)
            && let Ok(number) = number.parse::<f64>()
        {
            return Ok(number * micros);
        }
    }
    anyhow::bail!("{text:?} is not a duration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_wrk_writes_them() {
        assert_eq!(micros("12.50us").unwrap(), 12.5);
        assert_eq!(micros("2.00ms").unwrap(), 2000.0);
        assert_eq!(micros("1.50s").unwrap(), 1_500_000.0);
        assert!(micros("fast").is_err());
    }
}
