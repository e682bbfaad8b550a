//! Connections of many users, served by one thread: requests go out on a window of them, then the replies are
//! read. So each server sees the same, however many tenants the connections belong to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

/// Connections with a request under way at a time.
const WINDOW: usize = 64;

/// No reply takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A user, and where in the list of connections it is.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

/// Connections, each with the items it stores and asks for.
#[derive(Debug)]
pub(super) struct Crowd {
    streams: Vec<TcpStream>,
    /// Items that a connection stores, and all that its tenant has.
    own: u64,
    of_tenant: u64,
    tenants: usize,
    value: Vec<u8>,
    random: u64,
}

/// What was answered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answers {
    pub(super) gets: u64,
    pub(super) hits: u64,
}

impl Crowd {
    /// Connects so many times, as the users in turns, who share `items` items of `value` bytes.
    pub(super) fn connect(
        address: SocketAddr,
        users: &[Login],
        connections: usize,
        items: u64,
        value: usize,
    ) -> anyhow::Result<Crowd> {
        ensure!(connections.is_multiple_of(users.len()), "as many connections for each user");
        let mut streams = Vec::with_capacity(connections);
        for user in users.iter().cycle().take(connections) {
            let stream = TcpStream::connect(address);
            let mut stream = stream.context("a connection (ulimit -n limits their number)")?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            let secret = format!("{} {}", user.user, user.password);
            let login = format!("set login 0 0 {}\r\n{secret}\r\n", secret.len());
            stream.write_all(login.as_bytes())?;
            streams.push(stream);
        }
        for stream in &mut streams {
            expect(stream, b"STORED\r\n").context("a login")?;
        }
        let own = items / connections as u64;
        let of_tenant = own * (connections / users.len()) as u64;
        let (tenants, value) = (users.len(), vec![b'v'; value]);
        Ok(Crowd { streams, own, of_tenant, tenants, value, random: 0x9e37_79b9_7f4a_7c15 })
    }

    /// Stores every item once.
    pub(super) fn fill(&mut self) -> anyhow::Result<()> {
        let (own, tenants) = (self.own, self.tenants);
        for (number, stream) in self.streams.iter_mut().enumerate() {
            let first = (number / tenants) as u64 * own;
            let ids: Vec<u64> = (first..first + own).collect();
            for ids in ids.chunks(WINDOW) {
                store(stream, ids, &self.value)?;
            }
        }
        Ok(())
    }

    /// Stores so many items under numbers from `first` on.
    pub(super) fn store(&mut self, first: u64, count: u64) -> anyhow::Result<()> {
        let streams = self.streams.len() as u64;
        let stream = usize::try_from(first / count % streams)?;
        let ids: Vec<u64> = (first..first + count).collect();
        store(&mut self.streams[stream], &ids, &self.value)
    }

    /// A get on every connection, of one of its tenant's items.
    pub(super) fn pass(&mut self) -> anyhow::Result<Answers> {
        let mut answers = Answers::default();
        let mut buffer = vec![0; "VALUE ".len() + KEY + 32 + self.value.len()];
        for window in self.streams.chunks_mut(WINDOW) {
            for stream in &mut *window {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 7;
                self.random ^= self.random << 17;
                let id = self.random % self.of_tenant;
                stream.write_all(format!("get {}\r\n", key(id)).as_bytes())?;
            }
            for stream in window {
                answers.gets += 1;
                answers.hits += u64::from(read_value(stream, &mut buffer, self.value.len())?);
            }
        }
        Ok(answers)
    }

    /// What `stats` says under a name to the first connection.
    pub(super) fn stat(&mut self, name: &str) -> anyhow::Result<u64> {
        let stream = self.streams.first_mut().context("a connection")?;
        stream.write_all(b"stats\r\n")?;
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        while !text.ends_with(b"END\r\n") {
            let len = stream.read(&mut piece)?;
            ensure!(len > 0, "it hung up");
            text.extend_from_slice(&piece[..len]);
        }
        let text = String::from_utf8_lossy(&text);
        let prefix = format!("STAT {name} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix)?.parse().ok());
        value.with_context(|| format!("{name} in {text}"))
    }
}

/// The length of a key.
const KEY: usize = 30;

fn key(id: u64) -> String {
    format!("key:{id:026}")
}

fn store(stream: &mut TcpStream, ids: &[u64], value: &[u8]) -> anyhow::Result<()> {
    let mut requests = Vec::new();
    for id in ids {
        write!(requests, "set {} 0 0 {}\r\n", key(*id), value.len())?;
        requests.extend_from_slice(value);
        requests.extend_from_slice(b"\r\n");
    }
    stream.write_all(&requests)?;
    expect(stream, &b"STORED\r\n".repeat(ids.len()))
}

fn expect(stream: &mut TcpStream, reply: &[u8]) -> anyhow::Result<()> {
    let mut answer = vec![0; reply.len()];
    stream.read_exact(&mut answer)?;
    let lossy = String::from_utf8_lossy(&answer);
    ensure!(answer == reply, "{lossy:?} instead of {:?}", String::from_utf8_lossy(reply));
    Ok(())
}

/// Reads the reply to a get of one key; whether there was an item.
fn read_value(stream: &mut TcpStream, buffer: &mut [u8], value: usize) -> anyhow::Result<bool> {
    const END: &[u8] = b"END\r\n";
    let mut len = 0;
    while !buffer[..len].ends_with(END) {
        let read = stream.read(&mut buffer[len..])?;
        ensure!(read > 0, "no whole reply: {:?}", String::from_utf8_lossy(&buffer[..len]));
        len += read;
    }
    let is_hit = buffer.starts_with(b"VALUE ");
    ensure!(is_hit == (len > value + END.len()), "a reply of {len} bytes");
    ensure!(is_hit || len == END.len(), "{:?}", String::from_utf8_lossy(&buffer[..len]));
    Ok(is_hit)
}
