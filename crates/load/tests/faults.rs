//! Servers that answer wrongly, hang up or say nothing: each is found, counted and named.

mod support;

use std::net::TcpListener;
use std::time::Duration;

use larder_load::load::{Mix, Sizes};
use larder_load::{Error, Figures, Generator, Load, Protocol};
use larder_peers::{Memcached, free_address};
use support::{Alter, FOREVER, at, relay, run, run_until};

const PROTOCOLS: [Protocol; 3] = [Protocol::Text, Protocol::Meta, Protocol::Binary];

/// Gets of values of 40 bytes, one at a time.
fn gets(protocol: Protocol) -> Load {
    Load {
        protocol,
        keys: 500,
        connections: 2,
        values: Sizes { min: 40, max: 40 },
        mix: Mix { gets: 1, sets: 0 },
        warmup: Duration::ZERO,
        duration: Duration::from_millis(200),
        ..Load::default()
    }
}

/// The same until all connections have ended.
fn gets_to_the_end(protocol: Protocol) -> Load {
    Load { duration: FOREVER, ..gets(protocol) }
}

/// A load against a memcached whose answers are altered.
fn through(load: Load, alter: Alter) -> Figures {
    let memcached = Memcached::plain();
    let generator = Generator::new(load).unwrap();
    generator.fill(&at(memcached.addr()), &mut |_| ()).unwrap();
    run(&generator, &relay(memcached.addr(), alter))
}

#[test]
fn a_flipped_bit_of_a_value_is_found_in_every_protocol() {
    for protocol in PROTOCOLS {
        let figures = through(gets(protocol), |answer| {
            // Within the value, wherever it begins.
            let middle = answer.len() / 2;
            answer[middle] ^= 0x10;
            true
        });
        let tally = &figures.tally;
        assert!(tally.wrong > 0 && tally.hits == 0, "{protocol}: {tally:?}");
        let error = tally.first_error.as_deref().unwrap();
        assert!(error.starts_with("get key:") && error.contains("byte"), "{error}");
        assert_eq!(tally.lost, 0, "{protocol}: the connection can still be read");
    }
}

#[test]
fn a_value_under_another_key_is_found() {
    // The last digit of the key in `VALUE key:0…01 0 40`.
    const LAST: usize = "VALUE ".len() + 29;
    let figures = through(gets_to_the_end(Protocol::Text), |answer| {
        answer[LAST] = b'0' + (answer[LAST] - b'0' + 1) % 10;
        true
    });
    let tally = figures.tally;
    assert_eq!((tally.hits, tally.wrong, tally.lost), (0, 2, 2), "two connections: {tally:?}");
    assert!(tally.first_error.unwrap().contains("a value for another key"));
    // The binary protocol's opaque.
    let figures = through(gets_to_the_end(Protocol::Binary), |answer| {
        answer[15] ^= 1;
        true
    });
    assert_eq!((figures.tally.hits, figures.tally.wrong), (0, 2));
}

#[test]
fn what_is_no_reply_ends_a_connection() {
    for protocol in PROTOCOLS {
        let figures = through(gets_to_the_end(protocol), |answer| {
            answer[0] ^= 1;
            true
        });
        let tally = figures.tally;
        assert_eq!((tally.hits, tally.wrong, tally.lost), (0, 2, 2), "{protocol}: {tally:?}");
        assert!(tally.first_error.unwrap().contains("not a reply"));
    }
}

#[test]
fn connections_that_end_are_counted() {
    let figures = through(gets_to_the_end(Protocol::Text), |_| false);
    let tally = figures.tally;
    assert_eq!((tally.hits, tally.wrong, tally.lost), (0, 0, 2));
    assert!(tally.first_error.unwrap().contains("a connection ended"));
}

#[test]
fn an_error_of_the_server_is_counted_and_the_load_goes_on() {
    let memcached = Memcached::plain();
    let server = at(memcached.addr());
    for protocol in PROTOCOLS {
        // It takes values of up to a megabyte.
        let values = Sizes { min: 1_100_000, max: 1_100_000 };
        let load = Load { values, mix: Mix { gets: 0, sets: 1 }, pipeline: 2, ..gets(protocol) };
        let generator = Generator::new(load).unwrap();
        // More than are sent at first.
        let tally = run_until(&generator, &server, |tally| tally.refused > 4).tally;
        assert_eq!((tally.sets, tally.lost), (0, 0), "{protocol}: {tally:?}");
        let error = tally.first_error.unwrap();
        assert!(
            error.starts_with("set key:") && error.to_lowercase().contains("too large"),
            "{error}"
        );
    }
}

#[test]
fn who_does_not_answer_when_a_load_ends_is_lost() {
    // The kernel accepts; nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = at(listener.local_addr().unwrap());
    // A reply is lost if it is missing for a second; the rest is for threads that begin late.
    let load = Load { duration: Duration::from_secs(4), ..gets(Protocol::Text) };
    let tally = Generator::new(load).unwrap().run(&server, &mut |_| ()).unwrap().tally;
    assert_eq!((tally.operations(), tally.lost), (0, 2));
    assert!(tally.first_error.unwrap().starts_with("no reply for "));
}

#[test]
fn who_is_not_there_is_named() {
    let address = free_address();
    let generator = Generator::new(gets(Protocol::Text)).unwrap();
    let error = generator.run(&at(address), &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::Server { .. }));
    let text = error.to_string();
    assert!(text.starts_with(&address.to_string()) && text.contains("refused"), "{text}");
}

#[test]
fn a_load_that_cannot_be_is_refused() {
    let gets = gets(Protocol::Text);
    let error = Generator::new(Load { keys: 0, ..gets.clone() }).unwrap_err().to_string();
    assert_eq!(error, "keys 0: must be between 1 and 100000000");
    let memcached = Memcached::plain();
    let generator = Generator::new(Load { cores: vec![1000], ..gets }).unwrap();
    let error = generator.run(&at(memcached.addr()), &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("core 1000"), "{error}");
}
