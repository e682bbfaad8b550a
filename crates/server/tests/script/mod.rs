//! Conversations with a server without sockets, on a clock that only the test moves.

#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::time::Duration;

use larder_server::testing::{Bench, Wire};
use larder_server::{ProtocolPin, Settings};
use larder_store::Clock;
use larder_tenancy::{
    Capabilities, Credential, Digest, Directory, Salt, SharedDirectory, Tenant, TenantId,
    TenantName,
};

/// As much as comes at once, in bytes.
const PIECE: usize = 10_000;

/// One connection to a server of its own.
pub(crate) struct Script {
    bench: Bench,
    wire: Wire,
    clock: Clock,
}

impl Script {
    pub(crate) fn new() -> Script {
        Script::with(|_| {})
    }

    /// With settings that differ.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Script {
        let clock = Clock::manual(1_800_000_000_000);
        let mut settings = Settings { clock: clock.clone(), ..Settings::new(32 << 20) };
        change(&mut settings);
        let mut bench = Bench::new(settings, SharedDirectory::new(Directory::open())).unwrap();
        let wire = bench.wire(ProtocolPin::Negotiated);
        Script { bench, wire, clock }
    }

    /// With users who have to log in, as the connection of `user`. All passwords are `secret`.
    pub(crate) fn of(users: Vec<Credential>, user: &str) -> Script {
        let mut script = Script::new();
        let tenants = (0..4).map(|id| Tenant {
            id: TenantId::new(id),
            name: TenantName::new(&format!("tenant{id}")).unwrap(),
            ..Tenant::shared()
        });
        let directory = Directory::new(1, tenants, users, None).unwrap();
        let settings = Settings { clock: script.clock.clone(), ..Settings::new(32 << 20) };
        script.bench = Bench::new(settings, SharedDirectory::new(directory)).unwrap();
        script.log_in(user);
        script
    }

    /// Goes on as another user, on another connection.
    pub(crate) fn log_in(&mut self, user: &str) {
        self.reconnect();
        let len = user.len() + " secret".len();
        self.run(&format!("set auth 0 0 {len}|{user} secret| -> STORED|"));
    }

    /// What the server answers. A request that is longer than a piece comes in pieces, as from a socket.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        let pieces = request.chunks(PIECE);
        pieces.flat_map(|piece| self.bench.send(&mut self.wire, piece)).collect()
    }

    /// Each line is `request -> reply`; `|` stands for the end of a line, and `Cn` in a reply for a CAS
    /// number, the same for the same `n`.
    #[track_caller]
    pub(crate) fn run(&mut self, script: &str) {
        let mut seen = Vec::new();
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (request, reply) = line.split_once("->").expect("an arrow");
            let request = bytes(request.trim());
            let answer = self.ask(&request);
            let answer = answer.escape_ascii().to_string().replace("\\r\\n", "|").replace('\\', "");
            assert_same(line, &answer, reply.trim(), &mut seen);
        }
    }

    pub(crate) fn advance(&mut self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.wire.is_closed()
    }

    /// Another connection.
    pub(crate) fn reconnect(&mut self) {
        self.wire = self.bench.wire(ProtocolPin::Negotiated);
    }
}

/// A user of a tenant.
pub(crate) fn user(name: &str, tenant: u32, capabilities: Capabilities) -> Credential {
    Credential {
        username: name.as_bytes().into(),
        digest: Digest::sha256(Salt::random().unwrap(), b"secret"),
        tenant: TenantId::new(tenant),
        capabilities,
        key_prefix: None,
        expires: None,
    }
}

fn bytes(text: &str) -> Vec<u8> {
    text.replace('|', "\r\n").into_bytes()
}

/// Compares word by word, where a number may stand for a placeholder.
#[track_caller]
fn assert_same(line: &str, answer: &str, expected: &str, seen: &mut Vec<(String, String)>) {
    let words = |text: &str| -> Vec<String> {
        text.replace('|', " | ").split(' ').map(str::to_owned).collect()
    };
    let (got, wanted) = (words(answer), words(expected));
    let same = got.len() == wanted.len()
        && got.iter().zip(&wanted).all(|(got, wanted)| is_same(got, wanted, seen));
    let short = |text: &str| text.chars().take(300).collect::<String>();
    assert!(same, "{}\n  got {}", short(line), short(answer));
}

/// `C1`, or `cC1` after a meta flag, is any number: the first that comes, and no other's.
fn is_same(got: &str, wanted: &str, seen: &mut Vec<(String, String)>) -> bool {
    let is_name = |name: &str| name.strip_prefix('C').is_some_and(|n| n.parse::<u32>().is_ok());
    let (number, name) = match (got.strip_prefix('c'), wanted.strip_prefix('c')) {
        (Some(number), Some(name)) if is_name(name) => (number, name),
        _ if is_name(wanted) => (got, wanted),
        _ => return got == wanted,
    };
    if number.parse::<u64>().is_err() {
        return false;
    }
    match seen.iter().find(|(known, _)| known == name) {
        Some((_, known)) => known == number,
        None => {
            let is_new = seen.iter().all(|(_, known)| known != number);
            seen.push((name.to_owned(), number.to_owned()));
            is_new
        }
    }
}
