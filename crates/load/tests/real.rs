//! Loads of every kind against the distribution's memcached: all replies right, all keys found.

mod support;

use std::time::{Duration, Instant};

use larder_load::load::{Choice, Mix, Sizes};
use larder_load::{
    Error, Figures, Generator, Load, Login, LoginForm, Protocol, Server, Tls, compare, cpu,
};
use larder_peers::Memcached;
use support::{at, certificate, run, tls_relay, unix_relay};

const PROTOCOLS: [Protocol; 3] = [Protocol::Text, Protocol::Meta, Protocol::Binary];

/// A short load on few keys.
fn short() -> Load {
    Load {
        keys: 2000,
        connections: 3,
        values: Sizes { min: 0, max: 300 },
        warmup: Duration::ZERO,
        duration: Duration::from_millis(200),
        ..Load::default()
    }
}

fn fill(generator: &Generator, server: &Server) {
    let tally = generator.fill(server, &mut |_| ()).unwrap().tally;
    let sets = u64::from(generator.load().keys);
    assert_eq!((tally.sets, tally.errors()), (sets, 0), "{:?}", tally.first_error);
}

fn assert_right(figures: &Figures, what: &str) {
    let tally = &figures.tally;
    assert_eq!(tally.errors(), 0, "{what}: {:?}", tally.first_error);
    assert_eq!(tally.misses, 0, "{what}");
    assert!(tally.operations() > 0, "{what}: nothing was asked");
    assert_eq!(figures.latency.count(), tally.commands, "{what}: every command has a latency");
}

#[test]
fn every_shape_in_every_protocol() {
    let memcached = Memcached::plain();
    let server = at(memcached.addr());
    for protocol in PROTOCOLS {
        let load = Load { protocol, ..short() };
        fill(&Generator::new(load.clone()).unwrap(), &server);
        for load in [
            Load { choice: Choice::Uniform, ..load.clone() },
            Load { pipeline: 64, mix: Mix { gets: 1, sets: 0 }, ..load.clone() },
            Load { multiget: 100, threads: 2, ..load.clone() },
            Load { multiget: 7, pipeline: 5, mix: Mix { gets: 1, sets: 1 }, ..load.clone() },
            Load { mix: Mix { gets: 0, sets: 1 }, ttl: 1000, ..load.clone() },
        ] {
            let what = load.to_string();
            let figures = run(&Generator::new(load).unwrap(), &server);
            assert_right(&figures, &what);
        }
    }
}

#[test]
fn large_values_arrive_in_pieces() {
    let memcached = Memcached::with_args(&["-m", "256"]);
    let server = at(memcached.addr());
    for protocol in PROTOCOLS {
        let values = Sizes { min: 100_000, max: 900_000 };
        let load = Load { protocol, keys: 20, values, multiget: 4, pipeline: 2, ..short() };
        let generator = Generator::new(load).unwrap();
        fill(&generator, &server);
        assert_right(&run(&generator, &server), &protocol.to_string());
    }
}

#[test]
fn missing_keys_are_misses_and_no_errors() {
    let memcached = Memcached::plain();
    let server = at(memcached.addr());
    for protocol in PROTOCOLS {
        for multiget in [1, 10] {
            let mix = Mix { gets: 1, sets: 0 };
            let load = Load { protocol, multiget, mix, key_size: 20, ..short() };
            let tally = run(&Generator::new(load).unwrap(), &server).tally;
            assert_eq!((tally.errors(), tally.hits), (0, 0), "{:?}", tally.first_error);
            assert!(tally.misses > 0);
        }
    }
}

#[test]
fn values_of_another_load_are_wrong() {
    let memcached = Memcached::plain();
    let server = at(memcached.addr());
    fill(&Generator::new(short()).unwrap(), &server);
    for protocol in PROTOCOLS {
        // The same keys, other sizes.
        let values = Sizes { min: 400, max: 400 };
        let load = Load { protocol, values, mix: Mix { gets: 1, sets: 0 }, ..short() };
        let tally = run(&Generator::new(load).unwrap(), &server).tally;
        assert!(tally.wrong > 0 && tally.hits == 0 && tally.lost == 0);
        assert!(tally.first_error.unwrap().ends_with("400 were stored"));
    }
}

#[test]
fn the_open_loop_keeps_its_rate_or_says_that_it_does_not() {
    let memcached = Memcached::plain();
    let server = at(memcached.addr());
    let load = Load { rate: Some(2000.0), duration: Duration::from_secs(1), ..short() };
    fill(&Generator::new(load.clone()).unwrap(), &server);
    let begin = Instant::now();
    let figures = run(&Generator::new(load.clone()).unwrap(), &server);
    // However long it took, no more were due but by chance, which a fifth is far beyond.
    let most = 2400.0 * begin.elapsed().as_secs_f64();
    assert_right(&figures, "2,000 a second");
    let operations = u32::try_from(figures.tally.operations()).unwrap();
    assert!(f64::from(operations) <= most, "{operations} and not {most}");
    // No server of one machine answers so many on three connections, one at a time.
    let load = Load { rate: Some(1e6), ..load };
    let figures = run(&Generator::new(load).unwrap(), &server);
    assert_eq!(figures.tally.errors(), 0);
    assert!(figures.behind > 0);
}

#[test]
fn a_frozen_server_shows_in_the_latencies_of_the_open_loop() {
    let memcached = Memcached::plain();
    let server = at(memcached.addr());
    let load =
        Load { rate: Some(1000.0), connections: 1, duration: Duration::from_secs(4), ..short() };
    let generator = Generator::new(load).unwrap();
    fill(&generator, &server);
    let mut frozen = false;
    let figures = generator.run(&server, &mut |progress| {
        // Early, so that it goes on for long enough afterwards, however late this thread is.
        if progress.share > 0.1 && !frozen {
            frozen = true;
            memcached.freeze();
            std::thread::sleep(Duration::from_millis(1200));
            memcached.thaw();
        }
    });
    let figures = figures.unwrap();
    // About 1,200 of 4,000 requests were due meanwhile: with one request in flight, a generator that
    // waits for replies would have seen one slow one, and p90 would be fast.
    assert!(figures.latency_micros(0.9) > 50_000.0, "{}", figures.latency_micros(0.9));
}

#[test]
fn unix_sockets_and_tls() {
    let memcached = Memcached::plain();
    let dir = tempfile::tempdir().unwrap();
    let unix = unix_relay(memcached.addr(), &dir.path().join("socket"));
    let encrypted = tls_relay(memcached.addr());
    let trusted = Tls {
        ca: Some(certificate("ca.pem")),
        name: Some("cache.test".to_owned()),
        ..Tls::default()
    };
    let generator = Generator::new(Load { pipeline: 64, ..short() }).unwrap();
    fill(&generator, &unix);
    assert_right(&run(&generator, &unix), "unix");
    let large =
        Load { values: Sizes { min: 50_000, max: 90_000 }, keys: 50, key_size: 20, ..short() };
    let large = Generator::new(Load { pipeline: 8, ..large }).unwrap();
    for tls in [trusted.clone(), Tls { insecure: true, name: None, ca: None, ..Tls::default() }] {
        let server = Server { tls: Some(tls), ..encrypted.clone() };
        assert_right(&run(&generator, &server), "TLS");
        fill(&large, &server);
        assert_right(&run(&large, &server), "TLS, large values");
    }
    for (tls, part) in [
        (Tls { name: Some("other.test".to_owned()), ..trusted.clone() }, "certificate"),
        (Tls { ca: None, ..trusted.clone() }, "certificate"),
        (Tls { ca: Some(dir.path().join("none.pem")), ..trusted }, "none.pem"),
    ] {
        let server = Server { tls: Some(tls), ..encrypted.clone() };
        let error = generator.run(&server, &mut |_| ()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn sasl_is_spoken() {
    let memcached = Memcached::sasl("alice", "s3cret");
    let login = |password: &str| {
        let (form, user) = (LoginForm::Sasl, "alice".to_owned());
        Some(Login { form, user, password: password.to_owned() })
    };
    let generator = Generator::new(Load { protocol: Protocol::Binary, ..short() }).unwrap();
    let server = Server { login: login("s3cret"), ..at(memcached.addr()) };
    fill(&generator, &server);
    assert_right(&run(&generator, &server), "SASL");
    let server = Server { login: login("wrong"), ..server };
    let error = generator.run(&server, &mut |_| ()).unwrap_err().to_string();
    assert!(error.contains("refuses the password of \"alice\""), "{error}");
    assert!(!error.contains("wrong"), "a password is not shown: {error}");
}

#[test]
fn text_logins_are_spoken() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "alice:s3cret\n").unwrap();
    // memcached reads it as another user.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(file.path(), open).unwrap();
    let memcached = Memcached::with_args(&["-Y", file.path().to_str().unwrap()]);
    let login = |form, password: &str| {
        Some(Login { form, user: "alice".to_owned(), password: password.to_owned() })
    };
    for protocol in [Protocol::Text, Protocol::Meta] {
        let generator = Generator::new(Load { protocol, ..short() }).unwrap();
        let server = Server { login: login(LoginForm::Text, "s3cret"), ..at(memcached.addr()) };
        fill(&generator, &server);
        assert_right(&run(&generator, &server), "-Y");
        for (form, password) in [(LoginForm::Text, "x"), (LoginForm::Memcachier, "s3cret")] {
            let server = Server { login: login(form, password), ..server.clone() };
            let error = generator.run(&server, &mut |_| ()).unwrap_err().to_string();
            assert!(error.contains("CLIENT_ERROR"), "{error}");
        }
        let nobody = Server { login: None, ..server };
        assert!(matches!(nobody.version(protocol), Err(Error::Server { .. })));
    }
}

#[test]
fn two_servers_take_turns() {
    let (one, two) = (Memcached::plain(), Memcached::plain());
    // Long enough for the server to use a tick of CPU time, by which the system counts.
    let load = Load { duration: Duration::from_millis(500), ..short() };
    let generator = Generator::new(load).unwrap();
    let servers = [&one, &two].map(|memcached| {
        let server = at(memcached.addr());
        Server { pid: cpu::listener(&server.address), ..server }
    });
    assert_eq!(servers.each_ref().map(|server| server.pid), [Some(one.pid()), Some(two.pid())]);
    let mut turns = Vec::new();
    let compared = compare(&generator, &servers, 2, true, &mut |turn| {
        let turn = (turn.round, turn.server.pid.unwrap());
        if turns.last() != Some(&turn) {
            turns.push(turn);
        }
    });
    let compared = compared.unwrap();
    let (a, b) = (one.pid(), two.pid());
    assert_eq!(turns, [(0, a), (0, b), (1, a), (1, b), (2, a), (2, b)]);
    for server in &compared {
        assert_eq!((server.rounds.len(), server.errors()), (2, 0), "{:?}", server.first_error());
        assert_eq!(server.version, Memcached::version());
        assert!(server.median(Figures::cpu_micros) > 0.0);
    }
    assert!(compared[0].ratio(&compared[1], Figures::operations_per_second) > 0.0);
}
