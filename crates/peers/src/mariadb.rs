//! A private MariaDB server.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Launch, Process, retry};
use crate::scratch::{self, User};

const USER: &str = "larder";
const PASSWORD: &str = "larder-test";
/// The database that exists from the start.
const DATABASE: &str = "larder";

/// A private MariaDB server on a loopback port, killed on drop.
#[derive(Debug)]
pub struct MariaDb {
    address: SocketAddr,
    user: Option<User>,
    process: Process,
    dir: TempDir,
}

impl MariaDb {
    /// A new server with one user who has every right and logs in with a password, durability
    /// switched off, small buffers.
    ///
    /// # Panics
    ///
    /// When MariaDB is not installed or does not start.
    #[must_use]
    pub fn start() -> MariaDb {
        let user = User::first_of(&["mysql", "nobody"]);
        retry("mariadbd", || {
            let dir = scratch::directory("mariadb", user);
            initialise(dir.path(), user);
            let address = scratch::free_address();
            let mut process = server(dir.path(), user, address).spawn();
            if !process.becomes_ready(|| greets(address)) {
                return Err(process.log());
            }
            Ok(MariaDb { address, user, process, dir })
        })
    }

    /// The address of the database `larder`: `mysql://user:password@127.0.0.1:port/larder`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// Makes an empty database (utf8mb4) and returns its address. The name is a plain identifier.
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
        self.client("log").args([format!("--execute=CREATE DATABASE `{name}`")]).run();
        self.url_of(name)
    }

    /// Kills the server (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    fn url_of(&self, database: &str) -> String {
        format!("mysql://{USER}:{PASSWORD}@{}/{database}", self.address)
    }

    fn client(&self, log: &str) -> Launch {
        Launch::new("mariadb", self.user, self.dir.path().join(log))
            .args(["--no-defaults", "--host=127.0.0.1", "--batch", "--skip-column-names"])
            .args([format!("--port={}", self.address.port()), format!("--user={USER}")])
            .env("MYSQL_PWD", PASSWORD)
    }
}

fn initialise(dir: &Path, user: Option<User>) {
    Launch::new("mariadb-install-db", user, dir.join("log"))
        .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .args([format!("--datadir={}", dir.join("data").display())])
        .args([format!("--tmpdir={}", dir.display())])
        .args(FAST)
        .run();
    let accounts = format!(
        "CREATE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n\
         GRANT ALL ON *.* TO '{USER}'@'127.0.0.1';\n\
         CREATE DATABASE {DATABASE};\n"
    );
    std::fs::write(dir.join("accounts.sql"), accounts).expect("a scratch file");
    scratch::give(&dir.join("accounts.sql"), user);
}

fn server(dir: &Path, user: Option<User>, address: SocketAddr) -> Launch {
    let path = |option: &str, name: &str| format!("--{option}={}", dir.join(name).display());
    Launch::new("mariadbd", user, dir.join("log"))
        .args([
            "--no-defaults",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
        ])
        .args(["--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"])
        .args(FAST)
        .args([path("datadir", "data"), path("socket", "socket"), path("pid-file", "pid")])
        // Run before the first connection is accepted, so a greeting means that it is done.
        .args([path("init-file", "accounts.sql"), path("tmpdir", "")])
        .args([format!("--port={}", address.port())])
}

/// Small buffers and no waiting for the disk.
const FAST: [&str; 6] = [
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-doublewrite=0",
    "--key-buffer-size=1M",
    "--performance-schema=OFF",
];

/// Whether the server sends its greeting: a packet whose first byte is the protocol version, 10.
fn greets(address: SocketAddr) -> bool {
    let limit = Duration::from_secs(1);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, limit) else {
        return false;
    };
    stream.set_read_timeout(Some(limit)).expect("a timeout above zero");
    let mut packet = [0; 5];
    stream.read_exact(&mut packet).is_ok() && packet[4] == 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::exists;

    #[test]
    fn answers_makes_databases_and_dies_on_drop() {
        let server = MariaDb::start();
        assert!(server.create_database("shelf").ends_with("/shelf"));
        let answer = server.dir.path().join("answer");
        server
            .client("answer")
            .args(["--database=shelf", "--execute=SELECT DATABASE(), 7 * 6"])
            .run();
        assert_eq!(std::fs::read_to_string(answer).unwrap(), "shelf\t42\n");
        let (pid, dir) = (server.process.id(), server.dir.path().to_path_buf());
        assert!(exists(pid));
        drop(server);
        assert!(!exists(pid));
        assert!(!dir.exists());
    }
}
