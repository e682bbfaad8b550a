//! Deletes that did not arrive are applied before their server is read again.

mod support;

use std::time::Duration;

use larder_client::{Client, Command, Error, Protocol, Reply, StoreMode};
use support::{Fake, Fault, PROTOCOLS, eventually, key};

#[tokio::test]
async fn an_owed_delete_goes_before_the_next_read() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        fake.put("page", "stale");
        fake.put("other", "fine");
        let client = fake.client(protocol);
        fake.fault(Fault::Freeze);
        let error = fake.unanswered(client.delete(&key("page"))).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        assert_eq!(client.health()[0].owed_deletes, 1);
        fake.fault(Fault::None);
        let batch = client.batch(vec![Command::Get { key: key("other") }]).await;
        assert!(batch.replies[0].is_ok(), "{:?}", batch.replies);
        assert_eq!(batch.round_trips, 2);
        assert_eq!(fake.take_log(), ["delete page", "get other"], "{protocol:?}");
        assert_eq!(client.health()[0].owed_deletes, 0);
        assert_eq!(client.get(&key("page")).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_failed_set_is_owed_as_a_delete_and_others_are_not() {
    let fake = Fake::start().await;
    fake.fault(Fault::Freeze);
    let client = fake.client(Protocol::Meta);
    let store = |mode, name: &str| Command::Store {
        mode,
        key: key(name),
        value: "v".into(),
        flags: 0,
        exptime: 0,
    };
    let batch = client.batch(vec![
        store(StoreMode::Set, "set"),
        store(StoreMode::Add, "add"),
        store(StoreMode::Cas(3), "cas"),
        Command::Get { key: key("get") },
        Command::Delete { key: key("delete") },
    ]);
    let batch = fake.unanswered(batch).await;
    assert!(batch.replies.iter().all(Result::is_err));
    assert_eq!(client.health()[0].owed_deletes, 2);
    fake.fault(Fault::None);
    client.get(&key("x")).await.unwrap();
    assert_eq!(fake.take_log(), ["delete delete", "delete set", "get x"]);
}

#[tokio::test]
async fn while_a_delete_is_refused_nothing_is_read() {
    let fake = Fake::start().await;
    fake.put("a", "stale");
    let client = fake.client(Protocol::Binary);
    client.owe_delete(&key("a"));
    fake.fault(Fault::RefuseDelete);
    let error = client.get(&key("a")).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("Not stored"), "{error}");
    assert!(client.health()[0].up, "a server that answers is up");
    fake.fault(Fault::None);
    assert_eq!(client.get(&key("a")).await.unwrap(), None);
}

#[tokio::test]
async fn debts_are_paid_in_the_background() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        fake.put("a", "stale");
        let mut config = fake.config(protocol);
        config.retry_min = Duration::from_millis(20);
        let client = Client::new(config).unwrap();
        client.owe_delete(&key("a"));
        eventually("the delete arrives", || !fake.has("a")).await;
        eventually("the debt is struck out", || client.health()[0].owed_deletes == 0).await;
        // And again, with a new task.
        fake.put("b", "stale");
        client.owe_delete(&key("b"));
        eventually("the second delete arrives", || !fake.has("b")).await;
    }
}

#[tokio::test]
async fn the_background_task_ends_with_the_client() {
    let fake = Fake::start().await;
    fake.put("a", "kept");
    let mut config = fake.config(Protocol::Binary);
    config.retry_min = Duration::from_millis(100);
    let client = Client::new(config).unwrap();
    client.owe_delete(&key("a"));
    drop(client);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(fake.has("a"));
    assert_eq!(fake.connections(), 0);
}

#[test]
fn a_debt_made_outside_a_runtime_is_paid_by_the_next_operation() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = runtime.block_on(Fake::start());
    fake.put("a", "stale");
    let client = fake.client(Protocol::Meta);
    client.owe_delete(&key("a"));
    assert_eq!(runtime.block_on(client.get(&key("a"))).unwrap(), None);
}

#[tokio::test]
async fn a_hit_that_was_under_way_when_its_delete_became_owed_is_not_believed() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        fake.put("a", "stale");
        fake.put("b", "fine");
        fake.fault(Fault::Trickle(Duration::from_millis(2)));
        let client = fake.client(protocol);
        let (a, b) = (key("a"), key("b"));
        let gets = client.batch(vec![Command::Get { key: a.clone() }, Command::Get { key: b }]);
        let owe = async {
            eventually("the reply is under way", || fake.take_log().contains(&"get a".into()))
                .await;
            client.owe_delete(&a);
            fake.fault(Fault::None);
        };
        let (batch, ()) = tokio::join!(gets, owe);
        assert!(matches!(batch.replies[0], Err(Error::Unavailable { .. })), "{protocol:?}");
        assert!(matches!(batch.replies[1], Ok(Reply::Item(Some(_)))), "{protocol:?}");
    }
}

#[tokio::test]
async fn many_debts_are_paid_in_portions_and_too_many_by_a_flush() {
    let fake = Fake::start().await;
    let client = fake.client(Protocol::Binary);
    for n in 0..2500 {
        client.owe_delete(&key(&format!("k{n}")));
    }
    assert_eq!(client.health()[0].owed_deletes, 2500);
    let batch = client.batch(vec![Command::Get { key: key("x") }]).await;
    assert_eq!(batch.round_trips, 4);
    let log = fake.take_log();
    assert_eq!(log.len(), 2501);
    assert_eq!(log[2500], "get x");
    for n in 0..=100_000 {
        client.owe_delete(&key(&format!("k{n}")));
    }
    let health = client.health();
    assert_eq!((health[0].owed_deletes, health[0].flush_owed), (0, true));
    fake.put("never mentioned", "lost with the rest");
    assert_eq!(client.get(&key("x")).await.unwrap(), None);
    assert_eq!(fake.take_log(), ["flush_all", "get x"]);
    assert!(!client.health()[0].flush_owed);
}

#[tokio::test]
async fn a_set_that_is_too_large_takes_the_old_value_with_it() {
    let fake = Fake::start().await;
    fake.put("a", "old");
    let mut config = fake.config(Protocol::Text);
    config.max_value_len = 10;
    let client = Client::new(config).unwrap();
    client.set(&key("a"), "more than ten bytes", 0, 0).await.unwrap_err();
    assert_eq!(client.get(&key("a")).await.unwrap(), None);
}

#[tokio::test]
async fn a_flush_that_was_not_answered_is_owed() {
    for protocol in PROTOCOLS {
        for cancelled in [false, true] {
            let fake = Fake::start().await;
            fake.put("a", "stale");
            let client = fake.client(protocol);
            fake.fault(Fault::Freeze);
            if cancelled {
                fake.cancelled(client.flush_all()).await;
            } else {
                let flushed = fake.unanswered(client.flush_all()).await;
                assert!(flushed.into_iter().all(|(_, result)| result.is_err()));
            }
            assert!(client.health()[0].flush_owed);
            fake.fault(Fault::None);
            assert_eq!(client.get(&key("a")).await.unwrap(), None);
            assert_eq!(fake.take_log(), ["flush_all", "get a"], "{protocol:?}");
            assert!(!client.health()[0].flush_owed);
        }
    }
}

#[tokio::test]
async fn what_depends_on_a_debt_is_deleted_after_it() {
    let fake = Fake::start().await;
    let client = fake.client(Protocol::Meta);
    fake.fault(Fault::Freeze);
    fake.unanswered(client.delete(&key("value"))).await.unwrap_err();
    client.owe_deletes_after(&key("value"), [&key("a-tag")]);
    assert_eq!(client.health()[0].owed_deletes, 1, "the other one only afterwards");
    fake.fault(Fault::None);
    client.get(&key("x")).await.unwrap();
    assert_eq!(fake.take_log(), ["delete value", "delete a-tag", "get x"]);
    client.owe_deletes_after(&key("value"), [&key("a-tag")]);
    assert_eq!(client.health()[0].owed_deletes, 1, "nothing to wait for");
}
