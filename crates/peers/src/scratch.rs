//! What a peer borrows from the machine: a scratch directory, a port, an unprivileged user.
//!
//! Scratch directories carry the id of the process that made them. Those that are left when it ends
//! (it was killed, or kept its peer in a `static`) are removed by a shell that waits for that end;
//! what even the shell left, by a later run.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

const PREFIX: &str = "larder-peer-";

/// A user without privileges that a peer runs as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl User {
    /// The first of `names` that exists, or `None` when this process is itself unprivileged: then
    /// peers run as whoever runs the tests.
    pub(crate) fn first_of(names: &[&str]) -> Option<User> {
        let uid_of_this_process = std::fs::metadata("/proc/self").expect("/proc is mounted").uid();
        if uid_of_this_process != 0 {
            return None;
        }
        let passwd = std::fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable");
        let user = names.iter().find_map(|name| lookup(&passwd, name));
        Some(user.unwrap_or_else(|| panic!("none of the users {names:?} exists")))
    }
}

/// A new private directory, owned by `user` if one is given, removed when dropped.
pub(crate) fn directory(kind: &str, user: Option<User>) -> TempDir {
    // Never dropped, so that the shell's pipe is closed by the end of this process.
    static CLEANER: OnceLock<Child> = OnceLock::new();
    CLEANER.get_or_init(|| {
        sweep();
        clean_up_after(&std::env::temp_dir().join(own_prefix()))
    });
    let prefix = format!("{}{kind}-", own_prefix());
    let dir = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a scratch directory");
    give(dir.path(), user);
    dir
}

/// A path for a directory that something else creates; removed when this process ends.
pub(crate) fn unowned_path(kind: &str) -> PathBuf {
    directory(kind, None).keep()
}

/// Makes `user` the owner of `path`.
pub(crate) fn give(path: &Path, user: Option<User>) {
    if let Some(user) = user {
        chown(path, Some(user.uid), Some(user.gid)).expect("chown of a scratch file");
    }
}

/// A loopback address nobody listens on.
///
/// Chosen below the range from which the kernel takes the ports of outgoing connections: there a
/// client that retries while its server restarts could be given the server's port, or even connect
/// to itself. A caller still has to check that the process it starts got the port.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    const FIRST: u32 = 18_000;
    const COUNT: u32 = 14_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes side by side start at different places.
    let start = std::process::id().wrapping_mul(2_654_435_761) % COUNT;
    for _ in 0..COUNT {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("a port number");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no free loopback port");
}

fn lookup(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { uid, gid })
    })
}

/// What the names of this process's scratch directories begin with.
fn own_prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// Starts the shell that removes everything whose path begins with `prefix` once this process has
/// closed its pipe. A peer may still be dying then, and writing, so it tries more than once.
fn clean_up_after(prefix: &Path) -> Child {
    const SCRIPT: &str = "read -r _; for n in 1 2 3; do rm -rf -- \"$1\"* && break; sleep 1; done";
    let mut shell = Command::new("sh");
    shell.args(["-c", SCRIPT, "cleaner"]).arg(prefix);
    // In a group of its own: Ctrl-C must not reach it.
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    shell.spawn().expect("sh runs")
}

/// Removes the scratch directories of processes that are gone.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(owner) else {
            continue;
        };
        // Age protects a live directory whose owner is in another process namespace.
        let old = entry.metadata().and_then(|m| m.modified()).is_ok_and(|modified| {
            SystemTime::now()
                .duration_since(modified)
                .is_ok_and(|age| age > Duration::from_secs(3600))
        });
        if old && !Path::new("/proc").join(pid.to_string()).exists() {
            // Somebody else's directory, or another sweep at work: not this test's business.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The process id in the name of a scratch directory.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nmysqlx:x:7:7::/:/\nmysql:x:107:115:,,,:/:/bin/false\n";
        let user = lookup(passwd, "mysql").unwrap();
        assert_eq!((user.uid, user.gid), (107, 115));
        assert!(lookup(passwd, "mysq").is_none());
    }

    #[test]
    fn the_owner_is_read_from_the_name_of_a_scratch_directory() {
        let dir = directory("test", None);
        let name = dir.path().file_name().unwrap().to_str().unwrap();
        assert_eq!(owner(name), Some(std::process::id()));
        assert_eq!(owner("larder-peer-x"), None);
        assert_eq!(owner("other-12-x"), None);
    }

    #[test]
    fn what_is_left_is_removed_at_the_end() {
        let outer = directory("outer", None);
        for name in ["mine-a", "mine-b", "other"] {
            std::fs::create_dir_all(outer.path().join(name).join("deep")).unwrap();
        }
        let mut cleaner = clean_up_after(&outer.path().join("mine-"));
        drop(cleaner.stdin.take());
        assert!(cleaner.wait().unwrap().success());
        let left: Vec<_> = std::fs::read_dir(outer.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].file_name(), "other");
    }

    #[test]
    fn free_addresses_differ() {
        assert_ne!(free_address(), free_address());
    }
}
