//! The settings of `larder serve` as a table, and where their values come from: flags, then variables,
//! then a file.
//!
//! A setting has one name. `max-item-size` is the flag `--max-item-size`, the variable
//! `LARDER_MAX_ITEM_SIZE`, and the key `max-item-size` of a TOML file. The first that gives a setting
//! gives all of it: lists are not put together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Setting {
    Listen,
    Unix,
    UnixMode,
    TlsListen,
    TlsCert,
    TlsKey,
    TlsClientCa,
    Memory,
    MaxItemSize,
    Threads,
    MaxConnections,
    IdleTimeout,
    AcceptRate,
    BufferMemory,
    RequestTimeout,
    StopTimeout,
    Data,
    DatabaseUrl,
    Advertise,
    Console,
    ConsoleUrl,
    ShowValues,
    AuthFile,
    Open,
}

/// How a setting is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Once, with a value.
    One,
    /// As often as wanted; in a variable, separated by commas.
    Many,
    /// As a flag without a value.
    Switch,
}

/// A line of the table: setting, name, form, what its value is called, help.
struct Row(Setting, &'static str, Form, &'static str, &'static str);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row(Setting::Listen, "listen", Form::Many, "ADDRESS:PORT", "Where to listen; may be repeated  [default: 127.0.0.1:11211]"),
    Row(Setting::Unix, "unix", Form::One, "PATH", "A unix socket to listen on"),
    Row(Setting::UnixMode, "unix-mode", Form::One, "MODE", "Who may use it, in octal  [default: 700]"),
    Row(Setting::TlsListen, "tls-listen", Form::Many, "ADDRESS:PORT", "Where to listen for TLS; may be repeated"),
    Row(Setting::TlsCert, "tls-cert", Form::One, "FILE", "The server's certificate and its chain, in PEM"),
    Row(Setting::TlsKey, "tls-key", Form::One, "FILE", "Its private key, in PEM"),
    Row(Setting::TlsClientCa, "tls-client-ca", Form::One, "FILE", "Authorities that clients' certificates must come from  [default: clients need none]"),
    Row(Setting::Memory, "memory", Form::One, "SIZE", "Memory for items and all that goes with them  [default: 1g, at most half of the machine's]"),
    Row(Setting::MaxItemSize, "max-item-size", Form::One, "SIZE", "The largest item, at most an eighth of the memory  [default: 1m]"),
    Row(Setting::Threads, "threads", Form::One, "N", "Threads that serve connections  [default: one per CPU]"),
    Row(Setting::MaxConnections, "max-connections", Form::One, "N", "Most connections at once  [default: 1024]"),
    Row(Setting::IdleTimeout, "idle-timeout", Form::One, "TIME", "Closes connections that are idle for so long  [default: never]"),
    Row(Setting::AcceptRate, "accept-rate", Form::One, "N", "Most connections accepted in a second, more wait; or unlimited  [default: 20000]"),
    Row(Setting::BufferMemory, "buffer-memory", Form::One, "SIZE", "Memory for half commands, replies that clients have not taken, and TLS: 4 KiB a connection  [default: 64m]"),
    Row(Setting::RequestTimeout, "request-timeout", Form::One, "TIME", "Closes connections whose command, login or handshake is not whole, or whose replies are not taken, after so long  [default: 60s]"),
    Row(Setting::StopTimeout, "stop-timeout", Form::One, "TIME", "How long a server that stops waits for clients to take their replies  [default: 5s]"),
    Row(Setting::Data, "data", Form::One, "DIR", "Accounts, history and what else is kept, in this directory: users are those of larder provision"),
    Row(Setting::DatabaseUrl, "database-url", Form::One, "URL", "The accounts are in this database, so that several servers share them: postgres://USER:PASSWORD@HOST/DATABASE  [default: in --data]"),
    Row(Setting::Advertise, "advertise", Form::Many, "HOST:PORT", "Where clients find this server, as larder provision prints it; may be repeated  [default: where it listens]"),
    Row(Setting::Console, "console", Form::One, "ADDRESS:PORT", "Where the console listens, a dashboard and an HTTP API; or off  [default with --data: 127.0.0.1:8001]"),
    Row(Setting::ConsoleUrl, "console-url", Form::One, "URL", "Where browsers find the console  [default: where it listens]"),
    Row(Setting::ShowValues, "show-values", Form::Switch, "", "Lets tenants' admins see values in the console, not only their sizes"),
    Row(Setting::AuthFile, "auth-file", Form::One, "FILE", "Users: a line user:password or user:password:tenant each"),
    Row(Setting::Open, "open", Form::Switch, "", "Lets in everybody who can connect"),
];

/// The name of the file is itself no setting of the file.
const CONFIG: &str = "config";
const CONFIG_HELP: &str = "A TOML file with any of these settings";

const SOURCES: &str = "\
Every setting may also be a variable (--max-item-size is LARDER_MAX_ITEM_SIZE), or a line of the file
that --config or LARDER_CONFIG names (max-item-size = \"2m\"). Flags come first, then variables.
SIGHUP has users and certificates read again. SIGINT, SIGTERM and SIGUSR1 stop the server: it answers what
it has read, waits up to --stop-timeout for clients to take it, and ends; one more signal, a second later
or more, ends it at once.";

impl Setting {
    fn row(self) -> &'static Row {
        // Every setting is in the table, which a test makes sure of.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[0])
    }

    /// As a flag.
    pub(crate) fn flag(self) -> String {
        format!("--{}", self.row().1)
    }
}

impl Row {
    fn variable(&self) -> String {
        variable(self.1)
    }

    fn arg(&self) -> Arg {
        let Row(_, name, form, value, help) = self;
        let arg = Arg::new(*name).long(*name).help(*help);
        match form {
            Form::One => arg.action(ArgAction::Set).value_name(*value),
            Form::Many => arg.action(ArgAction::Append).value_name(*value),
            Form::Switch => arg.action(ArgAction::SetTrue),
        }
    }
}

/// The variable of a setting.
fn variable(name: &str) -> String {
    format!("LARDER_{}", name.to_uppercase().replace('-', "_"))
}

/// What flags were given.
#[derive(Debug, Clone, Default)]
pub(crate) struct Args {
    given: BTreeMap<Setting, Vec<String>>,
    config: Option<PathBuf>,
}

impl Args {
    /// Gives a setting as its flag would.
    pub(crate) fn give(&mut self, setting: Setting, value: Option<String>) {
        self.given.extend(value.map(|value| (setting, vec![value])));
    }

    /// Flags, the variables of this process, and the file that one of them names.
    pub(crate) fn sources(&self) -> anyhow::Result<Sources> {
        self.sources_from(|name| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned()))
    }

    fn sources_from(
        &self,
        variable_of: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Sources> {
        let path = self.config.clone();
        let path = path.or_else(|| variable_of(&variable(CONFIG)).map(PathBuf::from));
        let mut values = match path {
            Some(path) => read(&path)?,
            None => BTreeMap::new(),
        };
        for row in TABLE {
            let Row(setting, _, form, ..) = row;
            if let Some(text) = variable_of(&row.variable()).filter(|text| !text.is_empty()) {
                let list: Vec<_> = match form {
                    Form::Many => text.split(',').map(|part| part.trim().to_owned()).collect(),
                    Form::One | Form::Switch => vec![text],
                };
                values.insert(*setting, (Source::Variable, list));
            }
        }
        for (setting, list) in &self.given {
            values.insert(*setting, (Source::Flag, list.clone()));
        }
        Ok(Sources { values })
    }
}

impl clap::FromArgMatches for Args {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Args::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for Row(setting, name, form, ..) in TABLE {
            let values: Vec<String> = match form {
                Form::Switch if matches.get_flag(name) => vec!["true".to_owned()],
                Form::Switch => continue,
                Form::One | Form::Many => {
                    matches.get_many(name).into_iter().flatten().cloned().collect()
                }
            };
            if !values.is_empty() {
                self.given.insert(*setting, values);
            }
        }
        self.config = matches.get_one::<String>(CONFIG).map(PathBuf::from);
        Ok(())
    }
}

impl clap::Args for Args {
    fn augment_args(command: Command) -> Command {
        let config = Arg::new(CONFIG).long(CONFIG).value_name("FILE").help(CONFIG_HELP);
        command.args(TABLE.iter().map(Row::arg)).arg(config).after_help(SOURCES)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Who gave a setting its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Flag,
    Variable,
    File(PathBuf),
}

/// The values of all settings that were given, as text.
#[derive(Debug)]
pub(crate) struct Sources {
    values: BTreeMap<Setting, (Source, Vec<String>)>,
}

impl Sources {
    /// The same with a value for a setting that was not given.
    pub(crate) fn or(mut self, setting: Setting, value: &str) -> Sources {
        self.values.entry(setting).or_insert_with(|| (Source::Flag, vec![value.to_owned()]));
        self
    }

    /// Whether a setting was given.
    pub(crate) fn is_given(&self, setting: Setting) -> bool {
        self.values.contains_key(&setting)
    }

    /// A setting as whoever gave it knows it.
    pub(crate) fn name(&self, setting: Setting) -> String {
        let row = setting.row();
        match self.values.get(&setting) {
            Some((Source::Variable, _)) => row.variable(),
            Some((Source::File(path), _)) => format!("{} in {}", row.1, path.display()),
            Some((Source::Flag, _)) | None => setting.flag(),
        }
    }

    /// The value of a setting, read by `read`, which else says what it wants.
    ///
    /// # Errors
    ///
    /// Names setting, value and what would be right.
    pub(crate) fn one<T>(
        &self,
        setting: Setting,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<Option<T>> {
        Ok(self.all(setting, read)?.pop())
    }

    /// All values of a setting.
    ///
    /// # Errors
    ///
    /// As [`Sources::one`].
    pub(crate) fn all<T>(
        &self,
        setting: Setting,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<Vec<T>> {
        let Some((_, list)) = self.values.get(&setting) else { return Ok(Vec::new()) };
        let one = |text: &String| match read(text) {
            Ok(value) => Ok(value),
            Err(wanted) => bail!("{}: {text:?} will not do: want {wanted}", self.name(setting)),
        };
        list.iter().map(one).collect()
    }
}

/// The settings of a file.
fn read(path: &PathBuf) -> anyhow::Result<BTreeMap<Setting, (Source, Vec<String>)>> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    let table: toml::Table = text.parse().with_context(|| format!("{shown} is no TOML"))?;
    let mut values = BTreeMap::new();
    for (name, value) in table {
        let Some(Row(setting, _, form, ..)) = TABLE.iter().find(|row| row.1 == name) else {
            let names: Vec<_> = TABLE.iter().map(|row| row.1).collect();
            bail!("{shown}: there is no setting {name:?}; there are {}", names.join(", "));
        };
        let list = match value {
            toml::Value::Array(list) if *form == Form::Many => {
                list.into_iter().map(scalar).collect::<Option<_>>()
            }
            value => scalar(value).map(|text| vec![text]),
        };
        let wanted = match form {
            Form::Many => "a text or a list of texts",
            Form::One => "a text or a number",
            Form::Switch => "true or false",
        };
        let list = list.with_context(|| format!("{shown}: {name}: want {wanted}"))?;
        values.insert(*setting, (Source::File(path.clone()), list));
    }
    Ok(values)
}

/// A value as it would be written as a flag.
fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches};

    fn args(line: &str) -> Args {
        let command = Args::augment_args(Command::new("serve").no_binary_name(true));
        Args::from_arg_matches(&command.get_matches_from(line.split_whitespace())).unwrap()
    }

    fn sources(line: &str, vars: &[(&str, &str)]) -> anyhow::Result<Sources> {
        let find =
            |name: &str| vars.iter().find(|(one, _)| *one == name).map(|(_, v)| v.to_string());
        args(line).sources_from(find)
    }

    fn text(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    #[test]
    fn every_setting_has_a_row_and_a_flag() {
        let last = Setting::Open as usize;
        assert_eq!(TABLE.len(), last + 1);
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, at, "{}", row.1);
        }
        Args::augment_args(Command::new("serve")).debug_assert();
    }

    #[test]
    fn the_help_has_the_defaults_of_the_server() {
        let settings = larder_server::Settings::new(64 << 20);
        for (setting, default) in [
            (Setting::AcceptRate, settings.accepts_per_second.unwrap().to_string()),
            (Setting::BufferMemory, format!("{}m", settings.buffer_bytes >> 20)),
            (Setting::RequestTimeout, format!("{}s", settings.request_deadline.as_secs())),
            (Setting::StopTimeout, format!("{}s", settings.stop_deadline.as_secs())),
        ] {
            let Row(_, name, .., help) = setting.row();
            assert!(help.ends_with(&format!("[default: {default}]")), "{name}: {default}");
        }
    }

    #[test]
    fn flags_win_over_variables_and_those_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let config = "memory = \"2g\"\nthreads = 3\nlisten = [\"a:1\", \"b:2\"]\nopen = true\n\
                      idle-timeout = \"5m\"";
        std::fs::write(&file, config).unwrap();
        let line = format!("--memory 4g --config {}", file.path().display());
        let vars = [("LARDER_MEMORY", "3g"), ("LARDER_THREADS", "4"), ("LARDER_UNIX", "")];
        let sources = sources(&line, &vars).unwrap();
        let one = |setting| sources.one(setting, text).unwrap();
        assert_eq!(one(Setting::Memory).as_deref(), Some("4g"));
        assert_eq!(one(Setting::Threads).as_deref(), Some("4"));
        assert_eq!(one(Setting::IdleTimeout).as_deref(), Some("5m"));
        assert_eq!(one(Setting::Open).as_deref(), Some("true"));
        assert_eq!(one(Setting::Unix), None);
        assert_eq!(sources.all(Setting::Listen, text).unwrap(), ["a:1", "b:2"]);

        let names = [Setting::Memory, Setting::Threads].map(|setting| sources.name(setting));
        assert_eq!(names, ["--memory", "LARDER_THREADS"]);
        let from_file = sources.name(Setting::Listen);
        assert!(from_file.starts_with("listen in /"), "{from_file}");
    }

    #[test]
    fn lists_are_repeated_flags_or_separated_by_commas() {
        let from_flags = sources("--listen a:1 --listen b:2", &[("LARDER_LISTEN", "c:3")]).unwrap();
        assert_eq!(from_flags.all(Setting::Listen, text).unwrap(), ["a:1", "b:2"]);
        let from_variable = sources("", &[("LARDER_LISTEN", "c:3, d:4")]).unwrap();
        assert_eq!(from_variable.all(Setting::Listen, text).unwrap(), ["c:3", "d:4"]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_source() {
        let wrong = |_: &str| Err::<(), _>("something else".to_owned());
        let told = |sources: Sources| sources.one(Setting::Memory, wrong).unwrap_err().to_string();
        let flag = told(sources("--memory 1x", &[]).unwrap());
        assert_eq!(flag, "--memory: \"1x\" will not do: want something else");
        let variable = told(sources("", &[("LARDER_MEMORY", "1x")]).unwrap());
        assert!(variable.starts_with("LARDER_MEMORY: \"1x\""), "{variable}");
    }

    #[test]
    fn a_file_may_have_only_settings() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = format!("--config {}", file.path().display());
        for (config, words) in [
            ("memroy = \"1g\"", "\"memroy\"; there are listen, unix"),
            ("[memory]\nx = 1", "memory: want a text or a number"),
            ("memory = [\"1g\"]", "memory: want a text or a number"),
            ("listen = [[1]]", "listen: want a text or a list"),
            ("config = \"x\"", "\"config\""),
            ("memory", "no TOML"),
        ] {
            std::fs::write(&file, config).unwrap();
            let error = format!("{:#}", sources(&line, &[]).unwrap_err());
            assert!(error.contains(words), "{config}: {error}");
            assert!(error.contains(&file.path().display().to_string()), "{config}: {error}");
        }
        assert!(sources("--config /nonexistent.toml", &[]).is_err());
    }
}
