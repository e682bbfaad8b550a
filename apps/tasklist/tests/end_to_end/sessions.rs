//! Sessions kept in the database with the cache before it: they outlive everything that can happen
//! to the cache, and what was signed out stays signed out.

use std::io::{Read, Write};
use std::net::TcpStream;

use larder_peers::Memcached;
use tasklist::visitor::Visitor;

use super::support::{App, Database, Vars, add, list, until};

/// What the visitor of these tests has added.
const MINE: &str = "Mine to remember";

/// How often somebody tries an old cookie where it must never work.
const TRIES: usize = 20;

/// Two processes on one cache and one database, and a visitor with a session.
struct Rig {
    server: Memcached,
    apps: [App; 2],
    visitor: Visitor,
    _database: Database,
}

impl Rig {
    async fn start() -> Rig {
        let (server, database) = (Memcached::plain(), Database::sqlite());
        let vars = Vars::default()
            .with("MEMCACHIER_SERVERS", server.addr().to_string())
            .with("DATABASE_URL", &database.url)
            .with("TASKLIST_SESSION_ENGINE", "cached_db");
        let apps = [App::start(&vars), App::start(&vars)];
        let mut visitor = apps[0].visitor();
        visitor.get("/me").await.unwrap();
        add(&mut visitor, MINE).await;
        Rig { server, apps, visitor, _database: database }
    }

    /// Whether the visitor's page at a process knows what they added. Somebody whose cookie is not
    /// known gets another one; `visitor` keeps theirs.
    async fn knows(&self, process: usize, visitor: &Visitor) -> bool {
        let mut visitor = visitor.at(self.apps[process].addr);
        let page = visitor.get("/me").await.unwrap();
        assert_eq!(page.status, 200, "{}", page.body);
        assert_eq!(page.header("cache-control"), "private, no-store");
        page.body.contains(MINE)
    }

    /// Both processes know the visitor: the first, which has made all changes, at once; the other one
    /// as soon as the first has told the cache, which a busy machine may delay beyond the deadline.
    async fn is_known(&self) {
        assert!(self.knows(0, &self.visitor).await);
        until("the other process knows too", async || self.knows(1, &self.visitor).await).await;
    }

    /// The visitor signs out at the first process and keeps a copy of the cookie, which never works
    /// there again.
    async fn sign_out(&self) -> Visitor {
        let before = self.visitor.clone();
        let out = self.visitor.clone().post("/sign-out", &[]).await.unwrap();
        assert_eq!(out.status, 303, "{}", out.body);
        assert!(!self.knows(0, &before).await);
        before
    }

    /// Nobody gets in with the old cookie: at the first process not even once, at the other one
    /// not any more once the first has reached the cache.
    async fn is_signed_out_for_good(&self, before: &Visitor) {
        for _ in 0..TRIES {
            assert!(!self.knows(0, before).await);
        }
        until("the other process knows it too", async || !self.knows(1, before).await).await;
        for _ in 0..TRIES {
            assert!(!self.knows(0, before).await && !self.knows(1, before).await);
        }
    }

    fn flush(&self) {
        let mut stream = TcpStream::connect(self.server.addr()).unwrap();
        stream.write_all(b"flush_all\r\nquit\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, "OK\r\n");
    }
}

#[tokio::test]
async fn survive_the_loss_of_the_cache() {
    let mut rig = Rig::start().await;
    rig.is_known().await;
    rig.flush();
    rig.is_known().await;
    rig.server.kill();
    rig.is_known().await;
    rig.server.restart();
    rig.is_known().await;
    rig.server.freeze();
    rig.is_known().await;
    rig.server.thaw();
    rig.is_known().await;
}

#[tokio::test]
async fn stay_signed_out_though_the_cache_was_dead() {
    let mut rig = Rig::start().await;
    rig.server.kill();
    let before = rig.sign_out().await;
    rig.server.restart();
    rig.is_signed_out_for_good(&before).await;
}

/// The session is in the cache all the while, and the cache cannot be told.
#[tokio::test]
async fn stay_signed_out_though_the_cache_was_frozen() {
    let rig = Rig::start().await;
    rig.is_known().await;
    rig.server.freeze();
    let mut visitor = rig.apps[0].visitor();
    until("the first process has given it up", async || {
        list(&mut visitor).await.header("cache-status").ends_with("detail=cache-unavailable")
    })
    .await;
    list(&mut visitor).await;
    let before = rig.sign_out().await;
    rig.server.thaw();
    rig.is_signed_out_for_good(&before).await;
}
