//! The tutorials' exercise, over HTTP: the reader reloads the task list and watches get hits, get misses
//! and set commands of the dashboard.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use larder_peers::{Program, Running};

use crate::support::{LARDER, Login, Node, banner, directory, provision};

/// What the reader watches.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Counters {
    hits: u64,
    misses: u64,
    sets: u64,
}

struct Reader {
    node: Node,
    login: Login,
    tasks: SocketAddr,
    _app: Running,
}

impl Reader {
    /// The task list on a tenant of a server, with what `vars` switch on.
    fn begin(dir: &Path, vars: &[(&str, &str)]) -> Reader {
        let node = Node::start(dir, "");
        let login = provision(dir, "tutorial");
        let fixed = [
            ("PORT", "0"),
            ("TASKLIST_LISTEN", "127.0.0.1"),
            ("TASKLIST_SESSION_ENGINE", "cached_db"),
        ];
        // What is not answered in time is a miss: a machine that is busy is given more than is usual.
        let Login { server, user, password } = &login;
        let patient = format!("memcached://{user}:{password}@{server}/?timeout=60s");
        let app = Program::new(LARDER)
            .directory(dir)
            .args(["up"])
            .envs(fixed)
            .envs(login.vars())
            .envs([("LARDER_URL", patient)])
            .envs(vars.iter().copied())
            .start();
        let tasks = banner(&app, "Task list  http://");
        Reader { node, login, tasks, _app: app }
    }

    fn counters(&self) -> Counters {
        let stats = self.node.api("/api/v1/tenants/tutorial/stats", &self.login.basic());
        let figure = |name: &str| stats["figures"][name].as_u64().unwrap();
        Counters { hits: figure("get_hits"), misses: figure("get_misses"), sets: figure("sets") }
    }

    /// What a request adds to the counters.
    fn adds(&self, request: &str, body: &str) -> Counters {
        let before = self.counters();
        let mut stream = TcpStream::connect(self.tasks).unwrap();
        let length = body.len();
        let request = format!(
            "{request} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}",
            self.tasks
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 303"),
            "{answer}"
        );
        let now = self.counters();
        Counters {
            hits: now.hits - before.hits,
            misses: now.misses - before.misses,
            sets: now.sets - before.sets,
        }
    }
}

#[test]
fn the_first_page_misses_and_sets_and_every_reload_hits() {
    let (_dir, path) = directory();
    let reader =
        Reader::begin(&path, &[("TASKLIST_PAGE_CACHE", "off"), ("TASKLIST_FRAGMENT_CACHE", "off")]);
    let first = reader.adds("GET /", "");
    assert!(first.misses >= 1 && first.sets >= 1, "{first:?}");
    for _ in 0..3 {
        assert_eq!(reader.adds("GET /", ""), Counters { hits: 1, misses: 0, sets: 0 });
    }
    reader.node.stop();
}

#[test]
fn with_fragments_a_reload_hits_once_more_for_each_task() {
    let (_dir, path) = directory();
    let reader = Reader::begin(&path, &[("TASKLIST_PAGE_CACHE", "off")]);
    for name in ["Flour", "Milk", "Eggs"] {
        reader.adds("POST /add", &format!("name={name}"));
    }
    reader.adds("GET /", "");
    for _ in 0..3 {
        assert_eq!(reader.adds("GET /", ""), Counters { hits: 1 + 3, misses: 0, sets: 0 });
    }
    reader.node.stop();
}

#[test]
fn with_the_whole_page_cached_a_reload_is_two_hits() {
    let (_dir, path) = directory();
    let reader = Reader::begin(&path, &[]);
    for name in ["Flour", "Milk", "Eggs"] {
        reader.adds("POST /add", &format!("name={name}"));
    }
    let first = reader.adds("GET /", "");
    assert!(first.misses >= 1 && first.sets >= 1, "{first:?}");
    for _ in 0..3 {
        assert_eq!(reader.adds("GET /", ""), Counters { hits: 2, misses: 0, sets: 0 });
    }
    // The task that is added is there at once: what was cached of the page is not served any more.
    reader.adds("POST /add", "name=Sugar");
    let next = reader.adds("GET /", "");
    assert!(next.misses >= 1 && next.sets >= 1, "{next:?}");
    assert_eq!(reader.adds("GET /", ""), Counters { hits: 2, misses: 0, sets: 0 });
    reader.node.stop();
}
