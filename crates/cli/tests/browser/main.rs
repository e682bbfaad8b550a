//! The tutorials' exercise and an owner's errands in Chromium, before `larder up` as a newcomer starts
//! it: one window shows the dashboard, another the task list.

mod load;
#[allow(dead_code, reason = "the tests of accounts use all of it")]
#[path = "../accounts/support.rs"]
mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use larder_peers::browser::Browser;
use larder_peers::{Program, Running};
use tempfile::TempDir;

use self::load::Load;
use self::support::{Connection, LARDER, Login, PATIENCE, banner, directory};

/// What the reader of the tutorial watches: get hits, get misses and set commands.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Counters {
    hits: u64,
    misses: u64,
    sets: u64,
}

/// `larder up`, and an operator who has followed the link that it prints.
struct Newcomer {
    dashboard: Browser,
    console: SocketAddr,
    tasks: SocketAddr,
    running: Running,
    _dir: TempDir,
}

impl Newcomer {
    async fn begins() -> Newcomer {
        let (dir, path) = directory();
        let vars = [
            ("LARDER_LISTEN", "127.0.0.1:0"),
            ("LARDER_CONSOLE", "127.0.0.1:0"),
            ("LARDER_MEMORY", "128m"),
            ("PORT", "0"),
            ("TASKLIST_LISTEN", "127.0.0.1"),
        ];
        let running = Program::new(LARDER).directory(&path).args(["up"]).envs(vars).start();
        let tasks = banner(&running, "Task list  http://");
        let console = banner(&running, "Console    http://");
        let dashboard = Browser::start().await;
        until("the banner has a link", async || running.output().contains("Ctrl-C")).await;
        dashboard.open(after(&running.output(), "Sign in    ")).await;
        dashboard.click("main button").await;
        assert_eq!(dashboard.path().await, "/");
        Newcomer { dashboard, console, tasks, running, _dir: dir }
    }

    async fn open(&self, path: &str) {
        self.dashboard.open(&format!("http://{}{path}", self.console)).await;
    }

    /// The text of an element of the dashboard.
    async fn text(&self, selector: &str) -> String {
        self.dashboard.text(selector).await.unwrap_or_else(|| panic!("no {selector}"))
    }

    /// The three counters as they stand on the dashboard, all at one time.
    async fn counters(&self) -> Counters {
        const TEXTS: &str = "['get-hits', 'get-misses', 'set-cmds']
            .map((id) => document.getElementById(id).textContent.replaceAll(',', ''))";
        let texts = self.dashboard.evaluate(TEXTS).await;
        let count = |at: usize| texts[at].as_str().unwrap().parse().unwrap();
        Counters { hits: count(0), misses: count(1), sets: count(2) }
    }

    /// What the server has counted for `demo`.
    async fn counted(&self) -> Counters {
        // A script of the page has the operator's session.
        const STATS: &str = "fetch('/api/v1/tenants/demo/stats').then((answer) => answer.json())";
        let stats = self.dashboard.evaluate(STATS).await;
        let figure = |name: &str| stats["figures"][name].as_u64().unwrap();
        Counters { hits: figure("get_hits"), misses: figure("get_misses"), sets: figure("sets") }
    }

    /// Waits until the overview of `demo` shows what the server has counted, and says what that is.
    async fn settled(&self) -> Counters {
        let mut shown = self.counters().await;
        until("the dashboard shows it", async || {
            shown = self.counters().await;
            shown == self.counted().await
        })
        .await;
        shown
    }

    /// Clicks what asks first, and says yes.
    async fn confirm(&self, selector: &str, told: &str) {
        self.dashboard.press(selector).await;
        until("it asks", async || self.dashboard.count("dialog[open]").await == 1).await;
        self.dashboard.click("dialog button[type=submit]").await;
        assert!(self.text(".notice").await.contains(told));
    }

    /// Takes down the credential that the dashboard shows this once.
    async fn takes_down(&self) -> Login {
        let user = self.text("#secret-username").await;
        let password = self.text("#secret-password").await;
        let variables = self.text("#connect-env").await;
        let server = after(&variables, "export MEMCACHIER_SERVERS=").to_owned();
        assert!(variables.contains(&password), "{variables}");
        self.dashboard.click(".actions a.button").await;
        Login { server, user, password }
    }

    /// Nothing was complained of in a browser's console, and nothing was asked of anybody else.
    async fn was_quiet(&self, browser: &Browser) {
        assert_eq!(browser.log("browser").await, [""; 0]);
        let own = [self.console, self.tasks].map(|address| format!("http://{address}/"));
        let requested = browser.requested().await;
        assert!(!requested.is_empty());
        let outside = |url: &&String| !own.iter().any(|own| url.starts_with(own));
        assert_eq!(requested.iter().find(outside), None);
    }

    fn stops(mut self) {
        self.running.signal("INT");
        assert!(self.running.ends().success(), "{}", self.running.output());
    }
}

/// What follows some words on their line.
fn after<'a>(text: &'a str, words: &str) -> &'a str {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("no {words:?} in {text}"));
    rest.lines().next().unwrap_or_default()
}

/// Asks again and again until the answer is yes.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "it did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn log_in(login: &Login) -> Connection {
    let mut connection = Connection::open(login.server.as_str());
    assert_eq!(connection.log_in(&login.user, &login.password), "STORED");
    connection
}

#[tokio::test]
async fn reloads_of_the_task_list_move_the_counters_of_the_dashboard() {
    let newcomer = Newcomer::begins().await;
    let (dashboard, tasks) = (&newcomer.dashboard, Browser::start().await);
    let list = format!("http://{}/", newcomer.tasks);
    newcomer.open("/tenants/demo").await;
    until("it is live", async || newcomer.text("#live-word").await == "live").await;
    // It goes when the page is loaded again.
    dashboard.evaluate("(window.stands = true)").await;

    tasks.open(&list).await;
    for task in ["Flour", "Milk", "Eggs"] {
        let before = newcomer.settled().await;
        tasks.write("form[action='/add'] input[name='name']", task).await;
        tasks.click("form[action='/add'] button").await;
        until("a new task is misses and sets", async || {
            let now = newcomer.counters().await;
            now.misses > before.misses && now.sets > before.sets
        })
        .await;
        // The page after the form was made for the one who sent it; the next is cached for all.
        tasks.open(&list).await;
        assert_eq!(tasks.text("tr:last-child .task-name").await.as_deref(), Some(task));

        for _ in 0..3 {
            // A cache that does not answer within 250 ms, on a machine that is busy, is one miss more.
            until("a reload is two hits", async || {
                let cached = newcomer.settled().await;
                tasks.reload().await;
                newcomer.settled().await == Counters { hits: cached.hits + 2, ..cached }
            })
            .await;
        }
    }
    assert_eq!(tasks.count(".task-name").await, 3);
    assert_eq!(dashboard.evaluate("window.stands").await, true);
    newcomer.was_quiet(dashboard).await;
    newcomer.was_quiet(&tasks).await;
    newcomer.stops();
}

#[tokio::test]
async fn a_cache_is_made_shared_rotated_and_flushed_in_the_dashboard() {
    let newcomer = Newcomer::begins().await;
    let dashboard = &newcomer.dashboard;
    dashboard.write("#name", "shop").await;
    dashboard.write("#memory", "16m").await;
    dashboard.click("form[action='/tenants'] button").await;
    let owner = newcomer.takes_down().await;
    let made = seconds();
    let mut client = log_in(&owner);
    assert_eq!(client.set("kept", "1"), "STORED");

    // Somebody who may only look.
    newcomer.open("/tenants/shop/credentials").await;
    for right in ["write", "flush", "admin"] {
        let off = format!("(document.getElementById('new-{right}').checked = false, true)");
        dashboard.evaluate(&off).await;
    }
    dashboard.write("#note", "reports").await;
    dashboard.click("[aria-labelledby=new-title] form button").await;
    let reader = newcomer.takes_down().await;
    assert_eq!(newcomer.text(".tag.warn").await, "read-only");
    let mut looks = log_in(&reader);
    assert_eq!(looks.get("kept").as_deref(), Some("1"));
    assert_eq!(looks.set("kept", "2"), "CLIENT_ERROR set not allowed");
    assert_eq!(client.get("kept").as_deref(), Some("1"));

    // A flush is asked for twice, and what was there is a miss.
    newcomer.open("/tenants/shop").await;
    newcomer.confirm("#flush", "Flushed").await;
    assert_eq!(client.get("kept"), None);
    assert_eq!(client.set("kept", "3"), "STORED");
    assert_eq!(looks.get("kept").as_deref(), Some("3"));

    // When a credential was made is told in seconds, and the new one is the one made later.
    until("the next second", async || seconds() > made).await;
    rotates(&newcomer, &owner).await;
    newcomer.was_quiet(dashboard).await;
    newcomer.stops();
}

/// Since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Replaces the primary credential of `shop` under a client's load; no request fails.
async fn rotates(newcomer: &Newcomer, old: &Login) {
    let load = Load::begin(old);
    load.goes_on().await;
    newcomer.open("/tenants/shop/credentials").await;
    newcomer.dashboard.click("#rotate li:nth-child(1) button").await;
    let new = newcomer.takes_down().await;
    assert_ne!(new.user, old.user);
    load.goes_on().await;
    newcomer.confirm("#rotate li:nth-child(2) a", "Promoted").await;
    load.goes_on().await;
    load.switch(&new).await;
    newcomer.confirm("#rotate li:nth-child(3) a", "Revoked").await;
    load.goes_on().await;
    load.end();
    let refused = Connection::open(old.server.as_str()).log_in(&old.user, &old.password);
    assert!(refused.starts_with("CLIENT_ERROR"), "{refused}");
    log_in(&new);
}
