//! memcached's flags as a table: which there are, what each takes, and what becomes of it here.
//!
//! Every flag of memcached 1.6 is one of three. It is *honoured*; or it is *idle*, having no meaning
//! here, which `-v` says; or it is *refused*, because whoever gave it would rely on something that is
//! not there. What is written on a command line is split as `getopt_long` does: short flags may be
//! bundled, and carry their argument along (`-vvt4`), long ones may be shortened.

use anyhow::{Context, bail};

/// What becomes of a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// It does what it does in memcached.
    Honoured,
    /// It has no meaning here; why.
    Idle(&'static str),
    /// Ignoring it would be unsafe; what to do instead.
    Refused(&'static str),
}

/// Whether a flag has an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// None.
    Nothing,
    /// One, called so in the help.
    One(&'static str),
    /// One may follow the long form after a `=`; the short form has none.
    Perhaps(&'static str),
}

/// A flag of memcached's.
#[derive(Debug)]
pub(crate) struct Flag {
    /// After one dash.
    pub(crate) short: char,
    /// After two; empty: there is no long form.
    pub(crate) long: &'static str,
    pub(crate) takes: Takes,
    pub(crate) meaning: Meaning,
    /// Its line in the help.
    pub(crate) help: &'static str,
}

use Meaning::{Honoured, Idle, Refused};
use Takes::{Nothing, One, Perhaps};

/// Items are not kept in classes of size, so what tunes the classes tunes nothing.
pub(crate) const NO_SLABS: &str = "items are not kept in size classes";

const fn flag(
    short: char,
    long: &'static str,
    takes: Takes,
    meaning: Meaning,
    help: &'static str,
) -> Flag {
    Flag { short, long, takes, meaning, help }
}

/// All flags of memcached 1.6, as its help has them.
#[rustfmt::skip]
pub(crate) const FLAGS: &[Flag] = &[
    flag('p', "port", One("num"), Honoured, "TCP port (11211); -1: any free one, 0: none"),
    flag('U', "udp-port", One("num"), Idle("UDP is not served"), "not served; alone, it is the TCP port"),
    flag('s', "unix-socket", One("file"), Honoured, "listen on a unix socket instead of the network"),
    flag('a', "unix-mask", One("mask"), Honoured, "who may use the unix socket, in octal (700)"),
    flag('A', "enable-shutdown", Nothing, Honoured, "let clients stop the server by `shutdown`"),
    flag('l', "listen", One("addr"), Honoured, "address to listen on, with or without a port; repeat it, or\nseparate several by commas. notls: and mtls: before one mean\nno TLS there, or client certificates"),
    flag('d', "daemon", Nothing, Honoured, "run in the background"),
    flag('r', "enable-coredumps", Nothing, Honoured, "allow core files as large as the system lets us"),
    flag('u', "user", One("user"), Honoured, "become this user once listening; root must say which"),
    flag('m', "memory-limit", One("num"), Honoured, "memory in megabytes, all of it (64)"),
    flag('M', "disable-evictions", Nothing, Honoured, "refuse to store when memory is full, instead of evicting"),
    flag('c', "conn-limit", One("num"), Honoured, "most connections at once (1024)"),
    flag('k', "lock-memory", Nothing, Honoured, "keep all memory from being swapped out"),
    flag('v', "verbose", Perhaps("v"), Honoured, "say more; twice or three times: much more"),
    flag('h', "help", Nothing, Honoured, "print this and exit"),
    flag('i', "license", Nothing, Honoured, "print the licence and exit"),
    flag('V', "version", Nothing, Honoured, "print the version and exit"),
    flag('P', "pidfile", One("file"), Honoured, "write the process id to this file"),
    flag('f', "slab-growth-factor", One("num"), Idle(NO_SLABS), ""),
    flag('n', "slab-min-size", One("bytes"), Idle(NO_SLABS), ""),
    flag('L', "enable-largepages", Nothing, Idle("the system chooses the size of pages"), ""),
    flag('D', "", One("char"), Honoured, "what ends a key's prefix (:); turns `stats detail` on"),
    flag('t', "threads", One("num"), Honoured, "threads that serve connections (one per CPU)"),
    flag('R', "max-reqs-per-event", One("num"), Honoured, "requests of one connection before others have their turn"),
    flag('C', "disable-cas", Nothing, Honoured, "give out no CAS numbers"),
    flag('b', "listen-backlog", One("num"), Honoured, "connections that may wait to be accepted (1024)"),
    flag('B', "protocol", One("name"), Honoured, "ascii, binary or auto (auto: by a connection's first byte)"),
    flag('I', "max-item-size", One("num"), Honoured, "largest item in bytes, or with k or m (1m; 1k to half of -m)"),
    flag('S', "enable-sasl", Nothing, Honoured, "ask for SASL; users are in $MEMCACHED_SASL_PWDB or $LARDER_AUTH_FILE"),
    flag('F', "disable-flush-all", Nothing, Honoured, "let nobody flush"),
    flag('X', "disable-dumping", Nothing, Honoured, "let nobody list keys"),
    flag('W', "disable-watch", Nothing, Idle("there is no `watch` to forbid"), ""),
    flag('Y', "auth-file", One("file"), Honoured, "ask for a password; user:password, a line each; read again on SIGHUP"),
    flag('e', "memory-file", One("file"), Refused("items cannot outlive the process; leave -e out to start empty"), ""),
    flag('Z', "enable-ssl", Nothing, Honoured, "speak TLS; needs -o ssl_chain_cert and -o ssl_key"),
    flag('o', "extended", One("options"), Honoured, "further options, separated by commas; repeat it as you like:"),
    flag('N', "napi-ids", One("num"), Idle("connections go to the thread that has the fewest"), ""),
];

/// A flag as it was given.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) flag: &'static Flag,
    /// Its argument; empty if it has none.
    pub(crate) value: String,
}

/// Splits a command line into flags, and what is no flag.
///
/// # Errors
///
/// A flag that memcached does not have, one without its argument, or with one that it does not take.
pub(crate) fn split(args: &[String]) -> anyhow::Result<(Vec<Given>, Vec<String>)> {
    let (mut given, mut others) = (Vec::new(), Vec::new());
    let mut args = args.iter().cloned();
    while let Some(arg) = args.next() {
        if arg == "--" {
            others.extend(args.by_ref());
        } else if let Some(long) = arg.strip_prefix("--") {
            given.push(long_flag(long, &mut args)?);
        } else if let Some(bundle) = arg.strip_prefix('-').filter(|bundle| !bundle.is_empty()) {
            short_flags(bundle, &mut args, &mut given)?;
        } else {
            others.push(arg);
        }
    }
    Ok((given, others))
}

fn long_flag(text: &str, rest: &mut impl Iterator<Item = String>) -> anyhow::Result<Given> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    let flag = find_long(name)?;
    let value = match (flag.takes, value) {
        (Nothing, Some(_)) => bail!("--{} takes no value", flag.long),
        (Nothing | Perhaps(_), None) => String::new(),
        (One(what), None) => {
            rest.next().with_context(|| lacks(&format!("--{}", flag.long), what))?
        }
        (One(_) | Perhaps(_), Some(value)) => value,
    };
    Ok(Given { flag, value })
}

/// The flag of this long name, or the only one that begins so.
fn find_long(name: &str) -> anyhow::Result<&'static Flag> {
    let mut begins = FLAGS.iter().filter(|flag| flag.long.starts_with(name) && !name.is_empty());
    match (FLAGS.iter().find(|flag| flag.long == name), begins.next(), begins.next()) {
        (Some(exact), ..) if !name.is_empty() => Ok(exact),
        (_, Some(only), None) => Ok(only),
        (_, Some(one), Some(other)) => {
            bail!("--{name} could be --{} or --{}", one.long, other.long)
        }
        _ => bail!("there is no flag --{name}; -h lists them"),
    }
}

fn short_flags(
    bundle: &str,
    rest: &mut impl Iterator<Item = String>,
    given: &mut Vec<Given>,
) -> anyhow::Result<()> {
    let mut chars = bundle.chars();
    while let Some(short) = chars.next() {
        let flag = FLAGS.iter().find(|flag| flag.short == short);
        let flag = flag.with_context(|| format!("there is no flag -{short}; -h lists them"))?;
        let mut value = String::new();
        if let One(what) = flag.takes {
            // What is left of the word is the argument; if nothing is left, the next word is.
            value = chars.by_ref().collect();
            if value.is_empty() {
                value = rest.next().with_context(|| lacks(&format!("-{short}"), what))?;
            }
        }
        given.push(Given { flag, value });
    }
    Ok(())
}

fn lacks(flag: &str, what: &str) -> String {
    format!("{flag} lacks its value: {flag} <{what}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Result<String, String> {
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let (given, others) = split(&args).map_err(|error| error.to_string())?;
        let one = |given: &Given| format!("{}{}", given.flag.short, given.value);
        let flags: Vec<_> = given.iter().map(one).chain(others).collect();
        Ok(flags.join(" "))
    }

    #[test]
    fn flags_are_split_as_getopt_does() {
        for (line, flags) in [
            ("-p 1 -t4 -vvv", "p1 t4 v v v"),
            ("-vvt 4 -Cdp1", "v v t4 C d p1"),
            ("--port=1 --port 2 --thr=3 --verbose --verbose=vv", "p1 p2 t3 v vvv"),
            ("-p -1 -l -1", "p-1 l-1"),
            ("start -v - -- -x", "v start - -x"),
            ("-o modern,idle_timeout=3 -o x", "omodern,idle_timeout=3 ox"),
        ] {
            assert_eq!(told(line).unwrap(), flags, "{line}");
        }
    }

    #[test]
    fn what_memcached_does_not_have_is_refused() {
        for (line, words) in [
            ("-Q", "-Q"),
            ("-vQ", "-Q"),
            ("--fooble", "--fooble"),
            ("-v -c", "-c <num>"),
            ("--conn-limit", "--conn-limit <num>"),
            ("--daemon=1", "--daemon"),
            ("--enable-s", "--enable-shutdown or --enable-sasl"),
            ("--=1", "--"),
        ] {
            let error = told(line).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn the_table_has_each_flag_once_and_says_why() {
        let shorts = "pUsaAldrumMckvhiVPfnLDtRCbBISFXWYeZoN";
        let mut seen: Vec<_> = FLAGS.iter().map(|flag| flag.short).collect();
        assert_eq!(seen.iter().collect::<String>(), shorts);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), FLAGS.len());
        for flag in FLAGS {
            match flag.meaning {
                Honoured => assert!(!flag.help.is_empty(), "-{}", flag.short),
                Idle(why) | Refused(why) => assert!(!why.is_empty(), "-{}", flag.short),
            }
        }
    }
}
