//! A server under measurement: a process on a core of its own, and the CPU time it has used.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// The core that servers are measured on; the load generator and memcached have the other.
pub(super) const SERVER_CORE: &str = "0";

/// Clock ticks per second in `/proc/PID/stat`: fixed at 100 by the kernel's user interface.
const TICKS_PER_SECOND: u64 = 100;

/// A running server, killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    pub(super) addr: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts `program` and waits until it prints the address it listens on, in a line that ends
    /// with `ADDRESS` or `http://ADDRESS`.
    pub(super) fn start(
        name: &str,
        program: &Path,
        args: &[&str],
        vars: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let mut child = Command::new("taskset")
            .args(["-c", SERVER_CORE])
            .arg(program)
            .args(args)
            .envs(vars.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let stdout = child.stdout.take().context("a piped stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let addr = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let last = line.split_whitespace().last()?;
            last.trim_start_matches("http://").trim_end_matches('/').parse().ok()
        });
        // Whatever it prints later must not block it.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        match addr {
            Some(addr) => Ok(Self { name: name.to_owned(), addr, child }),
            None => {
                let _ = child.kill();
                bail!("{name}: it ended without printing an address");
            }
        }
    }

    /// CPU time used so far, user and system.
    pub(super) fn cpu_time(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The fields after the command's name, which is in parentheses: see proc(5).
        let fields = stat.rsplit_once(')').context("a process's stat line")?.1;
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().unwrap_or(0))
            .sum();
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// One request on a connection of its own; the status and the body.
    pub(super) fn request(
        &self,
        method: &str,
        path: &str,
        form: &str,
    ) -> anyhow::Result<(u16, String)> {
        let mut stream = TcpStream::connect(self.addr)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nOrigin: http://{}\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            self.addr,
            self.addr,
            form.len()
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        let status = reply.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = reply.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        Ok((status.context("an HTTP status")?, body.to_owned()))
    }
}

/// Keeps a peer from taking the measured server's time.
pub(super) fn move_off_the_server_core(pid: u32) -> anyhow::Result<()> {
    let pid = pid.to_string();
    let moved = Command::new("taskset").args(["-a", "-c", "-p", "1", &pid]).output()?;
    anyhow::ensure!(moved.status.success(), "taskset: {}", String::from_utf8_lossy(&moved.stderr));
    Ok(())
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
