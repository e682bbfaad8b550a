//! memcached from the distribution, in a process of its own: for memory, not for speed.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use larder_peers::Memcached;

use crate::engine::{Engine, Size};

pub(crate) struct Server {
    peer: Memcached,
    connection: Mutex<Connection>,
}

struct Connection {
    input: BufReader<TcpStream>,
    output: BufWriter<TcpStream>,
}

impl Server {
    pub(crate) fn new(size: &Size) -> anyhow::Result<Server> {
        let megabytes = (size.payload() >> 20).max(1).to_string();
        let peer = Memcached::with_args(&["-m", &megabytes]);
        let stream = TcpStream::connect(peer.addr()).context("memcached does not listen")?;
        let input = BufReader::new(stream.try_clone().context("memcached's connection")?);
        let output = BufWriter::with_capacity(64 << 10, stream);
        Ok(Server { peer, connection: Mutex::new(Connection { input, output }) })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Sends a command and reads its reply up to and without the line `end`.
    fn ask(&mut self, command: &str, end: &str) -> Vec<String> {
        let sent = self.output.write_all(command.as_bytes()).and_then(|()| self.output.flush());
        sent.expect("memcached hangs up");
        let lines = BufRead::lines(&mut self.input).map(|line| line.expect("memcached hangs up"));
        lines.take_while(|line| !line.starts_with(end)).collect()
    }
}

impl Engine for Server {
    fn get(&self, key: &[u8]) -> bool {
        let command = format!("get {}\r\n", key.escape_ascii());
        !self.connection().ask(&command, "END").is_empty()
    }

    fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) {
        let ttl = ttl.map_or(0, |ttl| ttl.as_secs().max(1));
        let output = &mut self.connection().output;
        let sent = output
            .write_all(b"set ")
            .and_then(|()| output.write_all(key))
            .and_then(|()| write!(output, " 0 {ttl} {} noreply\r\n", value.len()))
            .and_then(|()| output.write_all(value))
            .and_then(|()| output.write_all(b"\r\n"));
        sent.expect("memcached hangs up");
    }

    fn settle(&self) {
        self.connection().ask("version\r\n", "VERSION");
    }

    fn items(&self) -> Option<usize> {
        let stats = self.connection().ask("stats\r\n", "END");
        stats.iter().find_map(|line| line.strip_prefix("STAT curr_items ")?.trim().parse().ok())
    }

    fn process(&self) -> Option<u32> {
        Some(self.peer.pid())
    }
}
