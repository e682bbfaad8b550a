//! A peer ends with the process that started it, even when that process is killed and has no chance
//! to clean up.
//!
//! The test starts itself once more as the process to be killed; an environment variable tells the
//! two apart.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use larder_peers::Memcached;

const ROLE: &str = "LARDER_PEERS_OWNER";

#[test]
fn a_killed_owner_leaves_no_peer() {
    if std::env::var_os(ROLE).is_some() {
        own_a_peer_until_killed();
    }
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--nocapture", "--exact", "a_killed_owner_leaves_no_peer"])
        .env(ROLE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(owner.stdout.take().unwrap());
    let address: SocketAddr = output
        .lines()
        .map(Result::unwrap)
        .find_map(|line| line.split_once("address=")?.1.parse().ok())
        .unwrap();
    assert!(TcpStream::connect(address).is_ok());
    owner.kill().unwrap();
    owner.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < end, "memcached outlives its owner");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[allow(clippy::print_stdout, reason = "the pipe to the test that kills this process")]
fn own_a_peer_until_killed() -> ! {
    let server = Memcached::plain();
    println!("address={}", server.addr());
    loop {
        std::thread::park();
    }
}
