//! `larder serve`: the cache server, by flags of its own.
//!
//! [`setting`] is the table of settings, each of which a flag, a variable or a file may give; this file
//! makes a server of them, and [`managed`] what goes beside one whose users are accounts; [`banner`] tells
//! what it is.

mod banner;
mod managed;
mod setting;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use larder_server::{ClientCertificates, Listener, Settings, Tls, TlsSettings};
use larder_tenancy::{Capabilities, Layout, SharedDirectory};

use self::managed::Managed;
pub(crate) use self::managed::near;
pub(crate) use self::setting::{Args, Setting, Sources};
use crate::node::accounts::{Accounts, UserFile};
use crate::node::{Plan, bind, log, process};
use crate::{tell, units};

/// Where a server listens that is not told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:11211";

/// A server's memory, if the machine has twice as much.
const DEFAULT_MEMORY: usize = 1 << 30;

/// Serves until it is told to stop.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = args.sources()?;
    let chosen = Chosen::from(&sources)?;
    log::init(1);
    let listeners = chosen.bind()?;
    let mut about = banner::About::new(&chosen, &listeners);
    let Chosen { settings, users, unix, tls, .. } = chosen;
    let (tls, files) = (tls.is_some(), unix.into_iter().collect());
    let (fleet, accounts, directory) = match users {
        Users::Followed(managed) => {
            let started = managed.start(&listeners, &settings)?;
            let directory = started.fleet.directory().clone();
            (Some(started), Accounts::Followed, directory)
        }
        Users::Known(accounts) => {
            let directory = accounts.load()?;
            about.users(&accounts, &directory);
            (None, accounts, SharedDirectory::new(directory))
        }
    };
    let prepared = Plan { settings, listeners, accounts, directory, tls, files }.prepare()?;
    let fleet = match fleet {
        Some(started) => Some(started.show(&prepared.handle(), &mut about)?),
        None => None,
    };
    about.print();
    let served = prepared.run();
    if let Some(fleet) = fleet {
        fleet.stop();
    }
    served?;
    tell::out("Stopped.\n");
    Ok(ExitCode::SUCCESS)
}

/// What was chosen, all of it checked.
pub(crate) struct Chosen {
    pub(crate) settings: Settings,
    listen: Vec<SocketAddr>,
    unix: Option<PathBuf>,
    unix_mode: u32,
    tls_listen: Vec<SocketAddr>,
    tls: Option<Arc<Tls>>,
    pub(crate) users: Users,
}

/// Who may use the server: that is never left open without somebody saying so.
pub(crate) enum Users {
    /// Everybody, or those of a file.
    Known(Accounts),
    /// Those of the accounts.
    Followed(Managed),
}

impl Chosen {
    pub(crate) fn from(sources: &Sources) -> anyhow::Result<Chosen> {
        let users = users(sources)?;
        let tls_listen = addresses(sources, Setting::TlsListen)?;
        let unix = sources.one(Setting::Unix, path)?;
        let mut listen = addresses(sources, Setting::Listen)?;
        if listen.is_empty() && tls_listen.is_empty() && unix.is_none() {
            listen = vec![DEFAULT_LISTEN.parse()?];
        }
        let mode = sources.one(Setting::UnixMode, mode)?;
        if let (Some(_), None) = (mode, &unix) {
            bail!("{} without {}", sources.name(Setting::UnixMode), Setting::Unix.flag());
        }
        let settings = settings(sources)?;
        process::open_files(settings.max_connections, settings.workers)?;
        Ok(Chosen {
            settings,
            tls: tls(sources, tls_listen.is_empty())?,
            unix_mode: mode.unwrap_or(0o700),
            listen,
            unix,
            tls_listen,
            users,
        })
    }

    /// Listens everywhere.
    pub(crate) fn bind(&self) -> anyhow::Result<Vec<Listener>> {
        let mut listeners = Vec::new();
        for &address in &self.listen {
            listeners.push(Listener::tcp(bind::tcp(address, bind::BACKLOG)?));
        }
        if let Some(tls) = &self.tls {
            for &address in &self.tls_listen {
                let listener = Listener::tcp(bind::tcp(address, bind::BACKLOG)?);
                listeners.push(listener.with_tls(tls.clone()));
            }
        }
        if let Some(path) = &self.unix {
            listeners.push(Listener::unix(bind::unix(path, self.unix_mode, bind::BACKLOG)?));
        }
        Ok(listeners)
    }
}

fn users(sources: &Sources) -> anyhow::Result<Users> {
    let file = sources.one(Setting::AuthFile, path)?;
    let open = sources.one(Setting::Open, yes)?.unwrap_or(false);
    let given = |setting| sources.is_given(setting).then_some(setting);
    let of_accounts = given(Setting::Data).or_else(|| given(Setting::DatabaseUrl));
    let mut ways = Vec::new();
    ways.extend(of_accounts);
    ways.extend(file.as_ref().map(|_| Setting::AuthFile));
    ways.extend(open.then_some(Setting::Open));
    if let [one, other, ..] = ways[..] {
        bail!(
            "{} and {}: users are those of accounts, those of a file, or everybody; leave one out",
            sources.name(one),
            sources.name(other)
        );
    }
    if of_accounts.is_some() {
        return Ok(Users::Followed(Managed::from(sources)?));
    }
    Managed::refuse(sources)?;
    match (file, open) {
        (Some(path), _) => {
            let file = UserFile::new(path, Layout::Tenants, Capabilities::USE)?;
            Ok(Users::Known(Accounts::File(file)))
        }
        (None, true) => Ok(Users::Known(Accounts::Open)),
        (None, false) => bail!(
            "nobody may use this server yet. Add --data DIR for accounts that larder provision makes, \
             with a console;\nor --auth-file FILE with a line user:password for each user \
             (user:password:tenant gives the user\na cache of its own); or --open to let in \
             everybody who can connect"
        ),
    }
}

fn settings(sources: &Sources) -> anyhow::Result<Settings> {
    let memory = sources.one(Setting::Memory, memory)?.unwrap_or_else(default_memory);
    let mut settings = Settings::new(memory);
    if let Some(bytes) = sources.one(Setting::MaxItemSize, |text| item_size(text, memory))? {
        settings.max_item_bytes = bytes;
    }
    settings.max_item_bytes = settings.max_item_bytes.min(memory / 8);
    if let Some(threads) = sources.one(Setting::Threads, |text| number(text, 1, 1024))? {
        settings.workers = threads;
    }
    let connections = sources.one(Setting::MaxConnections, |text| number(text, 1, 10_000_000))?;
    settings.max_connections = connections.unwrap_or(settings.max_connections);
    settings.idle_timeout = sources.one(Setting::IdleTimeout, idle_timeout)?.flatten();
    if let Some(rate) = sources.one(Setting::AcceptRate, accept_rate)? {
        settings.accepts_per_second = rate;
    }
    if let Some(bytes) = sources.one(Setting::BufferMemory, buffer_memory)? {
        settings.buffer_bytes = bytes;
    }
    if let Some(timeout) = sources.one(Setting::RequestTimeout, duration)? {
        settings.request_deadline = timeout;
    }
    if let Some(timeout) = sources.one(Setting::StopTimeout, duration)? {
        settings.stop_deadline = timeout;
    }
    let debug = std::env::var_os("LARDER_DEBUG_COMMANDS");
    settings.debug_commands = debug.is_some_and(|value| value == "1");
    settings.insight = std::env::var_os("LARDER_INSIGHT").is_none_or(|value| value != "0");
    settings.floor = std::env::var_os("LARDER_FLOOR").is_some_and(|value| value == "1");
    Ok(settings)
}

/// TLS, if there is somewhere to speak it.
fn tls(sources: &Sources, nowhere: bool) -> anyhow::Result<Option<Arc<Tls>>> {
    let certificate = sources.one(Setting::TlsCert, path)?;
    let key = sources.one(Setting::TlsKey, path)?;
    let client_ca = sources.one(Setting::TlsClientCa, path)?;
    if nowhere {
        for setting in [Setting::TlsCert, Setting::TlsKey, Setting::TlsClientCa] {
            if sources.is_given(setting) {
                bail!(
                    "{} without {}: nothing would be encrypted; add {} ADDRESS",
                    sources.name(setting),
                    Setting::TlsListen.flag(),
                    Setting::TlsListen.flag()
                );
            }
        }
        return Ok(None);
    }
    let need = |found: Option<PathBuf>, setting: Setting, what: &str| {
        let by = sources.name(Setting::TlsListen);
        found.with_context(|| format!("{by} needs {} FILE, {what} in PEM", setting.flag()))
    };
    let certificate =
        need(certificate, Setting::TlsCert, "the server's certificate and its chain")?;
    let key = need(key, Setting::TlsKey, "its private key")?;
    let mut settings = TlsSettings::new(certificate, key);
    settings.resumption = true;
    if client_ca.is_some() {
        settings.client_certificates = ClientCertificates::Require;
    }
    settings.client_ca = client_ca;
    Ok(Some(Arc::new(Tls::load(settings).context("TLS")?)))
}

/// All addresses that the values of a setting stand for.
fn addresses(sources: &Sources, setting: Setting) -> anyhow::Result<Vec<SocketAddr>> {
    let found = sources.all(setting, |text| {
        let (host, port) = bind::split_port(text).map_err(|error| format!("{error:#}"))?;
        let port = port.ok_or("an address and a port, such as 127.0.0.1:11211 or [::]:11211")?;
        let host = if host == "*" { "0.0.0.0" } else { host };
        bind::resolve(host, port).map_err(|error| format!("an address: {error:#}"))
    })?;
    Ok(found.into_iter().flatten().collect())
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("a path".to_owned()) } else { Ok(PathBuf::from(text)) }
}

fn yes(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| "up to three octal digits, such as 770".to_owned())
}

/// What a small machine can spare, too.
fn default_memory() -> usize {
    let half = process::machine_memory().and_then(|bytes| usize::try_from(bytes / 2).ok());
    half.map_or(DEFAULT_MEMORY, |half| half.clamp(1 << 20, DEFAULT_MEMORY))
}

fn memory(text: &str) -> Result<usize, String> {
    let most = process::machine_memory().unwrap_or(u64::MAX);
    let bytes = units::size(text).filter(|bytes| (1 << 20..=most).contains(bytes));
    bytes.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
        let most = units::show_size(most);
        format!("{}, from 1m to the {most} of this machine", units::SIZE)
    })
}

fn item_size(text: &str, memory: usize) -> Result<usize, String> {
    let most = memory / 8;
    let bytes = units::size(text).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.filter(|bytes| (1024..=most).contains(bytes)).ok_or_else(|| {
        let most = units::show_size(most as u64);
        format!("{}, from 1k to an eighth of the memory, {most}", units::SIZE)
    })
}

fn number(text: &str, least: usize, most: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("a number from {least} to {most}"))
}

fn idle_timeout(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "never" | "0" => Ok(None),
        _ => duration(text).map(Some).map_err(|want| format!("{want}, or never")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let found = units::duration(text).filter(|duration| !duration.is_zero());
    found.ok_or_else(|| units::DURATION.to_owned())
}

fn accept_rate(text: &str) -> Result<Option<u32>, String> {
    match text {
        "unlimited" => Ok(None),
        _ => {
            let rate = text.parse().ok().filter(|rate| *rate > 0);
            rate.map(Some).ok_or_else(|| "a number above 0, or unlimited".to_owned())
        }
    }
}

fn buffer_memory(text: &str) -> Result<usize, String> {
    let bytes = units::size(text).filter(|bytes| *bytes >= 1 << 20);
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| format!("{}, at least 1m", units::SIZE))
}
