//! A program of this workspace, run as a process of its own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Launch, Process};
use crate::scratch;

/// How long a program may take to begin or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to run a program: with exactly the variables given here, none of this process's own.
#[derive(Debug)]
pub struct Program {
    launch: Launch,
    dir: TempDir,
}

impl Program {
    /// The program at `path`. It starts in an empty scratch directory, without a variable.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Program {
        let dir = scratch::directory("program", None);
        let work = dir.path().join("work");
        std::fs::create_dir(&work).expect("a scratch directory");
        let launch = Launch::path(path.into(), None, dir.path().join("log"));
        Program { launch: launch.clean_env().directory(work), dir }
    }

    /// Starts it in `directory` instead.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Program {
        self.launch = self.launch.directory(directory.into());
        self
    }

    /// Appends arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Program {
        self.launch = self.launch.args(args);
        self
    }

    /// Sets variables.
    #[must_use]
    pub fn envs<N, V>(mut self, vars: impl IntoIterator<Item = (N, V)>) -> Program
    where
        N: Into<OsString>,
        V: Into<OsString>,
    {
        for (name, value) in vars {
            self.launch = self.launch.env(name, value);
        }
        self
    }

    /// Starts it.
    #[must_use]
    pub fn start(self) -> Running {
        Running { process: self.launch.spawn(), _dir: self.dir }
    }

    /// Runs it to its end: how it ended, and what it printed.
    ///
    /// # Panics
    ///
    /// When it does not end within a minute.
    #[must_use]
    pub fn run(self) -> (ExitStatus, String) {
        let mut running = self.start();
        (running.ends(), running.output())
    }
}

/// A program that was started; killed when dropped.
#[derive(Debug)]
pub struct Running {
    process: Process,
    _dir: TempDir,
}

impl Running {
    /// The address in the first `http://ADDRESS` that it prints.
    ///
    /// # Panics
    ///
    /// When it ends, or prints none within a minute.
    #[must_use]
    pub fn address(&mut self) -> SocketAddr {
        let listens = self.process.prints(|log| address_in(log).is_some());
        let output = self.output();
        let address = address_in(&output).filter(|_| listens);
        address.unwrap_or_else(|| panic!("it does not say where it listens:\n{output}"))
    }

    /// What it has printed so far, to standard output and standard error.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.log()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal by name (`"TERM"`).
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits for its end: how it ended.
    ///
    /// # Panics
    ///
    /// When it does not end within a minute.
    pub fn ends(&mut self) -> ExitStatus {
        let ended = self.process.ends(PATIENCE);
        ended.unwrap_or_else(|| panic!("it does not end:\n{}", self.output()))
    }
}

fn address_in(output: &str) -> Option<SocketAddr> {
    // Whole lines only: the rest of an address may still be on its way.
    let (lines, _) = output.rsplit_once('\n')?;
    lines.split("http://").skip(1).find_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_hexdigit() && !".:[]".contains(c));
        rest[..end.unwrap_or(rest.len())].parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new("/bin/sh").args(["-c", script])
    }

    #[test]
    fn a_program_is_run_with_its_own_variables_only() {
        let script = "echo $0 $A; pwd; env | grep -c CARGO_MANIFEST_DIR; exit 3";
        let (status, output) = shell(script).args(["zero"]).envs([("A", "one")]).run();
        assert_eq!(status.code(), Some(3));
        let lines: Vec<_> = output.lines().collect();
        assert_eq!((lines[0], lines[2]), ("zero one", "0"));
        assert!(lines[1].ends_with("/work"), "{output}");
    }

    #[test]
    fn the_address_is_read_from_what_it_prints() {
        let script = "echo begins; echo open http://127.0.0.1:4711/caches; exec sleep 60";
        let mut running = shell(script).start();
        assert_eq!(running.address().to_string(), "127.0.0.1:4711");
        running.signal("TERM");
        assert!(!running.ends().success());
        assert_eq!(address_in("http://[::1]:80\n").unwrap().to_string(), "[::1]:80");
        assert_eq!(address_in("http://127.0.0.1:80"), None);
    }
}
