//! Settings: addresses, lists of servers, URLs, and messages that name what is wrong.

use std::time::Duration;

use larder_client::{
    Client, Config, ConfigError, Credentials, Protocol, RingKind, ServerAddr, parse_servers,
};

#[test]
fn addresses_are_read_and_written() {
    let cases = [
        ("cache1", "cache1:11211"),
        ("cache1:11300", "cache1:11300"),
        ("10.0.0.1", "10.0.0.1:11211"),
        ("[::1]", "[::1]:11211"),
        ("[::1]:99", "[::1]:99"),
        ("/run/mc.sock", "unix:/run/mc.sock"),
        ("unix:/run/mc.sock", "unix:/run/mc.sock"),
        ("cache1*3", "cache1:11211*3"),
        ("cache1:99*3", "cache1:99*3"),
        ("/run/mc.sock*2", "unix:/run/mc.sock*2"),
    ];
    for (text, written) in cases {
        let addr: ServerAddr = text.parse().unwrap();
        assert_eq!(addr.to_string(), written);
        assert_eq!(written.parse::<ServerAddr>().unwrap(), addr);
    }
    assert_eq!("a*3".parse::<ServerAddr>().unwrap().weight(), 3);
    let from: ServerAddr = "[::1]:5".parse::<std::net::SocketAddr>().unwrap().into();
    assert_eq!(from.to_string(), "[::1]:5");
}

#[test]
fn malformed_addresses_are_named() {
    let cases = [
        ("", "the host is missing"),
        (":11211", "the host is missing"),
        ("host:", "1 to 65535"),
        ("host:0", "1 to 65535"),
        ("host:70000", "1 to 65535"),
        ("host:port", "1 to 65535"),
        ("::1", "in brackets"),
        ("[::1", "not closed"),
        ("[nonsense]:1", "IPv6"),
        ("[::1]x", "only :port"),
        ("unix:relative.sock", "begins with /"),
        ("host*0", "weight"),
        ("host*x", "weight"),
        ("user@host", "character"),
        ("ho st", "character"),
    ];
    for (text, reason) in cases {
        let message = text.parse::<ServerAddr>().unwrap_err().to_string();
        assert!(message.contains(reason), "{text}: {message}");
        assert!(message.contains(&format!("{text:?}")), "{message}");
    }
}

#[test]
fn lists_of_servers() {
    let servers = parse_servers(" mc1.example.com:11211,mc2;  mc3\tmc4:5 ,,").unwrap();
    let written: Vec<String> = servers.iter().map(ToString::to_string).collect();
    assert_eq!(written, ["mc1.example.com:11211", "mc2:11211", "mc3:11211", "mc4:5"]);
    assert!(parse_servers(" , ;").unwrap_err().to_string().contains("names no server"));
    assert!(parse_servers("a,b:x").unwrap_err().to_string().contains("\"b:x\""));
}

#[test]
fn a_url_with_everything() {
    let config = Config::from_url(
        "memcached://us%3Aer:p%40ss%2F@host1,host2:11212*2,%2Frun%2Fmc.sock/\
         ?tls=on&tls_ca=/etc/ca.pem&tls_name=cache&ring=ketama_weighted&protocol=text\
         &timeout=1s&retry_min=5ms&retry_max=9s&failure_limit=3&max_connections=4&max_value_len=99",
    )
    .unwrap();
    let written: Vec<String> = config.servers.iter().map(ToString::to_string).collect();
    assert_eq!(written, ["host1:11211", "host2:11212*2", "unix:/run/mc.sock"]);
    assert_eq!(config.credentials, Some(Credentials::new("us:er", "p@ss/")));
    assert_eq!((config.ring, config.protocol), (RingKind::KetamaWeighted, Protocol::Text));
    let tls = config.tls.unwrap();
    assert_eq!(tls.ca_file.unwrap().to_str(), Some("/etc/ca.pem"));
    assert_eq!(tls.server_name.as_deref(), Some("cache"));
    assert_eq!(config.timeout, Duration::from_secs(1));
    assert_eq!(config.retry_min, Duration::from_millis(5));
    assert_eq!(config.retry_max, Duration::from_secs(9));
    assert_eq!((config.failure_limit, config.max_connections, config.max_value_len), (3, 4, 99));
}

#[test]
fn url_defaults() {
    let plain = Config::from_url("memcached://localhost").unwrap();
    assert_eq!((plain.protocol, plain.ring), (Protocol::Meta, RingKind::Ketama));
    assert_eq!(plain.timeout, Duration::from_millis(250));
    assert!(plain.credentials.is_none() && plain.tls.is_none());
    let with = Config::from_url("memcached://u:p@localhost/").unwrap();
    assert_eq!(with.protocol, Protocol::Binary);
}

#[test]
fn malformed_urls_name_the_part_and_never_the_password() {
    let cases = [
        ("localhost", "the scheme"),
        ("redis://u:hunter2@h", "the scheme is \"redis\""),
        ("memcached://", "the host"),
        ("memcached://u:hunter2", "the host is \"u\""),
        ("memcached://u@h", "user:password"),
        ("memcached://u:hunter2%zz@h", "the password"),
        ("memcached://u%zz:hunter2@h", "the user"),
        ("memcached://u:hunter2?x@h", "the part after ?"),
        ("memcached://h/path", "the path"),
        ("memcached://h:99999", "the host"),
        ("memcached://h/?ring=modulo", "ketama or ketama_weighted"),
        ("memcached://h/?protocol=ascii", "text, meta or binary"),
        ("memcached://h/?tls=yes", "on or off"),
        ("memcached://h/?tls=off&tls_ca=/x", "the parameter tls"),
        ("memcached://h/?tls_ca=", "not empty"),
        ("memcached://h/?timeout=250", "250ms or 2s"),
        ("memcached://h/?timeout=-1s", "250ms or 2s"),
        ("memcached://h/?timeout=0s", "timeout is out of range"),
        ("memcached://h/?max_connections=many", "a whole number"),
        ("memcached://h/?max_connections=0", "1 to 65535"),
        ("memcached://h/?failure_limit=0", "1 or more"),
        ("memcached://h/?retry_min=9s", "retry_max"),
        ("memcached://h/?timeout=1s&timeout=2s", "given once"),
        ("memcached://h/?colour=red", "one of protocol"),
        ("memcached://h,h", "listed twice"),
        ("memcached://%00u:hunter2@h", "character"),
        ("memcached://:hunter2@h", "user name is empty"),
    ];
    for (url, expected) in cases {
        if url.contains("%00") {
            // A NUL is valid percent-encoding and no valid user name.
            let message = Config::from_url(url).unwrap_err().to_string();
            assert!(message.contains("NUL") && !message.contains("hunter2"), "{message}");
            continue;
        }
        let message = Config::from_url(url).unwrap_err().to_string();
        assert!(message.contains(expected), "{url}: {message}");
        assert!(!message.contains("hunter2"), "{url}: {message}");
    }
}

#[test]
fn passwords_are_not_shown() {
    let config = Config::new(vec!["h".parse().unwrap()])
        .with_credentials(Credentials::new("app", "hunter2"));
    assert_eq!(config.protocol, Protocol::Binary);
    let shown = format!("{config:?} {:?}", Client::new(config.clone()).unwrap());
    assert!(shown.contains("app") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn settings_that_make_no_sense() {
    assert_eq!(Client::new(Config::new(Vec::new())).unwrap_err(), ConfigError::NoServers);
    let mut spaced = Config::new(vec!["h".parse().unwrap()])
        .with_credentials(Credentials::new("two words", "p"));
    assert!(Client::new(spaced.clone()).is_ok());
    spaced.protocol = Protocol::Meta;
    let message = Client::new(spaced).unwrap_err().to_string();
    assert!(message.contains("no space"), "{message}");
}

proptest::proptest! {
    /// Whatever someone puts into the variable: settings or an error, no panic.
    #[test]
    fn any_url_is_read_or_refused(rest in "[a-z:@/?&=%,;*.\\[\\]0-9é \\x00]{0,60}") {
        let _ = Config::from_url(&format!("memcached://{rest}"));
        let _ = parse_servers(&rest);
    }
}
