//! `larder memcached [FLAGS]`: the cache server behind memcached's own flags, for whoever has scripts
//! that start memcached. The same happens when the program is called by a name that begins with
//! "memcached".
//!
//! [`flags`] and [`extended`] are the tables of what memcached takes, [`options`] what a command line
//! asks for, [`listen`] where it says to listen. Everything is checked before a socket is bound; what
//! is wrong ends the program with one of memcached's exit codes.

mod extended;
mod flags;
mod help;
mod listen;
mod options;
mod ssl;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use larder_server::{Address, ClientCertificates, Listener, ProtocolPin, Tls, TlsSettings};
use larder_tenancy::{Capabilities, Layout, SharedDirectory};
use nix::unistd::User;

use self::listen::{Place, Port};
use self::options::{Options, Wanted};
use crate::node::accounts::{Accounts, UserFile};
use crate::node::{Plan, bind, filter, log, process};
use crate::tell;

/// The command line is wrong, or does not fit the machine.
const USAGE: u8 = 64;
/// There is no such user.
const NO_USER: u8 = 67;
/// The system refuses something.
const SYSTEM: u8 = 71;

/// Where a file of users is named for `-S`: memcached's variable, and ours.
const SASL_FILE: &str = "MEMCACHED_SASL_PWDB";
const AUTH_FILE: &str = "LARDER_AUTH_FILE";

/// Where memcached's tests look for the ports.
const PORTS_FILE: &str = "MEMCACHED_PORT_FILENAME";

/// Whether a program called so is to behave like memcached.
pub(crate) fn is_meant_by(program: &Path) -> bool {
    let name = program.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b"memcached")
}

/// Does what the flags say; `args` are without the program's name.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    match Wanted::parse(&args) {
        Ok(Wanted::Help) => tell::out(help::text()),
        Ok(Wanted::Version) => tell::out(format_args!("memcached {}\n", help::version())),
        Ok(Wanted::License) => tell::out(help::license()),
        Ok(Wanted::Server(options)) => return start(*options).unwrap_or_else(Failure::tell),
        Err(error) => return Failure { code: USAGE, error }.tell(),
    }
    ExitCode::SUCCESS
}

/// Why there is no server.
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    fn tell(self) -> ExitCode {
        tell::error(format_args!("larder memcached: {:#}", self.error));
        ExitCode::from(self.code)
    }
}

/// Gives an error one of memcached's exit codes.
trait OrExit<T> {
    fn or_exit(self, code: u8) -> Result<T, Failure>;
}

impl<T> OrExit<T> for anyhow::Result<T> {
    fn or_exit(self, code: u8) -> Result<T, Failure> {
        self.map_err(|error| Failure { code, error })
    }
}

fn start(mut options: Options) -> Result<ExitCode, Failure> {
    if options.daemon && !process::is_in_background() {
        return process::go_to_background().or_exit(SYSTEM);
    }
    log::init(options.settings.verbosity);
    let loud = options.settings.verbosity > 0;
    let notes = options.notes.iter().filter(|_| loud);
    for note in options.warnings.iter().chain(notes) {
        tell::error(format_args!("larder memcached: {note}"));
    }
    let user = user(&options)?;
    if options.daemon {
        process::leave_terminal().or_exit(SYSTEM)?;
    }
    system_limits(&options)?;
    let accounts = accounts(&options).or_exit(USAGE)?;
    let directory = SharedDirectory::new(accounts.load().or_exit(USAGE)?);
    let tls = TlsSet::load(&options).or_exit(USAGE)?;
    let listeners = listeners(&options, &tls).or_exit(SYSTEM)?;
    show_port(&mut options, &listeners);
    give_up_rights(&options, user.as_ref()).or_exit(SYSTEM)?;
    from_environment(&mut options);
    let settings = options.settings.clone();
    let files = options.socket.iter().chain(&options.pid_file).cloned().collect();
    let tls = options.tls.is_some();
    let plan = Plan { settings, listeners, accounts, directory, tls, files };
    let prepared = plan.prepare().or_exit(SYSTEM)?;
    announce(&options, prepared.addresses());
    if options.daemon {
        process::say_ready(loud).or_exit(SYSTEM)?;
    }
    prepared.run().or_exit(SYSTEM)?;
    Ok(ExitCode::SUCCESS)
}

/// The user to become. Like memcached, root must say so, be it that root is to stay root.
fn user(options: &Options) -> Result<Option<User>, Failure> {
    match &options.user {
        _ if !process::is_root() => Ok(None),
        Some(name) => process::find_user(name).context("-u").or_exit(NO_USER).map(Some),
        None => {
            let error = anyhow::anyhow!(
                "root must say with -u which user the server becomes; -u root stays root"
            );
            Err(Failure { code: USAGE, error })
        }
    }
}

fn system_limits(options: &Options) -> Result<(), Failure> {
    let settings = &options.settings;
    process::open_files(settings.max_connections, settings.workers)
        .context("-c")
        .or_exit(SYSTEM)?;
    if options.core_files {
        process::core_files().context("-r").or_exit(SYSTEM)?;
    }
    if options.lock_memory {
        // As in memcached, a server that may not is still a server.
        if let Err(error) = process::lock_memory() {
            tell::error(format_args!("larder memcached: -k: {error:#}"));
        }
    }
    Ok(())
}

/// From here on the process can do only what a server needs.
fn give_up_rights(options: &Options, user: Option<&User>) -> anyhow::Result<()> {
    if let Some(user) = user {
        if let Some(socket) = &options.socket {
            process::give(socket, user)?;
        }
        process::become_user(user)?;
    }
    if options.filter {
        filter::apply().context("-o drop_privileges")?;
    }
    Ok(())
}

/// Variables that are for tests and measurements.
fn from_environment(options: &mut Options) {
    let set = |name| std::env::var_os(name).is_some_and(|value| value == "1");
    options.settings.debug_commands = set("LARDER_DEBUG_COMMANDS");
    options.settings.floor = set("LARDER_FLOOR");
}

/// Who may use the server. Where users may have tenants of their own, none of them may change what all
/// share; where there is one cache for all, they may do everything, as in memcached.
fn accounts(options: &Options) -> anyhow::Result<Accounts> {
    let named = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    let (path, layout, capabilities) = if let Some(path) = &options.auth_file {
        (path.clone(), Layout::Memcached, Capabilities::ALL)
    } else if !options.sasl {
        return Ok(Accounts::Open);
    } else if let Some(path) = named(SASL_FILE) {
        (path, Layout::Sasl, Capabilities::ALL)
    } else if let Some(path) = named(AUTH_FILE) {
        (path, Layout::Tenants, Capabilities::USE)
    } else {
        bail!(
            "-S: there are no users; name a file with a line user:password for each in \
             {AUTH_FILE} or {SASL_FILE}"
        );
    };
    Ok(Accounts::File(UserFile::new(path, layout, capabilities)?))
}

/// TLS as listeners use it, each kind loaded once.
#[derive(Default)]
struct TlsSet {
    given: Option<Arc<Tls>>,
    /// For `mtls:`.
    mutual: Option<Arc<Tls>>,
}

impl TlsSet {
    fn load(options: &Options) -> anyhow::Result<TlsSet> {
        let Some(settings) = &options.tls else { return Ok(TlsSet::default()) };
        let load = |settings: TlsSettings| Tls::load(settings).map(Arc::new).context("-Z");
        let mutual = if options.listen.iter().any(|place| place.mutual) {
            let mut settings = settings.clone();
            settings.client_certificates = ClientCertificates::Require;
            // If no other authority is named, the server's own certificate vouches for its clients'.
            let own = settings.certificate.clone();
            settings.client_ca.get_or_insert(own);
            Some(load(settings)?)
        } else {
            None
        };
        Ok(TlsSet { given: Some(load(settings.clone())?), mutual })
    }

    /// For listeners at `place`.
    fn of(&self, place: &Place) -> Option<Arc<Tls>> {
        match place {
            Place { plain: true, .. } => None,
            Place { mutual: true, .. } => self.mutual.clone(),
            _ => self.given.clone(),
        }
    }
}

fn listeners(options: &Options, tls: &TlsSet) -> anyhow::Result<Vec<Listener>> {
    let default = options.protocol.unwrap_or(ProtocolPin::Negotiated);
    if let Some(path) = &options.socket {
        let socket = bind::unix(path, options.socket_mode, options.backlog).context("-s")?;
        return Ok(vec![Listener::unix(socket).with_protocol(default)]);
    }
    let port = Port::tcp(options.port, options.udp);
    let everywhere = [Place::everywhere()];
    let places = if options.listen.is_empty() { &everywhere[..] } else { &options.listen };
    let mut listeners = Vec::new();
    for place in places {
        for address in place.addresses(port)? {
            let socket = match bind::tcp(address, options.backlog) {
                // Where there is no IPv6, all addresses are those of IPv4.
                Err(error)
                    if place.may_lack_ipv6() && address.is_ipv6() && !bind::is_busy(&error) =>
                {
                    continue;
                }
                bound => bound?,
            };
            let mut listener =
                Listener::tcp(socket).with_protocol(place.protocol.unwrap_or(default));
            if let Some(tls) = tls.of(place) {
                listener = listener.with_tls(tls);
            }
            listeners.push(listener);
        }
    }
    Ok(listeners)
}

/// The port that `stats settings` shows is the one that was found.
fn show_port(options: &mut Options, listeners: &[Listener]) {
    let port = listeners.iter().find_map(|listener| match listener.address() {
        Address::Tcp(address) => Some(address.port()),
        _ => None,
    });
    options.settings.shown.push(("tcpport".to_owned(), port.unwrap_or(0).to_string()));
}

/// Writes the files in which others look for the process and its ports. Like memcached it serves on if
/// it cannot.
fn announce(options: &Options, addresses: &[Address]) {
    let tell = |written: anyhow::Result<()>| {
        if let Err(error) = written {
            tell::error(format_args!("larder memcached: {error:#}"));
        }
    };
    if let Some(path) = &options.pid_file {
        tell(process::write_whole(path, &format!("{}\n", std::process::id())).context("-P"));
    }
    if let Some(path) = std::env::var_os(PORTS_FILE) {
        let mut lines = String::new();
        for address in addresses {
            if let Address::Tcp(address) = address {
                let family = if address.is_ipv6() { "INET6" } else { "INET" };
                lines.push_str(&format!("TCP {family}: {}\n", address.port()));
            }
        }
        tell(process::write_whole(Path::new(&path), &lines).context(PORTS_FILE));
    }
}
