//! Ten thousand tenants.

mod support;

use std::io::Write as _;
use std::time::{Duration, Instant};

use larder_control::{DataDir, Follower, FollowerSettings, NewTenant};
use larder_tenancy::{Directory, SharedDirectory};
use support::{BY, Fresh, MIB, name, suite};

const MANY: usize = 10_000;

suite!(ten_thousand_tenants_are_followed);

async fn ten_thousand_tenants_are_followed(fresh: &Fresh) {
    let accounts = fresh.open().await;
    fill(fresh).await;
    let started = Instant::now();
    let directory = accounts.directory().await.unwrap();
    say(&format!("the directory of {MANY} tenants was read in {:?}", started.elapsed()));
    assert_eq!((directory.tenants().count(), directory.credentials().count()), (MANY, MANY));

    let shared = SharedDirectory::new(Directory::default());
    let follower = follow(fresh, &accounts, &shared).await;
    let started = Instant::now();
    let new = NewTenant::new(name("one-more"), MIB);
    let changed = accounts.create_tenant(&BY, new).await.unwrap();
    let behind = accounts.acknowledged(changed.version, Duration::from_secs(60)).await.unwrap();
    say(&format!("one more was acknowledged in {:?}", started.elapsed()));
    assert_eq!(behind, []);
    assert_eq!(shared.load().tenants().count(), MANY + 1);
    follower.stop().await;

    // With its snapshot alone.
    accounts.close().await;
    let shared = SharedDirectory::new(Directory::default());
    let started = Instant::now();
    let follower = follow(fresh, &accounts, &shared).await;
    say(&format!("a node began with its snapshot in {:?}", started.elapsed()));
    assert_eq!(shared.load().tenants().count(), MANY + 1);
    follower.stop().await;
    assert_eq!(fresh.open().await.tenants().await.unwrap().len(), MANY + 1);
}

async fn follow(
    fresh: &Fresh,
    accounts: &larder_control::Accounts,
    directory: &SharedDirectory,
) -> Follower {
    let settings = FollowerSettings {
        directory: directory.clone(),
        name: "node".to_owned(),
        servers: Vec::new(),
        console_url: None,
        memory_bytes: 1 << 40,
        started: fresh.now(),
    };
    let data = DataDir::open(&fresh.dir.path().join("node")).unwrap();
    Follower::start(accounts.clone(), data, settings).await.unwrap()
}

/// Makes the tenants at once: one change each would take minutes.
async fn fill(fresh: &Fresh) {
    let mut statements = String::from("BEGIN;");
    for n in 1..=MANY {
        statements += &format!(
            "INSERT INTO tenants (id, name, floor_bytes, ceiling_bytes, labels, created) \
             VALUES ({n}, 'tenant-{n}', 1048576, 1048576, '{{}}', 0);\
             INSERT INTO credentials (username, tenant, digest, capabilities, note, is_primary, \
             created, changed) VALUES ('{n:08x}', {n}, 'sha256:{n:032x}:{n:064x}', 'read,write', \
             '', 1, 0, 1);"
        );
    }
    statements += "UPDATE directory SET version = 2, next_tenant = 10001; COMMIT";
    fresh.execute(&statements).await;
}

fn say(text: &str) {
    let mut shown = std::io::stderr().lock();
    writeln!(shown, "{text}").unwrap();
}
