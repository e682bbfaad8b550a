//! The fake server's protocols: just enough to read what the client sends and to answer it, rightly
//! or wrongly. Written independently of the code under test.

use super::Fault;

/// One request of any protocol.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) verb: &'static str,
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) flags: u32,
    style: Style,
}

#[derive(Debug)]
enum Style {
    Text,
    Meta(String),
    Binary(u8, u32),
}

/// What a request led to.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Absent,
    Item(Vec<u8>, u32),
    Version,
    Refused,
    AuthFailed,
    Unknown,
}

/// The first request in `bytes` and its length, once it is complete.
pub(crate) fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    if bytes.first()? == &0x80 { parse_binary(bytes) } else { parse_line(bytes) }
}

fn parse_binary(bytes: &[u8]) -> Option<(Request, usize)> {
    let header = bytes.first_chunk::<24>()?;
    let number = |at: usize, len: usize| {
        header[at..at + len].iter().fold(0_usize, |sum, byte| sum * 256 + usize::from(*byte))
    };
    let (key_len, extras_len, body_len) = (number(2, 2), number(4, 1), number(8, 4));
    let body = bytes.get(24..24 + body_len)?;
    let verb = match header[1] {
        0x00 => "get",
        0x01 => "set",
        0x04 => "delete",
        0x05 => "incr",
        0x08 => "flush_all",
        0x0b => "version",
        0x21 => "sasl",
        _ => "unknown",
    };
    let flags = match verb {
        "set" => u32::from_be_bytes([body[0], body[1], body[2], body[3]]),
        _ => 0,
    };
    let opaque = u32::from_be_bytes([header[12], header[13], header[14], header[15]]);
    let request = Request {
        verb,
        key: text(&body[extras_len..extras_len + key_len]),
        value: body[extras_len + key_len..].to_vec(),
        flags,
        style: Style::Binary(header[1], opaque),
    };
    Some((request, 24 + body_len))
}

fn parse_line(bytes: &[u8]) -> Option<(Request, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let line = text(&bytes[..end]);
    let words: Vec<&str> = line.split(' ').collect();
    let flag = |letter: char| {
        words.iter().skip(2).find_map(|word| word.strip_prefix(letter)).unwrap_or("0").to_owned()
    };
    let (verb, value_len) = match words[0] {
        "gets" | "mg" => ("get", None),
        "set" => ("set", Some(words[4])),
        "ms" => ("set", Some(words[2])),
        "delete" | "md" => ("delete", None),
        "incr" | "ma" => ("incr", None),
        "flush_all" => ("flush_all", None),
        "version" => ("version", None),
        _ => ("unknown", None),
    };
    let meta = words[0].len() == 2;
    let style = if meta { Style::Meta(flag('O')) } else { Style::Text };
    let flags = match (verb, meta) {
        ("set", true) => flag('F').parse().unwrap(),
        ("set", false) => words[2].parse().unwrap(),
        _ => 0,
    };
    let (value, used) = match value_len {
        None => (Vec::new(), end + 2),
        Some(len) => {
            let len: usize = len.parse().unwrap();
            let value = bytes.get(end + 2..end + 2 + len + 2)?;
            (value[..len].to_vec(), end + 2 + len + 2)
        }
    };
    let key = (*words.get(1).unwrap_or(&"")).to_owned();
    Some((Request { verb, key, value, flags, style }, used))
}

/// The reply's bytes, damaged as the fault wants it.
pub(crate) fn encode(request: &Request, outcome: Outcome, fault: Fault) -> Vec<u8> {
    if fault == Fault::Garbage {
        return b"\xffHTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    }
    match &request.style {
        Style::Binary(opcode, opaque) => encode_binary(*opcode, *opaque, request, outcome, fault),
        Style::Meta(opaque) => encode_meta(opaque, request, outcome, fault),
        Style::Text => encode_text(request, outcome, fault),
    }
}

fn encode_binary(
    opcode: u8,
    opaque: u32,
    request: &Request,
    outcome: Outcome,
    fault: Fault,
) -> Vec<u8> {
    let (status, extras, value): (u16, Vec<u8>, Vec<u8>) = match outcome {
        Outcome::Done => (0, Vec::new(), Vec::new()),
        Outcome::Absent => (1, Vec::new(), b"Not found".to_vec()),
        Outcome::Item(value, flags) => (0, flags.to_be_bytes().to_vec(), value),
        Outcome::Version => (0, Vec::new(), b"fake".to_vec()),
        Outcome::Refused => (5, Vec::new(), b"Not stored.".to_vec()),
        Outcome::AuthFailed => (0x20, Vec::new(), b"Auth failure.".to_vec()),
        Outcome::Unknown => (0x81, Vec::new(), b"Unknown command".to_vec()),
    };
    let _ = request;
    let body = u32::try_from(extras.len() + value.len()).unwrap();
    let body = if fault == Fault::HugeLength { 1 << 30 } else { body };
    // The binary protocol's plain get carries no key; its opaque stands for it.
    let wrong = matches!(fault, Fault::WrongOpaque | Fault::WrongKey);
    let opaque = if wrong { opaque.wrapping_add(1) } else { opaque };
    let mut reply = vec![0x81, opcode, 0, 0, u8::try_from(extras.len()).unwrap(), 0];
    reply.extend(status.to_be_bytes());
    reply.extend(body.to_be_bytes());
    reply.extend(opaque.to_be_bytes());
    reply.extend(7_u64.to_be_bytes());
    reply.extend(extras);
    reply.extend(value);
    reply
}

fn encode_meta(opaque: &str, request: &Request, outcome: Outcome, fault: Fault) -> Vec<u8> {
    let opaque = if fault == Fault::WrongOpaque { "999999" } else { opaque };
    let key = if fault == Fault::WrongKey { "somebody-else" } else { &request.key };
    let line = match (outcome, request.verb) {
        (Outcome::Item(value, flags), _) => {
            let len = if fault == Fault::HugeLength { 1 << 30 } else { value.len() };
            let mut reply = format!("VA {len} f{flags} c7 k{key} O{opaque}\r\n").into_bytes();
            reply.extend(value);
            reply.extend(b"\r\n");
            return reply;
        }
        (Outcome::Absent, "get") => format!("EN O{opaque}"),
        (Outcome::Absent, _) => format!("NF O{opaque}"),
        (Outcome::Refused, _) => "CLIENT_ERROR bad command line format".to_owned(),
        (Outcome::Done, _) => format!("HD O{opaque}"),
        _ => "ERROR".to_owned(),
    };
    format!("{line}\r\n").into_bytes()
}

fn encode_text(request: &Request, outcome: Outcome, fault: Fault) -> Vec<u8> {
    let wrong = matches!(fault, Fault::WrongOpaque | Fault::WrongKey);
    let key = if wrong { "somebody-else" } else { &request.key };
    let line = match (outcome, request.verb) {
        (Outcome::Item(value, flags), _) => {
            let len = if fault == Fault::HugeLength { 1 << 30 } else { value.len() };
            let mut reply = format!("VALUE {key} {flags} {len} 7\r\n").into_bytes();
            reply.extend(value);
            reply.extend(b"\r\nEND\r\n");
            return reply;
        }
        (Outcome::Absent, "get") => "END",
        (Outcome::Absent, _) => "NOT_FOUND",
        (Outcome::Refused, _) => "CLIENT_ERROR bad command line format",
        (Outcome::Version, _) => "VERSION fake",
        (Outcome::Done, "set") => "STORED",
        (Outcome::Done, "delete") => "DELETED",
        (Outcome::Done, "flush_all") => "OK",
        _ => "ERROR",
    };
    format!("{line}\r\n").into_bytes()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
