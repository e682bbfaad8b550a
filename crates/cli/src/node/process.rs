//! What a server asks of the system for its process: files, memory, another user, the background.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{self, Uid, User};

/// Set for the process that runs in the background, which its parent started anew.
const IN_BACKGROUND: &str = "LARDER_IN_BACKGROUND";

/// What the process in the background writes once it serves.
const READY: &str = "ready";

/// Files that a server has open beside its connections.
const OWN_FILES: u64 = 64;

/// Lets the process have as many connections open, and the files that it needs beside them as far as the
/// system allows it.
///
/// # Errors
///
/// If the system does not even allow the connections; it says what it allows.
pub(crate) fn open_files(connections: usize, workers: usize) -> anyhow::Result<()> {
    let connections = connections as u64;
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = connections + 4 * workers as u64 + OWN_FILES;
    let wanted = wanted.min(hard.max(connections));
    if soft >= wanted {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).ok().with_context(|| {
        format!(
            "{connections} connections are as many open files, and the system allows {hard}: \
             raise its limit (ulimit -Hn, LimitNOFILE=), or ask for fewer connections"
        )
    })
}

/// Lets core files be as large as the system lets us.
pub(crate) fn core_files() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, hard, hard).context("cannot raise the limit of core files")
}

/// Keeps all memory of the process, that to come included, from being swapped out.
pub(crate) fn lock_memory() -> anyhow::Result<()> {
    mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)
        .context("cannot lock the memory; root may, and others up to ulimit -l")
}

/// The machine's memory in bytes, if the system tells.
pub(crate) fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether the process may do everything.
pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// The user of this name, or of this number.
pub(crate) fn find_user(name: &str) -> anyhow::Result<User> {
    let named = User::from_name(name)?;
    let found = match (named, name.parse()) {
        (None, Ok(number)) => User::from_uid(Uid::from_raw(number))?,
        (named, _) => named,
    };
    found.with_context(|| format!("there is no user {name:?}"))
}

/// Makes `user` the owner of a file.
pub(crate) fn give(path: &Path, user: &User) -> anyhow::Result<()> {
    unistd::chown(path, Some(user.uid), Some(user.gid))
        .with_context(|| format!("cannot give {} to the user {:?}", path.display(), user.name))
}

/// Becomes `user`, for good, all threads to come included.
pub(crate) fn become_user(user: &User) -> anyhow::Result<()> {
    unistd::setgroups(&[user.gid])
        .and_then(|()| unistd::setgid(user.gid))
        .and_then(|()| unistd::setuid(user.uid))
        .with_context(|| format!("cannot become the user {:?}", user.name))?;
    if !user.uid.is_root() && unistd::setuid(Uid::from_raw(0)).is_ok() {
        bail!("the user {:?} could become root again", user.name);
    }
    Ok(())
}

/// Writes `text` so that who sees the file sees all of it.
pub(crate) fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut beside = OsString::from(path);
    beside.push(".tmp");
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Whether this is the process in the background.
pub(crate) fn is_in_background() -> bool {
    std::env::var_os(IN_BACKGROUND).is_some()
}

/// Starts this program anew in the background, and waits until it serves, or fails: its exit code.
pub(crate) fn go_to_background() -> anyhow::Result<ExitCode> {
    let mut args = std::env::args_os();
    let name = args.next().unwrap_or_else(|| "larder".into());
    let mut child = Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(args)
        .env(IN_BACKGROUND, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the process in the background")?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if line.trim_end() == READY {
        return Ok(ExitCode::SUCCESS);
    }
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.filter(|code| *code > 0).unwrap_or(1)))
}

/// In the background: leaves terminal and directory of whoever started it.
pub(crate) fn leave_terminal() -> anyhow::Result<()> {
    unistd::setsid().context("cannot begin a session")?;
    std::env::set_current_dir("/").context("cannot go to /")
}

/// In the background: tells the parent that all is well, and writes to nobody from now on; errors go on
/// being written if they are asked for.
pub(crate) fn say_ready(keep_errors: bool) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{READY}")?;
    stdout.flush()?;
    let nowhere = File::options().write(true).open("/dev/null")?;
    unistd::dup2_stdout(&nowhere)?;
    if !keep_errors {
        unistd::dup2_stderr(&nowhere)?;
    }
    Ok(())
}
