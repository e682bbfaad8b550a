//! The same behaviour against real memcached: text, meta, binary, and binary with SASL.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use larder_client::{
    Client, Command, Config, Credentials, Error, Protocol, RefusalKind, Reply, ServerAddr,
    StoreOutcome,
};
use larder_peers::Memcached;
use support::{PROTOCOLS, eventually, key, leaping};

/// Generous: these tests are about results, on a machine that may be busy.
fn config(memcached: &Memcached, protocol: Protocol) -> Config {
    let mut config = Config::new(vec![memcached.addr().into()]);
    config.protocol = protocol;
    config.timeout = Duration::from_secs(30);
    config
}

fn is_stored(outcome: StoreOutcome) -> bool {
    matches!(outcome, StoreOutcome::Stored { .. })
}

/// Every command, with every outcome a server can give.
async fn behaves(client: &Client, protocol: Protocol) {
    let (a, none) = (key("a"), key("none"));
    assert_eq!(client.get(&a).await.unwrap(), None);
    assert!(is_stored(client.set(&a, "one\r\ntwo\0", 0xdead_beef, 0).await.unwrap()));
    let item = client.get(&a).await.unwrap().unwrap();
    assert_eq!((&item.value[..], item.flags), (&b"one\r\ntwo\0"[..], 0xdead_beef));
    assert_eq!(client.add(&a, "x", 0, 0).await.unwrap(), StoreOutcome::NotStored);
    assert_eq!(client.replace(&none, "x", 0, 0).await.unwrap(), StoreOutcome::NotStored);
    assert_eq!(client.append(&none, "x").await.unwrap(), StoreOutcome::NotStored);
    assert_eq!(client.prepend(&none, "x").await.unwrap(), StoreOutcome::NotStored);
    assert_eq!(client.cas(&none, "x", 0, 0, 5).await.unwrap(), StoreOutcome::NotFound);
    assert_eq!(client.cas(&a, "x", 0, 0, item.cas + 1000).await.unwrap(), StoreOutcome::Exists);
    let outcome = client.cas(&a, "mid", 1, 0, item.cas).await.unwrap();
    let cas = client.get(&a).await.unwrap().unwrap().cas;
    let told = if protocol == Protocol::Text { None } else { Some(cas) };
    assert_eq!(outcome, StoreOutcome::Stored { cas: told });
    assert!(is_stored(client.append(&a, "-end").await.unwrap()));
    assert!(is_stored(client.prepend(&a, "start-").await.unwrap()));
    assert!(is_stored(client.replace(&key("a"), "r", 0, 0).await.unwrap()));
    assert!(client.touch(&a, 100).await.unwrap());
    assert!(!client.touch(&none, 100).await.unwrap());
    assert!(is_stored(client.add(&key("n"), "9", 0, 0).await.unwrap()));
    assert_eq!(client.incr(&key("n"), 4).await.unwrap(), Some(13));
    assert_eq!(client.decr(&key("n"), 5).await.unwrap(), Some(8));
    assert_eq!(client.decr(&key("n"), 50).await.unwrap(), Some(0));
    assert_eq!(client.incr(&none, 1).await.unwrap(), None);
    match client.incr(&a, 1).await {
        Err(Error::Server { refusal, .. }) => assert_eq!(refusal.kind, RefusalKind::NonNumeric),
        other => panic!("{other:?}"),
    }
    assert!(client.delete(&a).await.unwrap());
    assert!(!client.delete(&a).await.unwrap());
    let version = client.versions().await.remove(0).1.unwrap();
    assert!(version.starts_with("1."), "{version}");
    client.flush_all().await.remove(0).1.unwrap();
    assert_eq!(client.get(&key("n")).await.unwrap(), None);
}

/// A value under the client's limit and over the server's: refused, and the connection goes on.
async fn refuses_too_large(client: &Client) {
    let big = key("big");
    client.set(&big, "small", 0, 0).await.unwrap();
    let huge = vec![b'x'; 1024 * 1024];
    let commands = vec![
        Command::Get { key: key("before") },
        Command::Store {
            mode: larder_client::StoreMode::Set,
            key: big.clone(),
            value: huge.into(),
            flags: 0,
            exptime: 0,
        },
        Command::Get { key: key("after") },
    ];
    let replies = client.batch(commands).await.replies;
    assert!(matches!(replies[0], Ok(Reply::Item(None))), "{:?}", replies[0]);
    assert!(matches!(replies[1], Err(Error::TooLarge { .. })), "{:?}", replies[1]);
    assert!(matches!(replies[2], Ok(Reply::Item(None))), "{:?}", replies[2]);
    assert_eq!(client.get(&big).await.unwrap(), None, "the value it should replace is gone");
    assert_eq!(client.health()[0].failures, 0);
}

#[tokio::test]
async fn every_command_over_every_protocol() {
    let memcached = Memcached::plain();
    for protocol in PROTOCOLS {
        let client = Client::new(config(&memcached, protocol)).unwrap();
        behaves(&client, protocol).await;
        refuses_too_large(&client).await;
    }
}

#[tokio::test]
async fn every_command_with_sasl() {
    let memcached = Memcached::sasl("app", "s3cret pass:word");
    let right = Credentials::new("app", "s3cret pass:word");
    let config = config(&memcached, Protocol::Binary);
    let client = Client::new(config.clone().with_credentials(right)).unwrap();
    behaves(&client, Protocol::Binary).await;
    refuses_too_large(&client).await;
    let wrong = Credentials::new("app", "not it");
    let client = Client::new(config.clone().with_credentials(wrong)).unwrap();
    let error = client.get(&key("a")).await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error}");
    let none = Client::new(config).unwrap();
    let error = none.get(&key("a")).await.unwrap_err();
    assert!(matches!(error, Error::Auth { user: None, .. }), "{error}");
}

#[tokio::test]
async fn credentials_on_a_server_without_authentication() {
    let memcached = Memcached::plain();
    for protocol in PROTOCOLS {
        let mut config =
            config(&memcached, protocol).with_credentials(Credentials::new("app", "s3cret"));
        config.protocol = protocol;
        let client = Client::new(config).unwrap();
        assert_eq!(client.get(&key("larder-auth")).await.unwrap(), None, "{protocol:?}");
    }
}

#[tokio::test]
async fn text_authentication() {
    let file = std::env::temp_dir().join(format!("larder-client-auth-{}", std::process::id()));
    std::fs::write(&file, "app:s3cret\n").unwrap();
    let memcached = Memcached::with_args(&["-Y", file.to_str().unwrap()]);
    for protocol in [Protocol::Text, Protocol::Meta] {
        for (password, accepted) in [("s3cret", true), ("wrong", false)] {
            let mut config =
                config(&memcached, protocol).with_credentials(Credentials::new("app", password));
            config.protocol = protocol;
            let client = Client::new(config).unwrap();
            match client.set(&key("a"), "1", 0, 0).await {
                Ok(_) => assert!(accepted),
                Err(error) => {
                    assert!(!accepted && matches!(error, Error::Auth { .. }), "{error}");
                    assert!(!error.to_string().contains(password), "{error}");
                }
            }
        }
    }
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn a_restart_is_not_noticed_by_idle_clients() {
    let mut memcached = Memcached::plain();
    for protocol in PROTOCOLS {
        let client = Client::new(config(&memcached, protocol)).unwrap();
        client.set(&key("a"), "1", 0, 0).await.unwrap();
        memcached.restart();
        assert_eq!(client.get(&key("a")).await.unwrap(), None, "{protocol:?}");
        assert_eq!(client.health()[0].failures, 0);
    }
}

#[tokio::test]
async fn killed_and_restarted_the_breaker_opens_and_recovers() {
    let mut memcached = Memcached::plain();
    let mut config = config(&memcached, Protocol::Meta);
    // Long enough for the third request to come before the first probe.
    config.retry_min = config.retry_max;
    let client = Client::new(config).unwrap();
    client.set(&key("a"), "1", 0, 0).await.unwrap();
    memcached.kill();
    for _ in 0..2 {
        assert!(client.get(&key("a")).await.unwrap_err().is_unavailable());
    }
    assert!(!client.health()[0].up);
    assert!(matches!(client.get(&key("a")).await, Err(Error::Unavailable { .. })));
    client.delete(&key("a")).await.unwrap_err();
    memcached.restart();
    eventually("the background task applies the delete", || {
        client.health()[0].owed_deletes == 0 && client.health()[0].up
    })
    .await;
    assert_eq!(client.get(&key("a")).await.unwrap(), None);
}

#[tokio::test]
async fn a_frozen_server_costs_a_deadline_and_no_stale_read() {
    let memcached = Memcached::plain();
    let mut config = config(&memcached, Protocol::Binary);
    config.failure_limit = 100;
    let client = Client::new(config).unwrap();
    client.set(&key("a"), "stale", 0, 0).await.unwrap();
    memcached.freeze();
    let error = leaping(client.delete(&key("a"))).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    memcached.thaw();
    loop {
        match client.get(&key("a")).await {
            Ok(item) => break assert_eq!(item, None),
            Err(error) => assert!(error.is_unavailable(), "{error}"),
        }
    }
}

#[tokio::test]
async fn several_servers_answer_one_batch_in_one_round_trip() {
    let fleet = [Memcached::plain(), Memcached::plain(), Memcached::plain()];
    for protocol in PROTOCOLS {
        let mut config = config(&fleet[0], protocol);
        config.servers = fleet.iter().map(|memcached| memcached.addr().into()).collect();
        let client = Client::new(config.clone()).unwrap();
        let keys: Vec<_> = (0..300).map(|n| key(&format!("{protocol:?}-{n}"))).collect();
        for key in &keys {
            client.set(key, key.as_bytes().to_vec(), 0, 0).await.unwrap();
        }
        let gets = keys.iter().map(|key| Command::Get { key: key.clone() }).collect();
        let batch = client.batch(gets).await;
        assert_eq!(batch.round_trips, 1);
        for (key, reply) in keys.iter().zip(batch.replies) {
            let Ok(Reply::Item(Some(item))) = reply else {
                panic!("{key}: {reply:?}");
            };
            assert_eq!(&item.value[..], key.as_bytes());
            // The key is on the server that the ring names, and only there.
            let mut alone = config.clone();
            alone.servers = vec![client.server_of(key).clone()];
            if key.as_bytes().ends_with(b"7") {
                let alone = Client::new(alone).unwrap();
                assert!(alone.get(key).await.unwrap().is_some());
            }
        }
    }
}

#[tokio::test]
async fn a_batch_of_large_values_does_not_block_itself() {
    let memcached = Memcached::with_args(&["-m", "256"]);
    for protocol in PROTOCOLS {
        let client = Client::new(config(&memcached, protocol)).unwrap();
        let value = vec![b'v'; 500_000];
        let mut commands = Vec::new();
        for n in 0..60 {
            let key = key(&format!("{protocol:?}-{n}"));
            commands.push(Command::Store {
                mode: larder_client::StoreMode::Set,
                key: key.clone(),
                value: value.clone().into(),
                flags: 0,
                exptime: 0,
            });
            commands.push(Command::Get { key });
        }
        let batch = client.batch(commands).await;
        assert_eq!(batch.round_trips, 1);
        for pair in batch.replies.chunks(2) {
            assert!(pair[0].is_ok(), "{:?}", pair[0]);
            assert!(matches!(&pair[1], Ok(Reply::Item(Some(item))) if item.value == value));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_random_cancellation_nobody_sees_a_value_of_another_key() {
    let memcached = Memcached::plain();
    for protocol in PROTOCOLS {
        let mut config = config(&memcached, protocol);
        config.max_connections = 8;
        let client = Client::new(config).unwrap();
        let hits = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..100_u64)
            .map(|task| tokio::spawn(hammer(client.clone(), task, Arc::clone(&hits))))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(hits.load(Ordering::Relaxed) > HITS, "{protocol:?}: too few hits to mean anything");
        assert_eq!(client.health()[0].connections_in_use, 0);
    }
}

/// With fewer hits the next test means nothing.
const HITS: usize = 100;

/// Sets and gets some keys, each holding itself, and gives up at random moments: some times, and on a
/// machine that is too slow for its patience more often.
async fn hammer(client: Client, task: u64, hits: Arc<AtomicUsize>) {
    let mut random = task.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let end = Instant::now() + Duration::from_secs(60);
    let mut rounds = 0..60;
    while rounds.next().is_some() || hits.load(Ordering::Relaxed) <= HITS && Instant::now() < end {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let keys: Vec<_> = (0..5).map(|n| key(&format!("key-{}", (random >> n) % 50))).collect();
        // Half of the time too little for anything but luck.
        let most = if random & 64 == 0 { 3_000 } else { 60_000 };
        let patience = Duration::from_micros((random >> 8) % most);
        let work = async {
            if random.is_multiple_of(3) {
                let _ = client.set(&keys[0], keys[0].as_bytes().to_vec(), 0, 0).await;
            }
            client.get_many(&keys).await
        };
        let Ok(items) = tokio::time::timeout(patience, work).await else {
            continue;
        };
        for (key, item) in keys.iter().zip(items) {
            if let Ok(Some(item)) = item {
                assert_eq!(&item.value[..], key.as_bytes());
                hits.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[tokio::test]
async fn over_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("larder-client-{}.sock", std::process::id()));
    // One that was killed with the same process id may have left it.
    let _ = std::fs::remove_file(&path);
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let memcached = Memcached::plain();
    let addr = memcached.addr();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = tokio::net::TcpStream::connect(addr).await.unwrap();
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let mut config = config(&memcached, Protocol::Meta);
    config.servers = vec![ServerAddr::unix(&path)];
    let client = Client::new(config).unwrap();
    behaves(&client, Protocol::Meta).await;
    std::fs::remove_file(&path).unwrap();
}
