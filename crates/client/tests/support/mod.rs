//! An in-process fake server for the tests: it speaks the three protocols well enough to hold items,
//! writes down what it was asked, and misbehaves on request.

#![allow(dead_code, reason = "every test file uses its own part of this")]

mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use larder_client::{Client, Config, Key, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// All protocols, to run a test over each.
pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::Text, Protocol::Meta, Protocol::Binary];

/// How long something that comes by itself may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The client's deadline: far beyond what a busy machine takes for an answer. Who wants to see it
/// pass lets time leap, by [`Fake::unanswered`].
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// How long a server that has failed is left alone: until a test says [`pass`].
pub(crate) const RETRY: Duration = Duration::from_secs(3600);

/// How the server treats its next requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// As it should.
    None,
    /// Replies come byte by byte.
    Trickle(Duration),
    /// Half of the reply, then the connection is closed.
    CloseMidReply,
    /// The connection is closed instead of a reply, this once.
    CloseOnce,
    /// The reply carries another request's number (text: another key).
    WrongOpaque,
    /// The reply carries another key.
    WrongKey,
    /// Bytes of no protocol.
    Garbage,
    /// A value said to be of 1 GiB.
    HugeLength,
    /// No reply, nothing done.
    Freeze,
    /// Deletes are refused.
    RefuseDelete,
    /// A store is refused before its payload is read, which is then taken for commands.
    RefuseStore,
}

/// The server; it ends with the test's runtime.
#[derive(Debug, Clone)]
pub(crate) struct Fake {
    pub(crate) addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    items: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    fault: Fault,
    log: Vec<String>,
    /// Requests that were read and neither done nor answered.
    frozen: usize,
    connections: usize,
    open: usize,
    most_open: usize,
    /// SASL user and password; none: the server has no SASL.
    account: Option<(String, String)>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::serve(None).await
    }

    pub(crate) async fn with_account(user: &str, password: &str) -> Self {
        Self::serve(Some((user.to_owned(), password.to_owned()))).await
    }

    async fn serve(account: Option<(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            items: HashMap::new(),
            fault: Fault::None,
            log: Vec::new(),
            frozen: 0,
            connections: 0,
            open: 0,
            most_open: 0,
            account,
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                {
                    let mut state = shared.lock().unwrap();
                    state.connections += 1;
                    state.open += 1;
                    state.most_open = state.most_open.max(state.open);
                }
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    serve(stream, &shared).await;
                    shared.lock().unwrap().open -= 1;
                });
            }
        });
        Self { addr, state }
    }

    /// Settings for busy machines, under which nothing happens in the background.
    pub(crate) fn config(&self, protocol: Protocol) -> Config {
        let mut config = Config::new(vec![self.addr.into()]);
        config.protocol = protocol;
        config.timeout = DEADLINE;
        config.retry_min = RETRY;
        config.retry_max = RETRY;
        config
    }

    pub(crate) fn client(&self, protocol: Protocol) -> Client {
        Client::new(self.config(protocol)).unwrap()
    }

    pub(crate) fn fault(&self, fault: Fault) {
        self.state.lock().unwrap().fault = fault;
    }

    pub(crate) fn put(&self, key: &str, value: &str) {
        let item = (value.as_bytes().to_vec(), 0);
        self.state.lock().unwrap().items.insert(key.as_bytes().to_vec(), item);
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.state.lock().unwrap().items.contains_key(key.as_bytes())
    }

    /// What was asked since the last call, as `verb key`.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().log)
    }

    /// How many requests it has read while it was frozen.
    pub(crate) fn frozen(&self) -> usize {
        self.state.lock().unwrap().frozen
    }

    /// Does `work`, whose request this frozen server reads and does not answer: as soon as it has
    /// read it, time leaps to the deadline.
    pub(crate) async fn unanswered<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            _ = &mut work => panic!("it ended before its request was read"),
            () = self.reads_another() => {}
        }
        leaping(work).await
    }

    /// Begins `work`, and drops it when this frozen server has read its request.
    pub(crate) async fn cancelled(&self, work: impl Future) {
        tokio::select! {
            biased;
            _ = work => panic!("it ended before its request was read"),
            () = self.reads_another() => {}
        }
    }

    async fn reads_another(&self) {
        let before = self.frozen();
        eventually("the request is read", || self.frozen() > before).await;
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    pub(crate) fn most_open(&self) -> usize {
        self.state.lock().unwrap().most_open
    }
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// Waits until `condition` holds.
///
/// # Panics
///
/// After a minute.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Does `work`, which waits for nothing but its deadline: time leaps there.
pub(crate) async fn leaping<T>(work: impl Future<Output = T>) -> T {
    tokio::time::pause();
    let done = work.await;
    tokio::time::resume();
    done
}

/// Lets time pass at once. Only where nothing is under way or due: its deadline would pass as well.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// An address where nobody listens, for as long as the socket lives that keeps it from others.
pub(crate) fn dead_address() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let mut received = Vec::new();
    loop {
        while let Some((request, used)) = wire::parse(&received) {
            received.drain(..used);
            let (fault, reply) = state.lock().unwrap().answer(&request);
            if !send(&mut stream, fault, reply).await {
                return;
            }
            if fault == Fault::RefuseStore && request.verb == "set" {
                // The payload comes back as if it were the next commands.
                let mut again = request.value.clone();
                again.extend_from_slice(b"\r\n");
                again.append(&mut received);
                received = again;
            }
        }
        match stream.read_buf(&mut received).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

impl State {
    /// Carries a request out, unless frozen, and encodes its reply.
    fn answer(&mut self, request: &wire::Request) -> (Fault, Vec<u8>) {
        let fault = self.fault;
        if fault == Fault::CloseOnce {
            self.fault = Fault::None;
        }
        if matches!(fault, Fault::Freeze | Fault::CloseOnce) {
            self.frozen += usize::from(fault == Fault::Freeze);
            return (fault, Vec::new());
        }
        self.log.push(format!("{} {}", request.verb, request.key).trim_end().to_owned());
        let outcome = match request.verb {
            "get" => match self.items.get(request.key.as_bytes()) {
                Some((value, flags)) => wire::Outcome::Item(value.clone(), *flags),
                None => wire::Outcome::Absent,
            },
            "set" if fault == Fault::RefuseStore => wire::Outcome::Refused,
            "set" => {
                let item = (request.value.clone(), request.flags);
                self.items.insert(request.key.clone().into_bytes(), item);
                wire::Outcome::Done
            }
            "delete" if fault == Fault::RefuseDelete => wire::Outcome::Refused,
            "delete" => match self.items.remove(request.key.as_bytes()) {
                Some(_) => wire::Outcome::Done,
                None => wire::Outcome::Absent,
            },
            "incr" => wire::Outcome::Absent,
            "flush_all" => {
                self.items.clear();
                wire::Outcome::Done
            }
            "version" => wire::Outcome::Version,
            "sasl" => match &self.account {
                None => wire::Outcome::Unknown,
                Some((user, password)) => {
                    let expected = format!("\0{user}\0{password}").into_bytes();
                    let right = request.value == expected;
                    if right { wire::Outcome::Done } else { wire::Outcome::AuthFailed }
                }
            },
            _ => wire::Outcome::Unknown,
        };
        (fault, wire::encode(request, outcome, fault))
    }
}

/// Sends a reply the way the fault wants it; whether the connection goes on.
async fn send(stream: &mut TcpStream, fault: Fault, reply: Vec<u8>) -> bool {
    match fault {
        Fault::Freeze => true,
        Fault::CloseOnce => false,
        Fault::CloseMidReply => {
            let _ = stream.write_all(&reply[..reply.len() / 2]).await;
            false
        }
        Fault::Trickle(pause) => {
            for byte in reply {
                tokio::time::sleep(pause).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return false;
                }
            }
            true
        }
        _ => stream.write_all(&reply).await.is_ok(),
    }
}
