//! A failing server is left alone, costs nothing meanwhile, and comes back by itself.

mod support;

use std::time::{Duration, Instant};

use larder_client::{Client, Command, Error, Protocol, ServerAddr};
use support::{Fake, Fault, eventually, key};

#[tokio::test]
async fn two_timeouts_open_it_and_one_success_closes_it() {
    let fake = Fake::start().await;
    fake.put("a", "1");
    let mut config = fake.config(Protocol::Binary);
    config.timeout = Duration::from_millis(200);
    config.retry_min = Duration::from_millis(500);
    config.retry_max = Duration::from_millis(500);
    let client = Client::new(config).unwrap();
    fake.fault(Fault::Freeze);
    for _ in 0..2 {
        assert!(matches!(client.get(&key("a")).await, Err(Error::Timeout { .. })));
    }
    assert!(!client.health()[0].up);
    let start = Instant::now();
    for _ in 0..1000 {
        let error = client.get(&key("a")).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        assert!(error.is_unavailable());
        assert!(error.to_string().contains("2 failures in a row"), "{error}");
    }
    assert!(start.elapsed() < Duration::from_millis(400));
    assert_eq!(client.health()[0].failures, 2);
    fake.fault(Fault::None);
    tokio::time::sleep(Duration::from_millis(510)).await;
    assert!(client.get(&key("a")).await.unwrap().is_some());
    let health = &client.health()[0];
    assert!(health.up);
    assert_eq!((health.failures, health.failures_in_a_row), (2, 0));
}

#[tokio::test]
async fn one_probe_goes_through_while_the_others_fail_fast() {
    let fake = Fake::start().await;
    let mut config = fake.config(Protocol::Meta);
    config.timeout = Duration::from_millis(200);
    config.retry_min = Duration::from_millis(60);
    let client = Client::new(config).unwrap();
    fake.fault(Fault::Freeze);
    for _ in 0..2 {
        client.get(&key("a")).await.unwrap_err();
    }
    tokio::time::sleep(Duration::from_millis(70)).await;
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get(&key("a")).await.unwrap_err() })
        })
        .collect();
    let mut probes = 0;
    for task in tasks {
        if let Error::Timeout { .. } = task.await.unwrap() {
            probes += 1;
        }
    }
    assert_eq!(probes, 1);
}

#[tokio::test]
async fn a_cancelled_probe_does_not_block_the_next() {
    let fake = Fake::start().await;
    let mut config = fake.config(Protocol::Meta);
    config.timeout = Duration::from_millis(200);
    config.retry_min = Duration::from_millis(10);
    let client = Client::new(config).unwrap();
    fake.fault(Fault::Freeze);
    for _ in 0..2 {
        client.get(&key("a")).await.unwrap_err();
    }
    tokio::time::sleep(Duration::from_millis(15)).await;
    let a = key("a");
    let probe = client.get(&a);
    assert!(tokio::time::timeout(Duration::from_millis(5), probe).await.is_err());
    fake.fault(Fault::None);
    assert_eq!(client.get(&a).await.unwrap(), None);
}

#[tokio::test]
async fn one_dead_server_of_two_costs_only_its_own_keys() {
    let fake = Fake::start().await;
    // Nothing listens where this was bound.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
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
