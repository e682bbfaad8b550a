//! The cache server as a process: `larder memcached` and `larder serve`, what they refuse, what they
//! say, which signals they obey, and how they end.

mod memcached;
mod serve;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use larder_peers::{Program, Running};

/// How long anything may take that should be there at once.
const PATIENCE: Duration = Duration::from_secs(60);

const LARDER: &str = env!("CARGO_BIN_EXE_larder");

fn larder<A: AsRef<str>>(args: &[A], vars: &[(&str, &str)]) -> Program {
    let args = args.iter().map(|arg| arg.as_ref().to_owned());
    Program::new(LARDER).args(args).envs(vars.iter().copied())
}

/// Runs a command that must end with `code`; what it said.
fn refusal<A: AsRef<str>>(args: &[A], vars: &[(&str, &str)], code: i32) -> String {
    let (status, output) = larder(args, vars).run();
    assert_eq!(status.code(), Some(code), "{output}");
    assert!(output.contains("larder"), "{output}");
    assert!(!output.contains("panicked"), "{output}");
    output
}

/// Waits until `what` is there.
fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "no {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a server says something.
fn says(running: &Running, words: &str) {
    wait(words, || running.output().contains(words).then_some(()));
}

/// What is answered to `request` until the server closes, which `quit` has it do.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(format!("{request}quit\r\n").as_bytes()).unwrap();
    read_all(&mut stream)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn read_all(stream: &mut impl Read) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads what is expected.
fn expect(stream: &mut TcpStream, answer: &str) {
    let mut read = vec![0; answer.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8_lossy(&read), answer);
}

/// The command by which a text client says who it is.
fn login(user: &str, password: &str) -> String {
    let token = format!("{user} {password}");
    format!("set auth 0 0 {}\r\n{token}\r\n", token.len())
}

/// Sends a signal to a process that is not ours to wait for.
fn signal(pid: &str, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap();
    assert!(status.success());
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.display().to_string()
}
