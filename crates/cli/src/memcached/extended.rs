//! The options of `-o`, as a table: `name` or `name=value`, separated by commas.
//!
//! Like flags they are honoured, idle or refused (see [`super::flags`]). The value of an idle one is
//! still checked: what memcached would refuse is a mistake here, too.

use std::ops::RangeInclusive;

use anyhow::{Context, bail};

use super::flags::Meaning::{self, Honoured, Idle, Refused};
use super::flags::NO_SLABS;

/// What follows the `=`.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Nothing does.
    Nothing,
    /// A whole number of this range.
    Number(RangeInclusive<u64>),
    /// The same, or nothing.
    PerhapsNumber(RangeInclusive<u64>),
    /// A number above 0, up to this one.
    Ratio(f64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Any text.
    Text,
}

/// An option.
#[derive(Debug)]
pub(crate) struct Extended {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    pub(crate) meaning: Meaning,
    /// Its line in the help; only honoured ones are there.
    pub(crate) help: &'static str,
}

const fn honoured(name: &'static str, value: Value, help: &'static str) -> Extended {
    Extended { name, value, meaning: Honoured, help }
}

const fn idle(name: &'static str, value: Value, why: &'static str) -> Extended {
    Extended { name, value, meaning: Idle(why), help: "" }
}

const fn refused(name: &'static str, why: &'static str) -> Extended {
    Extended { name, value: Value::Text, meaning: Refused(why), help: "" }
}

const ANY: Value = Value::Number(0..=u32::MAX as u64);
const NO_LRU: &str = "what is evicted is chosen in another way, without a list per class";
const NO_CRAWLER: &str =
    "memory of expired items comes back as items are written, without a crawler";
const NO_LOGS: &str = "there is no `watch` that would need a buffer";
const NO_FLASH: &str = "items are kept in memory only";
const NO_PROXY: &str = "there is no proxy; without proxy_config memcached ignores it, too";
const ALWAYS: &str = "it is always so";

/// All options of memcached 1.6, those of its debug, proxy and flash builds included.
#[rustfmt::skip]
pub(crate) const EXTENDED: &[Extended] = &[
    honoured("idle_timeout", Value::Number(0..=u32::MAX as u64), "seconds after which an idle connection is closed (0: never)"),
    honoured("read_buf_mem_limit", Value::Number(0..=1 << 20), "megabytes that connections may use for requests and replies"),
    honoured("ssl_chain_cert", Value::Text, "file of the server's certificate and its chain, in PEM"),
    honoured("ssl_key", Value::Text, "file of its private key, in PEM"),
    honoured("ssl_ca_cert", Value::Text, "file of the authorities that client certificates must come from"),
    honoured("ssl_verify_mode", Value::Number(0..=3), "client certificates: 0 none, 1 or 3 asked for, 2 required"),
    honoured("ssl_min_version", Value::Number(0..=3), "oldest TLS spoken: 2 is 1.2, 3 is 1.3 (0 and 1 mean 2)"),
    honoured("ssl_session_cache", Value::Nothing, "let clients resume their TLS sessions"),
    honoured("ssl_keyformat", Value::Word(&["PEM"]), "only PEM"),
    honoured("drop_privileges", Value::Nothing, "have the process killed if it does what a server never does"),
    idle("maxconns_fast", Value::Nothing, ALWAYS),
    idle("no_maxconns_fast", Value::Nothing, "a connection too many is always told so and closed"),
    idle("hashpower", Value::Number(12..=32), "the index grows and shrinks with what is in it"),
    idle("no_hashexpand", Value::Nothing, "the index grows and shrinks with what is in it"),
    idle("hash_algorithm", Value::Word(&["jenkins", "murmur3", "xxh3"]), "keys are hashed in one way only"),
    idle("slab_reassign", Value::Nothing, NO_SLABS),
    idle("no_slab_reassign", Value::Nothing, NO_SLABS),
    idle("slab_automove", Value::PerhapsNumber(0..=2), NO_SLABS),
    idle("no_slab_automove", Value::Nothing, NO_SLABS),
    idle("slab_automove_ratio", Value::Ratio(1.0), NO_SLABS),
    idle("slab_automove_window", Value::Number(3..=1800), NO_SLABS),
    idle("slab_automove_freeratio", Value::Ratio(1.0), NO_SLABS),
    idle("slab_sizes", Value::Text, NO_SLABS),
    idle("slab_chunk_max", Value::Number(1..=1 << 20), NO_SLABS),
    idle("no_chunked_items", Value::Nothing, NO_SLABS),
    idle("tail_repair_time", Value::Number(10..=u32::MAX as u64), NO_LRU),
    idle("lru_maintainer", Value::Nothing, NO_LRU),
    idle("no_lru_maintainer", Value::Nothing, NO_LRU),
    idle("hot_lru_pct", Value::Number(1..=79), NO_LRU),
    idle("warm_lru_pct", Value::Number(1..=79), NO_LRU),
    idle("hot_max_factor", Value::Ratio(f64::MAX), NO_LRU),
    idle("warm_max_factor", Value::Ratio(f64::MAX), NO_LRU),
    idle("temporary_ttl", ANY, NO_LRU),
    idle("lru_crawler", Value::Nothing, NO_CRAWLER),
    idle("no_lru_crawler", Value::Nothing, NO_CRAWLER),
    idle("lru_crawler_sleep", Value::Number(0..=1_000_000), NO_CRAWLER),
    idle("lru_crawler_tocrawl", ANY, NO_CRAWLER),
    idle("watcher_logbuf_size", ANY, NO_LOGS),
    idle("worker_logbuf_size", ANY, NO_LOGS),
    idle("track_sizes", Value::Nothing, "sizes of items are counted when `stats sizes` asks"),
    idle("inline_ascii_resp", Value::Nothing, "memcached ignores it, too"),
    idle("no_inline_ascii_resp", Value::Nothing, "memcached ignores it, too"),
    idle("modern", Value::Nothing, "memcached ignores it, too"),
    idle("no_modern", Value::Nothing, "there are no defaults of older versions"),
    idle("resp_obj_mem_limit", ANY, "read_buf_mem_limit is for requests and replies"),
    honoured("no_drop_privileges", Value::Nothing, "the default; see drop_privileges"),
    idle("relaxed_privileges", Value::Nothing, "what drop_privileges forbids is not needed for tests"),
    idle("ssl_ciphers", Value::Text, "only ciphers with forward secrecy are there; all of them are offered"),
    idle("ssl_wbuf_size", Value::Number(1..=1 << 20), "replies are encrypted in pieces of at most 16 KB"),
    idle("ssl_kernel_tls", Value::Nothing, "the process encrypts, not the system"),
    idle("proxy_arg", Value::Text, NO_PROXY),
    idle("proxy_uring", Value::Nothing, NO_PROXY),
    idle("proxy_memprofile", Value::Nothing, NO_PROXY),
    idle("ext_page_size", ANY, NO_FLASH),
    idle("ext_wbuf_size", ANY, NO_FLASH),
    idle("ext_threads", ANY, NO_FLASH),
    idle("ext_io_depth", ANY, NO_FLASH),
    idle("ext_item_size", ANY, NO_FLASH),
    idle("ext_item_age", ANY, NO_FLASH),
    idle("ext_low_ttl", ANY, NO_FLASH),
    idle("ext_recache_rate", ANY, NO_FLASH),
    idle("ext_compact_under", ANY, NO_FLASH),
    idle("ext_drop_under", ANY, NO_FLASH),
    idle("ext_max_sleep", ANY, NO_FLASH),
    idle("ext_max_frag", Value::Ratio(1.0), NO_FLASH),
    idle("ext_drop_unread", Value::Nothing, NO_FLASH),
    refused("ext_path", "items are kept in memory only: leave it out, and make -m as large as the cache is to be"),
    refused("proxy_config", "there is no proxy: leave it out, or run memcached for it"),
    refused("sock_cookie_id", "connections are not marked for a firewall: leave it out"),
];

/// Reads the value of one `-o`.
///
/// # Errors
///
/// An option that memcached does not have, that is refused, or whose value is not right.
pub(crate) fn split(text: &str) -> anyhow::Result<Vec<(&'static Extended, String)>> {
    text.split(',').filter(|part| !part.is_empty()).map(one).collect()
}

fn one(part: &str) -> anyhow::Result<(&'static Extended, String)> {
    let (name, value) = match part.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (part, None),
    };
    let option = EXTENDED
        .iter()
        .find(|option| option.name == name)
        .with_context(|| format!("there is no option {name:?} for -o; -h lists them"))?;
    if let Refused(why) = option.meaning {
        bail!("-o {name}: {why}");
    }
    let wanted = match (&option.value, value) {
        (Value::Nothing, None) | (Value::PerhapsNumber(_), None) => None,
        (Value::Nothing, Some(_)) => Some("nothing after it".to_owned()),
        (Value::Number(range) | Value::PerhapsNumber(range), value) => {
            let good = value.and_then(|text| text.parse().ok());
            let good = good.is_some_and(|number| range.contains(&number));
            (!good).then(|| format!("a number from {} to {}", range.start(), range.end()))
        }
        (Value::Ratio(most), value) => {
            let good = value.and_then(|text| text.parse::<f64>().ok());
            let good = good.is_some_and(|number| number > 0.0 && number <= *most);
            let upto = if *most < f64::MAX { format!(", at most {most}") } else { String::new() };
            (!good).then(|| format!("a number above 0{upto}"))
        }
        (Value::Word(words), value) => {
            let good = value.is_some_and(|text| words.contains(&text));
            (!good).then(|| words.join(" or "))
        }
        (Value::Text, value) => {
            value.is_none_or(str::is_empty).then(|| "a value after a =".to_owned())
        }
    };
    match wanted {
        Some(wanted) => bail!("-o {part}: {name} wants {wanted}"),
        None => Ok((option, value.unwrap_or_default().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_split_and_checked() {
        let given =
            split("modern,idle_timeout=3,,slab_automove,slab_automove=2,hot_max_factor=0.2");
        let names: Vec<_> =
            given.unwrap().iter().map(|(one, v)| format!("{} {v}", one.name)).collect();
        let wanted = [
            "modern ",
            "idle_timeout 3",
            "slab_automove ",
            "slab_automove 2",
            "hot_max_factor 0.2",
        ];
        assert_eq!(names, wanted);
        assert!(split("").unwrap().is_empty());
    }

    #[test]
    fn what_memcached_would_refuse_is_refused() {
        for (text, words) in [
            ("fooble", "\"fooble\""),
            ("Modern", "\"Modern\""),
            ("idle_timeout", "a number from 0"),
            ("idle_timeout=x", "a number from 0"),
            ("idle_timeout=-1", "a number from 0"),
            ("modern,hashpower=11", "from 12 to 32"),
            ("slab_automove=3", "from 0 to 2"),
            ("slab_automove_ratio=0", "above 0, at most 1"),
            ("hot_max_factor=nan", "above 0"),
            ("hash_algorithm=md5", "jenkins or murmur3 or xxh3"),
            ("modern=1", "nothing after it"),
            ("ssl_key=", "a value"),
            ("ssl_min_version=4", "from 0 to 3"),
            ("ssl_keyformat=DER", "PEM"),
            ("ext_path=/tmp/x:1G", "-m"),
            ("modern,proxy_config=routelib", "no proxy"),
            ("sock_cookie_id=1", "firewall"),
        ] {
            let error = split(text).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("-o"), "{text}: {error}");
        }
    }

    #[test]
    fn the_table_has_each_option_once_and_says_why() {
        let mut names: Vec<_> = EXTENDED.iter().map(|option| option.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EXTENDED.len());
        for option in EXTENDED {
            match option.meaning {
                Honoured => assert!(!option.help.is_empty(), "{}", option.name),
                Idle(why) | Refused(why) => assert!(!why.is_empty(), "{}", option.name),
            }
        }
    }
}
