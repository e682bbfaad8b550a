//! `tasklist walkthrough` on every database, in process and on a memcached with SASL: every claim
//! of the story holds, and the list is afterwards as it was.

use super::support::{Database, Kind, Vars, memcached_with_sasl, patient_sasl_url, tasklist};

/// How slow a query is in these stories, in milliseconds.
const SLOW_QUERY: &str = "100";

/// The fewest claims that the story makes.
const CLAIMS: usize = 30;

/// Plays the story in a database that has tasks already; returns what was printed.
async fn play(database: &Database, cache: &Vars) -> String {
    let db = database.open().await;
    for name in ["Here before", "Also here before"] {
        db.add_task(name).await.unwrap();
    }
    let before = db.tasks().await.unwrap();
    let vars = cache.with("DATABASE_URL", &database.url).with("TASKLIST_SLOW_QUERY_MS", SLOW_QUERY);
    let story = tasklist("walkthrough", &vars);
    let (status, output) = tokio::task::spawn_blocking(|| story.run()).await.unwrap();
    assert!(status.success() && output.contains(" 0 do not."), "{output}");
    let held = output.lines().filter(|line| line.starts_with("  ok  ")).count();
    assert!(held >= CLAIMS, "{held} claims:\n{output}");
    assert_eq!(db.tasks().await.unwrap(), before);
    output
}

async fn in_process(kind: Kind, name: &str) {
    let output = play(&Database::new(kind, name), &Vars::default()).await;
    assert!(output.contains("in this process"), "{output}");
}

async fn on_memcached(kind: Kind, name: &str) {
    let server = memcached_with_sasl();
    // The story counts hits.
    let vars = Vars::default().with("LARDER_URL", patient_sasl_url(&server));
    let output = play(&Database::new(kind, name), &vars).await;
    assert!(output.contains(&server.addr().to_string()), "{output}");
}

#[tokio::test]
async fn on_sqlite_in_process() {
    in_process(Kind::Sqlite, "walk_in_process").await;
}

#[tokio::test]
async fn on_postgres_in_process() {
    in_process(Kind::Postgres, "walk_in_process").await;
}

#[tokio::test]
async fn on_mariadb_in_process() {
    in_process(Kind::MariaDb, "walk_in_process").await;
}

#[tokio::test]
async fn on_sqlite_and_memcached() {
    on_memcached(Kind::Sqlite, "walk_memcached").await;
}

#[tokio::test]
async fn on_postgres_and_memcached() {
    on_memcached(Kind::Postgres, "walk_memcached").await;
}

#[tokio::test]
async fn on_mariadb_and_memcached() {
    on_memcached(Kind::MariaDb, "walk_memcached").await;
}
