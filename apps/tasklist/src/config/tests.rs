//! Tables of right and wrong values for every variable; no variable may lack a row.

use super::*;

fn config(vars: &[(&str, &str)]) -> Result<Config, String> {
    let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
    Config::from_vars(vars).map_err(|error| error.to_string())
}

#[test]
fn the_defaults() {
    let config = config(&[("HOME", "/root"), ("MEMCACHIER_SERVERS", "x")]).unwrap();
    assert_eq!(config.database_url.to_string(), "sqlite:./larder-data/tasklist.db");
    assert_eq!(config.listen.to_string(), "127.0.0.1:8000");
    assert_eq!(config.query_cache, QueryCache::Delete);
    assert_eq!(config.query_ttl, Duration::from_secs(5));
    assert!(config.fragment_cache && config.page_cache);
    assert_eq!(config.slow_query, Duration::ZERO);
    assert_eq!(config.session_engine, SessionEngine::CachedDb);
    assert_eq!(config.session_ttl, Duration::from_secs(14 * 86_400));
    assert_eq!(config.allowed_hosts.to_string(), "localhost, 127.0.0.1, [::1]");
    assert_eq!(config.secure_cookies, SecureCookies::Auto);
    assert_eq!(config.log, LogFormat::Text);
}

/// Variable, a valid value, and values that are not.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    (
        "DATABASE_URL",
        &["sqlite:a.db", "sqlite::memory:", "postgres://u:p@h/d", "mysql://h:3306/d"],
        &["", "a.db", "sqlite:", "oracle://h/d", "postgres://h", "mysql://h:x/d"],
    ),
    ("PORT", &["0", "80", "65535"], &["", "65536", "-1", "http", "80 ", "8000/tcp"]),
    (
        "TASKLIST_LISTEN",
        &["127.0.0.1", "0.0.0.0", "::", "::1"],
        &["", "localhost", "[::1]", "0.0.0.0:80", "*"],
    ),
    (
        "TASKLIST_ALLOWED_HOSTS",
        &["a.example", ".a.example, b.example", "*", "[::1],127.0.0.1", "A.Example."],
        &["", ",", "a.example,,b", "http://a.example", "a.example:80", "a/b", "*.a.example", "::1"],
    ),
    (
        "TASKLIST_QUERY_CACHE",
        &["off", "expiration", "delete", "key", "update"],
        &["", "on", "Delete", "expire", "off "],
    ),
    (
        "TASKLIST_QUERY_TTL",
        &["1s", "5s", "10m", "12h", "400d"],
        &[
            "",
            "0s",
            "5",
            "s",
            "-5s",
            "+5s",
            "1.5s",
            "5 s",
            "500ms",
            "401d",
            "5µ",
            "99999999999999999999d",
        ],
    ),
    ("TASKLIST_FRAGMENT_CACHE", &["on", "off"], &["", "yes", "true", "1", "ON"]),
    ("TASKLIST_PAGE_CACHE", &["on", "off"], &["", "no", "false", "0"]),
    ("TASKLIST_SLOW_QUERY_MS", &["0", "2000", "30000"], &["", "30001", "-1", "2s", "2e3"]),
    ("TASKLIST_SESSION_ENGINE", &["cache", "cached_db"], &["", "db", "cached-db"]),
    ("TASKLIST_SESSION_TTL", &["1s", "30m", "14d"], &["", "0d", "14", "never"]),
    ("TASKLIST_SECURE_COOKIES", &["auto", "on", "off"], &["", "yes", "Auto"]),
    ("TASKLIST_LOG", &["text", "json"], &["", "xml", "JSON"]),
];

#[test]
fn valid_values() {
    assert!(VARIABLES.iter().map(|variable| variable.name).eq(order_of_table()));
    for (name, valid, _) in TABLE {
        for value in *valid {
            config(&[(name, value)]).unwrap_or_else(|error| panic!("{name}={value}: {error}"));
        }
    }
}

#[test]
fn wrong_values_name_the_variable_the_value_and_the_valid_ones() {
    for (name, _, wrong) in TABLE {
        for value in *wrong {
            let Err(error) = config(&[(name, value)]) else { panic!("{name}={value:?} passed") };
            assert!(error.starts_with(name) && error.contains("valid"), "{error}");
            if *name != "DATABASE_URL" {
                assert!(error.contains(&format!("{value:?}")), "{error}");
                assert!(error.contains(variable(name).valid), "{error}");
            }
        }
    }
}

#[test]
fn one_whole_message() {
    assert_eq!(
        config(&[("TASKLIST_QUERY_CACHE", "on")]).unwrap_err(),
        "TASKLIST_QUERY_CACHE is \"on\"; valid is off, expiration, delete, key or update"
    );
}

#[test]
fn a_misspelt_name_is_an_error() {
    let error = config(&[("TASKLIST_PAGE_CAHCE", "off")]).unwrap_err();
    assert!(error.starts_with("TASKLIST_PAGE_CAHCE") && error.contains("TASKLIST_PAGE_CACHE"));
}

#[test]
fn a_value_that_is_not_utf8_is_an_error() {
    use std::os::unix::ffi::OsStringExt;
    for variable in VARIABLES {
        let value = OsString::from_vec(b"\xff\xfe".to_vec());
        let error = Config::from_vars([(variable.name.into(), value)]).unwrap_err();
        assert!(error.to_string().starts_with(variable.name), "{error}");
    }
}

#[test]
fn where_to_listen() {
    for (vars, address) in [
        (&[("PORT", "5000")][..], "0.0.0.0:5000"),
        (&[("PORT", "5000"), ("TASKLIST_LISTEN", "127.0.0.1")], "127.0.0.1:5000"),
        (&[("TASKLIST_LISTEN", "::")], "[::]:8000"),
    ] {
        assert_eq!(config(vars).unwrap().listen.to_string(), address);
    }
}

#[test]
fn no_password_in_debug_or_errors() {
    let url = "postgres://ann:hunter2@db.example/larder";
    let debug = format!("{:?}", config(&[("DATABASE_URL", url)]).unwrap());
    assert!(debug.contains("ann@db.example") && !debug.contains("hunter2"), "{debug}");
    let error = config(&[("DATABASE_URL", "pg://ann:hunter2@db.example/larder")]).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
}

fn order_of_table() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _, _)| *name)
}
