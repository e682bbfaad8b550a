//! Settings from one URL, as `LARDER_URL` holds them. Written out by hand because a list of hosts
//! is not what a general URL allows, and so that every error can name its part.

use std::time::Duration;

use larder_proto::Protocol;

use crate::addr::{ServerAddr, parse_servers};
use crate::config::{Config, ConfigError, Credentials, RingKind, TlsConfig};

const SCHEME: &str = "memcached://";

/// See [`Config::from_url`].
pub(crate) fn parse(url: &str) -> Result<Config, ConfigError> {
    let Some(rest) = url.strip_prefix(SCHEME) else {
        // Only the scheme is repeated: the rest may hold a password.
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        return Err(error("the scheme", scheme, "memcached://"));
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !rest.contains('@') && query.contains('@') {
        return Err(error(
            "the part after ?",
            "(not shown)",
            "without @, or with %3F and %40 for a ? and an @ in the password",
        ));
    }
    // An @ may stand in a badly encoded password, so the last one ends the credentials.
    let (user_info, rest) = match rest.rsplit_once('@') {
        Some((user_info, rest)) => (Some(user_info), rest),
        None => (None, rest),
    };
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !path.is_empty() {
        return Err(error("the path", path, "empty (a Unix socket is a host: %2Fpath%2Fto.sock)"));
    }
    let mut config = Config::new(servers(hosts)?);
    if let Some(user_info) = user_info {
        config = config.with_credentials(credentials(user_info)?);
    }
    parameters(&mut config, query)?;
    config.check()?;
    Ok(config)
}

fn parameters(config: &mut Config, query: &str) -> Result<(), ConfigError> {
    let mut seen = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if seen.contains(&name) {
            return Err(error(&format!("the parameter {name}"), value, "given once"));
        }
        seen.push(name);
        let value = decode(value).ok_or_else(|| {
            error(&format!("the parameter {name}"), value, "percent-encoded text")
        })?;
        parameter(config, name, &value)?;
    }
    if config.tls.is_some() && query.split('&').any(|pair| pair == "tls=off") {
        return Err(error("the parameter tls", "off", "on when tls_ca or tls_name is given"));
    }
    Ok(())
}

fn servers(hosts: &str) -> Result<Vec<ServerAddr>, ConfigError> {
    let valid = "a list of hosts such as host1,host2:11212";
    if hosts.is_empty() {
        return Err(error("the host", "", valid));
    }
    let decoded = decode(hosts).ok_or_else(|| error("the host", hosts, "percent-encoded text"))?;
    // What follows the colon is not repeated: without a host it may be a password.
    parse_servers(&decoded)
        .map_err(|_| error("the host", decoded.split(':').next().unwrap_or_default(), valid))
}

fn credentials(user_info: &str) -> Result<Credentials, ConfigError> {
    let Some((user, password)) = user_info.split_once(':') else {
        return Err(error("the user part", "without a password", "user:password"));
    };
    match (decode(user), decode(password)) {
        (Some(user), Some(password)) => Ok(Credentials::new(user, password)),
        (None, _) => Err(error("the user", user, "percent-encoded text")),
        (_, None) => Err(error("the password", "(not shown)", "percent-encoded text")),
    }
}

fn parameter(config: &mut Config, name: &str, value: &str) -> Result<(), ConfigError> {
    let part = || format!("the parameter {name}");
    let whole = || value.parse::<u32>().map_err(|_| error(&part(), value, "a whole number"));
    match name {
        "protocol" => {
            config.protocol = match value {
                "text" => Protocol::Text,
                "meta" => Protocol::Meta,
                "binary" => Protocol::Binary,
                _ => return Err(error(&part(), value, "text, meta or binary")),
            }
        }
        "ring" => {
            config.ring = match value {
                "ketama" => RingKind::Ketama,
                "ketama_weighted" => RingKind::KetamaWeighted,
                _ => return Err(error(&part(), value, "ketama or ketama_weighted")),
            }
        }
        "tls" => match value {
            "on" => _ = config.tls.get_or_insert_default(),
            "off" => {}
            _ => return Err(error(&part(), value, "on or off")),
        },
        "tls_ca" | "tls_name" if value.is_empty() => {
            return Err(error(&part(), value, "not empty"));
        }
        "tls_ca" => tls(config).ca_file = Some(value.into()),
        "tls_name" => tls(config).server_name = Some(value.to_owned()),
        "timeout" => config.timeout = duration(&part(), value)?,
        "retry_min" => config.retry_min = duration(&part(), value)?,
        "retry_max" => config.retry_max = duration(&part(), value)?,
        "failure_limit" => config.failure_limit = whole()?,
        "max_connections" => config.max_connections = whole()? as usize,
        "max_value_len" => config.max_value_len = whole()? as usize,
        _ => return Err(error("a parameter", name, PARAMETERS)),
    }
    Ok(())
}

const PARAMETERS: &str = "one of protocol, ring, tls, tls_ca, tls_name, timeout, retry_min, \
                          retry_max, failure_limit, max_connections, max_value_len";

/// A CA or a name asks for TLS, whether or not `tls=on` stands there too.
fn tls(config: &mut Config) -> &mut TlsConfig {
    config.tls.get_or_insert_default()
}

fn duration(part: &str, value: &str) -> Result<Duration, ConfigError> {
    let parsed = if let Some(digits) = value.strip_suffix("ms") {
        digits.parse::<u32>().ok().map(|n| Duration::from_millis(n.into()))
    } else if let Some(digits) = value.strip_suffix('s') {
        digits.parse::<u32>().ok().map(|n| Duration::from_secs(n.into()))
    } else {
        None
    };
    parsed.ok_or_else(|| error(part, value, "a whole number with its unit, such as 250ms or 2s"))
}

/// Resolves percent-encoding; none if it is malformed or not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn error(part: &str, value: &str, valid: &'static str) -> ConfigError {
    ConfigError::Url { part: part.to_owned(), value: value.to_owned(), valid }
}
