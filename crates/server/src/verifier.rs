//! Checks passwords whose digests are slow on purpose, on a thread of its own, so that no event loop does.
//!
//! A connection asks, and waits with its login unread; when the outcome is known all workers are woken, and
//! it reads the login again. So nothing of a login is kept but its bytes, and a storm of connections with one
//! password costs one check: who asks for what is being checked waits for that, and outcomes are
//! remembered, right ones and wrong ones apart, so that guessing does not push out who is right.
//!
//! What must stay true: a password is remembered only by a fingerprint under a salt of this process, never
//! longer than its digest is that of its credential, for the digest is part of the fingerprint; and the queue
//! has an end, beyond which logins are refused for now.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use larder_tenancy::{Fingerprint, Salt, SlowCheck};

use crate::node::lock;

/// Checks that wait at most. At 20 to 50 ms each that is a few seconds.
const MOST_WAITING: usize = 64;

/// Right passwords that are remembered, and wrong ones.
const MOST_RIGHT: usize = 4096;
const MOST_WRONG: usize = 1024;

/// Checks slow passwords.
#[derive(Debug)]
pub(crate) struct Verifier {
    salt: Salt,
    desk: Mutex<Desk>,
    /// Signalled when there is something to do.
    work: Condvar,
    /// Checks that were ever done.
    done: AtomicU64,
}

#[derive(Debug, Default)]
struct Desk {
    queue: VecDeque<(Fingerprint, SlowCheck)>,
    /// What is in the queue or being checked.
    pending: HashSet<Fingerprint>,
    right: Remembered<MOST_RIGHT>,
    wrong: Remembered<MOST_WRONG>,
    is_closed: bool,
}

/// The latest of something.
#[derive(Debug, Default)]
struct Remembered<const MOST: usize> {
    all: HashSet<Fingerprint>,
    order: VecDeque<Fingerprint>,
}

/// What is known of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Whether it is right.
    Known(bool),
    /// Nothing yet: ask again when something was [done](Verifier::done).
    Wait,
    /// Nothing, and too many are waiting already.
    Busy,
}

impl Verifier {
    /// Under this salt passwords are remembered.
    pub(crate) fn new(salt: Salt) -> Verifier {
        Verifier { salt, desk: Mutex::default(), work: Condvar::new(), done: AtomicU64::new(0) }
    }

    /// What is known of a password; what is not is going to be found out, if there is room for it.
    pub(crate) fn ask(&self, check: &SlowCheck) -> Verdict {
        let print = check.fingerprint(self.salt);
        let mut desk = lock(&self.desk);
        if desk.right.has(&print) {
            return Verdict::Known(true);
        }
        if desk.wrong.has(&print) {
            return Verdict::Known(false);
        }
        if desk.pending.contains(&print) {
            return Verdict::Wait;
        }
        if desk.queue.len() >= MOST_WAITING || desk.is_closed {
            return Verdict::Busy;
        }
        desk.pending.insert(print);
        desk.queue.push_back((print, check.clone()));
        drop(desk);
        self.work.notify_one();
        Verdict::Wait
    }

    /// Checks what is asked for until it is [closed](Self::close); `tell` is called after each.
    pub(crate) fn run(&self, tell: impl Fn()) {
        while self.wait() {
            self.check_next();
            tell();
        }
    }

    /// Checks what has waited longest; whether there was something.
    pub(crate) fn check_next(&self) -> bool {
        let next = lock(&self.desk).queue.pop_front();
        let Some((print, check)) = next else { return false };
        let is_right = check.verify();
        let mut desk = lock(&self.desk);
        desk.pending.remove(&print);
        match is_right {
            true => desk.right.add(print),
            false => desk.wrong.add(print),
        }
        drop(desk);
        self.done.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// How many checks were ever done.
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::SeqCst)
    }

    /// Nothing more is checked.
    pub(crate) fn close(&self) {
        lock(&self.desk).is_closed = true;
        self.work.notify_all();
    }

    /// Waits for something to do; false if there will be nothing any more.
    fn wait(&self) -> bool {
        let desk = lock(&self.desk);
        let idle = |desk: &mut Desk| desk.queue.is_empty() && !desk.is_closed;
        let desk = self.work.wait_while(desk, idle).unwrap_or_else(PoisonError::into_inner);
        !desk.is_closed
    }
}

impl<const MOST: usize> Remembered<MOST> {
    fn has(&self, print: &Fingerprint) -> bool {
        self.all.contains(print)
    }

    /// Remembers one more, and forgets the oldest if there are too many.
    fn add(&mut self, print: Fingerprint) {
        if !self.all.insert(print) {
            return;
        }
        self.order.push_back(print);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use larder_tenancy::{Capabilities, Check, Credential, Digest, Directory, Tenant, TenantId};

    /// A check of a password against a digest that fits none, which takes no time.
    fn check(password: &str, digest: &str) -> SlowCheck {
        let credential = Credential {
            username: b"ann".as_slice().into(),
            digest: Digest::Argon2id(digest.into()),
            tenant: TenantId::DEFAULT,
            capabilities: Capabilities::USE,
            key_prefix: None,
            expires: None,
        };
        let directory = Directory::new(1, [Tenant::shared()], [credential], None).unwrap();
        match directory.check(b"ann", password.as_bytes(), 0) {
            Check::Slow(slow) => slow,
            other => panic!("{other:?}"),
        }
    }

    fn verifier() -> Verifier {
        Verifier::new(Salt::random().unwrap())
    }

    #[test]
    fn a_password_is_checked_once_however_many_ask() {
        let verifier = verifier();
        let check = check("p", "x");
        for _ in 0..1000 {
            assert_eq!(verifier.ask(&check), Verdict::Wait);
        }
        assert!(verifier.check_next() && !verifier.check_next());
        assert_eq!((verifier.ask(&check), verifier.done()), (Verdict::Known(false), 1));
    }

    #[test]
    fn the_queue_has_an_end() {
        let verifier = verifier();
        for number in 0..MOST_WAITING {
            assert_eq!(verifier.ask(&check(&number.to_string(), "x")), Verdict::Wait);
        }
        assert_eq!(verifier.ask(&check("one more", "x")), Verdict::Busy);
        assert_eq!(verifier.ask(&check("0", "x")), Verdict::Wait, "it is there already");
        verifier.check_next();
        assert_eq!(verifier.ask(&check("one more", "x")), Verdict::Wait);
    }

    #[test]
    fn what_is_known_is_of_one_digest() {
        let verifier = verifier();
        assert_eq!(verifier.ask(&check("p", "x")), Verdict::Wait);
        verifier.check_next();
        assert_eq!(verifier.ask(&check("p", "x")), Verdict::Known(false));
        assert_eq!(verifier.ask(&check("p", "y")), Verdict::Wait, "another digest by now");
    }

    #[test]
    fn guesses_push_out_guesses_only() {
        let verifier = verifier();
        let right = check("right", "x").fingerprint(verifier.salt);
        lock(&verifier.desk).right.add(right);
        for number in 0..2 * MOST_WRONG {
            assert_eq!(verifier.ask(&check(&number.to_string(), "x")), Verdict::Wait);
            verifier.check_next();
        }
        assert_eq!(verifier.ask(&check("right", "x")), Verdict::Known(true));
        let desk = lock(&verifier.desk);
        assert_eq!((desk.wrong.all.len(), desk.wrong.order.len()), (MOST_WRONG, MOST_WRONG));
        assert!(desk.pending.is_empty() && desk.queue.is_empty());
    }

    #[test]
    fn who_runs_it_is_let_go() {
        let verifier = verifier();
        std::thread::scope(|scope| {
            scope.spawn(|| verifier.run(|| {}));
            verifier.ask(&check("p", "x"));
            while verifier.done() == 0 {
                std::thread::yield_now();
            }
            verifier.close();
        });
        assert_eq!(verifier.ask(&check("q", "x")), Verdict::Busy);
    }
}
