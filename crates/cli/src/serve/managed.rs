//! What goes beside a server whose users are accounts: settings of its own, and what the banner tells.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use larder_control::{AccountsUrl, DataDir};
use larder_server::{Address, Handle, Listener, Settings};

use super::banner::{About, plural};
use super::setting::{Setting, Sources};
use super::{path, yes};
use crate::accounts::{place, sign_in};
use crate::node::bind;
use crate::node::fleet::{Fleet, FleetSettings};

/// Where the console listens that is not told otherwise.
const DEFAULT_CONSOLE: &str = "127.0.0.1:8001";

/// The word for no console.
const OFF: &str = "off";

/// How the accounts are kept and shown.
pub(crate) struct Managed {
    data: PathBuf,
    accounts: AccountsUrl,
    advertise: Vec<String>,
    console: Option<SocketAddr>,
    /// What to write to have the console somewhere else.
    console_name: String,
    console_url: Option<String>,
    show_values: bool,
}

/// Accounts that are followed; the server they are for is still to be made.
pub(crate) struct Started {
    pub(crate) fleet: Fleet,
    console: Option<TcpListener>,
    pub(crate) console_url: Option<String>,
    accounts: String,
}

impl Managed {
    pub(super) fn from(sources: &Sources) -> anyhow::Result<Managed> {
        let data = sources.one(Setting::Data, path)?;
        let data = data.unwrap_or_else(|| place::DEFAULT_DATA.into());
        let url = sources.one(Setting::DatabaseUrl, |text| Ok(text.to_owned()))?;
        let accounts = match url {
            Some(url) => place::parse(&sources.name(Setting::DatabaseUrl), &url)?,
            None => DataDir::accounts_url(&data),
        };
        let console = sources.one(Setting::Console, console)?;
        let console = match console {
            Some(console) => console,
            None => Some(DEFAULT_CONSOLE.parse()?),
        };
        Ok(Managed {
            data,
            accounts,
            advertise: sources.all(Setting::Advertise, server)?,
            console,
            console_name: sources.name(Setting::Console),
            console_url: sources.one(Setting::ConsoleUrl, url_of_console)?,
            show_values: sources.one(Setting::ShowValues, yes)?.unwrap_or(false),
        })
    }

    /// The directory of the server's own state.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Refuses what means nothing to a server without accounts.
    pub(super) fn refuse(sources: &Sources) -> anyhow::Result<()> {
        let all = [Setting::Advertise, Setting::Console, Setting::ConsoleUrl, Setting::ShowValues];
        match all.into_iter().find(|setting| sources.is_given(*setting)) {
            Some(setting) => {
                bail!("{} without {} DIR", sources.name(setting), Setting::Data.flag())
            }
            None => Ok(()),
        }
    }

    /// Listens for browsers, and follows the accounts.
    pub(crate) fn start(
        self,
        listeners: &[Listener],
        settings: &Settings,
    ) -> anyhow::Result<Started> {
        let console = match self.console {
            None => None,
            Some(address) => Some(bind::tcp(address, bind::BACKLOG).with_context(|| {
                format!("no console; {} names another address, or is off", self.console_name)
            })?),
        };
        let public_url = self.console_url;
        let console_url = match (&console, &public_url) {
            (None, _) => None,
            (Some(_), Some(url)) => Some(url.clone()),
            (Some(listener), None) => Some(format!("http://{}", near(listener.local_addr()?))),
        };
        let servers = match self.advertise {
            servers if servers.is_empty() => servers_of(listeners),
            servers => servers,
        };
        let accounts = self.accounts.to_string();
        let fleet = Fleet::open(FleetSettings {
            data: self.data,
            accounts: self.accounts,
            servers,
            console_url: console_url.clone(),
            public_url,
            show_values: self.show_values,
            memory_bytes: settings.memory_bytes as u64,
        })?;
        Ok(Started { fleet, console, console_url, accounts })
    }
}

impl Started {
    /// Begins to show the server, and tells where.
    pub(super) fn show(self, server: &Handle, about: &mut About) -> anyhow::Result<Fleet> {
        let directory = self.fleet.directory().load();
        let (tenants, users) = (directory.tenants().count(), directory.credentials().count());
        let from = &self.accounts;
        about.line(
            "Accounts",
            match tenants {
                0 => format!("none yet, in {from}: larder provision NAME makes one"),
                _ => {
                    format!("{} of {}, in {from}", plural(users, "user"), plural(tenants, "tenant"))
                }
            },
        );
        if let Some(warning) = self.fleet.warning() {
            about.warn(format!("Users are those of the last start: {warning}"));
        }
        let url = self.console_url.clone();
        let fleet = self.watch(server)?;
        if let Some(url) = url {
            let link = fleet.first_sign_in();
            about.line("Console", url.clone());
            about.line(
                "Sign in",
                match link {
                    Some(link) => {
                        format!("{}  (once, within 15 minutes)", sign_in::address(&url, &link))
                    }
                    None => "larder sign-in prints a link".to_owned(),
                },
            );
        }
        Ok(fleet)
    }

    /// Begins to watch over the server, and to show it if there is a console.
    pub(crate) fn watch(self, server: &Handle) -> anyhow::Result<Fleet> {
        let mut fleet = self.fleet;
        let node = Arc::new(server.clone());
        fleet.watch(self.console, node)?;
        Ok(fleet)
    }
}

/// Where clients of this machine find a server: at the first address without TLS, if there is one.
fn servers_of(listeners: &[Listener]) -> Vec<String> {
    let tcp = listeners.iter().filter_map(|listener| match listener.address() {
        Address::Tcp(address) => Some(near(address).to_string()),
        Address::Unix(_) | Address::Unknown => None,
    });
    tcp.take(1).collect()
}

/// The address by which this machine reaches what listens at `address`.
pub(crate) fn near(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn console(text: &str) -> Result<Option<SocketAddr>, String> {
    let wanted = "an address and a port, such as 127.0.0.1:8001, or off";
    if text == OFF {
        return Ok(None);
    }
    let (host, port) = bind::split_port(text).map_err(|error| format!("{wanted}: {error:#}"))?;
    let port = port.ok_or(wanted)?;
    let host = if host == "*" { "0.0.0.0" } else { host };
    let found = bind::resolve(host, port).map_err(|error| format!("{wanted}: {error:#}"))?;
    Ok(found.into_iter().next())
}

fn server(text: &str) -> Result<String, String> {
    match larder_client::parse_servers(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("a host and a port, such as cache1.example.com:11211".to_owned()),
    }
}

fn url_of_console(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let good = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.contains(|c: char| c.is_whitespace() || c.is_control() || "?#".contains(c))
    });
    if good {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("a URL such as https://cache.example.com".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_near() {
        for (address, found) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(near(address.parse().unwrap()).to_string(), found);
        }
    }

    #[test]
    fn a_console_is_somewhere_or_off() {
        assert_eq!(console("off"), Ok(None));
        assert_eq!(console("127.0.0.1:80"), Ok(Some("127.0.0.1:80".parse().unwrap())));
        assert_eq!(console("*:80"), Ok(Some("0.0.0.0:80".parse().unwrap())));
        for text in ["", "8001", "127.0.0.1", "127.0.0.1:x", "on"] {
            assert!(console(text).unwrap_err().contains("or off"), "{text}");
        }
    }

    #[test]
    fn a_console_has_a_url() {
        assert_eq!(url_of_console("https://a.example/c/"), Ok("https://a.example/c".to_owned()));
        for text in ["", "a.example", "https://", "ftp://a", "http://a b", "http://a/?x"] {
            assert!(url_of_console(text).is_err(), "{text}");
        }
    }
}
