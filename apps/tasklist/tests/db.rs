//! One suite for the database layer, run over SQLite, PostgreSQL and MariaDB with real servers.
//!
//! Each check gets a fresh, migrated database; what must hold for one database must hold for all.

use std::time::Duration;

use larder_peers::{MariaDb, Postgres};
use tasklist::db::{DatabaseUrl, Db, DbError};

/// Declares every check once per database.
macro_rules! suite {
    ($($check:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $check() { super::$check(&super::Fresh::sqlite()).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $check() {
                super::$check(&super::Fresh::postgres(stringify!($check))).await;
            })*
        }
        mod mariadb {
            $(#[tokio::test] async fn $check() {
                super::$check(&super::Fresh::mariadb(stringify!($check))).await;
            })*
        }
    };
}

suite!(
    names_come_back_as_typed,
    ids_rise_and_are_not_reused,
    removing_twice_is_false,
    the_schema_refuses_what_no_form_lets_through,
    many_migrate_at_once,
    a_newer_schema_is_tolerated,
    sessions_are_versioned,
    an_update_never_brings_a_session_back,
    of_two_updates_one_wins,
    sessions_end,
    a_closed_pool_is_an_error,
);

/// A database of its own for one check; the server lives as long as this value.
struct Fresh {
    url: DatabaseUrl,
    _server: Box<dyn std::any::Any>,
}

impl Fresh {
    fn sqlite() -> Fresh {
        let directory = tempfile::tempdir().unwrap();
        // The inner directory does not exist: connecting creates it.
        let url = format!("sqlite:{}/made/tasks.db", directory.path().display());
        Fresh { url: url.parse().unwrap(), _server: Box::new(directory) }
    }

    fn postgres(name: &str) -> Fresh {
        static SERVER: std::sync::LazyLock<Postgres> = std::sync::LazyLock::new(Postgres::start);
        Fresh { url: SERVER.create_database(name).parse().unwrap(), _server: Box::new(()) }
    }

    fn mariadb(name: &str) -> Fresh {
        static SERVER: std::sync::LazyLock<MariaDb> = std::sync::LazyLock::new(MariaDb::start);
        Fresh { url: SERVER.create_database(name).parse().unwrap(), _server: Box::new(()) }
    }

    /// One more process's view of the database.
    async fn connect(&self) -> Db {
        Db::connect(&self.url).await.unwrap()
    }

    async fn migrated(&self) -> Db {
        let db = self.connect().await;
        db.migrate().await.unwrap();
        db
    }
}

const ID: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

async fn names_come_back_as_typed(fresh: &Fresh) {
    let db = fresh.migrated().await;
    assert_eq!(db.tasks().await.unwrap(), []);
    let long = "🥫".repeat(500);
    let names = [
        "Buy flour",
        "Crème brûlée 🍮 für vier",
        r#"quotes ' " ` and \ backslash \0 %s $1 ?"#,
        "<script>alert('x')</script>",
        "'; DROP TABLE tasks; --",
        "שלום עולם",
        &long,
    ];
    let mut added = Vec::new();
    for name in names {
        added.push(db.add_task(name).await.unwrap());
    }
    assert_eq!(db.tasks().await.unwrap(), added);
    assert!(added.iter().map(|task| task.name.as_str()).eq(names));
    assert_eq!(db.task_count().await.unwrap(), 7);
    db.ping().await.unwrap();
}

async fn ids_rise_and_are_not_reused(fresh: &Fresh) {
    let db = fresh.migrated().await;
    let first = db.add_task("first").await.unwrap();
    let second = db.add_task("second").await.unwrap();
    assert!(second.id > first.id);
    assert!(db.remove_task(second.id).await.unwrap());
    assert!(db.remove_task(first.id).await.unwrap());
    db.close().await;

    let db = fresh.migrated().await;
    let third = db.add_task("third").await.unwrap();
    assert!(third.id > second.id, "{third:?} after {second:?}");
}

async fn removing_twice_is_false(fresh: &Fresh) {
    let db = fresh.migrated().await;
    let task = db.add_task("once").await.unwrap();
    assert!(db.remove_task(task.id).await.unwrap());
    assert!(!db.remove_task(task.id).await.unwrap());
    for id in [0, -1, i64::MIN, i64::MAX] {
        assert!(!db.remove_task(id).await.unwrap());
    }
}

async fn the_schema_refuses_what_no_form_lets_through(fresh: &Fresh) {
    let db = fresh.migrated().await;
    assert!(db.add_task("").await.is_err());
    assert!(db.add_task(&"x".repeat(501)).await.is_err());
    assert_eq!(db.task_count().await.unwrap(), 0);
}

async fn many_migrate_at_once(fresh: &Fresh) {
    let processes: Vec<_> = (0..6)
        .map(|_| {
            let url = fresh.url.clone();
            tokio::spawn(async move {
                let db = Db::connect(&url).await.unwrap();
                db.migrate().await.unwrap();
                db.installation().await.unwrap()
            })
        })
        .collect();
    let mut names = Vec::new();
    for process in processes {
        names.push(process.await.unwrap());
    }
    assert_eq!(names[0].len(), 32);
    assert!(names[0].chars().all(|c| c.is_ascii_hexdigit()));
    assert!(names.iter().all(|name| *name == names[0]), "{names:?}");
    assert_eq!(fresh.migrated().await.installation().await.unwrap(), names[0]);
}

async fn a_newer_schema_is_tolerated(fresh: &Fresh) {
    let db = fresh.migrated().await;
    let newer = "INSERT INTO _sqlx_migrations \
        (version, description, success, checksum, execution_time) \
        SELECT 9999, 'of a later release', success, checksum, 0 FROM _sqlx_migrations \
        WHERE version = 1";
    match &db {
        Db::Sqlite(pool) => drop(sqlx::query(newer).execute(pool).await.unwrap()),
        Db::Postgres(pool) => drop(sqlx::query(newer).execute(pool).await.unwrap()),
        Db::MySql(pool) => drop(sqlx::query(newer).execute(pool).await.unwrap()),
    }
    db.migrate().await.unwrap();
}

async fn sessions_are_versioned(fresh: &Fresh) {
    let db = fresh.migrated().await;
    assert_eq!(db.session_load(ID, 0).await.unwrap(), None);
    let data = r#"{"added":["Crème 🍮"]}"#;
    assert!(db.session_insert(ID, data, 1_000).await.unwrap());
    assert!(!db.session_insert(ID, "another's", 9_000).await.unwrap());
    let stored = db.session_load(ID, 0).await.unwrap().unwrap();
    assert_eq!((stored.data.as_str(), stored.version, stored.expires_ms), (data, 1, 1_000));

    // The same content again is an update all the same: it raises the version.
    assert!(db.session_update(ID, data, 1_000, 1).await.unwrap());
    assert!(!db.session_update(ID, "stale", 2_000, 1).await.unwrap());
    let large = "x".repeat(200_000);
    assert!(db.session_update(ID, &large, 3_000, 2).await.unwrap());
    let stored = db.session_load(ID, 0).await.unwrap().unwrap();
    assert_eq!((stored.data.len(), stored.version, stored.expires_ms), (200_000, 3, 3_000));
    let upper = ID.to_uppercase();
    assert_eq!(db.session_load(&upper, 0).await.unwrap(), None);
}

async fn an_update_never_brings_a_session_back(fresh: &Fresh) {
    let db = fresh.migrated().await;
    assert!(!db.session_update(ID, "from nothing", 1_000, 1).await.unwrap());
    assert!(db.session_insert(ID, "data", 1_000).await.unwrap());
    assert!(db.session_delete(ID).await.unwrap());
    assert!(!db.session_delete(ID).await.unwrap());
    assert!(!db.session_update(ID, "data", 1_000, 1).await.unwrap());
    assert_eq!(db.session_load(ID, 0).await.unwrap(), None);
}

async fn of_two_updates_one_wins(fresh: &Fresh) {
    let db = fresh.migrated().await;
    assert!(db.session_insert(ID, "data", 1_000).await.unwrap());
    for version in 1..=10 {
        let (a, b) = tokio::join!(
            db.session_update(ID, "a", 1_000, version),
            db.session_update(ID, "b", 1_000, version),
        );
        assert!(a.unwrap() ^ b.unwrap(), "exactly one of two updates of version {version}");
    }
}

async fn sessions_end(fresh: &Fresh) {
    let db = fresh.migrated().await;
    let other = ID.replace('0', "1");
    assert!(db.session_insert(ID, "short", 1_000).await.unwrap());
    assert!(db.session_insert(&other, "long", i64::MAX).await.unwrap());
    assert!(db.session_load(ID, 999).await.unwrap().is_some());
    assert!(db.session_load(ID, 1_000).await.unwrap().is_none());
    assert_eq!(db.session_sweep(999).await.unwrap(), 0);
    assert_eq!(db.session_sweep(1_000).await.unwrap(), 1);
    assert_eq!(db.session_sweep(i64::MAX - 1).await.unwrap(), 0);
    assert!(db.session_load(&other, 1_000).await.unwrap().is_some());
}

async fn a_closed_pool_is_an_error(fresh: &Fresh) {
    let db = fresh.connect().await;
    assert!(matches!(db.tasks().await, Err(DbError::Query(_))), "no tables yet");
    db.close().await;
    assert!(db.ping().await.is_err());
}

#[tokio::test]
async fn before_migrate_says_what_to_run() {
    let db = Db::connect(&"sqlite::memory:".parse().unwrap()).await.unwrap();
    db.migrate().await.unwrap();
    let Db::Sqlite(pool) = &db else { unreachable!() };
    sqlx::query("DELETE FROM installation").execute(pool).await.unwrap();
    let error = db.installation().await.unwrap_err().to_string();
    assert!(error.contains("tasklist migrate"), "{error}");
    db.migrate().await.unwrap();
    assert_eq!(db.installation().await.unwrap().len(), 32);
}

#[tokio::test]
async fn two_memory_databases_are_two() {
    let one = Db::connect(&"sqlite::memory:".parse().unwrap()).await.unwrap();
    let two = Db::connect(&"sqlite::memory:".parse().unwrap()).await.unwrap();
    one.migrate().await.unwrap();
    two.migrate().await.unwrap();
    one.add_task("only in one").await.unwrap();
    assert_eq!((one.task_count().await.unwrap(), two.task_count().await.unwrap()), (1, 0));
    assert_ne!(one.installation().await.unwrap(), two.installation().await.unwrap());
}

/// Checks that it was tried again as long as there was time for another pause, and no longer. How
/// often that was depends on the machine: each attempt takes of the time.
fn was_tried_for(patience: Duration, error: &DbError) {
    let DbError::Connect { attempts, waited, .. } = error else { panic!("{error}") };
    let pauses = |count: u32| Duration::from_millis(100) * (2_u32.pow(count) - 1);
    assert!(*attempts >= 1 && pauses(attempts - 1) <= patience, "{attempts} attempts: {error}");
    assert!(*waited >= pauses(attempts - 1), "{attempts} attempts in {waited:?}");
    let next = pauses(*attempts) - pauses(attempts - 1);
    assert!(*waited + next > patience, "{attempts} attempts in {waited:?}: {error}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_reported_without_the_password() {
    // Nobody listens there, and nobody else is given the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    for scheme in ["postgres", "mysql"] {
        let url = format!("{scheme}://ann:hunter2@127.0.0.1:{port}/larder");
        let patience = Duration::from_millis(350);
        let error = Db::connect_within(&url.parse().unwrap(), patience).await.unwrap_err();
        was_tried_for(patience, &error);
        let text = format!("{error} {error:?}");
        assert!(text.contains(&format!("{scheme}://ann@127.0.0.1:{port}/larder")), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_database_that_hangs_up_is_waited_for() {
    // Accepts and hangs up, as the port of a container whose server is not up yet does.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    for scheme in ["postgres", "mysql"] {
        let url = format!("{scheme}://ann@127.0.0.1:{port}/larder").parse().unwrap();
        let patience = Duration::from_millis(800);
        let error = Db::connect_within(&url, patience).await.unwrap_err();
        was_tried_for(patience, &error);
    }
    proxy.abort();
}

#[tokio::test]
async fn a_wrong_password_or_database_is_reported_at_once() {
    let (postgres, mariadb) = (Postgres::start(), MariaDb::start());
    for url in [postgres.url(), mariadb.url()] {
        let (login, place) = url.rsplit_once('@').unwrap();
        let (host, _) = place.split_once('/').unwrap();
        for wrong in [format!("{login}x@{place}"), format!("{login}@{host}/no_such_database")] {
            let error = Db::connect(&wrong.parse().unwrap()).await.unwrap_err();
            let DbError::Connect { attempts, .. } = &error else { panic!("{error}") };
            assert_eq!(*attempts, 1, "{error}");
        }
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let url = format!("sqlite:{}/inside/tasks.db", file.path().display());
    let error = Db::connect(&url.parse().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("cannot create the directory") && error.contains("inside"), "{error}");
}
