//! One child process: started unprivileged, tied to this process, killed on drop.
//!
//! Every child is started through `setpriv --pdeathsig KILL`, so the kernel kills it when its
//! parent dies. To the kernel the parent is the *thread* that started it, and every `#[test]` has a
//! thread of its own; therefore one thread, which lives as long as the process, starts them all.
//! The user is changed by the same `setpriv`, because a program that changes its user by itself
//! loses the death signal.
//!
//! The death signal reaches the child itself. One that starts further processes (a browser) is also
//! given a [guard](Process::guard_group).

use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::requirements;
use crate::scratch::User;

/// How long a peer may take until it is ready, or does what it is told.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How to start a process.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    /// Whether this process's own variables are kept from it.
    clean: bool,
    directory: PathBuf,
    user: Option<User>,
    log: PathBuf,
}

impl Launch {
    /// `program` as `user` (or as this process's user), its output appended to `log`.
    pub(crate) fn new(program: &str, user: Option<User>, log: PathBuf) -> Launch {
        Launch::path(requirements::program(program), user, log)
    }

    /// The same for a program by its path.
    pub(crate) fn path(program: PathBuf, user: Option<User>, log: PathBuf) -> Launch {
        let (args, env, directory) = (Vec::new(), Vec::new(), PathBuf::from("/"));
        Launch { program, args, env, clean: false, directory, user, log }
    }

    /// Appends arguments.
    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Launch {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Launch {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Gives it none of this process's own variables.
    pub(crate) fn clean_env(mut self) -> Launch {
        self.clean = true;
        self
    }

    /// Starts it in `directory` (default: the root).
    pub(crate) fn directory(mut self, directory: PathBuf) -> Launch {
        self.directory = directory;
        self
    }

    /// Starts it.
    pub(crate) fn spawn(&self) -> Process {
        let child = spawn_from_the_lasting_thread(self.command());
        Process { child, guard: None, log: self.log.clone() }
    }

    /// Runs it to its end; panics with its output if it fails.
    pub(crate) fn run(&self) {
        let mut process = self.spawn();
        let status = process.child.wait().expect("wait for a child");
        assert!(status.success(), "{self:?} failed: {status}\n{}", process.log());
    }

    fn command(&self) -> Command {
        let mut command = Command::new(requirements::program("setpriv"));
        if self.clean {
            command.env_clear();
        }
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = self.user {
            command.arg(format!("--reuid={}", user.uid));
            command.arg(format!("--regid={}", user.gid));
            command.arg("--clear-groups");
        }
        let log =
            File::options().create(true).append(true).open(&self.log).expect("the log of a peer");
        command
            .arg("--")
            .arg(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            // Ctrl-C in a terminal reaches the test process only; peers then die with it.
            .process_group(0);
        command
    }
}

/// A running (or ended) child; killed on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    guard: Option<Child>,
    log: PathBuf,
}

impl Process {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Makes sure that the processes which the child starts in its group die with this process, too:
    /// by a shell that waits for the end of a pipe held here, and then kills the group.
    pub(crate) fn guard_group(&mut self) {
        let mut shell = Command::new("sh");
        shell.args(["-c", "read -r _; kill -s KILL -- \"-$1\"", "guard", &self.id().to_string()]);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        self.guard = Some(shell.spawn().expect("sh runs"));
    }

    /// Lets the guard see what it sees when this process dies.
    #[cfg(test)]
    pub(crate) fn alarm_guard(&mut self) {
        let guard = self.guard.as_mut().expect("a guard");
        drop(guard.stdin.take());
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("wait for a child").is_none()
    }

    /// Sends a signal by name (`"STOP"`) to the process alone.
    pub(crate) fn signal(&self, name: &str) {
        signal(name, &self.id().to_string());
    }

    /// Sends SIGSTOP and waits until it has reached every thread; until then one may still answer.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
        let threads = format!("/proc/{}/task", self.id());
        let is_stopped = |thread: std::io::Result<fs::DirEntry>| {
            let stat = thread.and_then(|thread| fs::read_to_string(thread.path().join("stat")));
            // The state follows the name, which is in parentheses: see proc(5).
            stat.is_ok_and(|stat| {
                stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"))
            })
        };
        wait_until(PATIENCE, || {
            fs::read_dir(&threads).is_ok_and(|mut threads| threads.all(is_stopped))
        });
    }

    /// Kills the process and its group with SIGKILL and waits for the end of the process.
    pub(crate) fn kill(&mut self) {
        if self.is_running() {
            signal("KILL", &format!("-{}", self.id()));
            self.child.wait().expect("wait for a child");
        }
    }

    /// Asks with `name` (`"TERM"`) and waits; kills what has not ended after a minute.
    pub(crate) fn stop(&mut self, name: &str) {
        if self.is_running() {
            self.signal(name);
            wait_until(PATIENCE, || !self.is_running());
        }
        self.kill();
    }

    /// Waits for it to end by itself; `None` if it takes longer than `limit`.
    pub(crate) fn ends(&mut self, limit: Duration) -> Option<ExitStatus> {
        wait_until(limit, || !self.is_running());
        self.child.try_wait().expect("wait for a child")
    }

    /// Waits until `ready` says so, or the process ends, or it takes too long. Returns whether it is
    /// ready: the caller may then try another port.
    pub(crate) fn becomes_ready(&mut self, ready: impl Fn() -> bool) -> bool {
        let done = wait_until(PATIENCE, || !self.is_running() || ready());
        // Still running: so it was this process that answered, not another on the same port.
        done && self.is_running()
    }

    /// Waits until what it has printed satisfies `enough`, or it ends, or it takes too long. Returns
    /// whether it is enough.
    pub(crate) fn prints(&mut self, enough: impl Fn(&str) -> bool) -> bool {
        wait_until(PATIENCE, || enough(&self.log()) || !self.is_running());
        enough(&self.log())
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if let Some(guard) = &mut self.guard {
            // Closes the pipe, kills what is left of the group, and ends.
            guard.wait().expect("wait for the guard");
        }
    }
}

/// Calls `start` until it returns a peer that is ready, a few times at most: another process may
/// have taken the port. An error is what the peer has printed.
pub(crate) fn retry<P>(what: &str, mut start: impl FnMut() -> Result<P, String>) -> P {
    let mut last = String::new();
    for _ in 0..4 {
        match start() {
            Ok(peer) => return peer,
            Err(log) => last = log,
        }
    }
    panic!("{what} does not start:\n{last}");
}

/// Polls `condition` until it holds or `limit` has passed; returns whether it holds.
pub(crate) fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a signal to a process id, or with a leading minus to a process group. One that is gone
/// already is fine.
fn signal(name: &str, target: &str) {
    // The shell's own `kill`: the program of that name is not in every minimal installation.
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("kill -s {name} -- {target} 2>/dev/null"));
    shell.status().expect("sh runs");
}

fn spawn_from_the_lasting_thread(command: Command) -> Child {
    type Request = (Command, Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = channel::<Request>();
        thread::Builder::new()
            .name("peers".into())
            .spawn(move || {
                for (mut command, reply) in inbox {
                    // A caller that is gone drops the child handle; the process dies with us.
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("a thread");
        requests
    });
    let (reply, answer) = channel();
    spawner.send((command, reply)).expect("the spawner thread lives");
    answer.recv().expect("the spawner thread answers").expect("setpriv starts")
}

/// Whether a process of this id exists (a zombie counts as gone).
#[cfg(test)]
pub(crate) fn exists(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}
