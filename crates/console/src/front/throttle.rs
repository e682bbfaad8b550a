//! Slows down those who guess passwords.
//!
//! Failures are counted by the address that they come from and by the account that they are about. The
//! first few cost nothing; then each makes the next attempt wait twice as long. What is remembered is
//! bounded, and forgotten when it has been quiet for a while.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::problem::Problem;

/// Most addresses, and most accounts, that are remembered.
const MOST: usize = 10_000;

/// Failures are forgotten after this time without another one.
const QUIET: Duration = Duration::from_secs(15 * 60);

/// How failures make an attempt wait.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// So many cost nothing.
    free: u32,
    /// The longest wait.
    longest: Duration,
}

/// A person mistypes; an address may be that of a whole office.
const OF_ADDRESS: Patience = Patience { free: 10, longest: Duration::from_secs(10 * 60) };

/// Short at most, because strangers can make anybody's account wait.
const OF_ACCOUNT: Patience = Patience { free: 5, longest: Duration::from_secs(30) };

/// Who failed how often of late.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    counts: Mutex<Counts>,
    /// Accounts are remembered by a hash under a key of this process: names are as long as strangers
    /// make them.
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Counts {
    addresses: HashMap<Option<IpAddr>, Failures>,
    accounts: HashMap<u64, Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Throttle {
    /// Whether an attempt may be made now.
    ///
    /// # Errors
    ///
    /// Not before so many seconds.
    pub(crate) fn admit(&self, from: Option<IpAddr>, account: &str) -> Result<(), Problem> {
        self.admit_at(Instant::now(), from, account)
    }

    /// An attempt failed.
    pub(crate) fn failed(&self, from: Option<IpAddr>, account: &str) {
        self.failed_at(Instant::now(), from, account);
    }

    /// An attempt that counts as failed until [`succeeded`](Self::succeeded) says otherwise, so that
    /// many at once are no way around.
    pub(crate) fn attempt(&self, from: Option<IpAddr>, account: &str) -> Result<(), Problem> {
        let now = Instant::now();
        self.admit_at(now, from, account)?;
        self.failed_at(now, from, account);
        Ok(())
    }

    /// An attempt was right: the account is forgiven everything, and the address that attempt.
    pub(crate) fn succeeded(&self, from: Option<IpAddr>, account: &str) {
        self.undo(from, account);
        let account = self.hasher.hash_one(account);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.accounts.remove(&account);
    }

    /// An attempt was neither right nor wrong: nobody looked. It alone is forgiven.
    pub(crate) fn undo(&self, from: Option<IpAddr>, account: &str) {
        let account = self.hasher.hash_one(account);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Counts { addresses, accounts } = &mut *counts;
        let both = [addresses.get_mut(&source(from)), accounts.get_mut(&account)];
        for failures in both.into_iter().flatten() {
            failures.count = failures.count.saturating_sub(1);
        }
    }

    fn admit_at(&self, now: Instant, from: Option<IpAddr>, account: &str) -> Result<(), Problem> {
        let account = self.hasher.hash_one(account);
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = counts.addresses.get(&source(from)).map(|it| it.wait(OF_ADDRESS, now));
        let of_account = counts.accounts.get(&account).map(|it| it.wait(OF_ACCOUNT, now));
        let wait = of_address.max(of_account).unwrap_or_default();
        if wait.is_zero() {
            return Ok(());
        }
        let seconds = wait.as_secs() + 1;
        let message = format!("too many sign-ins failed: try again in {seconds} seconds");
        Err(Problem::too_many(message, seconds))
    }

    fn failed_at(&self, now: Instant, from: Option<IpAddr>, account: &str) {
        let account = self.hasher.hash_one(account);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut counts.addresses, source(from), now);
        note(&mut counts.accounts, account, now);
    }
}

impl Failures {
    /// How long after `now` the next attempt may be made.
    fn wait(&self, patience: Patience, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.last);
        if since >= QUIET || self.count < patience.free {
            return Duration::ZERO;
        }
        let doublings = (self.count - patience.free).min(20);
        let wait = Duration::from_secs(1 << doublings).min(patience.longest);
        wait.saturating_sub(since)
    }
}

/// Counts a failure. If there are too many to remember, the quiet ones are forgotten, or else the one
/// that is quiet for the longest time.
fn note<K: std::hash::Hash + Eq + Copy>(all: &mut HashMap<K, Failures>, key: K, now: Instant) {
    if all.len() >= MOST && !all.contains_key(&key) {
        all.retain(|_, failures| now.saturating_duration_since(failures.last) < QUIET);
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| *key);
            oldest.map(|oldest| all.remove(&oldest));
        }
    }
    let failures = all.entry(key).or_insert(Failures { count: 0, last: now });
    if now.saturating_duration_since(failures.last) >= QUIET {
        failures.count = 0;
    }
    failures.count = failures.count.saturating_add(1);
    failures.last = now;
}

/// The address that counts: of IPv6 the network, for everybody has a whole one.
fn source(from: Option<IpAddr>) -> Option<IpAddr> {
    from.map(|address| match address {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        IpAddr::V4(_) => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn elsewhere(n: usize) -> Option<IpAddr> {
        let [.., a, b, c] = n.to_be_bytes();
        Some(IpAddr::from([10, a, b, c]))
    }

    #[test]
    fn waits_grow_from_failure_to_failure_and_end() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..OF_ACCOUNT.free {
            assert!(throttle.admit_at(start, HERE, "ann").is_ok());
            throttle.failed_at(start, HERE, "ann");
        }
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..7 {
            let refused = throttle.admit_at(now, HERE, "ann").unwrap_err();
            let wait = refused.retry_after.unwrap() - 1;
            waits.push(wait);
            now += Duration::from_secs(wait);
            assert!(throttle.admit_at(now, HERE, "ann").is_ok());
            throttle.failed_at(now, HERE, "ann");
        }
        // From the sixth on the address, which has had ten failures, makes one wait as well.
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert!(throttle.admit_at(now + QUIET, HERE, "ann").is_ok());
    }

    #[test]
    fn an_address_cannot_go_through_accounts_nor_an_account_through_addresses() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..OF_ADDRESS.free {
            throttle.failed_at(now, HERE, &format!("account {n}"));
        }
        assert!(throttle.admit_at(now, HERE, "another").is_err());
        assert!(throttle.admit_at(now, elsewhere(0), "another").is_ok());
        for n in 0..OF_ACCOUNT.free as usize {
            throttle.failed_at(now, elsewhere(n), "ann");
        }
        assert!(throttle.admit_at(now, elsewhere(99), "ann").is_err());
        assert!(throttle.admit_at(now, elsewhere(99), "bob").is_ok());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..OF_ADDRESS.free {
            let from = format!("2001:db8:1:2::{n}").parse().unwrap();
            throttle.failed_at(now, Some(from), &n.to_string());
        }
        let near = Some("2001:db8:1:2:ffff::1".parse().unwrap());
        let far = Some("2001:db8:1:3::1".parse().unwrap());
        assert!(throttle.admit_at(now, near, "x").is_err());
        assert!(throttle.admit_at(now, far, "x").is_ok());
    }

    #[test]
    fn success_forgives_the_account_and_attempts_count_at_once() {
        let throttle = Throttle::default();
        for _ in 0..OF_ACCOUNT.free {
            throttle.attempt(HERE, "ann").unwrap();
        }
        assert!(throttle.attempt(HERE, "ann").is_err(), "although none has ended yet");
        throttle.undo(HERE, "ann");
        assert!(throttle.attempt(HERE, "ann").is_ok(), "one that nobody looked at is no failure");
        assert!(throttle.attempt(HERE, "ann").is_err(), "but the others are");
        throttle.succeeded(HERE, "ann");
        assert!(throttle.attempt(HERE, "ann").is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for n in 0..MOST + 10 {
            throttle.failed_at(now, elsewhere(n), &n.to_string());
        }
        let counts = throttle.counts.lock().unwrap();
        assert_eq!((counts.addresses.len(), counts.accounts.len()), (MOST, MOST));
    }
}
