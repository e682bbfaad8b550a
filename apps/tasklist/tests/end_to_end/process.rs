//! The binary as a process: its messages, its listening, its end, and a visitor who does not wait.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use larder_peers::Memcached;
use tasklist::config::VARIABLES;

use super::support::{App, Database, Vars, is_hit, list, patient_url, shows, tasklist, until};

/// Slow enough for something to happen while a change is under way.
const SLOW_QUERY: &str = "500";

fn in_memory() -> Vars {
    Vars::default().with("DATABASE_URL", "sqlite::memory:")
}

/// Runs a command that must fail; what it said.
fn refusal(command: &str, vars: &Vars) -> String {
    let (status, output) = tasklist(command, vars).run();
    assert!(!status.success(), "{output}");
    output
}

#[test]
fn help_lists_every_variable() {
    let (status, help) = tasklist("--help", &Vars::default()).run();
    assert!(status.success());
    for variable in VARIABLES {
        assert!(help.contains(variable.name) && help.contains(variable.default), "{help}");
    }
}

#[test]
fn a_wrong_variable_ends_it_with_a_message() {
    for (name, value, says) in [
        ("TASKLIST_LOG", "xml", "TASKLIST_LOG is \"xml\"; valid is text or json"),
        ("TASKLIST_QUERY_CASH", "off", "TASKLIST_QUERY_CASH is not a variable"),
        ("RUST_LOG", "tasklist=loud", "RUST_LOG is \"tasklist=loud\""),
        ("DATABASE_URL", "redis://h/1", "DATABASE_URL"),
    ] {
        let message = refusal("migrate", &Vars::default().with(name, value));
        assert!(message.contains(says), "{message}");
        assert!(!message.contains("panicked"), "{message}");
    }
}

#[test]
fn a_half_set_cache_ends_it_before_it_serves() {
    for (name, value, missing) in [
        ("MEMCACHIER_USERNAME", "someone", "MEMCACHIER_PASSWORD"),
        ("MEMCACHIER_PASSWORD", "s3cret", "MEMCACHIER_USERNAME"),
        ("MEMCACHE_SERVERS", "mc1:port", "MEMCACHE_SERVERS"),
        ("LARDER_URL", "redis://mc1", "LARDER_URL"),
    ] {
        let message = refusal("serve", &in_memory().with("PORT", "0").with(name, value));
        assert!(message.contains(name) && message.contains(missing), "{message}");
        assert!(!message.contains("listening") && !message.contains("s3cret"), "{message}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let vars = in_memory().with("PORT", &port).with("TASKLIST_LISTEN", "127.0.0.1");
    let message = refusal("serve", &vars);
    assert!(message.contains(&format!("127.0.0.1:{port}")), "{message}");
    assert!(message.contains("choose another port: PORT="), "{message}");
}

#[test]
fn migrate_makes_the_file_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data/tasks.db");
    let vars = Vars::default().with("DATABASE_URL", format!("sqlite:{}", file.display()));
    for _ in 0..2 {
        let (status, output) = tasklist("migrate", &vars).run();
        assert!(status.success() && file.exists(), "{output}");
    }
}

/// Sends `POST /add`, and does not wait for the answer.
fn post_add(app: &App, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.addr).unwrap();
    let (addr, body) = (app.addr, format!("name={name}"));
    let request = format!(
        "POST /add HTTP/1.1\r\nHost: {addr}\r\nOrigin: http://{addr}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// An app whose changes take a while after they have reached the database, and its database.
fn slow_to_follow(cache: &Vars) -> (App, Database) {
    let database = Database::sqlite();
    let vars = cache
        .with("DATABASE_URL", &database.url)
        .with("TASKLIST_QUERY_CACHE", "update")
        .with("TASKLIST_SLOW_QUERY_MS", SLOW_QUERY);
    (App::start(&vars), database)
}

#[tokio::test]
async fn a_signal_ends_it_after_the_request_in_flight() {
    for name in ["TERM", "INT"] {
        let (mut app, database) = slow_to_follow(&Vars::default());
        let db = database.open().await;
        let mut stream = post_add(&app, "Flour");
        let arrived = async || db.task_count().await.unwrap() == 1;
        until("the request is under way", arrived).await;
        app.process.signal(name);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
        assert!(app.process.ends().success(), "{}", app.process.output());
        assert!(app.process.output().contains(&format!("SIG{name}")));
    }
}

#[tokio::test]
async fn a_visitor_who_hangs_up_leaves_no_old_page() {
    let (app, database) = slow_to_follow(&Vars::default());
    let db = database.open().await;
    let mut visitor = app.visitor();
    assert!(!shows(&list(&mut visitor).await, "Flour"));
    let stream = post_add(&app, "Flour");
    until("the task is in the database", async || db.task_count().await.unwrap() == 1).await;
    // The caches follow half a second later, if anybody sees to it.
    drop(stream);
    until("the page shows it", async || shows(&list(&mut visitor).await, "Flour")).await;
}

/// The next process finds in memcached what the one before had no time to invalidate.
#[tokio::test]
async fn a_killed_process_leaves_no_old_page() {
    let server = Memcached::plain();
    let cache = Vars::default().with("LARDER_URL", patient_url(&[&server]));
    let (mut app, database) = slow_to_follow(&cache);
    let db = database.open().await;
    list(&mut app.visitor()).await;
    assert!(is_hit(&list(&mut app.visitor()).await));
    let _stream = post_add(&app, "Flour");
    until("the task is in the database", async || db.task_count().await.unwrap() == 1).await;
    app.process.signal("KILL");
    app.process.ends();
    let next = App::start(&cache.with("DATABASE_URL", &database.url));
    assert!(shows(&list(&mut next.visitor()).await, "Flour"));
}
