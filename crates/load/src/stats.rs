//! What a server tells of itself: `stats` of any server that speaks memcached's protocols, over one
//! connection that may ask again.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};

use crate::auth;
use crate::run::Error;
use crate::server::{Login, LoginForm, Server};
use crate::stream::Stream;

const SASL_AUTH: u8 = 0x21;
const STAT: u8 = 0x10;

/// Longer lines, and frames, are not waited for.
const LONGEST: u64 = 64 << 10;

/// More lines than this no server has.
const MOST_LINES: usize = 1_000_000;

/// A connection over which a server is asked for what it tells of itself.
///
/// Who it is to be, if the server asks, is said in the form the server knows: SASL, else memcached's `-Y`;
/// and a server that knows no SASL is asked without.
#[derive(Debug)]
pub struct Inquiry {
    server: Server,
    stream: Stream,
    is_binary: bool,
}

impl Inquiry {
    /// Connects, and says who this is. The form of the server's login is not looked at.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached or refuses the login.
    pub fn open(server: &Server) -> Result<Inquiry, Error> {
        let config = server.tls_config()?;
        let mut stream = Stream::connect(server, &config)?;
        let mut is_binary = false;
        if let Some(login) = &server.login {
            match sasl(&mut stream, login) {
                Sasl::In => is_binary = true,
                Sasl::Unknown => stream = Stream::connect(server, &config)?,
                Sasl::Refused(reason) => return Err(server.refused(&reason)),
                Sasl::NoAnswer => {
                    stream = Stream::connect(server, &config)?;
                    let login = Login { form: LoginForm::Text, ..login.clone() };
                    let refused = |reason: String| server.refused(&reason);
                    auth::log_in(&mut stream, &login).map_err(refused)?;
                }
            }
        }
        Ok(Inquiry { server: server.clone(), stream, is_binary })
    }

    /// Names and values, in the server's order: of `stats`, or with `what` of `stats items` and the like.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or with an error. Then the connection is not to be used again.
    pub fn stats(&mut self, what: &str) -> Result<Vec<(String, String)>, Error> {
        let lines = if self.is_binary {
            binary(&mut self.stream, what)
        } else {
            text(&mut self.stream, what)
        };
        lines.map_err(|reason| self.server.refused(&reason))
    }
}

/// What became of a login by SASL.
enum Sasl {
    In,
    /// The server speaks the binary protocol, and has no SASL.
    Unknown,
    /// No binary answer came: it may know text only.
    NoAnswer,
    Refused(String),
}

fn sasl(stream: &mut (impl Read + Write), Login { user, password, .. }: &Login) -> Sasl {
    let secret = [b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat();
    match auth::binary(stream, SASL_AUTH, b"PLAIN", &secret) {
        Ok((0, _)) => Sasl::In,
        Ok((0x81, _)) => Sasl::Unknown,
        Ok((0x20, _)) => Sasl::Refused(format!("it refuses the password of {user:?}")),
        Ok((status, text)) => Sasl::Refused(format!("SASL PLAIN: status {status:#x}: {text}")),
        Err(_) => Sasl::NoAnswer,
    }
}

fn text(stream: &mut (impl Read + Write), what: &str) -> Result<Vec<(String, String)>, String> {
    let space = if what.is_empty() { "" } else { " " };
    write!(stream, "stats{space}{what}\r\n").map_err(|error| format!("cannot write: {error}"))?;
    // All of the answer is read before anything else is asked.
    let mut answer = BufReader::new(stream);
    let mut all = Vec::new();
    while all.len() < MOST_LINES {
        let mut line = Vec::new();
        let read = answer.by_ref().take(LONGEST).read_until(b'\n', &mut line);
        read.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "no reply in time".to_owned(),
            _ => format!("no reply: {error}"),
        })?;
        let line = line.trim_ascii_end().escape_ascii().to_string();
        if line == "END" {
            return Ok(all);
        }
        let words = line.strip_prefix("STAT ").or(line.strip_prefix("PREFIX "));
        let words =
            words.ok_or_else(|| format!("it answers \"stats{space}{what}\" with {line:?}"))?;
        let (name, value) = words.split_once(' ').unwrap_or((words, ""));
        all.push((name.to_owned(), value.to_owned()));
    }
    Err("its stats have no end".to_owned())
}

fn binary(stream: &mut (impl Read + Write), what: &str) -> Result<Vec<(String, String)>, String> {
    let length = u8::try_from(what.len()).map_err(|_| format!("no stats are called {what:?}"))?;
    let mut request = [0; 24];
    (request[0], request[1], request[3], request[11]) = (0x80, STAT, length, length);
    let request = [&request, what.as_bytes()].concat();
    stream.write_all(&request).map_err(|error| format!("cannot write: {error}"))?;
    let mut answer = BufReader::new(stream);
    let mut all = Vec::new();
    while all.len() < MOST_LINES {
        let (status, name, value) = frame(&mut answer)?;
        match (status, name.as_str()) {
            (0, "") => return Ok(all),
            (0, _) => all.push((name, value)),
            _ => return Err(format!("stats: status {status:#x}: {value}")),
        }
    }
    Err("its stats have no end".to_owned())
}

/// The status, the key and the value of one binary reply.
fn frame(answer: &mut impl Read) -> Result<(u16, String, String), String> {
    let mut header = [0; 24];
    answer.read_exact(&mut header).map_err(|error| format!("no binary reply: {error}"))?;
    let length = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    if header[0] != 0x81 || u64::from(length) > LONGEST {
        return Err(format!("not a binary reply: {}", header.escape_ascii()));
    }
    let mut body = vec![0; length as usize];
    answer.read_exact(&mut body).map_err(|error| format!("half a binary reply: {error}"))?;
    let key = usize::from(header[4])..;
    let (key, value) = body
        .get(key)
        .and_then(|rest| {
            rest.split_at_checked(usize::from(u16::from_be_bytes([header[2], header[3]])))
        })
        .ok_or("a binary reply whose lengths contradict each other")?;
    let status = u16::from_be_bytes([header[6], header[7]]);
    Ok((status, key.escape_ascii().to_string(), value.escape_ascii().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::script;

    fn reply(status: u8, key: &str, value: &str) -> Vec<u8> {
        let mut frame = vec![0x81, STAT, 0, u8::try_from(key.len()).unwrap(), 0, 0, 0, status];
        let length = u32::try_from(key.len() + value.len()).unwrap();
        frame.extend(length.to_be_bytes());
        frame.extend([0; 12]);
        frame.extend(key.bytes().chain(value.bytes()));
        frame
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn text_stats_are_read_to_their_end() {
        let mut stream = script(b"STAT pid 7\r\nSTAT version 1.6 x\r\nSTAT empty \r\nEND\r\n");
        let all = text(&mut stream, "").unwrap();
        assert_eq!(all, [pair("pid", "7"), pair("version", "1.6 x"), pair("empty", "")]);
        assert_eq!(stream.asked, b"stats\r\n");
        let mut stream = script(b"PREFIX a get 1 hit 0\r\nEND\r\n");
        assert_eq!(text(&mut stream, "detail dump").unwrap(), [pair("a", "get 1 hit 0")]);
        assert_eq!(stream.asked, b"stats detail dump\r\n");
        for (answer, part) in [
            (&b"CLIENT_ERROR unauthenticated\r\n"[..], "unauthenticated"),
            (b"STAT a 1\r\n", "\"\""),
        ] {
            let error = text(&mut script(answer), "").unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn binary_stats_are_read_to_their_end() {
        let answer = [reply(0, "pid", "7"), reply(0, "version", "1.6"), reply(0, "", "")].concat();
        let mut stream = script(&answer);
        let all = binary(&mut stream, "items").unwrap();
        assert_eq!(all, [pair("pid", "7"), pair("version", "1.6")]);
        assert_eq!(
            (&stream.asked[..4], &stream.asked[24..]),
            (&[0x80, STAT, 0, 5][..], &b"items"[..])
        );
        let error = binary(&mut script(&reply(1, "", "Not found")), "x").unwrap_err();
        assert!(error.contains("0x1: Not found"), "{error}");
        let mut wrong = reply(0, "pid", "7");
        wrong[3] = 200;
        let error = binary(&mut script(&wrong), "").unwrap_err();
        assert!(error.contains("contradict"), "{error}");
        wrong[8] = 0xff;
        assert!(binary(&mut script(&wrong), "").is_err());
    }
}
