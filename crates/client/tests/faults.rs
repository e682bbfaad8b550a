//! Servers that misbehave: every fault is the right error, before the deadline if there is any answer,
//! and costs only the connection it happened on.

mod support;

use std::time::Duration;

use larder_client::{Client, Command, Error, Protocol, RefusalKind, StoreMode};
use support::{DEADLINE, Fake, Fault, PROTOCOLS, key};
use tokio::time::Instant;

/// A client that a few failures do not stop.
async fn patient(fake: &Fake, protocol: Protocol) -> Client {
    let mut config = fake.config(protocol);
    config.failure_limit = 100;
    Client::new(config).unwrap()
}

#[tokio::test]
async fn every_fault_is_its_own_error_and_leaves_no_trace() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        let client = patient(&fake, protocol).await;
        fake.put("alice", "value of alice");
        fake.put("bob", "value of bob");
        let faults = [
            Fault::CloseMidReply,
            Fault::WrongOpaque,
            Fault::WrongKey,
            Fault::Garbage,
            Fault::HugeLength,
            Fault::Freeze,
        ];
        for fault in faults {
            fake.fault(fault);
            let alice = key("alice");
            let got = match fault {
                Fault::Freeze => fake.unanswered(client.get(&alice)).await,
                _ => client.get(&alice).await,
            };
            let error = got.unwrap_err();
            let right = match fault {
                Fault::CloseMidReply => matches!(error, Error::Io { .. }),
                Fault::HugeLength => matches!(error, Error::TooLarge { .. }),
                Fault::Freeze => matches!(error, Error::Timeout { .. }),
                _ => matches!(error, Error::Protocol { .. }),
            };
            assert!(right, "{protocol:?} {fault:?}: {error}");
            assert!(error.to_string().starts_with("127.0.0.1:"), "{error}");
            fake.fault(Fault::None);
            let item = client.get(&key("bob")).await.unwrap().unwrap();
            assert_eq!(item.value, "value of bob", "{protocol:?} {fault:?}");
        }
    }
}

#[tokio::test]
async fn slow_replies_are_put_together() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        fake.put("a", "1");
        fake.put("b", "22");
        fake.fault(Fault::Trickle(Duration::from_micros(10)));
        let client = fake.client(protocol);
        let items = client.get_many(&[key("a"), key("none"), key("b")]).await;
        let values: Vec<_> =
            items.into_iter().map(|item| item.unwrap().map(|item| item.value)).collect();
        assert_eq!(values, [Some("1".into()), None, Some("22".into())], "{protocol:?}");
    }
}

#[tokio::test]
async fn one_round_trip_and_one_connection_for_a_batch() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        let client = fake.client(protocol);
        let mut commands: Vec<Command> = (0..500)
            .map(|n| Command::Store {
                mode: StoreMode::Set,
                key: key(&format!("k{n}")),
                value: format!("v{n}").into(),
                flags: n,
                exptime: 0,
            })
            .collect();
        commands.extend((0..500).map(|n| Command::Get { key: key(&format!("k{n}")) }));
        let batch = client.batch(commands).await;
        assert_eq!(batch.round_trips, 1);
        assert_eq!(batch.replies.len(), 1000);
        assert!(batch.replies.iter().all(Result::is_ok));
        assert_eq!(fake.connections(), 1);
    }
}

#[tokio::test]
async fn a_reused_connection_that_was_closed_is_replaced_once() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        fake.put("a", "1");
        let client = fake.client(protocol);
        client.get(&key("a")).await.unwrap();
        fake.fault(Fault::CloseOnce);
        let batch = client.batch(vec![Command::Get { key: key("a") }]).await;
        assert!(batch.replies[0].is_ok(), "{protocol:?}: {:?}", batch.replies);
        assert_eq!(batch.round_trips, 2);
        assert_eq!(fake.connections(), 2);
        let health = client.health();
        assert_eq!((health[0].failures, health[0].up), (0, true));
    }
}

#[tokio::test]
async fn what_must_not_happen_twice_is_not_retried() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        let client = patient(&fake, protocol).await;
        client.get(&key("a")).await.unwrap();
        fake.fault(Fault::CloseOnce);
        let error = client.incr(&key("a"), 1).await.unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{protocol:?}: {error}");
        assert_eq!(fake.take_log(), ["get a"]);
        // A fresh connection that fails is not retried either.
        fake.fault(Fault::CloseOnce);
        let error = client.get(&key("a")).await.unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{protocol:?}: {error}");
    }
}

#[tokio::test]
async fn after_a_refused_store_nothing_on_its_connection_is_believed() {
    for protocol in [Protocol::Text, Protocol::Meta] {
        let fake = Fake::start().await;
        let client = patient(&fake, protocol).await;
        fake.put("victim", "real value");
        fake.fault(Fault::RefuseStore);
        let payload = "gets victim\r\nmg victim v f c k O3";
        let commands = vec![
            Command::Store {
                mode: StoreMode::Set,
                key: key("x"),
                value: payload.into(),
                flags: 0,
                exptime: 0,
            },
            Command::Get { key: key("other") },
        ];
        let replies = client.batch(commands).await.replies;
        match &replies[0] {
            Err(Error::Server { refusal, .. }) => assert_eq!(refusal.kind, RefusalKind::Other),
            other => panic!("{protocol:?}: {other:?}"),
        }
        assert!(matches!(replies[1], Err(Error::Io { .. })), "{protocol:?}: {:?}", replies[1]);
        fake.fault(Fault::None);
        assert_eq!(client.get(&key("other")).await.unwrap(), None, "{protocol:?}");
    }
}

#[tokio::test]
async fn limits_and_misuse_are_told_before_anything_is_sent() {
    let fake = Fake::start().await;
    let mut config = fake.config(Protocol::Binary);
    config.max_value_len = 10;
    let client = Client::new(config).unwrap();
    let error = client.add(&key("k"), "eleven bytes", 0, 0).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }));
    assert!(error.to_string().contains("12 bytes, the limit is 10"), "{error}");
    let error = client.cas(&key("k"), "x", 0, 0, 0).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    let batch = client.batch(vec![Command::FlushAll, Command::Version]).await;
    assert!(batch.replies.iter().all(|reply| matches!(reply, Err(Error::Invalid { .. }))));
    assert_eq!(batch.round_trips, 0);
    assert_eq!(fake.connections(), 0);
}

#[tokio::test]
async fn no_more_connections_than_allowed() {
    let fake = Fake::start().await;
    fake.put("a", "1");
    fake.fault(Fault::Trickle(Duration::from_micros(100)));
    let mut config = fake.config(Protocol::Binary);
    config.max_connections = 3;
    let client = Client::new(config).unwrap();
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get(&key("a")).await })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap().unwrap().is_some());
    }
    assert_eq!(fake.most_open(), 3);
    let health = &client.health()[0];
    assert_eq!((health.connections_in_use, health.connections_idle), (0, 3));
}

#[tokio::test]
async fn waiting_for_a_connection_counts_against_the_deadline() {
    let fake = Fake::start().await;
    fake.fault(Fault::Freeze);
    let mut config = fake.config(Protocol::Meta);
    config.max_connections = 1;
    config.failure_limit = 100;
    let client = Client::new(config).unwrap();
    let start = Instant::now();
    let (a, b) = (key("a"), key("b"));
    let both = async { tokio::join!(client.get(&a), client.get(&b)) };
    let (first, second) = fake.unanswered(both).await;
    // By the clock that leaps; one after the other they would take twice as long.
    assert!(start.elapsed() < DEADLINE * 2);
    assert!(matches!(first, Err(Error::Timeout { .. })));
    let message = second.unwrap_err().to_string();
    assert!(message.contains("within 20s"), "{message}");
}
