//! What memcached's flags ask for, checked before anything is listened on.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use larder_server::{ProtocolPin, Settings, TlsSettings};

use super::extended;
use super::flags::{self, Flag, Given, Meaning, Takes};
use super::listen::{Place, Port};
use super::ssl::Ssl;
use crate::node::bind::BACKLOG;
use crate::node::process;
use crate::units;

const MIB: u64 = 1 << 20;

/// Everything that a command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    /// Of the server itself.
    pub(crate) settings: Settings,
    pub(crate) port: Option<Port>,
    pub(crate) udp: Option<Port>,
    /// Instead of the network.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) socket_mode: u32,
    /// None: everywhere.
    pub(crate) listen: Vec<Place>,
    pub(crate) backlog: i32,
    /// None: by a connection's first byte.
    pub(crate) protocol: Option<ProtocolPin>,
    pub(crate) daemon: bool,
    pub(crate) core_files: bool,
    pub(crate) lock_memory: bool,
    /// Whether system calls are filtered.
    pub(crate) filter: bool,
    pub(crate) user: Option<String>,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) sasl: bool,
    pub(crate) auth_file: Option<PathBuf>,
    pub(crate) tls: Option<TlsSettings>,
    /// What was given and has no meaning here, a line each.
    pub(crate) notes: Vec<String>,
    /// What was given and will be missed, a line each: these are said in any case.
    pub(crate) warnings: Vec<String>,
    ssl: Ssl,
    /// Options of `-o` that go together with others, as they were given.
    hot_pct: u64,
    warm_pct: u64,
    chunk_max: Option<u64>,
}

/// What a command line is for.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// To run a server.
    Server(Box<Options>),
    Help,
    Version,
    License,
}

impl Wanted {
    /// Reads a command line without the program's name.
    ///
    /// # Errors
    ///
    /// What is wrong with it, naming the flag, its value and what would be right.
    pub(crate) fn parse(args: &[String]) -> anyhow::Result<Wanted> {
        let (given, others) = flags::split(args)?;
        let mut options = Options::new();
        for other in others {
            options.notes.push(format!("{other:?} is no flag, and ignored"));
        }
        for Given { flag, value } in &given {
            match flag.short {
                'h' => return Ok(Wanted::Help),
                'V' => return Ok(Wanted::Version),
                'i' => return Ok(Wanted::License),
                _ => options.take(flag, value)?,
            }
        }
        options.check()?;
        options.show();
        Ok(Wanted::Server(Box::new(options)))
    }
}

impl Options {
    fn new() -> Self {
        Self {
            settings: Settings::new(64 << 20),
            port: None,
            udp: None,
            socket: None,
            socket_mode: 0o700,
            listen: Vec::new(),
            backlog: BACKLOG,
            protocol: None,
            daemon: false,
            core_files: false,
            lock_memory: false,
            filter: false,
            user: None,
            pid_file: None,
            sasl: false,
            auth_file: None,
            tls: None,
            notes: Vec::new(),
            warnings: Vec::new(),
            ssl: Ssl::default(),
            hot_pct: 20,
            warm_pct: 40,
            chunk_max: None,
        }
    }

    fn take(&mut self, flag: &'static Flag, value: &str) -> anyhow::Result<()> {
        let short = flag.short;
        match (flag.meaning, flag.takes) {
            (Meaning::Refused(why), _) => bail!("-{short} {value}: {why}"),
            // Who wants no UDP has what it wants.
            (Meaning::Idle(_), _) if short == 'U' && value == "0" => {}
            (Meaning::Idle(why), _) => {
                let lines = if short == 'U' { &mut self.warnings } else { &mut self.notes };
                lines.push(format!("-{short} has no meaning here: {why}"));
            }
            (Meaning::Honoured, Takes::Nothing) => self.switch(short),
            (Meaning::Honoured, _) => {}
        }
        self.take_value(short, value)
    }

    /// Flags that have no value.
    fn switch(&mut self, short: char) {
        let settings = &mut self.settings;
        match short {
            'A' => settings.allow_shutdown = true,
            'C' => settings.cas = false,
            'F' => settings.allow_flush = false,
            'M' => settings.evict = false,
            'S' => self.sasl = true,
            'X' => settings.allow_dumps = false,
            'Z' => self.ssl.enabled = true,
            'd' => self.daemon = true,
            'k' => self.lock_memory = true,
            'r' => self.core_files = true,
            _ => {}
        }
    }

    /// Flags that have one; that of an idle flag must be right, too.
    fn take_value(&mut self, short: char, value: &str) -> anyhow::Result<()> {
        let settings = &mut self.settings;
        match short {
            'B' => self.protocol = Some(protocol(value)?),
            'D' => self.detail(value)?,
            'I' => settings.max_item_bytes = item_size(value)?,
            'P' => self.pid_file = Some(absolute(value)?),
            'R' => settings.requests_per_turn = number('R', value, 1, i32::MAX as u32)?,
            'U' => self.udp = Some(Port::parse('U', value)?),
            'Y' => self.auth_file = Some(absolute(value)?),
            'a' => self.socket_mode = mode(value)?,
            'b' => self.backlog = number('b', value, 1, i32::MAX)?,
            'c' => settings.max_connections = number('c', value, 1, i32::MAX as usize)?,
            'f' => check_ratio(value)?,
            'l' => self.listen.extend(Place::parse_list(value)?),
            'm' => settings.memory_bytes = memory(value)?,
            'n' => drop(number('n', value, 1, 1 << 20)?),
            'o' => self.take_extended(value)?,
            'p' => self.port = Some(Port::parse('p', value)?),
            's' => self.socket = Some(absolute(value)?),
            't' => settings.workers = number('t', value, 1, 1024)?,
            'u' => self.user = Some(value.to_owned()),
            'v' => settings.verbosity += 1 + u32::try_from(value.len())?,
            _ => {}
        }
        Ok(())
    }

    fn detail(&mut self, value: &str) -> anyhow::Result<()> {
        let [delimiter] = *value.as_bytes() else {
            bail!("-D {value:?}: want one character, that which ends a key's prefix")
        };
        self.settings.detail = true;
        self.settings.detail_delimiter = delimiter;
        Ok(())
    }

    fn take_extended(&mut self, list: &str) -> anyhow::Result<()> {
        for (option, value) in extended::split(list)? {
            let name = option.name;
            if let Meaning::Idle(why) = option.meaning {
                self.notes.push(format!("-o {name} has no meaning here: {why}"));
            }
            // The table has checked that it is one, and how large it may be.
            let number = || value.parse::<u64>().unwrap_or(0);
            match name {
                "idle_timeout" => {
                    let timeout = Duration::from_secs(number());
                    self.settings.idle_timeout = (!timeout.is_zero()).then_some(timeout);
                }
                "read_buf_mem_limit" if number() > 0 => {
                    self.settings.buffer_bytes = usize::try_from(number() * MIB)?;
                }
                "hot_lru_pct" => self.hot_pct = number(),
                "warm_lru_pct" => self.warm_pct = number(),
                "slab_chunk_max" => self.chunk_max = Some(number()),
                "drop_privileges" => self.filter = true,
                "no_drop_privileges" => self.filter = false,
                _ => self.ssl.take(name, &value)?,
            }
        }
        Ok(())
    }

    /// Whether what was given goes together.
    fn check(&mut self) -> anyhow::Result<()> {
        self.check_sizes()?;
        match self.protocol {
            _ if self.sasl && self.auth_file.is_some() => {
                bail!("-S and -Y: one of them; either asks for a password in all protocols")
            }
            Some(ProtocolPin::Negotiated | ProtocolPin::Text) if self.sasl => {
                bail!("-S with -B auto or ascii: SASL is of the binary protocol; leave -B out")
            }
            Some(ProtocolPin::Binary) if self.auth_file.is_some() => {
                bail!("-Y with -B binary: it is for the text protocol; leave -B out")
            }
            _ => {}
        }
        if !self.ssl.enabled && self.listen.iter().any(|place| place.mutual) {
            bail!("-l mtls: without -Z: nothing would be encrypted; add -Z");
        }
        self.tls = self.ssl.settings()?;
        if self.tls.is_some() && self.ssl.is_old_wanted() {
            self.notes.push("TLS 1.0 and 1.1 are not spoken: 1.2 is the oldest".to_owned());
        }
        Ok(())
    }

    fn check_sizes(&mut self) -> anyhow::Result<()> {
        let (item, memory) = (self.settings.max_item_bytes, self.settings.memory_bytes);
        let shown = units::show_size(item as u64);
        if item > memory / 2 {
            let half = units::show_size(memory as u64 / 2);
            bail!("-I: an item of {shown} is more than half of -m; at most {half} would do");
        }
        if item > memory / 8 {
            let largest = units::show_size(memory as u64 / 8);
            self.warnings.push(format!(
                "-I: items above {largest} are not stored: an item may have an eighth of the memory"
            ));
        }
        if let Some(machine) = process::machine_memory().filter(|most| memory as u64 > *most) {
            let machine = units::show_size(machine);
            self.notes.push(format!("-m is more than the {machine} of this machine"));
        }
        if let Some(kib) = self.chunk_max
            && !(item as u64).is_multiple_of(kib << 10)
        {
            bail!("-I: {item} bytes are no multiple of -o slab_chunk_max={kib}, in kilobytes");
        }
        let percent = self.hot_pct + self.warm_pct;
        if percent > 80 {
            bail!("-o hot_lru_pct and warm_lru_pct are {percent} together; at most 80 would do");
        }
        Ok(())
    }

    /// What `stats settings` is to say of things that only the command line knows.
    fn show(&mut self) {
        let inter: Vec<_> = self.listen.iter().map(|place| place.text.as_str()).collect();
        let protocol = match self.protocol {
            Some(ProtocolPin::Text) => "ascii",
            Some(ProtocolPin::Binary) => "binary",
            Some(ProtocolPin::Negotiated) | None => "auto-negotiate",
        };
        let lines = [
            ("inter", if inter.is_empty() { "NULL".to_owned() } else { inter.join(",") }),
            ("udpport", "0".to_owned()),
            ("domain_socket", show_path(self.socket.as_ref(), "NULL")),
            ("umask", format!("{:o}", self.socket_mode)),
            ("tcp_backlog", self.backlog.to_string()),
            ("binding_protocol", protocol.to_owned()),
            ("auth_enabled_sasl", yes_or_no(self.sasl)),
            ("auth_enabled_ascii", show_path(self.auth_file.as_ref(), "no")),
            ("drop_privileges", yes_or_no(self.filter)),
        ];
        let lines = lines.into_iter().chain(self.ssl.shown());
        self.settings.shown = lines.map(|(name, value)| (name.to_owned(), value)).collect();
    }
}

/// As memcached shows a path that may be none.
pub(super) fn show_path(path: Option<&PathBuf>, none: &str) -> String {
    path.map_or_else(|| none.to_owned(), |path| path.display().to_string())
}

/// As memcached shows a switch.
pub(super) fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

/// A daemon leaves its directory, and a file is read again later: so paths are made whole at once.
pub(super) fn absolute(path: &str) -> anyhow::Result<PathBuf> {
    std::path::absolute(Path::new(path)).with_context(|| format!("{path:?} is no path"))
}

fn number<N: Copy + FromStr + PartialOrd + Display>(
    short: char,
    text: &str,
    least: N,
    most: N,
) -> anyhow::Result<N> {
    let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
    number.with_context(|| format!("-{short} {text}: want a number from {least} to {most}"))
}

fn protocol(text: &str) -> anyhow::Result<ProtocolPin> {
    match text {
        "auto" => Ok(ProtocolPin::Negotiated),
        "ascii" => Ok(ProtocolPin::Text),
        "binary" => Ok(ProtocolPin::Binary),
        _ => bail!("-B {text}: want ascii, binary or auto"),
    }
}

fn check_ratio(text: &str) -> anyhow::Result<()> {
    let good = text.parse::<f64>().is_ok_and(|factor| factor > 1.0);
    if good { Ok(()) } else { bail!("-f {text}: want a number above 1") }
}

fn mode(text: &str) -> anyhow::Result<u32> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.with_context(|| format!("-a {text}: want up to three octal digits, such as 770"))
}

/// Megabytes, or a size with a unit.
fn memory(text: &str) -> anyhow::Result<usize> {
    let megabytes = text.parse::<u64>().ok().and_then(|number| number.checked_mul(MIB));
    let bytes = megabytes.or_else(|| units::size(text)).filter(|bytes| *bytes >= MIB);
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .with_context(|| format!("-m {text}: want megabytes, at least 1, or {}", units::SIZE))
}

fn item_size(text: &str) -> anyhow::Result<usize> {
    let bytes = units::size(text).filter(|bytes| (1024..=1 << 30).contains(bytes));
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .with_context(|| format!("-I {text}: want 1k to 1024m, or as many bytes"))
}
