//! Where memcached's `-p`, `-U` and `-l` say to listen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, bail};
use larder_server::ProtocolPin;

use crate::node::bind;

/// memcached's port.
const DEFAULT_PORT: u16 = 11211;

/// A port as `-p` and `-U` have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// 0.
    None,
    /// -1: any that is free.
    Any,
    This(u16),
}

impl Port {
    pub(crate) fn parse(flag: char, text: &str) -> anyhow::Result<Port> {
        match text.parse::<i32>() {
            Ok(-1) => Ok(Port::Any),
            Ok(0) => Ok(Port::None),
            Ok(number) if u16::try_from(number).is_ok() => Ok(Port::This(u16::try_from(number)?)),
            _ => {
                bail!("-{flag} {text}: want a port, 1 to 65535, 0 for none or -1 for any free one")
            }
        }
    }

    /// The TCP port: as `-p` says; else `-U` alone moves it, too; else memcached's.
    pub(crate) fn tcp(tcp: Option<Port>, udp: Option<Port>) -> Port {
        let moved = udp.filter(|udp| *udp != Port::None);
        tcp.or(moved).unwrap_or(Port::This(DEFAULT_PORT))
    }
}

/// One address of `-l`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// As it was given.
    pub(crate) text: String,
    /// None: all addresses.
    host: Option<String>,
    /// None: that of `-p`.
    port: Option<u16>,
    /// `notls:`
    pub(crate) plain: bool,
    /// `mtls:`
    pub(crate) mutual: bool,
    /// `proto[…]:`; none: that of `-B`.
    pub(crate) protocol: Option<ProtocolPin>,
}

impl Place {
    /// The value of one `-l`.
    pub(crate) fn parse_list(list: &str) -> anyhow::Result<Vec<Place>> {
        let parts = list.split([',', ';', ' ']).filter(|part| !part.is_empty());
        let places: Vec<_> = parts.map(Place::parse).collect::<Result<_, _>>()?;
        if places.is_empty() {
            bail!("-l {list:?}: want an address");
        }
        Ok(places)
    }

    fn parse(text: &str) -> anyhow::Result<Place> {
        let mut place = Place {
            text: text.to_owned(),
            host: None,
            port: None,
            plain: false,
            mutual: false,
            protocol: None,
        };
        let mut rest = text;
        loop {
            rest = if let Some(rest) = rest.strip_prefix("notls:") {
                place.plain = true;
                rest
            } else if let Some(rest) = rest.strip_prefix("mtls:") {
                place.mutual = true;
                rest
            } else if let Some(rest) = rest.strip_prefix("btls:") {
                rest
            } else if let Some(named) = rest.strip_prefix("proto[") {
                let (name, rest) = bracketed(named, text)?;
                place.protocol = Some(protocol(name, text)?);
                rest
            } else if let Some(named) = rest.strip_prefix("tag[") {
                bracketed(named, text)?.1
            } else {
                break;
            };
        }
        let (host, port) = bind::split_port(rest).with_context(|| format!("-l {text}"))?;
        if host.is_empty() {
            bail!("-l {text}: want an address before the port, or * for all");
        }
        place.host = (host != "*").then(|| host.to_owned());
        place.port = port;
        Ok(place)
    }

    /// Everywhere, which is what no `-l` means.
    pub(crate) fn everywhere() -> Place {
        Place {
            text: "*".to_owned(),
            host: None,
            port: None,
            plain: false,
            mutual: false,
            protocol: None,
        }
    }

    /// The addresses that it stands for; none if it has no port of its own and `port` is none.
    ///
    /// # Errors
    ///
    /// If the host is unknown.
    pub(crate) fn addresses(&self, port: Port) -> anyhow::Result<Vec<SocketAddr>> {
        let port = match (self.port, port) {
            (Some(port), _) | (None, Port::This(port)) => port,
            (None, Port::Any) => 0,
            (None, Port::None) => return Ok(Vec::new()),
        };
        match &self.host {
            Some(host) => bind::resolve(host, port).with_context(|| format!("-l {}", self.text)),
            None => Ok(vec![
                (IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).into(),
                (IpAddr::V6(Ipv6Addr::UNSPECIFIED), port).into(),
            ]),
        }
    }

    /// Whether a machine without IPv6 may leave one of the addresses out.
    pub(crate) fn may_lack_ipv6(&self) -> bool {
        self.host.is_none()
    }
}

/// `name]:rest`
fn bracketed<'t>(text: &'t str, whole: &str) -> anyhow::Result<(&'t str, &'t str)> {
    text.split_once("]:").with_context(|| format!("-l {whole}: there is a [ without a ]:"))
}

fn protocol(name: &str, whole: &str) -> anyhow::Result<ProtocolPin> {
    match name {
        "ascii" => Ok(ProtocolPin::Text),
        "binary" => Ok(ProtocolPin::Binary),
        "negotiating" => Ok(ProtocolPin::Negotiated),
        _ => bail!("-l {whole}: want proto[ascii], proto[binary] or proto[negotiating]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_may_be_none_and_any() {
        for (text, port) in [("0", Port::None), ("-1", Port::Any), ("65535", Port::This(65535))] {
            assert_eq!(Port::parse('p', text).unwrap(), port);
        }
        for text in ["", "x", "-2", "65536", "1.5", "11211x"] {
            let error = Port::parse('p', text).unwrap_err().to_string();
            assert!(error.contains(&format!("-p {text}")), "{error}");
        }
    }

    #[test]
    fn udp_alone_moves_tcp() {
        use Port::{Any, None as Off, This};
        for (tcp, udp, port) in [
            (None, None, This(11211)),
            (Some(This(1)), None, This(1)),
            (None, Some(This(2)), This(2)),
            (None, Some(Any), Any),
            (None, Some(Off), This(11211)),
            (Some(Off), None, Off),
            (Some(This(1)), Some(This(2)), This(1)),
            (Some(Any), Some(This(2)), Any),
        ] {
            assert_eq!(Port::tcp(tcp, udp), port, "{tcp:?} {udp:?}");
        }
    }

    #[test]
    fn addresses_have_prefixes_and_ports() {
        let places =
            Place::parse_list("notls:127.0.0.1:1,[::1]:2,mtls:proto[ascii]:::1,tag[x]:*").unwrap();
        let [plain, six, mutual, all] = &places[..] else { panic!("{places:?}") };
        assert!(plain.plain && !plain.mutual && mutual.mutual && !mutual.plain);
        assert_eq!(mutual.protocol, Some(ProtocolPin::Text));
        let addresses = |place: &Place, port| {
            let list: Vec<_> =
                place.addresses(port).unwrap().iter().map(ToString::to_string).collect();
            list.join(" ")
        };
        assert_eq!(addresses(plain, Port::This(9)), "127.0.0.1:1");
        assert_eq!(addresses(six, Port::None), "[::1]:2");
        assert_eq!(addresses(mutual, Port::This(9)), "[::1]:9");
        assert_eq!(addresses(mutual, Port::None), "");
        assert_eq!(addresses(all, Port::Any), "0.0.0.0:0 [::]:0");
        assert_eq!(addresses(&Place::everywhere(), Port::This(9)), "0.0.0.0:9 [::]:9");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for list in ["", ",", "127.0.0.1:x", "notls:", "proto[http]:127.0.0.1", "tag[x", ":1"] {
            let error = format!("{:#}", Place::parse_list(list).unwrap_err());
            assert!(error.contains("-l"), "{error}");
        }
        let place = Place::parse_list("no.such.host.invalid").unwrap();
        let error = format!("{:#}", place[0].addresses(Port::This(1)).unwrap_err());
        assert!(error.contains("no.such.host.invalid"), "{error}");
    }
}
