//! A cancelled request never leaves its reply for another one.

mod support;

use std::time::Duration;

use larder_client::{Client, Command};
use support::{Fake, Fault, PROTOCOLS, eventually, key};

#[tokio::test]
async fn bob_never_gets_the_value_of_alice() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        fake.put("alice", "secret of alice");
        fake.put("bob", "secret of bob");
        let mut config = fake.config(protocol);
        config.max_connections = 1;
        let client = Client::new(config).unwrap();
        // A connection is there to be reused.
        client.get(&key("bob")).await.unwrap();
        for patience in [0, 1, 3, 5, 8, 13, 21] {
            fake.fault(Fault::Trickle(Duration::from_micros(300)));
            let alice = key("alice");
            let cancelled = client.get(&alice);
            let _ = tokio::time::timeout(Duration::from_millis(patience), cancelled).await;
            fake.fault(Fault::None);
            let item = client.get(&key("bob")).await.unwrap().unwrap();
            assert_eq!(item.value, "secret of bob", "{protocol:?} after {patience} ms");
        }
    }
}

#[tokio::test]
async fn a_cancelled_delete_is_owed_at_once() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        fake.put("a", "stale");
        let client = fake.client(protocol);
        client.get(&key("b")).await.unwrap();
        fake.fault(Fault::Freeze);
        let doomed = key("a");
        fake.cancelled(client.delete(&doomed)).await;
        assert_eq!(client.health()[0].owed_deletes, 1);
        fake.fault(Fault::None);
        fake.take_log();
        assert_eq!(client.get(&doomed).await.unwrap(), None, "{protocol:?}");
        assert_eq!(fake.take_log(), ["delete a", "get a"]);
    }
}

#[tokio::test]
async fn a_cancelled_batch_frees_its_connections() {
    for protocol in PROTOCOLS {
        let fake = Fake::start().await;
        fake.fault(Fault::Freeze);
        let mut config = fake.config(protocol);
        config.max_connections = 2;
        let client = Client::new(config).unwrap();
        for _ in 0..10 {
            let batch = client.batch(vec![Command::Get { key: key("a") }]);
            assert!(tokio::time::timeout(Duration::from_millis(2), batch).await.is_err());
        }
        assert_eq!(client.health()[0].connections_in_use, 0);
        assert_eq!(client.health()[0].connections_idle, 0);
        fake.fault(Fault::None);
        eventually("an answer", || fake.most_open() <= 12).await;
        assert_eq!(client.get(&key("a")).await.unwrap(), None);
    }
}
