//! A private PostgreSQL cluster.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Launch, Process, retry};
use crate::scratch::{self, User};

const USER: &str = "larder";
const PASSWORD: &str = "larder-test";
/// The database that `initdb` makes.
const DATABASE: &str = "postgres";

/// A private PostgreSQL server on a loopback port, ended on drop.
#[derive(Debug)]
pub struct Postgres {
    address: SocketAddr,
    user: Option<User>,
    process: Process,
    dir: TempDir,
}

impl Postgres {
    /// A new cluster with one superuser who logs in with a password, durability switched off.
    ///
    /// # Panics
    ///
    /// When PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start() -> Postgres {
        let user = User::first_of(&["postgres", "nobody"]);
        retry("postgres", || {
            let dir = scratch::directory("postgres", user);
            initialise(dir.path(), user);
            let address = scratch::free_address();
            let mut process = server(dir.path(), user, address).spawn();
            if !process.becomes_ready(|| asks_for_password(address)) {
                return Err(process.log());
            }
            Ok(Postgres { address, user, process, dir })
        })
    }

    /// The address of the database `postgres`: `postgres://user:password@127.0.0.1:port/postgres`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// Makes an empty database and returns its address. The name is a plain identifier.
    ///
    /// # Panics
    ///
    /// When the name is not one, or is taken.
    #[must_use]
    pub fn create_database(&self, name: &str) -> String {
        assert!(
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            "{name:?} is no plain identifier"
        );
        Launch::new("psql", self.user, self.dir.path().join("log"))
            .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"])
            .args(["--command", &format!("CREATE DATABASE \"{name}\""), &self.url()])
            .run();
        self.url_of(name)
    }

    /// Kills the server (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/{database}", self.address)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGQUIT ends all its processes at once, so that none still writes while `dir` is removed.
        self.process.stop("QUIT");
    }
}

fn initialise(dir: &Path, user: Option<User>) {
    let password_file = dir.join("password");
    std::fs::write(&password_file, PASSWORD).expect("a scratch file");
    scratch::give(&password_file, user);
    Launch::new("initdb", user, dir.join("log"))
        .args([
            "--no-sync",
            "--no-instructions",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
        ])
        .args([format!("--username={USER}")])
        .args([format!("--pwfile={}", password_file.display())])
        .args([format!("--pgdata={}", dir.join("data").display())])
        .run();
}

fn server(dir: &Path, user: Option<User>, address: SocketAddr) -> Launch {
    Launch::new("postgres", user, dir.join("log"))
        .args(["-D".into(), dir.join("data")])
        .args(["-h", "127.0.0.1", "-p", &address.port().to_string()])
        .args(["-k".into(), dir.to_path_buf()])
        .args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"])
        .args(["-c", "shared_buffers=16MB", "-c", "timezone=UTC"])
}

/// Whether the server, told who is calling, asks for the password (`R`). While it starts up it
/// answers with an error (`E`).
fn asks_for_password(address: SocketAddr) -> bool {
    const PROTOCOL_3_0: u32 = 196_608;
    let parameters = format!("user\0{USER}\0database\0{DATABASE}\0\0");
    let length = u32::try_from(8 + parameters.len()).expect("a short message");
    let mut request = Vec::from(length.to_be_bytes());
    request.extend(PROTOCOL_3_0.to_be_bytes());
    request.extend(parameters.as_bytes());
    let limit = Duration::from_secs(1);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, limit) else {
        return false;
    };
    stream.set_read_timeout(Some(limit)).expect("a timeout above zero");
    let mut reply = [0];
    stream.write_all(&request).is_ok() && stream.read_exact(&mut reply).is_ok() && reply == *b"R"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::exists;

    #[test]
    fn answers_makes_databases_and_dies_on_drop() {
        let server = Postgres::start();
        let url = server.create_database("shelf");
        let query = |sql: &str| {
            let log = server.dir.path().join("answer");
            Launch::new("psql", server.user, log.clone())
                .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command", sql, &url])
                .run();
            std::fs::read_to_string(log).unwrap()
        };
        assert_eq!(query("SELECT current_database() || 7 * 6"), "shelf42\n");
        let (pid, dir) = (server.process.id(), server.dir.path().to_path_buf());
        assert!(exists(pid));
        drop(server);
        assert!(!exists(pid));
        assert!(!dir.exists());
    }
}
