//! How long a value lives.

use std::time::Duration;

/// The longest relative exptime of the memcached protocol, in seconds: 30 days. Anything longer is
/// sent as an absolute Unix time.
const MAX_RELATIVE: u64 = 60 * 60 * 24 * 30;

/// The last absolute exptime that every server understands: memcached reads it as a signed 32-bit
/// number (19 January 2038).
const MAX_ABSOLUTE: u64 = i32::MAX as u64;

/// The life of a cached value, with the meanings Django gives to its `timeout`.
///
/// ```
/// use larder::Ttl;
/// use std::time::Duration;
/// let five_seconds: Ttl = Duration::from_secs(5).into();
/// assert_eq!(five_seconds, Ttl::secs(5));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// The cache's own default, which is [`Ttl::Never`] unless its builder was told otherwise.
    #[default]
    Default,
    /// Until it is evicted, deleted or replaced.
    Never,
    /// For this long, in whole seconds: parts of a second count as one. Zero means that the value
    /// is not to be stored, and that one already there is removed.
    After(Duration),
}

impl Ttl {
    /// A life of `seconds`.
    #[must_use]
    pub const fn secs(seconds: u64) -> Self {
        Self::After(Duration::from_secs(seconds))
    }

    /// This TTL, or `default` where it says [`Ttl::Default`].
    pub(crate) fn or(self, default: Self) -> Self {
        match self {
            Self::Default => default,
            given => given,
        }
    }

    /// The protocol's exptime at Unix time `now` (seconds); `None` means: do not store.
    ///
    /// A life that ends after 2038 is sent as "never", because memcached would take the number as
    /// negative and expire the item at once.
    pub(crate) fn exptime(self, now: u64) -> Option<u32> {
        let Self::After(life) = self else {
            return Some(0);
        };
        let seconds = life.as_secs().saturating_add(u64::from(life.subsec_nanos() > 0));
        let exptime = match seconds {
            0 => return None,
            1..=MAX_RELATIVE => seconds,
            _ => match now.saturating_add(seconds) {
                end if end <= MAX_ABSOLUTE => end,
                _ => 0,
            },
        };
        Some(u32::try_from(exptime).unwrap_or(0))
    }
}

impl From<Duration> for Ttl {
    fn from(life: Duration) -> Self {
        Self::After(life)
    }
}

/// What is left of an exptime at Unix time `now` (seconds): the protocol's rule read backwards.
pub(crate) fn life_of(exptime: u32, now: u64) -> Option<Duration> {
    match u64::from(exptime) {
        0 => None,
        relative @ 1..=MAX_RELATIVE => Some(Duration::from_secs(relative)),
        absolute => Some(Duration::from_secs(absolute.saturating_sub(now))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn exptime_follows_the_protocol() {
        let cases = [
            (Ttl::Never, Some(0)),
            (Ttl::secs(0), None),
            (Ttl::secs(1), Some(1)),
            (Ttl::After(Duration::from_millis(1)), Some(1)),
            (Ttl::After(Duration::from_millis(1001)), Some(2)),
            (Ttl::secs(2_592_000), Some(2_592_000)),
            (Ttl::secs(2_592_001), Some(1_802_592_001)),
            (Ttl::secs(i32::MAX as u64 - NOW), Some(i32::MAX as u32)),
            (Ttl::secs(i32::MAX as u64 - NOW + 1), Some(0)),
            (Ttl::secs(u64::MAX), Some(0)),
        ];
        for (ttl, exptime) in cases {
            assert_eq!(ttl.exptime(NOW), exptime, "{ttl:?}");
        }
    }

    #[test]
    fn a_life_survives_the_way_there_and_back() {
        for seconds in [1, 60, 2_592_000, 2_592_001, 90 * 86_400] {
            let exptime = Ttl::secs(seconds).exptime(NOW).unwrap();
            assert_eq!(life_of(exptime, NOW), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(life_of(0, NOW), None);
    }

    #[test]
    fn default_gives_way_to_the_caches_own() {
        assert_eq!(Ttl::Default.or(Ttl::secs(5)), Ttl::secs(5));
        assert_eq!(Ttl::Never.or(Ttl::secs(5)), Ttl::Never);
    }
}
