//! A server under load: where it is, and what it asks of those who connect.

use std::fmt::{self, Display, Formatter};
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::run::Error;
use crate::stream::Stream;
use crate::{Protocol, auth};

/// The port of memcached.
pub const DEFAULT_PORT: u16 = 11211;

/// A server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where it listens.
    pub address: Address,
    /// How to make its connections private, if they are.
    pub tls: Option<Tls>,
    /// Who to be, if it asks.
    pub login: Option<Login>,
    /// Its process, if it is known and of this machine: then its CPU time is measured.
    pub pid: Option<u32>,
}

impl Server {
    /// A server without TLS and login, at `address`.
    #[must_use]
    pub fn at(address: Address) -> Server {
        Server { address, tls: None, login: None, pid: None }
    }

    /// What it says its version is, over a connection of its own.
    ///
    /// # Errors
    ///
    /// When it cannot be reached or refuses the login.
    pub fn version(&self, protocol: Protocol) -> Result<String, Error> {
        let mut stream = Stream::connect(self, &self.tls_config()?)?;
        if let Some(login) = &self.login {
            auth::log_in(&mut stream, login).map_err(|reason| self.refused(&reason))?;
        }
        auth::version(&mut stream, protocol).map_err(|reason| self.refused(&reason))
    }

    pub(crate) fn refused(&self, reason: &str) -> Error {
        Error::Server { address: self.address.to_string(), reason: reason.to_owned() }
    }
}

/// An address: `host[:port]`, `[v6]:port`, `unix:PATH`, or a path with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A name or an IP address, and a port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let fault = || {
            "give host, host:port, [IPv6 address]:port, unix:PATH or a path that contains a slash"
                .to_owned()
        };
        let path = text.strip_prefix("unix:").or(text.contains('/').then_some(text));
        if let Some(path) = path {
            return if path.is_empty() { Err(fault()) } else { Ok(Address::Unix(path.into())) };
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(Address::Tcp(text.to_owned(), DEFAULT_PORT));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(fault)?;
                host.parse::<Ipv6Addr>().map_err(|_| fault())?;
                (
                    host,
                    if port.is_empty() {
                        None
                    } else {
                        Some(port.strip_prefix(':').ok_or_else(fault)?)
                    },
                )
            }
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        let port =
            port.map_or(Some(DEFAULT_PORT), |port| port.parse().ok()).filter(|&port| port > 0);
        match port {
            Some(port) if !host.is_empty() && !host.contains(char::is_whitespace) => {
                Ok(Address::Tcp(host.to_owned(), port))
            }
            _ => Err(fault()),
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How to make a connection private, and whom to believe.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// PEM file of the authorities to believe; none: those that browsers believe.
    pub ca: Option<PathBuf>,
    /// The name the certificate must be for; none: the host's.
    pub name: Option<String>,
    /// Believes any certificate: for tests.
    pub insecure: bool,
    /// PEM files of a certificate chain and its key, for servers that ask who connects.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A name, a password, and how a server wants to hear them.
#[derive(Clone)]
pub struct Login {
    /// How.
    pub form: LoginForm,
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("form", &self.form)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// How a server wants to hear a name and a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginForm {
    /// SASL PLAIN of the binary protocol.
    Sasl,
    /// memcached's `-Y`: the value of a first `set` is `user password`.
    Text,
    /// MemCachier's: a first `set` has the user as its key and the password as its value.
    Memcachier,
}

impl FromStr for LoginForm {
    type Err = String;

    fn from_str(text: &str) -> Result<LoginForm, String> {
        match text {
            "sasl" => Ok(LoginForm::Sasl),
            "text" => Ok(LoginForm::Text),
            "memcachier" => Ok(LoginForm::Memcachier),
            _ => Err("give sasl, text or memcachier".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, shown) in [
            ("localhost", "localhost:11211"),
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("::1", "[::1]:11211"),
            ("[::1]", "[::1]:11211"),
            ("[::1]:80", "[::1]:80"),
            ("unix:m.sock", "unix:m.sock"),
            ("/run/m.sock", "unix:/run/m.sock"),
            ("./m.sock", "unix:./m.sock"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        for text in
            ["", ":1", "a:", "a:0", "a:65536", "a:b", "[::1", "[::1]80", "[x]:1", "unix:", "a b"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let form = LoginForm::Sasl;
        let login = Login { form, user: "alice".into(), password: "hunter2".into() };
        let shown = format!("{login:?}");
        assert!(shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
    }
}
