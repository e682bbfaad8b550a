//! What a figure was measured on, for the head of the report.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The machine and the versions, as lines of `(what, value)`. What cannot be read is "unknown".
#[must_use]
pub fn describe(peers: &[&str]) -> Vec<(String, String)> {
    let mut lines = vec![
        ("cpu".to_owned(), cpu()),
        ("kernel".to_owned(), read("/proc/sys/kernel/osrelease")),
        // Whoever else was busy takes from every figure.
        ("load".to_owned(), read("/proc/loadavg")),
        ("huge pages".to_owned(), read("/sys/kernel/mm/transparent_hugepage/enabled")),
        ("compiler".to_owned(), output("rustc", &["-V"])),
        ("built for".to_owned(), built_for()),
    ];
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let lock = fs::read_to_string(lock).unwrap_or_default();
    let versions: Vec<String> = peers
        .iter()
        .map(|peer| format!("{peer} {}", locked_version(&lock, peer).unwrap_or("unknown")))
        .collect();
    lines.push(("peers".to_owned(), versions.join(", ")));
    lines.push(("memcached".to_owned(), output("memcached", &["-V"])));
    lines
}

fn cpu() -> String {
    let info = read("/proc/cpuinfo");
    let field = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = field("model name").unwrap_or("unknown");
    format!("{model}, {cores} cores, cache {}", field("cache size").unwrap_or("unknown"))
}

fn built_for() -> String {
    let native = cfg!(target_feature = "avx2");
    let cpu = if native { "this processor" } else { "any processor" };
    format!("{}, {cpu}", std::env::consts::ARCH)
}

fn read(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let text = text.trim();
    if text.is_empty() { "unknown".to_owned() } else { text.to_owned() }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".to_owned())
}

/// The version of a package in the text of a `Cargo.lock`; the last, if there are several.
fn locked_version<'l>(lock: &'l str, package: &str) -> Option<&'l str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines();
    let mut found = None;
    while let Some(line) = lines.next() {
        if line == name {
            found = lines.next()?.strip_prefix("version = \"")?.strip_suffix('"');
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_the_lock_file() {
        let lock = "[[package]]\nname = \"lru\"\nversion = \"0.19.0\"\n\n[[package]]\nname = \"lru-slab\"\nversion = \"0.1.2\"\n";
        assert_eq!(locked_version(lock, "lru"), Some("0.19.0"));
        assert_eq!(locked_version(lock, "lru-slab"), Some("0.1.2"));
        assert_eq!(locked_version(lock, "slab"), None);
    }

    #[test]
    fn a_machine_is_described_even_if_little_is_known() {
        let lines = describe(&["no-such-crate"]);
        assert!(lines.iter().any(|(what, value)| what == "peers" && value.ends_with("unknown")));
        assert_eq!(output("no-such-program", &[]), "unknown");
    }
}
