//! Sizes and durations with units, as people write and read them.

use std::time::Duration;

/// What [`size`] reads, for messages.
pub(crate) const SIZE: &str = "a size such as 512k, 64m or 1g";

/// What [`duration`] reads, for messages.
pub(crate) const DURATION: &str = "a duration such as 500ms, 30s, 5m or 2h";

const SIZES: [(&str, u64); 4] = [("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40)];

/// Bytes: a whole number, and `k`, `m`, `g` or `t` for powers of 1024. `kb` and `kib` are `k`, in any
/// case. None for anything else, and for more than 64 bits.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
    let factor = match unit {
        "" => 1,
        _ => SIZES.iter().find(|(name, _)| *name == unit)?.1,
    };
    number.checked_mul(factor)
}

/// A whole number and `ms`, `s`, `m`, `h` or `d`. None for anything else: a number alone could be
/// seconds as well as milliseconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Bytes in the largest unit of which they are a multiple, or nearly: `1 GiB`, `1.5 MiB`.
pub(crate) fn show_size(bytes: u64) -> String {
    let found = SIZES.iter().rev().find(|(_, factor)| bytes >= *factor);
    let Some((name, factor)) = found else { return format!("{bytes} bytes") };
    let tenths = (u128::from(bytes) * 10 + u128::from(*factor) / 2) / u128::from(*factor);
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let unit = name.to_uppercase();
    if tenth == 0 { format!("{whole} {unit}iB") } else { format!("{whole}.{tenth} {unit}iB") }
}

/// A leading number and what follows it, without the space around.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("512k", 512 << 10),
            ("64m", 64 << 20),
            ("64 MiB", 64 << 20),
            ("1GB", 1 << 30),
            ("16777215t", 16_777_215 << 40),
            ("7b", 7),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in
            ["", "m", "1.5g", "-1", "+1", "1x", "1 m m", "16777216t", "99999999999999999999"]
        {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn durations_need_units() {
        for (text, ms) in [("250ms", 250), ("30s", 30_000), ("5m", 300_000), ("1 d", 86_400_000)] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "30", "s", "1y", "-1s", "1.5s", "99999999999999999d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_unit_that_fits() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1000, "1000 bytes"),
            (64 << 20, "64 MiB"),
            (1536 << 10, "1.5 MiB"),
            ((1 << 20) - 52, "1023.9 KiB"),
            (u64::MAX, "16777216 TiB"),
        ] {
            assert_eq!(show_size(bytes), shown);
        }
    }
}
