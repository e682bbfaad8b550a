//! slabs, lru, lru_crawler, watch: commands about machinery that memcached has and this server has not.
//!
//! Scripts and suites send them, so they are judged as memcached judges them and change nothing. There is
//! one class of items, with number 1.

use larder_proto::server::{Words, decimal, signed32};

use super::line;

/// The highest number that a class of memcached's can have.
const MAX_CLASS: i32 = 63;

/// The longest that memcached's crawler may be told to sleep, in microseconds.
const LONGEST_SLEEP: u64 = 1_000_000;

/// `slabs reassign <source> <destination>`, `slabs automove …`
pub(super) fn slabs(mut args: Words<'_>) -> &'static [u8] {
    let words = (args.next(), args.next(), args.next(), args.next());
    match words {
        (Some(b"reassign"), Some(source), Some(destination), None) => {
            reassign(signed32(source), signed32(destination))
        }
        (Some(b"automove"), Some(b"ratio" | b"freeratio"), ratio, _) => {
            if ratio.and_then(fraction).is_some() { line::OK } else { line::ERROR }
        }
        (Some(b"automove"), Some(b"window"), window, _) => {
            match window.and_then(decimal).filter(|&window| window <= u32::MAX.into()) {
                Some(3..=1800) => line::OK,
                Some(_) => b"CLIENT_ERROR automove window too low or too high\r\n",
                None => line::FORMAT,
            }
        }
        (Some(b"automove"), Some(level), ..) => match decimal(level) {
            Some(0..=2) => line::OK,
            Some(3..=0xffff_ffff) => line::ERROR,
            _ => line::FORMAT,
        },
        _ => line::ERROR,
    }
}

/// There are no pages that could be moved from one class to another.
fn reassign(source: Option<i32>, destination: Option<i32>) -> &'static [u8] {
    match (source, destination) {
        (Some(source), Some(destination)) if source == destination => {
            b"SAME src and dst class are identical\r\n"
        }
        (Some(-1 | 1..=MAX_CLASS), Some(1..=MAX_CLASS)) => {
            b"NOSPARE source class has no spare pages\r\n"
        }
        (Some(_), Some(_)) => b"BADCLASS invalid src or dst class id\r\n",
        _ => line::FORMAT,
    }
}

/// `lru tune <hot> <warm> <factor> <factor>`, `lru mode <flat|segmented>`, `lru temp_ttl <seconds>`
pub(super) fn lru(mut args: Words<'_>) -> &'static [u8] {
    match (args.next(), args.next()) {
        (Some(b"tune"), Some(hot)) => tune(hot, args),
        (Some(b"mode"), Some(b"flat" | b"segmented")) => line::OK,
        (Some(b"temp_ttl"), Some(ttl)) if signed32(ttl).is_some() => line::OK,
        _ => line::ERROR,
    }
}

fn tune(hot: &[u8], mut args: Words<'_>) -> &'static [u8] {
    let percents = (decimal(hot), args.next().and_then(decimal));
    let factors = (args.next().and_then(fraction), args.next().and_then(fraction));
    let ((Some(hot), Some(warm)), (Some(hot_factor), Some(factor))) = (percents, factors) else {
        return line::ERROR;
    };
    if hot.saturating_add(warm) > 80 {
        b"ERROR hot and warm pcts must not exceed 80\r\n"
    } else if factor <= 0.0 || hot_factor <= 0.0 {
        b"ERROR hot/warm age factors must be greater than 0\r\n"
    } else {
        line::OK
    }
}

/// `lru_crawler enable|disable`, `crawl <classes>`, `sleep <µs>`, `tocrawl <items>`; listing keys is not
/// for here.
pub(super) fn lru_crawler(mut args: Words<'_>) -> &'static [u8] {
    match (args.next(), args.next(), args.next()) {
        (Some(b"enable" | b"disable"), None, _) => line::OK,
        (Some(b"crawl"), Some(classes), None) => {
            if are_classes(classes) {
                line::OK
            } else {
                b"BADCLASS invalid class id\r\n"
            }
        }
        (Some(b"sleep"), Some(sleep), None) => match decimal(sleep) {
            Some(sleep) if sleep <= LONGEST_SLEEP => line::OK,
            Some(..=0xffff_ffff) => b"CLIENT_ERROR sleep must be one second or less\r\n",
            _ => line::FORMAT,
        },
        (Some(b"tocrawl"), Some(items), None) => {
            if decimal(items).is_some_and(|items| items <= u32::MAX.into()) {
                line::OK
            } else {
                line::FORMAT
            }
        }
        _ => line::ERROR,
    }
}

/// Whether this is `all`, `hash`, or a list of numbers of classes, with commas.
fn are_classes(classes: &[u8]) -> bool {
    matches!(classes, b"all" | b"hash")
        || classes
            .split(|&byte| byte == b',')
            .all(|class| signed32(class).is_some_and(|class| (1..=MAX_CLASS).contains(&class)))
}

/// `watch <streams>`: there is no log to watch. The words are those of memcached's `-W`.
pub(super) fn watch(mut args: Words<'_>) -> &'static [u8] {
    let is_stream = |stream: &[u8]| {
        matches!(
            stream,
            b"rawcmds"
                | b"evictions"
                | b"fetchers"
                | b"mutations"
                | b"sysevents"
                | b"connevents"
                | b"proxyreqs"
                | b"proxyevents"
                | b"proxyuser"
                | b"deletions"
        )
    };
    if args.all(is_stream) { b"CLIENT_ERROR watch commands not allowed\r\n" } else { line::ERROR }
}

/// A decimal fraction.
fn fraction(word: &[u8]) -> Option<f64> {
    std::str::from_utf8(word).ok()?.parse().ok().filter(|fraction: &f64| fraction.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As memcached 1.6.45 answers, but that nothing is moved and nothing watched.
    #[test]
    fn is_judged_as_memcached_judges() {
        type Execute = fn(Words<'_>) -> &'static [u8];
        let table: [(Execute, &[(&str, &str)]); 4] = [
            (
                slabs,
                &[
                    ("", "ERROR"),
                    ("foo", "ERROR"),
                    ("reassign 1 2", "NOSPARE source class has no spare pages"),
                    ("reassign 1 1", "SAME src and dst class are identical"),
                    ("reassign 300 1", "BADCLASS invalid src or dst class id"),
                    ("reassign a 1", "CLIENT_ERROR bad command line format"),
                    ("reassign 1", "ERROR"),
                    ("automove", "ERROR"),
                    ("automove 1", "OK"),
                    ("automove 3", "ERROR"),
                    ("automove invalid", "CLIENT_ERROR bad command line format"),
                    ("automove ratio 0.8", "OK"),
                    ("automove ratio", "ERROR"),
                    ("automove window 10", "OK"),
                    ("automove window 1", "CLIENT_ERROR automove window too low or too high"),
                    ("automove window x", "CLIENT_ERROR bad command line format"),
                ],
            ),
            (
                lru,
                &[
                    ("", "ERROR"),
                    ("foo", "ERROR"),
                    ("mode flat", "OK"),
                    ("mode segmented", "OK"),
                    ("mode x", "ERROR"),
                    ("tune 10 25 0.1 2.0", "OK"),
                    ("tune 10 25 0.1", "ERROR"),
                    ("tune 50 50 0.1 2.0", "ERROR hot and warm pcts must not exceed 80"),
                    ("tune 10 10 0 2.0", "ERROR hot/warm age factors must be greater than 0"),
                    ("temp_ttl 60", "OK"),
                    ("temp_ttl -1", "OK"),
                ],
            ),
            (
                lru_crawler,
                &[
                    ("", "ERROR"),
                    ("foo", "ERROR"),
                    ("enable", "OK"),
                    ("crawl all", "OK"),
                    ("crawl 1,2", "OK"),
                    ("crawl 99", "BADCLASS invalid class id"),
                    ("crawl x", "BADCLASS invalid class id"),
                    ("sleep 100", "OK"),
                    ("sleep 2000000", "CLIENT_ERROR sleep must be one second or less"),
                    ("sleep x", "CLIENT_ERROR bad command line format"),
                    ("tocrawl 0", "OK"),
                    ("tocrawl x", "CLIENT_ERROR bad command line format"),
                ],
            ),
            (
                watch,
                &[
                    ("", "CLIENT_ERROR watch commands not allowed"),
                    ("fetchers evictions", "CLIENT_ERROR watch commands not allowed"),
                    ("fetchers foo", "ERROR"),
                ],
            ),
        ];
        for (execute, lines) in table {
            for (words, reply) in lines {
                let line = execute(Words::new(words.as_bytes()));
                assert_eq!(str::from_utf8(line).unwrap(), format!("{reply}\r\n"), "{words:?}");
            }
        }
    }
}
