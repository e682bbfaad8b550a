//! What survives, and what becomes of a file that is damaged or a disk that is full.

use std::path::Path;
use std::time::Duration;

use larder_control::{History, Span};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use crate::node::{EIGHT, Watched, shown};

#[tokio::test]
async fn a_sudden_end_loses_at_most_the_minute() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.until(EIGHT + 150, |node| node.gets(1, 1, 1)).await;
    let before = shown(&watched.series(1, Span::Day).await);
    minutes_are_written(&dir.path().join("history.db"), 2).await;
    let mut watched = watched.restart(dir.path(), EIGHT + 300).await;
    watched.until(EIGHT + 361, |node| node.gets(1, 2, 0)).await;
    let after = shown(&watched.series(1, Span::Day).await);
    assert_eq!(after[..2], before[..2]);
    assert_eq!(after[2..], [(300, 60, 120, 0, 0), (360, 1, 2, 0, 0)]);
}

/// Waits until the file has so many minutes: a simulated one is over sooner than it is written.
async fn minutes_are_written(path: &Path, wanted: i64) {
    let file = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await.unwrap();
    for _ in 0..6000 {
        let count = sqlx::query_scalar("SELECT COUNT(*) FROM periods").fetch_one(&file).await;
        let found: i64 = count.unwrap();
        if found >= wanted {
            return file.close().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{wanted} minutes were not written");
}

#[tokio::test]
async fn a_clean_end_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.until(EIGHT + 90, |node| node.gets(1, 1, 0)).await;
    watched.history.close().await;
    let mut watched = watched.restart(dir.path(), EIGHT + 95).await;
    watched.until(EIGHT + 121, |node| node.gets(1, 1, 0)).await;
    let found = shown(&watched.series(1, Span::Day).await);
    assert_eq!(found, [(0, 60, 60, 0, 0), (60, 55, 55, 0, 0), (120, 1, 1, 0, 0)]);
}

#[tokio::test]
async fn ten_minutes_and_hours_are_made_up_for_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.until(EIGHT + 3590, |node| node.gets(1, 1, 0)).await;
    watched.history.close().await;
    let mut watched = watched.restart(dir.path(), EIGHT + 9000).await;
    watched.until(EIGHT + 9061, |node| node.gets(1, 1, 0)).await;
    let hours = shown(&watched.series(1, Span::ThreeMonths).await);
    assert_eq!(hours, [(0, 3590, 3590, 0, 0), (7200, 61, 61, 0, 0)]);
    let tens = watched.series(1, Span::Week).await.points;
    assert_eq!(tens.len(), 7);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside() {
    for damage in [&b"this is no database, and it never was one"[..], &[0xff; 8192]] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.db");
        std::fs::write(&path, damage).unwrap();
        let mut watched = Watched::new(dir.path(), EIGHT).await;
        watched.until(EIGHT + 61, |node| node.gets(1, 1, 0)).await;
        assert_eq!(watched.series(1, Span::Day).await.points.len(), 2);
        assert_eq!(std::fs::read(dir.path().join("history.db.damaged")).unwrap(), damage);
    }
}

#[tokio::test]
async fn a_file_damaged_within_is_replaced_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.until(EIGHT + 3700, |node| node.gets(1, 1, 1)).await;
    watched.history.close().await;
    drop(watched);
    // Everything into the file itself.
    let file = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&path));
    let file = file.await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&file).await.unwrap();
    file.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 3 * 4096, "{}", bytes.len());
    bytes[4096..].fill(0xa5);
    for log in ["history.db-wal", "history.db-shm"] {
        let _ = std::fs::remove_file(dir.path().join(log));
    }
    std::fs::write(&path, &bytes).unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT + 4000).await;
    watched.until(EIGHT + 4100, |node| node.gets(1, 1, 0)).await;
    let _ = watched.history.series(None, Span::Day).await;
    watched.until(EIGHT + 4200, |node| node.gets(1, 1, 0)).await;
    let found = watched.series(1, Span::Day).await;
    assert!(!found.points.is_empty());
    assert!(dir.path().join("history.db.damaged").exists());
}

#[tokio::test]
async fn where_there_can_be_no_file_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none").join("history.db");
    let error = History::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("none/history.db cannot be opened or made"), "{error}");
    assert!(History::open(dir.path()).await.is_err(), "a directory");
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.until(EIGHT + 61, |node| node.gets(1, 1, 0)).await;
    watched.sum(Span::Day).await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
    }
}
