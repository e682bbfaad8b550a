//! A process that is killed at any moment loses no change that it has acknowledged.
//!
//! The test starts itself again as a child that makes tenants and says so, one line each, only after the
//! change was acknowledged. It is killed (SIGKILL) in the midst of it, round after round.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use larder_control::{Accounts, AccountsUrl, NewTenant};
use support::{BY, Fresh, MIB, name, suite};

/// How the child is told which accounts it works on, and what its tenants are called.
const URL: &str = "LARDER_TEST_ACCOUNTS";
const PREFIX: &str = "LARDER_TEST_PREFIX";
const ROUNDS: u64 = 8;

suite!(what_was_acknowledged_survives_a_kill);

async fn what_was_acknowledged_survives_a_kill(fresh: &Fresh) {
    if let (Ok(url), Ok(prefix)) = (std::env::var(URL), std::env::var(PREFIX)) {
        return make_tenants(&url, &prefix).await;
    }
    fresh.open().await.close().await;
    let mut said = Vec::new();
    for round in 0..ROUNDS {
        said.extend(killed_child(fresh, round));
        let accounts = fresh.open().await;
        let directory = accounts.directory().await.unwrap();
        for line in &said {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap();
            let (tenant, user, password) = (word(), word(), word());
            let found = directory.tenant_named(&name(tenant)).unwrap_or_else(|| panic!("{line}"));
            let grant = directory.authenticate(user.as_bytes(), password.as_bytes(), 0).unwrap();
            assert_eq!(grant.tenant(), found.id);
        }
        // One that was under way may be there or not, but whole: every tenant has its credential and its
        // line in the audit log, and each change its version.
        let tenants = accounts.tenants().await.unwrap();
        let extra = tenants.len() - said.len();
        assert!(extra as u64 <= round + 1, "{extra} unacknowledged after {} kills", round + 1);
        assert_eq!(directory.credentials().count(), tenants.len());
        assert_eq!(accounts.audit(None, None, 1000).await.unwrap().len(), tenants.len());
        assert_eq!(directory.version(), tenants.len() as u64 + 1);
        accounts.close().await;
    }
    assert!(said.len() as u64 > ROUNDS);
}

/// What a child said before it was killed.
fn killed_child(fresh: &Fresh, round: u64) -> Vec<String> {
    // On SQLite it makes nothing but a file of its own, whatever it then works on.
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::what_was_acknowledged_survives_a_kill", "--nocapture"])
        .env(URL, fresh.raw_url())
        .env(PREFIX, format!("t{round}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    // After so many, and some microseconds more: somewhere in the next change.
    let mut random = [0; 2];
    getrandom::fill(&mut random).unwrap();
    let many = 1 + usize::from(random[0] % 12);
    while said.len() < many {
        let line = lines.next().expect("the child goes on until it is killed").unwrap();
        said.extend(line.strip_prefix("made ").map(str::to_owned));
    }
    std::thread::sleep(Duration::from_micros(u64::from(random[1]) * 20));
    child.kill().unwrap();
    child.wait().unwrap();
    // What was still in the pipe was said, too.
    said.extend(lines.map_while(Result::ok).filter_map(|line| {
        let made = line.strip_prefix("made ")?.strip_suffix(" .")?;
        Some(made.to_owned())
    }));
    said
}

/// What the child does until it is killed.
async fn make_tenants(url: &str, prefix: &str) {
    let accounts = Accounts::open(&AccountsUrl::parse(url).unwrap()).await.unwrap();
    for n in 0.. {
        let new = NewTenant::new(name(&format!("{prefix}-{n}")), MIB);
        let (record, secret) = accounts.create_tenant(&BY, new).await.unwrap().value;
        let line = format!("made {} {} {} .\n", record.name, secret.username, secret.password);
        std::io::stdout().write_all(line.as_bytes()).unwrap();
        std::io::stdout().flush().unwrap();
    }
}
