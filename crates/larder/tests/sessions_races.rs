//! Sessions under concurrency: nothing deleted comes back, nothing saved is undone.

#[macro_use]
mod support;
mod session_support;

use larder::client::{Client, Config};
use larder::{Backend, Cache};
use larder_peers::Memcached;
use session_support::road::Road;
use session_support::{Site, Stopped};
use support::Rig;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

over_every_backend!(
    a_save_before_the_change_loses_to_a_delete,
    a_save_after_the_change_loses_to_a_delete,
    a_read_that_was_overtaken_by_a_delete_leaves_nothing,
    a_delete_in_progress_hides_the_cached_session,
    two_saves_of_different_keys_keep_both,
    a_read_during_a_save_leaves_nothing_stale,
    a_read_during_a_save_leaves_nothing_stale_when_the_cache_is_emptied,
    a_cancelled_save_leaves_nothing_stale,
    concurrent_updates_all_count,
    in_the_cache_a_deleted_session_stays_deleted,
    in_the_cache_two_saves_keep_both,
    in_the_cache_an_evicted_session_is_not_recreated,
    in_the_cache_concurrent_updates_all_count,
);

/// Starts a request that changes the session and is stopped at a gate of the table.
async fn save_stopped_at(
    site: &Site,
    cookie: &str,
    gate: &'static str,
) -> (Stopped, JoinHandle<Option<String>>) {
    let mut stopped = site.table.stop_at(gate);
    let (site, cookie) = (site.clone(), cookie.to_owned());
    let save = tokio::spawn(async move { site.put(&cookie, "late", "yes").await.cookie() });
    stopped.reached().await;
    (stopped, save)
}

async fn a_save_before_the_change_loses_to_a_delete(rig: Rig) {
    let site = Site::cached_db(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    let (mut stopped, save) = save_stopped_at(&site, &cookie, "update").await;
    site.sign_out(&cookie).await;
    stopped.go_on();
    assert_eq!(save.await.unwrap(), None, "the cookie may be a newer session's by now");
    assert_eq!(site.rows(), 0);
    assert_eq!(site.read(&cookie, "user").await, "-");
    assert_eq!(site.read(&cookie, "late").await, "-");
}

async fn a_save_after_the_change_loses_to_a_delete(rig: Rig) {
    let site = Site::cached_db(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    let (mut stopped, save) = save_stopped_at(&site, &cookie, "updated").await;
    site.sign_out(&cookie).await;
    stopped.go_on();
    save.await.unwrap();
    assert_eq!(site.rows(), 0);
    assert_eq!(site.read(&cookie, "user").await, "-", "its fill was refused");
}

async fn a_read_that_was_overtaken_by_a_delete_leaves_nothing(rig: Rig) {
    let site = Site::cached_db(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    rig.cache.clear().await;
    let mut stopped = site.table.stop_at("loaded");
    let reader = {
        let (site, cookie) = (site.clone(), cookie.clone());
        tokio::spawn(async move { site.read(&cookie, "user").await })
    };
    stopped.reached().await;
    site.sign_out(&cookie).await;
    stopped.go_on();
    assert_eq!(reader.await.unwrap(), "ann", "it asked before");
    assert_eq!(site.read(&cookie, "user").await, "-", "its fill was refused");
}

async fn a_delete_in_progress_hides_the_cached_session(rig: Rig) {
    let site = Site::cached_db(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    let mut stopped = site.table.stop_at("deleted");
    let delete = {
        let (site, cookie) = (site.clone(), cookie.clone());
        tokio::spawn(async move { site.sign_out(&cookie).await })
    };
    stopped.reached().await;
    delete.abort();
    assert!(delete.await.unwrap_err().is_cancelled());
    assert_eq!(site.read(&cookie, "user").await, "-", "the row is gone, so the session is");
}

async fn two_saves_of_different_keys_keep_both(rig: Rig) {
    let site = Site::cached_db(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    let (mut stopped, save) = save_stopped_at(&site, &cookie, "update").await;
    site.put(&cookie, "cart", "tea").await;
    stopped.go_on();
    assert_eq!(save.await.unwrap().as_ref(), Some(&cookie));
    for _ in 0..2 {
        for (key, value) in [("user", "ann"), ("cart", "tea"), ("late", "yes")] {
            assert_eq!(site.read(&cookie, key).await, value, "{key}");
        }
        rig.cache.clear().await;
    }
}

async fn a_read_during_a_save_leaves_nothing_stale(rig: Rig) {
    let site = Site::cached_db(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    let (mut stopped, save) = save_stopped_at(&site, &cookie, "update").await;
    assert_eq!(site.read(&cookie, "late").await, "-", "not saved yet");
    stopped.go_on();
    save.await.unwrap();
    assert_eq!(site.read(&cookie, "late").await, "yes");
}

async fn a_read_during_a_save_leaves_nothing_stale_when_the_cache_is_emptied(rig: Rig) {
    let site = Site::cached_db(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    let (mut stopped, save) = save_stopped_at(&site, &cookie, "update").await;
    // The mark of the save is gone, so this reader may fill, and does.
    rig.cache.clear().await;
    assert_eq!(site.read(&cookie, "late").await, "-");
    stopped.go_on();
    save.await.unwrap();
    assert_eq!(site.read(&cookie, "late").await, "yes");
}

async fn a_cancelled_save_leaves_nothing_stale(rig: Rig) {
    let site = Site::cached_db(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    let mut after = site.table.stop_at("updated");
    let (mut before, save) = save_stopped_at(&site, &cookie, "update").await;
    assert_eq!(site.read(&cookie, "late").await, "-", "read before the change, so not to be kept");
    before.go_on();
    after.reached().await;
    save.abort();
    assert!(save.await.unwrap_err().is_cancelled());
    assert_eq!(site.read(&cookie, "late").await, "yes", "the table has it");
}

/// A server that was slow carries out, after the sign-out, what the client has long given up on.
#[tokio::test]
async fn what_a_new_session_wrote_too_late_does_not_bring_it_back() {
    let server = Memcached::plain();
    let road = Road::to(server.addr()).await;
    let config = Config::new(vec![road.addr.to_string().parse().unwrap()]);
    let backend = Backend::memcached(Client::new(config).unwrap());
    let site = Site::cached_db(&Cache::builder(backend).build().unwrap());
    let mut stopped = site.table.stop_at("inserted");
    let begin = {
        let site = site.clone();
        tokio::spawn(async move { site.begin("user", "ann").await })
    };
    stopped.reached().await;
    let mut late = road.hold_next();
    stopped.go_on();
    late.caught().await;
    let cookie = begin.await.unwrap();
    assert_eq!(site.read(&cookie, "user").await, "ann");
    site.sign_out(&cookie).await;
    assert_eq!(site.read(&cookie, "user").await, "-");
    late.deliver().await;
    assert_eq!(site.read(&cookie, "user").await, "-");
}

async fn count_up(site: &Site, cookie: &str) {
    let ups = (0..8).map(|_| {
        let (site, cookie) = (site.clone(), cookie.to_owned());
        tokio::spawn(async move {
            let up = site.ask(&cookie, async |session| {
                let n = session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).await?;
                tokio::task::yield_now().await;
                Ok(n.to_string())
            });
            assert_eq!(up.await.status, 200);
        })
    });
    for up in ups.collect::<Vec<_>>() {
        up.await.unwrap();
    }
    let n = site.ask(cookie, async |session| Ok(format!("{:?}", session.get::<u64>("n").await?)));
    assert_eq!(n.await.text, "Some(8)");
}

async fn concurrent_updates_all_count(rig: Rig) {
    let site = Site::cached_db(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    count_up(&site, &cookie).await;
}

async fn in_the_cache_concurrent_updates_all_count(rig: Rig) {
    let site = Site::cache_only(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    count_up(&site, &cookie).await;
}

/// Runs `meanwhile` between a handler's first read and its change; the cookie that was set.
async fn change_after<F: Future>(site: &Site, cookie: &str, meanwhile: F) -> Option<String> {
    let (read, wait_read) = oneshot::channel();
    let (go_on, wait_go_on) = oneshot::channel::<()>();
    let request = {
        let (site, cookie) = (site.clone(), cookie.to_owned());
        tokio::spawn(async move {
            site.ask(&cookie, async move |session| {
                session.get::<String>("user").await?;
                read.send(()).unwrap();
                wait_go_on.await.unwrap();
                session.insert("late", "yes").await?;
                Ok(String::new())
            })
            .await
        })
    };
    wait_read.await.unwrap();
    meanwhile.await;
    go_on.send(()).unwrap();
    let answer = request.await.unwrap();
    assert_eq!(answer.status, 200);
    answer.cookie()
}

async fn in_the_cache_a_deleted_session_stays_deleted(rig: Rig) {
    let site = Site::cache_only(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    assert_eq!(change_after(&site, &cookie, site.sign_out(&cookie)).await, None);
    assert_eq!(site.read(&cookie, "user").await, "-");
    assert_eq!(site.read(&cookie, "late").await, "-");
}

async fn in_the_cache_two_saves_keep_both(rig: Rig) {
    let site = Site::cache_only(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    let set = change_after(&site, &cookie, site.put(&cookie, "cart", "tea")).await;
    assert_eq!(set.as_ref(), Some(&cookie));
    for (key, value) in [("user", "ann"), ("cart", "tea"), ("late", "yes")] {
        assert_eq!(site.read(&cookie, key).await, value, "{key}");
    }
}

async fn in_the_cache_an_evicted_session_is_not_recreated(rig: Rig) {
    let site = Site::cache_only(&rig.cache);
    let cookie = site.begin("user", "ann").await;
    assert_eq!(change_after(&site, &cookie, rig.cache.clear()).await, None);
    assert_eq!(site.read(&cookie, "late").await, "-");
}
