//! Runs the sections of a script against a server and tells what went otherwise.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::figures;
use crate::pattern::{self, Progress, Token, Values};
use crate::script::{Action, After, Expected, Reply, Section, ServerFlags, Step, Version};
use crate::server::{Server, Stream, Target};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing must come for a server to be called silent.
const SILENCE: Duration = Duration::from_millis(60);
/// The longest wait that a server without a clock that can be moved is waited for, in seconds.
const SLEEP: u64 = 12;

/// How requests are cut into writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cut {
    /// As the script has them: a reply is awaited before the next request.
    Stepwise,
    /// All requests of a section in one write.
    Piped,
    /// Byte by byte.
    Split,
}

/// Runs scripts against one kind of server.
#[derive(Debug)]
pub(crate) struct Runner {
    target: Target,
    cut: Cut,
    /// The version, if it is memcached.
    stock: Option<Version>,
    /// Whether a stock memcached is a debug build, whose clock can be moved.
    moves_clock: bool,
    servers: HashMap<ServerFlags, Server>,
}

impl Runner {
    pub(crate) fn new(target: Target, cut: Cut, stock: Option<Version>) -> Runner {
        let mut runner = Runner { target, cut, stock, moves_clock: true, servers: HashMap::new() };
        if stock.is_some() {
            let server = runner.server(&Section::default());
            runner.moves_clock = move_clock(&server, 0).is_ok();
            runner.servers.insert(ServerFlags::default(), server);
        }
        runner
    }

    /// Runs every section that means something here; returns what went otherwise, one text each.
    pub(crate) fn run(&mut self, script: &str, sections: &[Section]) -> Vec<String> {
        let ours = sections.iter().filter(|section| self.is_for_us(section));
        let (slow, quick): (Vec<&Section>, Vec<&Section>) =
            ours.partition(|section| self.stock.is_some() && seconds(section) > 0);
        let mut failures = Vec::new();
        for section in quick {
            let server = self.server(section);
            failures.extend(self.section(script, section, &server));
            self.servers.insert(section.server.clone(), server);
        }
        // What sleeps, sleeps at the same time.
        let this = &*self;
        std::thread::scope(|scope| {
            let run = |section: &'_ Section| {
                this.section(script, section, &Server::start(this.target, &section.server))
            };
            let threads: Vec<_> =
                slow.into_iter().map(|section| scope.spawn(move || run(section))).collect();
            failures.extend(threads.into_iter().filter_map(|t| t.join().expect("no panic")));
        });
        failures
    }

    /// What went otherwise in a section, if anything did.
    fn section(&self, script: &str, section: &Section, server: &Server) -> Option<String> {
        let mut run = Run::new(self, server);
        let result = match self.cut {
            Cut::Piped => run.section(&piped(section)),
            Cut::Stepwise | Cut::Split => run.section(section),
        };
        let (line, error) = result.err()?;
        let Section { name, .. } = section;
        Some(format!("{script}.wire:{line}: {name} ({:?}, {:?})\n{error}", self.target, self.cut))
    }

    fn is_for_us(&self, section: &Section) -> bool {
        let known = match self.stock {
            Some(version) => {
                section.only_larder.is_none() && section.not.is_none_or(|not| !drifts(not, version))
            }
            None => true,
        };
        let cut = match self.cut {
            Cut::Stepwise => true,
            Cut::Piped => !section.unpiped && can_be_piped(section),
            Cut::Split => !section.unsplit,
        };
        known && cut && (self.moves_clock || seconds(section) <= SLEEP)
    }

    /// A server with the flags of a section that holds nothing: one that was used before and can be
    /// flushed, or a new one.
    fn server(&mut self, section: &Section) -> Server {
        // Nobody may flush without the account.
        if !section.fresh
            && section.server.account.is_none()
            && let Some(server) = self.servers.remove(&section.server)
            && flush(&server)
        {
            return server;
        }
        Server::start(self.target, &section.server)
    }
}

/// One run of one section.
struct Run<'r> {
    runner: &'r Runner,
    server: &'r Server,
    connections: HashMap<String, Connection>,
    current: String,
    values: Values,
}

/// A connection and what is on its way in both directions.
struct Connection {
    stream: Stream,
    /// Requests that wait to be written in one piece.
    outbox: Vec<u8>,
    /// The last requests written, for reports.
    sent: Vec<u8>,
    inbox: Vec<u8>,
    is_binary: bool,
    /// Whether it is open, and the server waits for a request rather than the rest of one.
    is_ready: bool,
}

type Failure = (usize, String);

impl<'r> Run<'r> {
    fn new(runner: &'r Runner, server: &'r Server) -> Run<'r> {
        let (connections, values) = (HashMap::new(), Values::new());
        Run { runner, server, connections, current: "1".into(), values }
    }

    fn section(&mut self, section: &Section) -> Result<(), Failure> {
        let fail = |line| move |error| (line, error);
        for Step { line, action } in &section.steps {
            self.step(action).map_err(|(inner, error)| (inner.unwrap_or(*line), error))?;
        }
        let names: Vec<String> = self.connections.keys().cloned().collect();
        for name in names {
            self.current = name;
            self.nothing_is_left().map_err(fail(section.line))?;
        }
        Ok(())
    }

    fn step(&mut self, action: &Action) -> Result<(), (Option<usize>, String)> {
        let result = match action {
            Action::Send(tokens) => self.send(tokens),
            Action::Expect(reply) => self.flush().and_then(|()| self.expect(self.variant(reply))),
            Action::Connection(name) => self.flush().map(|()| self.current = name.clone()),
            Action::Wait(seconds) => self.flush().and_then(|()| self.wait(*seconds)),
            Action::Stats { binary, what, checks } => {
                return self
                    .stats(*binary, what)
                    .map_err(|error| (None, error))
                    .and_then(|found| figures::check(checks, &found, &mut self.values));
            }
        };
        result.map_err(|error| (None, error))
    }

    fn send(&mut self, tokens: &[Token]) -> Result<(), String> {
        let bytes = pattern::fill(tokens, &self.values)?;
        self.connection()?.outbox.extend(bytes);
        Ok(())
    }

    /// Writes what waits to be written.
    fn flush(&mut self) -> Result<(), String> {
        let cut = self.runner.cut;
        let connection = self.connection()?;
        if connection.outbox.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut connection.outbox);
        if connection.sent.is_empty() {
            connection.is_binary = bytes[0] == 0x80;
        }
        for piece in pieces(&bytes, cut) {
            // The server may have closed for good reasons; what is expected will tell.
            if connection.stream.send(piece).is_err() {
                break;
            }
            std::thread::yield_now();
        }
        connection.sent = bytes;
        connection.is_ready = true;
        Ok(())
    }

    fn expect(&mut self, expected: &Expected) -> Result<(), String> {
        let name = self.current.clone();
        self.connection()?;
        let connection = self.connections.get_mut(&name).expect("just used");
        let deadline = Instant::now() + PATIENCE;
        let taken = loop {
            match pattern::compare(&expected.tokens, &connection.inbox, &mut self.values) {
                Progress::Whole(length) => break length,
                Progress::Partly => {}
                Progress::Differs(at) => {
                    return Err(connection.report(expected, &format!("differs at byte {at}")));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match connection.stream.receive(left, &mut connection.inbox) {
                None => return Err(connection.report(expected, "no more came in time")),
                Some(0) => {
                    return Err(connection.report(expected, "then the connection was closed"));
                }
                Some(_) => {}
            }
        };
        connection.inbox.drain(..taken);
        connection.then(expected)
    }

    fn wait(&mut self, seconds: u64) -> Result<(), String> {
        if self.runner.moves_clock {
            move_clock(self.server, seconds)?;
            if self.runner.stock.is_some() {
                // Until its next tick, memcached's debug clock is ahead by all earlier moves.
                std::thread::sleep(Duration::from_millis(1100));
            }
            return Ok(());
        }
        // One more, because memcached's clock is whole seconds that began anywhere.
        std::thread::sleep(Duration::from_secs(seconds) + Duration::from_millis(100));
        Ok(())
    }

    /// The lines of a statistics command.
    fn stats(&mut self, binary: bool, what: &str) -> Result<figures::Lines, String> {
        let request = if binary {
            let packet = crate::binary::request(&format!("stat key={what}"))?;
            pattern::fill(&packet, &self.values)?
        } else {
            format!("stats {what}").trim().as_bytes().iter().chain(b"\r\n").copied().collect()
        };
        self.connection()?.outbox.extend(request);
        self.flush()?;
        let connection = self.connection()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let parsed = if binary {
                figures::packet_lines(&connection.inbox)
            } else {
                figures::text_lines(&connection.inbox)
            };
            if let Some(lines) = parsed {
                connection.inbox.clear();
                return Ok(lines);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if connection.stream.receive(left, &mut connection.inbox).unwrap_or(0) == 0 {
                return Err(connection.report(&Expected::default(), "no statistics"));
            }
        }
    }

    /// Asks the server for an empty answer, to see that no other one comes before it.
    fn nothing_is_left(&mut self) -> Result<(), String> {
        self.flush()?;
        let connection = self.connection()?;
        if !connection.is_ready {
            return Ok(());
        }
        let (request, reply) = if connection.is_binary {
            (crate::binary::request("noop")?, crate::binary::reply("noop")?)
        } else {
            (pattern::parse(r"mn\r\n")?, pattern::parse(r"MN\r\n")?)
        };
        let earlier = connection.sent.clone();
        self.send(&request)?;
        self.flush()?;
        self.connection()?.sent = [earlier, pattern::fill(&request, &self.values)?].concat();
        self.expect(&Expected { tokens: reply, after: After::More })
    }

    fn variant<'e>(&self, reply: &'e Reply) -> &'e Expected {
        match (&reply.larder, &reply.drift, self.runner.stock) {
            (Some((_, larder)), _, None) => larder,
            (_, Some((newest, drift)), Some(version)) if drifts(*newest, version) => drift,
            _ => &reply.usual,
        }
    }

    fn connection(&mut self) -> Result<&mut Connection, String> {
        if !self.connections.contains_key(&self.current) {
            let stream = self.server.connect().map_err(|error| format!("  connect: {error}"))?;
            let connection = Connection {
                stream,
                outbox: Vec::new(),
                sent: Vec::new(),
                inbox: Vec::new(),
                is_binary: false,
                is_ready: false,
            };
            self.connections.insert(self.current.clone(), connection);
        }
        Ok(self.connections.get_mut(&self.current).expect("just made"))
    }
}

impl Connection {
    /// Checks what comes after the expected bytes.
    fn then(&mut self, expected: &Expected) -> Result<(), String> {
        let limit = match expected.after {
            After::More => return Ok(()),
            After::Eof => PATIENCE,
            After::Silence => SILENCE,
        };
        self.is_ready = false;
        let end = self.stream.receive(limit, &mut self.inbox);
        let is_right = match expected.after {
            After::Silence => end.is_none(),
            _ => end == Some(0),
        };
        if is_right && self.inbox.is_empty() {
            return Ok(());
        }
        Err(self.report(expected, &format!("and then not {:?}", expected.after)))
    }

    fn report(&mut self, expected: &Expected, what: &str) -> String {
        // The rest of what comes helps whoever reads this.
        while self.stream.receive(SILENCE, &mut self.inbox).is_some_and(|length| length > 0) {}
        let mut text = String::new();
        let after = match expected.after {
            After::More => "",
            After::Eof => " <eof>",
            After::Silence => " <silence>",
        };
        let _ = writeln!(text, "  sent      {}", pattern::escape(&self.sent));
        let _ = writeln!(text, "  expected  {}{after}", pattern::show(&expected.tokens));
        let _ = writeln!(text, "  got       {}", pattern::escape(&self.inbox));
        let _ = write!(text, "  {what}");
        text
    }
}

/// Whether a version of memcached has what was last seen in `newest`. Of versions between that one
/// and the reference nothing is known; they are taken for old.
fn drifts(newest: Version, version: Version) -> bool {
    version <= newest
}

/// How long a section waits.
fn seconds(section: &Section) -> u64 {
    let waits = section.steps.iter().map(|step| match step.action {
        Action::Wait(seconds) => seconds,
        _ => 0,
    });
    waits.sum()
}

/// Whether the requests of a section can be sent before any reply came.
fn can_be_piped(section: &Section) -> bool {
    const MOST: usize = 64 << 10;
    let mut sent = 0;
    let fits = section.steps.iter().all(|step| match &step.action {
        Action::Send(tokens) => match pattern::fill(tokens, &Values::new()) {
            Ok(bytes) => {
                sent += bytes.len();
                true
            }
            Err(_) => false,
        },
        Action::Expect(reply) => reply.usual.after != After::Silence,
        Action::Connection(_) | Action::Wait(_) | Action::Stats { .. } => false,
    });
    fits && sent <= MOST
}

/// The section with its requests before its replies.
fn piped(section: &Section) -> Section {
    let (requests, replies): (Vec<Step>, Vec<Step>) =
        section.steps.iter().cloned().partition(|step| matches!(step.action, Action::Send(_)));
    Section { steps: [requests, replies].concat(), ..section.clone() }
}

/// A request as it is written. Of a large one only the beginning and the end go byte by byte.
fn pieces(bytes: &[u8], cut: Cut) -> Vec<&[u8]> {
    const HEAD: usize = 3000;
    const TAIL: usize = 200;
    if cut != Cut::Split {
        return vec![bytes];
    }
    if bytes.len() <= HEAD + TAIL {
        return bytes.chunks(1).collect();
    }
    let (head, rest) = bytes.split_at(HEAD);
    let (middle, tail) = rest.split_at(rest.len() - TAIL);
    head.chunks(1).chain(middle.chunks(10_007)).chain(tail.chunks(1)).collect()
}

/// Moves the clock of a server; an error if it has no such command.
fn move_clock(server: &Server, seconds: u64) -> Result<(), String> {
    let reply = ask(server, &format!("debugtime {seconds}\r\n"));
    if reply == b"OK\r\n" {
        return Ok(());
    }
    Err(format!("  debugtime {seconds}: {}", pattern::escape(&reply)))
}

/// Empties a server and its counters; whether it lets itself be emptied.
fn flush(server: &Server) -> bool {
    ask(server, "flush_all\r\n") == b"OK\r\n"
}

/// One line there, one line back.
fn ask(server: &Server, request: &str) -> Vec<u8> {
    let mut reply = Vec::new();
    let Ok(mut stream) = server.connect() else {
        return reply;
    };
    if stream.send(request.as_bytes()).is_ok() {
        while !reply.ends_with(b"\n") && stream.receive(PATIENCE, &mut reply).unwrap_or(0) > 0 {}
    }
    reply
}
