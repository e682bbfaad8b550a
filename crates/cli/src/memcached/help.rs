//! What `-h`, `-V` and `-i` print.

use super::extended::EXTENDED;
use super::flags::{FLAGS, Meaning, Takes};

/// The memcached that the server is held against.
const LIKE: &str = "1.6.45";

const INTRODUCTION: &str = "\
Serves memcached's protocols, and takes memcached's flags. `larder serve` has flags of its own.

";

const ENVIRONMENT: &str = "
Environment:
  MEMCACHED_SASL_PWDB      file of users for -S (sasl): user:password, a line each
  LARDER_AUTH_FILE         the same, if the other is not set; user:password:tenant gives the user
                           a cache of its own
  MEMCACHED_PORT_FILENAME  file into which the ports are written

Signals:
  HUP                      reads users and certificates again
  INT, TERM, USR1          stop the server: it answers what it has read, waits up to 5 seconds for
                           clients to take it, and ends; one more, a second later or more, ends it
                           at once
";

/// The version as `-V` shows it: scripts look for memcached's, people for ours.
pub(crate) fn version() -> String {
    format!("{LIKE} (Larder {})", env!("CARGO_PKG_VERSION"))
}

/// The licence.
pub(crate) fn license() -> String {
    format!(
        "Larder {} is under the MIT licence or the Apache License, version 2.0, as you like.\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// All flags: those with a meaning first, then those without.
pub(crate) fn text() -> String {
    let mut text = format!("memcached {}\n{INTRODUCTION}", version());
    for flag in FLAGS.iter().filter(|flag| flag.meaning == Meaning::Honoured) {
        let what = match flag.takes {
            Takes::Nothing | Takes::Perhaps(_) => String::new(),
            Takes::One(what) if flag.long.is_empty() => format!(" <{what}>"),
            Takes::One(what) => format!("=<{what}>"),
        };
        let long = if flag.long.is_empty() { String::new() } else { format!(", --{}", flag.long) };
        line(&mut text, &format!("-{}{long}{what}", flag.short), flag.help);
    }
    for option in EXTENDED.iter().filter(|option| option.meaning == Meaning::Honoured) {
        line(&mut text, &format!("   - {}", option.name), option.help);
    }
    text.push_str("\nAccepted, and without a meaning here (-v says why):\n");
    let idle = |meaning: Meaning| matches!(meaning, Meaning::Idle(_));
    let flags =
        FLAGS.iter().filter(|flag| idle(flag.meaning)).map(|flag| format!("-{}", flag.short));
    let options = EXTENDED.iter().filter(|option| idle(option.meaning));
    // Words by which memcached's tests find out what a build can do are only for what is there.
    let names = options.map(|option| option.name.to_owned()).filter(|name| !is_feature(name));
    wrap(&mut text, flags.chain(names));
    text.push_str(ENVIRONMENT);
    text
}

/// Whether a name in the help is taken for a promise.
fn is_feature(name: &str) -> bool {
    ["ext_", "proxy_"].iter().any(|word| name.starts_with(word))
}

fn line(text: &mut String, flag: &str, help: &str) {
    for (at, part) in help.lines().enumerate() {
        let left = if at == 0 { flag } else { "" };
        text.push_str(&format!("{left:<28} {part}\n"));
    }
}

fn wrap(text: &mut String, words: impl Iterator<Item = String>) {
    let mut column = 0;
    for word in words {
        if column + word.len() > 94 {
            text.push('\n');
            column = 0;
        }
        let space = if column == 0 { "  " } else { " " };
        text.push_str(space);
        text.push_str(&word);
        column += space.len() + word.len();
    }
    text.push('\n');
}
