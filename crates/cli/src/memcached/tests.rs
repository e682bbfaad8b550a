//! What command lines ask for, and which are refused.

use std::time::Duration;

use larder_server::{ClientCertificates, MinVersion, ProtocolPin, Settings};

use super::flags::{FLAGS, Meaning, Takes};
use super::listen::Port;
use super::options::{Options, Wanted};
use super::{extended::EXTENDED, help, is_meant_by};

fn wanted(line: &str) -> anyhow::Result<Wanted> {
    let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    Wanted::parse(&args)
}

fn options(line: &str) -> Options {
    match wanted(line).unwrap() {
        Wanted::Server(options) => *options,
        other => panic!("{line}: {other:?}"),
    }
}

fn shown<'o>(options: &'o Options, name: &str) -> &'o str {
    let shown = &options.settings.shown;
    &shown.iter().find(|(one, _)| one == name).unwrap().1
}

#[test]
fn without_flags_it_is_memcached() {
    let options = options("");
    let settings = &options.settings;
    assert_eq!((settings.memory_bytes, settings.max_item_bytes), (64 << 20, 1 << 20));
    assert_eq!((settings.max_connections, settings.idle_timeout), (1024, None));
    assert!(settings.evict && settings.cas && settings.allow_flush && settings.allow_dumps);
    assert!(!settings.allow_shutdown && !settings.detail && settings.verbosity == 0);
    assert_eq!(Port::tcp(options.port, options.udp), Port::This(11211));
    assert!(options.listen.is_empty() && options.socket.is_none() && options.tls.is_none());
    assert!(!options.daemon && !options.sasl && options.auth_file.is_none());
    for (name, value) in [
        ("inter", "NULL"),
        ("domain_socket", "NULL"),
        ("umask", "700"),
        ("tcp_backlog", "1024"),
        ("binding_protocol", "auto-negotiate"),
        ("auth_enabled_ascii", "no"),
        ("ssl_chain_cert", "(null)"),
        ("ssl_wbuf_size", "16384"),
        ("ssl_min_version", "tlsv1.2"),
    ] {
        assert_eq!(shown(&options, name), value, "{name}");
    }
}

#[test]
fn every_flag_that_is_honoured_changes_something() {
    let line = "-p 1 -s /tmp/s -a 770 -A -l 127.0.0.1 -d -r -u nobody -m 1024 -M -c 10 -k -vv \
                -P /tmp/p -D . -t 3 -R 7 -C -b 8675 -B ascii -I 2m -F -X -Y /tmp/a \
                -o idle_timeout=3,read_buf_mem_limit=8 -o no_modern";
    let options = options(line);
    let settings = &options.settings;
    assert_eq!(options.port, Some(Port::This(1)));
    assert_eq!(options.socket.as_deref(), Some("/tmp/s".as_ref()));
    assert_eq!((options.socket_mode, options.backlog), (0o770, 8675));
    assert!(settings.allow_shutdown && options.daemon && options.core_files && options.lock_memory);
    assert_eq!(options.user.as_deref(), Some("nobody"));
    assert_eq!(options.pid_file.as_deref(), Some("/tmp/p".as_ref()));
    assert_eq!((settings.memory_bytes, settings.max_item_bytes), (1 << 30, 2 << 20));
    assert_eq!((settings.max_connections, settings.workers), (10, 3));
    assert_eq!((settings.requests_per_turn, settings.verbosity), (7, 2));
    assert!(!settings.evict && !settings.cas && !settings.allow_flush && !settings.allow_dumps);
    assert!(settings.detail && settings.detail_delimiter == b'.');
    assert_eq!(options.protocol, Some(ProtocolPin::Text));
    assert_eq!(options.auth_file.as_deref(), Some("/tmp/a".as_ref()));
    assert_eq!(settings.idle_timeout, Some(Duration::from_secs(3)));
    assert_eq!(settings.buffer_bytes, 8 << 20);
    assert_eq!(shown(&options, "tcp_backlog"), "8675");
    assert_eq!(shown(&options, "umask"), "770");
    assert_eq!(shown(&options, "auth_enabled_ascii"), "/tmp/a");
}

#[test]
fn every_flag_is_taken_as_its_row_says() {
    for flag in FLAGS {
        // A value that is right for whatever takes one.
        let value = match flag.short {
            'B' => "auto",
            'I' => "1m",
            'a' => "700",
            'f' => "1.5",
            'l' => "127.0.0.1",
            'o' => "idle_timeout=3",
            'D' => ":",
            _ => "64",
        };
        let line = match flag.takes {
            Takes::One(_) => format!("-{} {value}", flag.short),
            _ => format!("-{}", flag.short),
        };
        match (flag.meaning, wanted(&line)) {
            (Meaning::Refused(why), Err(error)) => assert!(error.to_string().ends_with(why)),
            (Meaning::Idle(why), Ok(Wanted::Server(options))) => {
                // Who asks for UDP would wait for it.
                let said = if flag.short == 'U' { &options.warnings } else { &options.notes };
                assert!(said.iter().any(|note| note.contains(why)), "{line}");
            }
            (Meaning::Honoured, Ok(Wanted::Server(options))) => {
                assert_eq!(options.notes, [""; 0], "{line}");
                assert_eq!(options.warnings, [""; 0], "{line}");
            }
            (Meaning::Honoured, Ok(_)) => assert!("hVi".contains(flag.short), "{line}"),
            (Meaning::Honoured, Err(error)) => {
                // TLS needs files.
                assert!(flag.short == 'Z', "{line}: {error}");
            }
            (_, other) => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn command_lines_that_cannot_be_are_refused() {
    for (line, words) in [
        ("-c 0", "-c 0: want a number from 1"),
        ("-c -1", "-c -1"),
        ("-t 0", "-t 0"),
        ("-t four", "-t four"),
        ("-R 0", "-R 0"),
        ("-b 0", "-b 0"),
        ("-p 65536", "-p 65536"),
        ("-B http", "-B http: want ascii, binary or auto"),
        ("-I 1000", "-I 1000: want 1k to 1024m"),
        ("-I 1023", "-I 1023"),
        ("-I 2g -m 8192", "-I 2g"),
        ("-I 256m", "more than half of -m; at most 32 MiB"),
        ("-m 1", "more than half of -m"),
        ("-m 0", "-m 0"),
        ("-m x", "-m x: want megabytes"),
        ("-m 99999999999999999999", "-m 9999"),
        ("-f 1", "-f 1: want a number above 1"),
        ("-n 0", "-n 0"),
        ("-a 8", "-a 8"),
        ("-a 1777", "-a 1777"),
        ("-D ab", "-D \"ab\""),
        ("-e /tmp/x", "-e /tmp/x"),
        ("-S -B auto", "-S with -B"),
        ("-S -B ascii", "-S with -B"),
        ("-S -B binary -B ascii", "-S with -B"),
        ("-S -Y /tmp/a", "-S and -Y"),
        ("-Y /tmp/a -B binary", "-Y with -B binary"),
        ("-Z", "ssl_chain_cert"),
        ("-Z -o ssl_chain_cert=/c", "ssl_key"),
        ("-Z -o ssl_chain_cert=/c,ssl_key=/k,ssl_verify_mode=2", "ssl_ca_cert"),
        ("-o ssl_chain_cert=/c,ssl_key=/k", "-o ssl_key without -Z"),
        ("-l mtls:127.0.0.1", "mtls: without -Z"),
        ("-o hot_lru_pct=50", "90 together"),
        ("-I 1536k -o slab_chunk_max=1000", "no multiple"),
        ("-o ext_path=/tmp/x:64m", "ext_path"),
        ("-o proxy_config=routelib", "proxy_config"),
        ("-v --fooble", "--fooble"),
        ("-l ,", "-l"),
    ] {
        match wanted(line) {
            Err(error) => assert!(format!("{error:#}").contains(words), "{line}: {error:#}"),
            Ok(wanted) => panic!("{line}: {wanted:?}"),
        }
    }
}

#[test]
fn what_memcacheds_tests_start_it_with_is_taken() {
    for line in [
        "-u root -o relaxed_privileges -s /tmp/memcachetest.1.0",
        "-l 127.0.0.1 -u root -o relaxed_privileges -p 31000",
        "-m 48 -o slab_chunk_max=16",
        "-I 1024 -o slab_chunk_max=1,no_lru_crawler,no_lru_maintainer",
        "-I 512k -o slab_chunk_max=16",
        "-o read_buf_mem_limit=1 -t 32 -R 500",
        "-o no_modern,slab_chunk_max=4",
        "-m 2 -o lru_maintainer,lru_crawler,temporary_ttl=61",
        "-o slab_reassign,no_slab_automove -m 8",
        "-m 60 -o slab_reassign,slab_automove,lru_crawler,lru_maintainer,slab_automove_window=3",
        "-m 60 -o watcher_logbuf_size=8",
        "-vv -B auto",
        "-B binary -U 0",
        "-S -B binary -U 0",
    ] {
        options(line);
    }
}

#[test]
fn tls_is_as_the_options_say() {
    let files = "-Z -o ssl_chain_cert=/c -o ssl_key=/k";
    let plain = options(files).tls.unwrap();
    assert_eq!((plain.certificate.to_str(), plain.key.to_str()), (Some("/c"), Some("/k")));
    assert_eq!(plain.client_certificates, ClientCertificates::None);
    assert!(!plain.resumption && plain.client_ca.is_none());
    for (more, certificates, version) in [
        ("ssl_verify_mode=1", ClientCertificates::Request, MinVersion::Tls12),
        ("ssl_verify_mode=2,ssl_min_version=3", ClientCertificates::Require, MinVersion::Tls13),
        ("ssl_verify_mode=3,ssl_min_version=0", ClientCertificates::Request, MinVersion::Tls12),
    ] {
        let tls = options(&format!("{files} -o ssl_ca_cert=/a,{more}")).tls.unwrap();
        assert_eq!((tls.client_certificates, tls.min_version), (certificates, version), "{more}");
    }
    let options = options(&format!("{files} -o ssl_wbuf_size=64,ssl_session_cache"));
    assert!(options.tls.as_ref().unwrap().resumption);
    assert_eq!(shown(&options, "ssl_wbuf_size"), "65536");
    assert_eq!(shown(&options, "ssl_session_cache"), "yes");
    assert_eq!(shown(&options, "ssl_enabled"), "yes");
}

#[test]
fn the_help_promises_what_there_is() {
    let help = help::text();
    for word in ["sasl", "enable-ssl", "unix-socket", "no_drop_privileges"] {
        assert!(help.contains(word), "{word}");
    }
    for word in ["ext_path", "proxy_config"] {
        assert!(!help.contains(word), "{word}");
    }
    for flag in FLAGS.iter().filter(|flag| flag.meaning == Meaning::Honoured) {
        assert!(help.contains(&format!("-{}", flag.short)), "-{}", flag.short);
        assert!(help.contains(&format!("--{}", flag.long)), "--{}", flag.long);
    }
    for option in EXTENDED.iter().filter(|option| option.meaning == Meaning::Honoured) {
        assert!(help.contains(option.name), "{}", option.name);
    }
    assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    assert!(matches!(wanted("-h -c 0").unwrap(), Wanted::Help));
    assert!(matches!(wanted("--version").unwrap(), Wanted::Version));
}

#[test]
fn names_that_begin_with_memcached_are_memcached() {
    for name in ["memcached", "/usr/bin/memcached", "./memcached-debug"] {
        assert!(is_meant_by(name.as_ref()), "{name}");
    }
    for name in ["larder", "/usr/memcached/larder", "", "my-memcached"] {
        assert!(!is_meant_by(name.as_ref()), "{name}");
    }
}

#[test]
fn the_help_says_how_long_stopping_takes() {
    let seconds = Settings::new(64 << 20).stop_deadline.as_secs();
    assert!(help::text().contains(&format!("waits up to {seconds} seconds")));
}
