//! What a server hears on a text connection, one line a request or a reply.

#![allow(dead_code, reason = "every test file uses its own part of this")]

use larder_proto::StoreMode;
use larder_proto::server::meta;
use larder_proto::server::text::{self, Command, Keys, Scan, Store};
use larder_proto::server::{Bad, Limits, Parsed, Request, Words};

pub(crate) const LIMITS: Limits = Limits { max_keys_line: 5000 };

/// What bytes are that come all at once.
pub(crate) fn at_once(input: &[u8]) -> Vec<String> {
    in_pieces(&[input])
}

/// What bytes are that come in pieces.
pub(crate) fn in_pieces(pieces: &[&[u8]]) -> Vec<String> {
    let mut hearer = Hearer::default();
    for piece in pieces {
        hearer.hear(piece);
    }
    hearer.heard
}

/// The reading end of a connection.
#[derive(Default)]
pub(crate) struct Hearer {
    unread: Vec<u8>,
    scan: Scan,
    swallow: u64,
    closed: bool,
    pub(crate) heard: Vec<String>,
}

impl Hearer {
    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        while !self.closed && self.step() {}
    }

    /// Takes one request; whether there may be another.
    fn step(&mut self) -> bool {
        if self.unread.is_empty() {
            return false;
        }
        if self.swallow > 0 {
            let skip = self.unread.len().min(usize::try_from(self.swallow).unwrap());
            self.unread.drain(..skip);
            self.swallow -= skip as u64;
            return true;
        }
        let parsed = text::parse(&self.unread, &mut self.scan, &LIMITS);
        // What is plain is the same to the parser.
        if let Some((key, used)) = text::plain_get(&self.unread) {
            assert_eq!(parsed, Parsed::Ready { request: Request::Text(Command::get(key)), used });
        }
        if let Some((command, used)) = meta::plain_get(&self.unread) {
            assert_eq!(parsed, Parsed::Ready { request: Request::Meta(command), used });
        }
        if let Some((store, used)) = text::plain_set(&self.unread) {
            assert_eq!(
                parsed,
                Parsed::Ready { request: Request::Text(Command::Store(store)), used }
            );
        }
        let used = match parsed {
            Parsed::Ready { request, used } => {
                check_request(&request);
                if let Request::Text(Command::Get { .. } | Command::GetAndTouch { .. }) = request {
                    assert_eq!(text::again(&self.unread[..used]), Some(request));
                }
                self.heard.push(shown(&request));
                used
            }
            Parsed::Partial { request, head, value_len, tail } => {
                check_request(&request);
                assert!(value_len as u64 + 2 <= i32::MAX as u64);
                assert!(self.unread.len() < head + value_len + tail);
                // Its head alone is the same again.
                let again = text::parse(&self.unread[..head], &mut Scan::default(), &LIMITS);
                assert_eq!(again, parsed);
                return false;
            }
            Parsed::NeedMore { missing } => {
                assert!(missing >= 1);
                assert!(self.unread.len() <= LIMITS.max_keys_line);
                return false;
            }
            Parsed::Bad(Bad { reply, used, swallow, close }) => {
                let mut line = Vec::new();
                reply.put(&mut line);
                assert!(line.is_empty() || line.ends_with(b"\r\n"));
                let line = String::from_utf8(line).unwrap();
                self.heard.push(match close {
                    Some(why) => format!("close {why:?}{line}"),
                    None => line.trim_end().to_owned(),
                });
                self.closed = close.is_some();
                self.swallow = swallow;
                used
            }
        };
        assert!(used >= 1 && used <= self.unread.len());
        self.unread.drain(..used);
        true
    }
}

/// What has to be true of every request.
fn check_request(request: &Request<'_>) {
    let _ = request.class();
    let key = request.single_key();
    assert!(key.is_none_or(|key| (1..=250).contains(&key.len()) && !key.contains(&b' ')));
    if let Request::Text(Command::Get { keys, .. } | Command::GetAndTouch { keys, .. }) = request {
        let mut keys = *keys;
        assert!(keys.count() >= 1);
        assert!(keys.all(|key| (1..=250).contains(&key.len()) && !key.contains(&b' ')));
    }
    if let Request::Meta(command) = request {
        assert!(command.flags.iter().count() <= 18);
        assert!(command.flags.opaque().is_none_or(|opaque| opaque.argument().len() <= 31));
    }
}

fn shown(request: &Request<'_>) -> String {
    match request {
        Request::Text(command) => shown_text(command),
        Request::Meta(command) => shown_meta(command),
        Request::Binary(_) => panic!("binary on a text connection"),
    }
}

fn shown_text(command: &Command<'_>) -> String {
    let quiet = |noreply: bool| if noreply { " noreply" } else { "" };
    match *command {
        Command::Get { keys, cas } => {
            format!("get{}{}", if cas { "s" } else { "" }, shown_keys(keys))
        }
        Command::GetAndTouch { keys, cas, exptime } => {
            format!("gat{} {exptime}{}", if cas { "s" } else { "" }, shown_keys(keys))
        }
        Command::Store(Store { mode, key, flags, exptime, noreply, value }) => {
            let verb = match mode {
                StoreMode::Cas(cas) => format!("cas {cas}"),
                mode => format!("{mode:?}").to_lowercase(),
            };
            let (key, value) = (key.escape_ascii(), value.escape_ascii());
            format!("{verb} {key} {flags} {exptime} {value}{}", quiet(noreply))
        }
        Command::Delete { key, noreply } => {
            format!("delete {}{}", key.escape_ascii(), quiet(noreply))
        }
        Command::Arith { key, delta, down, noreply } => {
            let name = if down { "decr" } else { "incr" };
            format!("{name} {} {delta}{}", key.escape_ascii(), quiet(noreply))
        }
        Command::Touch { key, exptime, noreply } => {
            format!("touch {} {exptime}{}", key.escape_ascii(), quiet(noreply))
        }
        Command::Version => "version".to_owned(),
        Command::Quit => "quit".to_owned(),
        Command::Stats { args } => format!("stats {}", shown_words(args)),
        Command::Admin { verb, args, noreply } => {
            format!("{verb:?} {}{}", shown_words(args), quiet(noreply))
        }
    }
}

fn shown_meta(command: &meta::Command<'_>) -> String {
    let meta::Command { verb, key, flags, value, value_len } = command;
    assert_eq!(value.len(), *value_len);
    let flags: Vec<_> = flags.iter().map(|flag| flag.word.escape_ascii().to_string()).collect();
    let value = value.escape_ascii();
    format!("{verb:?} {} {} [{value}]", key.escape_ascii(), flags.join(" "))
}

fn shown_keys(keys: Keys<'_>) -> String {
    keys.map(|key| format!(" {}", key.escape_ascii())).collect()
}

fn shown_words(words: Words<'_>) -> String {
    let words: Vec<_> = words.map(|word| word.escape_ascii().to_string()).collect();
    format!("[{}]", words.join(" "))
}
