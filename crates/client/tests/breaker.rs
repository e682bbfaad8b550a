//! A failing server is left alone, costs nothing meanwhile, and comes back by itself.

mod support;

use std::time::Duration;

use larder_client::{Client, Command, Error, Protocol, ServerAddr};
use support::{Fake, Fault, RETRY, dead_address, eventually, key, pass};

#[tokio::test]
async fn two_timeouts_open_it_and_one_success_closes_it() {
    let fake = Fake::start().await;
    fake.put("a", "1");
    let client = fake.client(Protocol::Binary);
    fake.fault(Fault::Freeze);
    for _ in 0..2 {
        let got = fake.unanswered(client.get(&key("a"))).await;
        assert!(matches!(got, Err(Error::Timeout { .. })), "{got:?}");
    }
    assert!(!client.health()[0].up);
    for _ in 0..1000 {
        let error = client.get(&key("a")).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert!(error.is_unavailable());
        assert!(error.to_string().contains("2 failures in a row"), "{error}");
    }
    assert_eq!(fake.frozen(), 2, "the server was not even asked");
    assert_eq!(client.health()[0].failures, 2);
    fake.fault(Fault::None);
    pass(RETRY).await;
    assert!(client.get(&key("a")).await.unwrap().is_some());
    let health = &client.health()[0];
    assert!(health.up);
    assert_eq!((health.failures, health.failures_in_a_row), (2, 0));
}

#[tokio::test]
async fn one_probe_goes_through_while_the_others_fail_fast() {
    let fake = Fake::start().await;
    let client = fake.client(Protocol::Meta);
    fake.fault(Fault::Freeze);
    for _ in 0..2 {
        fake.unanswered(client.get(&key("a"))).await.unwrap_err();
    }
    pass(RETRY).await;
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get(&key("a")).await.unwrap_err() })
        })
        .collect();
    let ends = async {
        let mut probes = 0;
        for task in tasks {
            probes += u32::from(matches!(task.await.unwrap(), Error::Timeout { .. }));
        }
        probes
    };
    assert_eq!(fake.unanswered(ends).await, 1);
    assert_eq!(fake.frozen(), 3);
}

#[tokio::test]
async fn a_cancelled_probe_does_not_block_the_next() {
    let fake = Fake::start().await;
    let client = fake.client(Protocol::Meta);
    fake.fault(Fault::Freeze);
    for _ in 0..2 {
        fake.unanswered(client.get(&key("a"))).await.unwrap_err();
    }
    pass(RETRY).await;
    let a = key("a");
    fake.cancelled(client.get(&a)).await;
    fake.fault(Fault::None);
    assert_eq!(client.get(&a).await.unwrap(), None);
}

#[tokio::test]
async fn one_dead_server_of_two_costs_only_its_own_keys() {
    let fake = Fake::start().await;
    let (_nobody, dead) = dead_address();
    let mut config = fake.config(Protocol::Binary);
    config.servers.push(ServerAddr::from(dead));
    let client = Client::new(config).unwrap();
    let keys: Vec<_> = (0..100).map(|n| key(&format!("k{n}"))).collect();
    let commands = keys.iter().map(|key| Command::Get { key: key.clone() }).collect();
    let batch = client.batch(commands).await;
    assert_eq!(batch.round_trips, 1);
    let mut failed = 0;
    for (key, reply) in keys.iter().zip(&batch.replies) {
        let on_dead = client.server_of(key) == &ServerAddr::from(dead);
        assert_eq!(reply.is_err(), on_dead);
        if let Err(error) = reply {
            failed += 1;
            assert!(matches!(error, Error::Connect { .. }), "{error}");
            assert_eq!(error.server(), Some(&ServerAddr::from(dead)));
        }
    }
    assert!((10..90).contains(&failed), "{failed} of 100 keys on the dead server");
    let versions = client.versions().await;
    assert!(versions[1].1.is_err());
}

#[tokio::test]
async fn the_background_task_closes_the_breaker_too() {
    let fake = Fake::start().await;
    fake.put("a", "stale");
    let mut config = fake.config(Protocol::Binary);
    config.timeout = Duration::from_millis(100);
    config.retry_min = Duration::from_millis(20);
    config.retry_max = Duration::from_millis(200);
    let client = Client::new(config).unwrap();
    fake.fault(Fault::Freeze);
    for _ in 0..2 {
        client.delete(&key("a")).await.unwrap_err();
    }
    // Refused by the breaker, and owed all the same.
    client.delete(&key("b")).await.unwrap_err();
    assert_eq!(client.health()[0].owed_deletes, 2);
    fake.fault(Fault::None);
    eventually("the server is back", || client.health()[0].up).await;
    eventually("nothing is owed", || client.health()[0].owed_deletes == 0).await;
    assert!(!fake.has("a"));
}
