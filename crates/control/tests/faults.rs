//! Databases that are not as they should be: each is told by name, with what to do.

mod support;

use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use larder_control::{Accounts, AccountsError, AccountsUrl};
use larder_peers::Postgres;
use sqlx::Connection as _;
use support::{BY, Fresh, name, silent, suite, tenant};

suite!(
    a_newer_schema_is_refused,
    a_schema_that_is_no_releases_is_refused,
    a_database_without_its_row_is_damaged,
    rows_that_cannot_be_are_damage,
    many_open_at_once,
);

/// Opens the accounts anew; how that fails.
async fn refusal(fresh: &Fresh) -> AccountsError {
    let error = Accounts::open(&fresh.url).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&fresh.url.to_string()), "{text}");
    assert!(!text.contains("larder-test"), "{text}");
    error
}

async fn a_newer_schema_is_refused(fresh: &Fresh) {
    let accounts = fresh.open().await;
    fresh
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 9999, 'of a later release', success, checksum, 0 FROM _sqlx_migrations \
             WHERE version = 1",
        )
        .await;
    let error = refusal(fresh).await;
    assert!(matches!(&error, AccountsError::Unavailable(says) if says.contains("newer release")));
    assert!(error.to_string().contains("9999"), "{error}");
    // Who has it open goes on.
    tenant(&accounts, "shop").await;
}

async fn a_schema_that_is_no_releases_is_refused(fresh: &Fresh) {
    fresh.open().await.close().await;
    fresh.execute("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1").await;
    let error = refusal(fresh).await;
    assert!(matches!(&error, AccountsError::Damaged(says) if says.contains("migration 1")));
}

async fn a_database_without_its_row_is_damaged(fresh: &Fresh) {
    let accounts = fresh.open().await;
    fresh.execute("DELETE FROM directory").await;
    for error in [
        accounts.version().await.unwrap_err(),
        accounts.directory().await.unwrap_err(),
        accounts.flush_tenant(&BY, &name("shop")).await.unwrap_err(),
    ] {
        assert!(matches!(error, AccountsError::Damaged(_)), "{error}");
    }
    fresh.execute("DROP TABLE directory").await;
    let error = accounts.version().await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&fresh.url.to_string()) && text.contains("directory"), "{text}");
}

async fn rows_that_cannot_be_are_damage(fresh: &Fresh) {
    let accounts = fresh.open().await;
    let (_, secret) = tenant(&accounts, "shop").await;
    for (bad, good) in [
        ("UPDATE tenants SET name = 'A B'", "UPDATE tenants SET name = 'shop'"),
        ("UPDATE credentials SET digest = 'x'", ""),
    ] {
        fresh.execute(bad).await;
        let error = accounts.directory().await.unwrap_err();
        assert!(matches!(&error, AccountsError::Damaged(says) if says.contains("backup")));
        fresh.execute(good).await;
    }
    let text = accounts.directory().await.unwrap_err().to_string();
    assert!(text.contains(&format!("credential {}", secret.username)), "{text}");
}

async fn many_open_at_once(fresh: &Fresh) {
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = fresh.url.clone();
        opening.spawn(async move { Accounts::open(&url).await.unwrap().version().await.unwrap() });
    }
    assert_eq!(opening.join_all().await, [1; 6]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let fresh = Fresh::sqlite();
    std::fs::create_dir(fresh.dir.path().join("made")).unwrap();
    let content = "To whom it may concern: this is no database. ".repeat(100);
    std::fs::write(fresh.file(), &content).unwrap();
    let error = refusal(&fresh).await;
    assert!(matches!(&error, AccountsError::Damaged(says) if says.contains("not an SQLite")));
    assert_eq!(std::fs::read_to_string(fresh.file()).unwrap(), content);
}

#[tokio::test]
async fn a_database_of_something_else_is_told() {
    let fresh = Fresh::sqlite();
    std::fs::create_dir(fresh.dir.path().join("made")).unwrap();
    let url = format!("sqlite:{}?mode=rwc", fresh.file().display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE tenants (whatever TEXT)").execute(&mut other).await.unwrap();
    let error = refusal(&fresh).await.to_string();
    assert!(error.contains("already exists"), "{error}");
}

#[tokio::test]
async fn a_damaged_page_is_told() {
    let fresh = Fresh::sqlite();
    let accounts = fresh.open().await;
    for n in 0..50 {
        tenant(&accounts, &format!("tenant-{n}")).await;
    }
    accounts.close().await;
    let mut file = std::fs::OpenOptions::new().write(true).open(fresh.file()).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0xA5; usize::try_from(length - 4096).unwrap()]).unwrap();
    drop(file);
    let error = refusal(&fresh).await;
    assert!(matches!(&error, AccountsError::Damaged(says) if says.contains("restore it")));
}

#[tokio::test]
async fn a_locked_database_is_told_and_works_when_it_is_free() {
    let fresh = Fresh::sqlite();
    let accounts = fresh.open().await;
    tenant(&accounts, "shop").await;
    let url = format!("sqlite:{}", fresh.file().display());
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let error = accounts.flush_tenant(&BY, &name("shop")).await.unwrap_err();
    assert!(matches!(&error, AccountsError::Unavailable(says) if says.contains("is locked")));
    assert!(error.to_string().contains("accounts.db"), "{error}");
    assert_eq!(accounts.tenants().await.unwrap().len(), 1, "who only reads does not wait");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    accounts.flush_tenant(&BY, &name("shop")).await.unwrap();
}

#[tokio::test]
async fn a_change_that_is_stuck_elsewhere_is_told() {
    let fresh = Fresh::postgres("stuck");
    let accounts = fresh.open().await;
    tenant(&accounts, "shop").await;
    let mut other = sqlx::PgConnection::connect(&fresh.raw_url()).await.unwrap();
    let lock = "BEGIN; SELECT * FROM directory FOR UPDATE";
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let error = accounts.flush_tenant(&BY, &name("shop")).await.unwrap_err();
    assert!(matches!(&error, AccountsError::Unavailable(says) if says.contains("is locked")));
    assert_eq!(accounts.tenants().await.unwrap().len(), 1, "who only reads does not wait");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    accounts.flush_tenant(&BY, &name("shop")).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_made_is_named() {
    let fresh = Fresh::sqlite();
    std::fs::write(fresh.dir.path().join("made"), "in the way").unwrap();
    let error = refusal(&fresh).await.to_string();
    assert!(error.contains("cannot make the accounts database"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_gone_or_another_is_not_written_to() {
    let fresh = Fresh::sqlite();
    let accounts = fresh.open().await;
    let (shop, _) = tenant(&accounts, "shop").await;
    let aside = fresh.dir.path().join("made/aside.db");
    std::fs::rename(fresh.file(), &aside).unwrap();
    for _ in 0..2 {
        for error in [
            accounts.flush_tenant(&BY, &shop.name).await.unwrap_err(),
            accounts.version().await.unwrap_err(),
            accounts.directory().await.unwrap_err(),
        ] {
            assert!(error.to_string().contains("removed or replaced"), "{error}");
        }
        std::fs::write(fresh.file(), "another").unwrap();
    }
    std::fs::rename(&aside, fresh.file()).unwrap();
    accounts.flush_tenant(&BY, &shop.name).await.unwrap();
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    let fresh = Fresh::sqlite();
    let accounts = fresh.open().await;
    tenant(&accounts, "shop").await;
    let mode = |name: &str| {
        let path = fresh.dir.path().join("made").join(name);
        path.metadata().unwrap().permissions().mode() & 0o777
    };
    let modes = ["", "accounts.db", "accounts.db-wal", "accounts.db-shm"].map(mode);
    assert_eq!(modes, [0o700, 0o600, 0o600, 0o600]);
}

#[tokio::test]
async fn a_server_that_refuses_is_told_without_the_password() {
    let server = Postgres::start();
    let good = server.url();
    let (login, place) = good.rsplit_once('@').unwrap();
    let (host, _) = place.split_once('/').unwrap();
    let (_silent, addr) = silent();
    for (url, says) in [
        (format!("{login}x@{place}"), "refuses the user or the password"),
        (format!("{login}@{host}/nowhere"), "does not exist on that server"),
        (format!("{login}@{addr}/postgres"), "is it running, and is the address right?"),
    ] {
        let error = Accounts::open(&AccountsUrl::parse(&url).unwrap()).await.unwrap_err();
        assert!(
            matches!(&error, AccountsError::Unavailable(text) if text.contains(says)),
            "{error}"
        );
        let accounts = Accounts::lazy(&AccountsUrl::parse(&url).unwrap());
        assert!(!format!("{error} {error:?} {accounts:?}").contains("larder-test"), "{error}");
    }
}
