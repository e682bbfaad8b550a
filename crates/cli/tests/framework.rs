//! The framework, its client and the reference app on `larder serve`: the tutorials' story is played in
//! every protocol that the client speaks, by a user with a password and a tenant of its own.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use larder::{Cache, Checked};
use larder_peers::{Program, Running};
use tasklist::app;
use tasklist::config::Config;
use tasklist::walkthrough::{Cast, Event, play};

/// How slow a query is in these stories.
const SLOW_QUERY: Duration = Duration::from_millis(100);

/// The fewest claims that the story makes.
const CLAIMS: usize = 30;

/// A server with a user who has a tenant, and another who has another.
struct Server {
    running: Running,
    addr: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Server {
        let dir = tempfile::tempdir().unwrap();
        let users = dir.path().join("users");
        std::fs::write(&users, "shop:pa55:shop\nblog:w0rd:blog\n").unwrap();
        let larder = Program::new(env!("CARGO_BIN_EXE_larder"));
        let larder = larder.args(["serve", "--listen", "127.0.0.1:0", "--memory", "64m"]);
        let running = larder.args([OsString::from("--auth-file"), users.into()]).start();
        let begun = Instant::now();
        let addr = loop {
            let output = running.output();
            let listening =
                output.split_once("Listening  ").and_then(|(_, rest)| rest.lines().next());
            if let Some(addr) = listening.and_then(|addr| addr.trim().parse().ok()) {
                break addr;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "no banner: {output}");
            std::thread::sleep(Duration::from_millis(20));
        };
        Server { running, addr, _dir: dir }
    }

    fn cache(&self, user: &str, protocol: &str) -> Cache {
        // What is not answered in time is a miss: a machine that is busy is given more than is usual.
        let url = format!("memcached://{user}@{}/?protocol={protocol}&timeout=60s", self.addr);
        Cache::from_vars(|name| (name == larder::URL_VARIABLE).then(|| url.clone())).unwrap()
    }
}

async fn story(protocol: &str) {
    let server = Server::start();
    let cache = server.cache("shop:pa55", protocol);
    let checked = cache.check().await.unwrap();
    assert!(matches!(&checked[..], [Checked(_), ..]), "{checked:?}");

    let dir = tempfile::tempdir().unwrap();
    let database = OsString::from(format!("sqlite:{}/story.db", dir.path().display()));
    let config = Config::from_vars([("DATABASE_URL".into(), database)]).unwrap();
    let db = app::migrated(&config).await.unwrap();
    let cache = cache.with_prefix(&app::prefix(&db).await.unwrap()).unwrap();
    let (mut held, mut broken) = (0, Vec::new());
    let mut audience = |event| match event {
        Event::Claim(claim) if claim.holds => held += 1,
        Event::Claim(claim) => broken.push(format!("{}: {}", claim.text, claim.measured)),
        Event::Chapter(..) => {}
    };
    let cast = Cast { db: db.clone(), cache, config, slow_query: SLOW_QUERY };
    play(&cast, &mut audience).await.unwrap();
    db.close().await;
    assert!(broken.is_empty(), "{broken:#?}\n{}", server.running.output());
    assert!(held >= CLAIMS, "{held} claims");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_in_text() {
    story("text").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_in_meta() {
    story("meta").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_in_binary_with_sasl() {
    story("binary").await;
}

#[tokio::test]
async fn users_of_other_tenants_see_nothing_of_it() {
    let server = Server::start();
    let (shop, blog) = (server.cache("shop:pa55", "meta"), server.cache("blog:w0rd", "text"));
    shop.set("greeting", &"hello".to_owned(), larder::Ttl::secs(60)).await;
    assert_eq!(blog.get::<String>("greeting").await, None);
    blog.set("greeting", &"hallo".to_owned(), larder::Ttl::secs(60)).await;
    assert_eq!(shop.get::<String>("greeting").await.as_deref(), Some("hello"));

    let stranger = server.cache("shop:wrong", "binary");
    let refused = stranger.check().await.unwrap_err().to_string();
    assert!(refused.contains(&server.addr.to_string()), "{refused}");
    assert_eq!(stranger.get::<String>("greeting").await, None);
}
