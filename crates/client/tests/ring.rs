//! The rings agree with libmemcached, key for key.
//!
//! `golden/libmemcached.txt` was written by a small C program on libmemcached 1.1.4: for every set of
//! servers one line with the behaviour and the servers, and one line with the index of the server
//! that each of 5000 keys belongs to. Every fifth key holds bytes outside ASCII.

use larder_client::{Client, Config, Key, RingKind, ServerAddr};

const GOLDEN: &str = include_str!("golden/libmemcached.txt");

#[test]
fn every_key_is_where_libmemcached_puts_it() {
    let lines: Vec<&str> = GOLDEN.lines().collect();
    assert_eq!(lines.len(), 32);
    for case in lines.chunks(2) {
        let mut words = case[0].split(' ');
        let ring = match words.next() {
            Some("ketama") => RingKind::Ketama,
            Some("ketama_weighted") => RingKind::KetamaWeighted,
            other => panic!("unknown ring {other:?}"),
        };
        let servers: Vec<ServerAddr> = words.map(|word| word.parse().unwrap()).collect();
        let mut config = Config::new(servers.clone());
        config.ring = ring;
        let client = Client::new(config).unwrap();
        assert_eq!(case[1].len(), 5000);
        let wrong = case[1].bytes().enumerate().filter(|&(number, index)| {
            let index = usize::from(index - b'0');
            client.server_of(&key(number)) != &servers[index]
        });
        assert_eq!(wrong.count(), 0, "keys elsewhere: {}", case[0]);
    }
}

fn key(number: usize) -> Key {
    let text =
        if number % 5 == 4 { format!("schlüssel-€-{number}") } else { format!("key-{number}") };
    Key::new(text).unwrap()
}
