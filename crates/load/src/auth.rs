//! What a connection says before any load, while it still blocks: the login, and asking for the version.

use std::io::{Read, Write};

use crate::Protocol;
use crate::server::{Login, LoginForm};

const SASL_AUTH: u8 = 0x21;
const VERSION: u8 = 0x0b;

/// A reply longer than this is not waited for.
const LONGEST: usize = 4096;

/// Says who this is.
///
/// # Errors
///
/// Why it failed, as a sentence that can follow the server's address.
pub(crate) fn log_in(stream: &mut (impl Read + Write), login: &Login) -> Result<(), String> {
    let Login { form, user, password } = login;
    if *form == LoginForm::Sasl {
        let secret = [b"\0", user.as_bytes(), b"\0", password.as_bytes()].concat();
        return match binary(stream, SASL_AUTH, b"PLAIN", &secret)? {
            (0, _) => Ok(()),
            (0x20, _) => Err(format!("it refuses the password of {user:?}")),
            (0x81, _) => {
                Err("it knows no SASL: leave out --user, or start it with SASL".to_owned())
            }
            (status, text) => Err(format!("SASL PLAIN: status {status:#x}: {text}")),
        };
    }
    let (key, value) = match form {
        LoginForm::Memcachier => (user.as_str(), password.clone()),
        _ => ("login", format!("{user} {password}")),
    };
    if key.is_empty() || key.len() > 250 || key.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return Err(format!("{key:?} cannot be the key of a login: spaces, or too long"));
    }
    let request = format!("set {key} 0 0 {}\r\n{value}\r\n", value.len());
    match line(stream, request.as_bytes())?.as_str() {
        "STORED" => Ok(()),
        answer => Err(format!("it refuses the login of {user:?}: {answer}")),
    }
}

/// Asks for the version.
///
/// # Errors
///
/// As for [`log_in`].
pub(crate) fn version(
    stream: &mut (impl Read + Write),
    protocol: Protocol,
) -> Result<String, String> {
    if protocol == Protocol::Binary {
        return match binary(stream, VERSION, b"", b"")? {
            (0, version) => Ok(version),
            (status, text) => Err(format!("version: status {status:#x}: {text}")),
        };
    }
    let answer = line(stream, b"version\r\n")?;
    answer
        .strip_prefix("VERSION ")
        .map(str::to_owned)
        .ok_or_else(|| format!("it answers \"version\" with {answer:?}: is a login missing?"))
}

/// One request of the binary protocol without extras; the status and the value of the reply.
pub(crate) fn binary(
    stream: &mut (impl Read + Write),
    opcode: u8,
    key: &[u8],
    value: &[u8],
) -> Result<(u16, String), String> {
    let long = |_| "a login of more than 4 GiB".to_owned();
    let mut request = vec![0x80, opcode];
    request.extend(u16::try_from(key.len()).map_err(long)?.to_be_bytes());
    request.extend([0; 4]);
    request.extend(u32::try_from(key.len() + value.len()).map_err(long)?.to_be_bytes());
    request.extend([0; 12]);
    request.extend(key);
    request.extend(value);
    stream.write_all(&request).map_err(|error| format!("cannot write: {error}"))?;
    let mut header = [0; 24];
    stream.read_exact(&mut header).map_err(|error| format!("no binary reply: {error}"))?;
    let length = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
    if header[0] != 0x81 || length > LONGEST {
        return Err(format!("not a binary reply: {}", header.escape_ascii()));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).map_err(|error| format!("half a binary reply: {error}"))?;
    let skipped = usize::from(header[4]) + usize::from(u16::from_be_bytes([header[2], header[3]]));
    let text = body.get(skipped..).unwrap_or_default().escape_ascii().to_string();
    Ok((u16::from_be_bytes([header[6], header[7]]), text))
}

/// One request that is answered with a line; the line without its end.
fn line(stream: &mut (impl Read + Write), request: &[u8]) -> Result<String, String> {
    stream.write_all(request).map_err(|error| format!("cannot write: {error}"))?;
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while answer.last() != Some(&b'\n') && answer.len() < LONGEST {
        match stream.read(&mut byte).map_err(|error| format!("no reply: {error}"))? {
            0 => return Err(format!("it hung up after {:?}", answer.escape_ascii().to_string())),
            _ => answer.push(byte[0]),
        }
    }
    Ok(answer.trim_ascii_end().escape_ascii().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::script;

    fn login(form: LoginForm) -> Login {
        Login { form, user: "alice".into(), password: "s3cret".into() }
    }

    #[test]
    fn the_two_text_forms() {
        for (form, request) in [
            (LoginForm::Text, "set login 0 0 12\r\nalice s3cret\r\n"),
            (LoginForm::Memcachier, "set alice 0 0 6\r\ns3cret\r\n"),
        ] {
            let mut stream = script(b"STORED\r\n");
            log_in(&mut stream, &login(form)).unwrap();
            assert_eq!(stream.asked, request.as_bytes());
            let refused =
                log_in(&mut script(b"CLIENT_ERROR authentication failure\r\n"), &login(form));
            assert!(refused.unwrap_err().contains("authentication failure"));
            assert!(log_in(&mut script(b"STO"), &login(form)).unwrap_err().contains("hung up"));
        }
    }

    #[test]
    fn a_user_that_would_be_two_words_is_refused() {
        let login = Login { user: "a b\r\n".into(), ..login(LoginForm::Memcachier) };
        let mut stream = script(b"STORED\r\n");
        assert!(log_in(&mut stream, &login).is_err());
        assert!(stream.asked.is_empty(), "nothing may be sent");
    }

    #[test]
    fn sasl_plain() {
        let reply = |status: u8| {
            let mut reply = vec![0x81, SASL_AUTH, 0, 0, 0, 0, 0, status];
            reply.extend([0; 16]);
            reply
        };
        let mut stream = script(&reply(0));
        log_in(&mut stream, &login(LoginForm::Sasl)).unwrap();
        assert_eq!(stream.asked[..12], [0x80, 0x21, 0, 5, 0, 0, 0, 0, 0, 0, 0, 18]);
        assert_eq!(&stream.asked[24..], b"PLAIN\0alice\0s3cret");
        for (status, part) in [(0x20, "alice"), (0x81, "no SASL"), (0x21, "0x21")] {
            let error = log_in(&mut script(&reply(status)), &login(LoginForm::Sasl)).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let error = log_in(&mut script(&[b'E'; 24]), &login(LoginForm::Sasl)).unwrap_err();
        assert!(error.contains("not a binary reply"), "{error}");
    }

    #[test]
    fn versions() {
        assert_eq!(version(&mut script(b"VERSION 1.6.18\r\n"), Protocol::Text).unwrap(), "1.6.18");
        let error = version(&mut script(b"CLIENT_ERROR unauthenticated\r\n"), Protocol::Meta);
        assert!(error.unwrap_err().contains("login"));
    }
}
