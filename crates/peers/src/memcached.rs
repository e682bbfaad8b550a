//! Stock memcached, plain or with SASL: the distribution's, or the one that the environment variable
//! `LARDER_PEER_MEMCACHED` names by its path.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Launch, Process, retry};
use crate::requirements;
use crate::scratch::{self, User};

/// A private memcached on a loopback port, empty at start, killed on drop.
#[derive(Debug)]
pub struct Memcached {
    address: SocketAddr,
    launch: Launch,
    process: Process,
    probe: &'static [u8],
    _dir: TempDir,
}

impl Memcached {
    /// A server that speaks the text, meta and binary protocols without authentication.
    ///
    /// # Panics
    ///
    /// When memcached is not installed or does not start.
    #[must_use]
    pub fn plain() -> Memcached {
        Memcached::with_args(&[])
    }

    /// Like [`plain`](Memcached::plain), with further command-line arguments (`["-m", "1"]`).
    ///
    /// # Panics
    ///
    /// When memcached is not installed or does not start, for example for a wrong argument.
    #[must_use]
    pub fn with_args(args: &[&str]) -> Memcached {
        let user = user();
        retry("memcached", || {
            let dir = scratch::directory("memcached", user);
            let launch =
                Launch::path(program(), user, dir.path().join("log")).args(args.iter().copied());
            let is_binary = args.windows(2).any(|pair| pair == ["-B", "binary"]);
            Memcached::start(launch, dir, if is_binary { &BINARY_VERSION } else { b"version\r\n" })
        })
    }

    /// A server with `-S`: binary protocol only, SASL PLAIN with one account.
    ///
    /// The name on the wire is `user` itself: the account is filed under the machine's host name,
    /// which is the realm memcached adds to a name without `@`.
    ///
    /// # Panics
    ///
    /// When memcached or the SASL tools are not installed or do not start.
    #[must_use]
    pub fn sasl(user_name: &str, password: &str) -> Memcached {
        requirements::library("sasl2/libplain.so");
        requirements::library("sasl2/libsasldb.so");
        let user = user();
        retry("memcached -S", || {
            let dir = scratch::directory("memcached", user);
            write_sasl_files(&dir, user, user_name, password);
            let launch = Launch::path(program(), user, dir.path().join("log"))
                .args(["-S"])
                .env("SASL_CONF_PATH", dir.path());
            // `version` is one of the few commands allowed before authentication.
            Memcached::start(launch, dir, &BINARY_VERSION)
        })
    }

    /// The version that is started: `1.6.18`.
    ///
    /// # Panics
    ///
    /// When memcached is not installed.
    #[must_use]
    pub fn version() -> String {
        let output = Command::new(program()).arg("-V").output().expect("memcached starts");
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().rsplit(' ').next().unwrap_or_default().to_owned()
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it (SIGKILL) and waits for its end: connections are reset, the port refuses.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end (SIGTERM) and waits for its end.
    pub fn stop(&mut self) {
        self.process.stop("TERM");
    }

    /// Kills it if it runs and starts it again: same port, same arguments, empty cache.
    ///
    /// # Panics
    ///
    /// When it does not start again.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = self.launch.spawn();
        let (address, probe) = (self.address, self.probe);
        let ready = self.process.becomes_ready(|| answers(address, probe));
        assert!(ready, "memcached does not start again on {address}:\n{}", self.process.log());
    }

    /// Stops it in its tracks (SIGSTOP): connections stay open and the kernel still accepts new
    /// ones, but nothing answers.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Undoes [`freeze`](Memcached::freeze) (SIGCONT).
    pub fn thaw(&self) {
        self.process.signal("CONT");
    }

    fn start(launch: Launch, dir: TempDir, probe: &'static [u8]) -> Result<Memcached, String> {
        let address = scratch::free_address();
        let launch = launch
            .args(["-l", "127.0.0.1", "-p"])
            .args([address.port().to_string()])
            .args(["-U", "0", "-t", "2"]);
        let mut process = launch.spawn();
        if !process.becomes_ready(|| answers(address, probe)) {
            return Err(process.log());
        }
        Ok(Memcached { address, launch, process, probe, _dir: dir })
    }
}

/// A binary-protocol `version` request: magic, opcode, and a header otherwise zero.
const BINARY_VERSION: [u8; 24] = {
    let mut request = [0; 24];
    request[0] = 0x80;
    request[1] = 0x0b;
    request
};

fn program() -> PathBuf {
    std::env::var_os("LARDER_PEER_MEMCACHED")
        .map_or_else(|| requirements::program("memcached"), PathBuf::from)
}

fn user() -> Option<User> {
    User::first_of(&["memcache", "nobody"])
}

/// Whether a server answers `request` with at least one byte.
fn answers(address: SocketAddr, request: &[u8]) -> bool {
    let limit = Duration::from_secs(1);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, limit) else {
        return false;
    };
    stream.set_read_timeout(Some(limit)).expect("a timeout above zero");
    stream.write_all(request).is_ok() && stream.read_exact(&mut [0]).is_ok()
}

/// The SASL configuration and account file that memcached finds through `SASL_CONF_PATH`.
fn write_sasl_files(dir: &TempDir, user: Option<User>, user_name: &str, password: &str) {
    let accounts = dir.path().join("accounts.db");
    let configuration = format!(
        "mech_list: plain\npwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\n",
        accounts.display()
    );
    std::fs::write(dir.path().join("memcached.conf"), configuration).expect("a scratch file");
    let realm = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("the host name");
    let mut tool = Command::new(requirements::program("saslpasswd2"))
        .args(["-c", "-p", "-a", "memcached", "-u", realm.trim(), "-f"])
        .arg(&accounts)
        .arg(user_name)
        .stdin(Stdio::piped())
        .spawn()
        .expect("saslpasswd2 starts");
    let mut stdin = tool.stdin.take().expect("a pipe");
    stdin.write_all(password.as_bytes()).expect("saslpasswd2 reads the password");
    drop(stdin);
    assert!(tool.wait().expect("wait for saslpasswd2").success(), "saslpasswd2 failed");
    scratch::give(&accounts, user);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{PATIENCE, exists};

    fn text(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.write_all(b"quit\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    /// One binary request on a new connection after an optional SASL PLAIN exchange; the statuses.
    fn binary(stream: &mut TcpStream, opcode: u8, key: &[u8], body: &[u8]) -> u16 {
        let mut request = vec![0x80, opcode];
        request.extend(u16::try_from(key.len()).unwrap().to_be_bytes());
        request.extend([0; 4]);
        request.extend(u32::try_from(key.len() + body.len()).unwrap().to_be_bytes());
        request.extend([0; 12]);
        request.extend(key);
        request.extend(body);
        stream.write_all(&request).unwrap();
        let mut header = [0; 24];
        stream.read_exact(&mut header).unwrap();
        let length = u32::from_be_bytes(header[8..12].try_into().unwrap());
        stream.read_exact(&mut vec![0; length as usize]).unwrap();
        u16::from_be_bytes([header[6], header[7]])
    }

    fn sasl_plain(address: SocketAddr, user: &str, password: &str) -> (u16, u16) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let login = binary(&mut stream, 0x21, b"PLAIN", format!("\0{user}\0{password}").as_bytes());
        let get = binary(&mut stream, 0x00, b"foo", b"");
        (login, get)
    }

    #[test]
    fn answers_and_dies_on_drop() {
        let server = Memcached::plain();
        let pid = server.pid();
        assert_eq!(
            text(server.addr(), "set foo 0 0 3\r\nbar\r\nget foo\r\n"),
            "STORED\r\nVALUE foo 0 3\r\nbar\r\nEND\r\n"
        );
        assert!(exists(pid));
        drop(server);
        assert!(!exists(pid));
    }

    #[test]
    fn says_its_version() {
        let server = Memcached::plain();
        let reply = text(server.addr(), "version\r\n");
        assert_eq!(reply, format!("VERSION {}\r\n", Memcached::version()));
    }

    #[test]
    fn sasl_takes_the_plain_user_name_and_refuses_a_wrong_password() {
        const SUCCESS: u16 = 0;
        const NOT_FOUND: u16 = 1;
        const AUTHENTICATION: u16 = 0x20;
        let mut server = Memcached::sasl("alice", "s3cret pass");
        assert_eq!(sasl_plain(server.addr(), "alice", "s3cret pass"), (SUCCESS, NOT_FOUND));
        assert_eq!(sasl_plain(server.addr(), "alice", "wrong"), (AUTHENTICATION, AUTHENTICATION));
        assert_eq!(
            sasl_plain(server.addr(), "bob", "s3cret pass"),
            (AUTHENTICATION, AUTHENTICATION)
        );
        server.restart();
        assert_eq!(sasl_plain(server.addr(), "alice", "s3cret pass"), (SUCCESS, NOT_FOUND));
    }

    #[test]
    fn restarts_empty_on_the_same_port() {
        let mut server = Memcached::with_args(&["-m", "8"]);
        let (address, first) = (server.addr(), server.pid());
        text(address, "set foo 0 0 3\r\nbar\r\n");
        server.kill();
        assert!(!exists(first));
        assert!(TcpStream::connect(address).is_err());
        server.restart();
        assert_eq!(server.addr(), address);
        assert_eq!(text(address, "get foo\r\n"), "END\r\n");
        assert!(text(address, "stats settings\r\n").contains("STAT maxbytes 8388608"));
        server.stop();
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn freezes_and_thaws() {
        let server = Memcached::plain();
        server.freeze();
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        stream.write_all(b"version\r\n").unwrap();
        assert!(stream.read_exact(&mut [0]).is_err());
        server.thaw();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn outlives_the_thread_that_asked_for_it() {
        let server = std::thread::spawn(Memcached::plain).join().unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(text(server.addr(), "version\r\n").starts_with("VERSION"));
    }
}
