//! Sessions while what keeps them cannot be reached.

mod session_support;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use larder::client::{Client, Config};
use larder::sessions::SessionError;
use larder::{Backend, Cache};
use larder_peers::Memcached;
use session_support::Site;
use support::dead_cache;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

fn cache_on(server: &Memcached) -> Cache {
    let mut config = Config::new(vec![server.addr().to_string().parse().unwrap()]);
    // Longer than a busy machine may delay a server that works.
    config.timeout = Duration::from_secs(10);
    Cache::builder(Backend::memcached(Client::new(config).unwrap())).build().unwrap()
}

#[tokio::test]
async fn a_note_that_may_be_lost_does_not_fail_the_response() {
    let down = Site::cached_db(&Cache::null());
    *down.table.down.lock().unwrap() = true;
    for site in [Site::cache_only(&dead_cache()), down] {
        let answer = site.ask("", async |session| {
            session.insert("added", "tea").await?;
            session.save().await.unwrap_err();
            session.discard_changes().await;
            assert_eq!(session.get::<String>("added").await?, None);
            Ok("the task was added".to_owned())
        });
        let answer = answer.await;
        assert_eq!((answer.status.as_u16(), answer.cookie()), (200, None));
        assert_eq!(answer.text, "the task was added");
    }
}

#[tokio::test]
async fn what_is_discarded_is_only_what_was_not_saved() {
    let cache = Cache::in_process(1 << 20);
    for site in [Site::cached_db(&cache), Site::cache_only(&cache)] {
        let cookie = site.begin("user", "ann").await;
        let answer = site.ask(&cookie, async |session| {
            session.insert("cart", "tea").await?;
            session.save().await?;
            session.cycle_id().await?;
            session.insert("late", "yes").await?;
            session.remove("user").await?;
            session.discard_changes().await;
            assert_eq!(session.get::<String>("late").await?, None);
            assert_eq!(session.get::<String>("user").await?.as_deref(), Some("ann"));
            Ok(String::new())
        });
        assert_eq!(answer.await.cookie().as_ref(), Some(&cookie), "saved, under the same id");
        for (key, value) in [("user", "ann"), ("cart", "tea"), ("late", "-")] {
            assert_eq!(site.read(&cookie, key).await, value, "{key}");
        }
        let answer = site.ask(&cookie, async |session| {
            session.discard_changes().await;
            assert!(!session.is_touched());
            session.destroy().await?;
            session.insert("late", "yes").await?;
            session.discard_changes().await;
            Ok(String::new())
        });
        assert_eq!(answer.await.cookie().as_deref(), Some("session="), "destroyed all the same");
        assert_eq!(site.read(&cookie, "user").await, "-");
    }
}

#[tokio::test]
async fn a_new_id_is_not_given_out_while_the_old_one_may_be_worth_something() {
    let site = Site::cached_db(&Cache::null());
    let cookie = site.begin("cart", "tea").await;
    let mut stopped = site.table.stop_at("delete");
    let request = {
        let (site, cookie) = (site.clone(), cookie.clone());
        tokio::spawn(async move {
            let answer = site.ask(&cookie, async |session| {
                session.cycle_id().await?;
                session.insert("user", "ann").await?;
                assert!(matches!(session.save().await, Err(SessionError::Table(_))));
                session.discard_changes().await;
                assert_eq!(session.get::<String>("user").await?, None);
                Ok("not signed in".to_owned())
            });
            answer.await
        })
    };
    stopped.reached().await;
    *site.table.down.lock().unwrap() = true;
    stopped.go_on();
    let answer = request.await.unwrap();
    *site.table.down.lock().unwrap() = false;
    assert_eq!((answer.text.as_str(), answer.cookie()), ("not signed in", None));
    assert_eq!(site.read(&cookie, "cart").await, "tea");
    assert_eq!(site.read(&cookie, "user").await, "-");
}

#[tokio::test]
async fn a_sign_out_that_is_not_confirmed_is_an_error() {
    let server = Memcached::plain();
    let site = Site::cache_only(&cache_on(&server));
    let cookie = site.begin("user", "ann").await;
    server.freeze();
    // Nothing answers: time leaps from deadline to deadline.
    tokio::time::pause();
    for _ in 0..3 {
        let answer = site.sign_out(&cookie).await;
        assert_eq!((answer.status.as_u16(), answer.cookie()), (503, None), "they can try again");
        assert_eq!(answer.text, SessionError::Unavailable.to_string());
    }
    assert_eq!(site.sign_out("").await.status, 200, "no session, nothing to confirm");

    // The delete is owed: it comes before anything is read.
    server.thaw();
    tokio::time::resume();
    let mut text = String::new();
    while text != "-" {
        text = site.read(&cookie, "user").await;
        assert_ne!(text, "ann");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answer = site.sign_out(&cookie).await;
    assert_eq!((answer.status.as_u16(), answer.cookie().as_deref()), (200, Some("session=")));
}

#[tokio::test]
async fn an_outage_is_one_line_a_minute_in_the_log() {
    let lines = Arc::new(AtomicUsize::new(0));
    let _log = tracing::subscriber::set_default(Lines(lines.clone()));
    let down = Site::cached_db(&Cache::null());
    *down.table.down.lock().unwrap() = true;
    for site in [Site::cache_only(&dead_cache()), down] {
        for minute in 1..=2 {
            for _ in 0..20 {
                assert_eq!(site.put("", "user", "ann").await.status, 503);
            }
            assert_eq!(lines.load(Ordering::SeqCst), minute);
            site.clock.advance(Duration::from_secs(60));
        }
        lines.store(0, Ordering::SeqCst);
    }
}

/// Counts what the sessions report.
struct Lines(Arc<AtomicUsize>);

impl Subscriber for Lines {
    fn enabled(&self, of: &Metadata<'_>) -> bool {
        *of.level() <= Level::WARN && of.target().starts_with("larder::sessions")
    }

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
