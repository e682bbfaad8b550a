//! One connection's conversation, without its socket: bytes in, replies out.
//!
//! [`Session::process`] takes what has been read and not been used, carries out what is whole in it, and
//! says how much it has used. It keeps nothing of the input but the head of a store whose value is on its
//! way, so the same bytes in other pieces give the same replies.
//!
//! Requests are taken in batches: parsed, hashed, their buckets asked for, then their items, and only then
//! carried out (`batch`).

use std::sync::Arc;

use larder_proto::server::{Bad, Parsed, binary, text};
use larder_store::HashedKey;

use crate::access::Access;
use crate::batch::{Run, Stopped};
use crate::counters::Count;
use crate::cx::{CloseReason, Flow};
use crate::desk::{Allowance, Desk, Who, cx, flush};
use crate::exec;
use crate::exec::auth::AuthState;
use crate::exec::dump::Dump;
use crate::gather::{BATCH, Batch, Rest, Unread};
use crate::output::{Output, Room};
use crate::protocol::Protocol;
use crate::replies::FULL;
use crate::settings::ProtocolPin;
use crate::upload::Uploading;

/// One connection's conversation.
#[derive(Debug)]
pub(crate) struct Session {
    access: Arc<Access>,
    /// There while the client has to say who it is.
    login: Option<Box<AuthState>>,
    /// Of the directory that `access` comes from; none: of none.
    version: Option<u64>,
    fd: i32,
    pin: ProtocolPin,
    protocol: Option<Protocol>,
    scan: text::Scan,
    state: State,
}

/// What the next bytes are.
#[derive(Debug)]
enum State {
    /// Requests; the first may have been answered in part.
    Requests(Option<Paused>),
    /// A value on its way into the store.
    Upload(Box<Uploading>),
    /// Nothing: so many are thrown away.
    Swallow(u64),
    /// Requests, once the keys are listed.
    Dump(Box<Dump>),
}

/// A line of keys that was answered in part.
#[derive(Debug, Clone, Copy)]
struct Paused {
    /// How far: see [`Flow::Pause`].
    answered: usize,
    /// How long the line is.
    line: usize,
}

/// What came of [`Session::process`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Bytes of the input that are done with.
    pub(crate) used: usize,
    pub(crate) next: Next,
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// More input.
    Read(Wanted),
    /// Room for replies.
    Room,
    /// Another turn, after others have had theirs.
    Turn,
    /// That a password is verified: the login is not used up, and is to come again then.
    Verdict,
    /// Nothing any more.
    Close(CloseReason),
}

/// What the next bytes belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A request that has not begun.
    Request,
    /// A login.
    Login,
    /// A request that has begun.
    Rest,
    /// A value.
    Value,
    /// Something that is thrown away.
    Swallowed,
}

impl Session {
    /// Of a new connection with this descriptor.
    pub(crate) fn new(desk: &mut Desk, pin: ProtocolPin, fd: i32) -> Session {
        let (access, must_login, version) = desk.newcomer();
        access.counters.add(Count::Opened, 1);
        Session {
            access,
            login: must_login.then(Box::default),
            version: Some(version),
            fd,
            pin,
            protocol: None,
            scan: text::Scan::default(),
            state: State::Requests(None),
        }
    }

    /// Of the server's own probe, which no directory knows.
    pub(crate) fn of_probe(desk: &Desk, pin: ProtocolPin, fd: i32) -> Session {
        Session {
            access: desk.node.probe.access(&desk.node, desk.worker),
            login: None,
            version: None,
            fd,
            pin,
            protocol: None,
            scan: text::Scan::default(),
            state: State::Requests(None),
        }
    }

    /// Who the connection is.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Whether the client has to say who it is.
    pub(crate) fn must_log_in(&self) -> bool {
        self.login.is_some()
    }

    /// Memory of the buffers' budget that it takes, in bytes.
    pub(crate) fn holds(&self) -> usize {
        match &self.state {
            State::Upload(uploading) => uploading.holds(),
            _ => 0,
        }
    }

    /// Whether its right to be here can end while it is idle.
    pub(crate) fn has_credential(&self) -> bool {
        self.access.grant.username().is_some()
    }

    /// The connection is gone.
    pub(crate) fn end(&mut self) {
        self.access.counters.add(Count::Closed, 1);
    }

    /// The key that the first request in `input` is likely to be about, to have its memory asked for ahead.
    pub(crate) fn first_key<'b>(&self, input: &'b [u8]) -> Option<HashedKey<'b>> {
        let ready = self.login.is_none() && matches!(self.state, State::Requests(None));
        if !ready {
            return None;
        }
        let key = match self.protocol {
            Some(Protocol::Text) => text::likely_key(input),
            Some(Protocol::Binary) => binary::likely_key(input),
            None => None,
        };
        key.map(|key| self.access.tenant.hashed(key))
    }

    /// Carries out what is whole in `input`. Is called again with what was not used, and more behind it.
    pub(crate) fn process(
        &mut self,
        input: &[u8],
        desk: &mut Desk,
        output: &mut impl Output,
    ) -> Turn {
        if let Some(reason) = self.follow_directory(desk) {
            return Turn { used: 0, next: Next::Close(reason) };
        }
        let mut turn = Turn { used: 0, next: Next::Turn };
        let mut allowance = Allowance::new(desk.node.settings.requests_per_turn);
        while allowance.left > 0 {
            let step = self.step(&input[turn.used..], desk, output, &mut allowance);
            turn.used += step.used;
            if let Some(next) = step.then {
                turn.next = next;
                break;
            }
            if desk.out.len() >= FULL && flush(&mut desk.out, output) == Room::Full {
                turn.next = Next::Room;
                break;
            }
        }
        let is_waiting = matches!(turn.next, Next::Turn) && turn.used == input.len();
        if is_waiting && matches!(self.state, State::Requests(None)) {
            turn.next = Next::Read(Wanted::Request);
        }
        if flush(&mut desk.out, output) == Room::Full && !matches!(turn.next, Next::Close(_)) {
            turn.next = Next::Room;
        }
        turn
    }

    /// Looks whether the directory has changed, and whether it still lets this connection in; why it is
    /// closed, if not.
    pub(crate) fn follow_directory(&mut self, desk: &mut Desk) -> Option<CloseReason> {
        let version = self.version?;
        let directory = desk.directory.load();
        let now = || desk.node.now().unix();
        if directory.version() == version {
            let is_over = self.has_credential() && self.access.grant.has_expired(now());
            return is_over.then_some(CloseReason::Revoked);
        }
        desk.node.follow(directory);
        self.version = Some(directory.version());
        if self.login.is_some() {
            if directory.anonymous().is_some() {
                let (access, ..) = desk.newcomer();
                self.switch_to(access);
            }
            return None;
        }
        let Some(grant) = directory.renew(&self.access.grant, now()) else {
            return Some(CloseReason::Revoked);
        };
        if grant != self.access.grant {
            // What was begun as somebody else must not end as this one.
            if !matches!(self.state, State::Requests(None)) {
                return Some(CloseReason::Revoked);
            }
            let access = desk.node.access(desk.worker, grant);
            self.switch_to(access);
        }
        None
    }

    /// Is somebody else from now on.
    fn switch_to(&mut self, access: Arc<Access>) {
        self.access.counters.add(Count::Closed, 1);
        access.counters.add(Count::Opened, 1);
        self.access = access;
        self.login = None;
    }

    /// Does one thing with the input.
    fn step(
        &mut self,
        input: &[u8],
        desk: &mut Desk,
        output: &mut impl Output,
        allowance: &mut Allowance,
    ) -> Step {
        match &mut self.state {
            State::Swallow(left) => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= used as u64;
                if *left > 0 {
                    return Step::then(used, Next::Read(Wanted::Swallowed));
                }
                self.state = State::Requests(None);
                Step::more(used)
            }
            State::Upload(uploading) => {
                let used = uploading.append(input);
                if !uploading.is_whole() {
                    return Step::then(used, Next::Read(Wanted::Value));
                }
                allowance.spend(1);
                self.finish_upload(used, desk)
            }
            State::Dump(dump) => {
                let who = Who { access: &self.access, fd: self.fd };
                let mut cx = cx(&desk.node, desk.worker, &desk.dice, who);
                if !dump.step(&mut cx, &mut desk.out) {
                    self.state = State::Requests(None);
                }
                // A step takes as long as very many requests.
                Step::then(0, Next::Turn)
            }
            State::Requests(paused) => {
                let paused = *paused;
                self.requests(input, paused, desk, output, allowance)
            }
        }
    }

    /// Carries out requests, or a login.
    fn requests(
        &mut self,
        input: &[u8],
        paused: Option<Paused>,
        desk: &mut Desk,
        output: &mut impl Output,
        allowance: &mut Allowance,
    ) -> Step {
        let Some(first) = input.first() else {
            let wanted = if self.login.is_some() { Wanted::Login } else { Wanted::Request };
            return Step::then(0, Next::Read(wanted));
        };
        let protocol = *self.protocol.get_or_insert_with(|| Protocol::of(*first));
        if !protocol.fits(self.pin) {
            return Step::then(0, Next::Close(CloseReason::Protocol));
        }
        if self.login.is_some() {
            allowance.spend(1);
            return self.log_in(input, protocol, desk);
        }
        self.batch(input, protocol, paused, desk, output, allowance)
    }

    fn log_in(&mut self, input: &[u8], protocol: Protocol, desk: &mut Desk) -> Step {
        let state = self.login.as_deref_mut().expect("asked for by the caller");
        let who = Who { access: &self.access, fd: self.fd };
        let mut cx = cx(&desk.node, desk.worker, &desk.dice, who);
        let step = exec::auth::step(input, protocol, state, &mut cx, &mut desk.out);
        if step.used == 0 && matches!(step.flow, Flow::Continue) {
            return Step::then(0, Next::Read(Wanted::Login));
        }
        if step.swallow > 0 {
            self.state = State::Swallow(step.swallow);
        }
        self.flow(step.flow, step.used, desk)
    }

    fn finish_upload(&mut self, used: usize, desk: &mut Desk) -> Step {
        let state = std::mem::replace(&mut self.state, State::Requests(None));
        let State::Upload(uploading) = state else { return Step::more(used) };
        let (head, upload, good_tail) = uploading.into_parts();
        let mut cx = cx(&desk.node, desk.worker, &desk.dice, self.who());
        let flow = match self.parse(&head, &mut text::Scan::default()) {
            Parsed::Partial { request, .. } => {
                exec::finish_upload(&request, upload, good_tail, &mut cx, &mut desk.out)
            }
            // A head is parsed to the same again.
            _ => Flow::Close(CloseReason::Protocol),
        };
        self.flow(flow, used, desk)
    }

    fn parse<'b>(&self, input: &'b [u8], scan: &mut text::Scan) -> Parsed<'b> {
        self.protocol.unwrap_or(Protocol::Text).parse(input, scan)
    }

    /// Parses a batch of requests and carries them out.
    fn batch(
        &mut self,
        input: &[u8],
        protocol: Protocol,
        paused: Option<Paused>,
        desk: &mut Desk,
        output: &mut impl Output,
        allowance: &mut Allowance,
    ) -> Step {
        let mut batch = Batch::new();
        let unread =
            Unread { bytes: input, protocol, tenant: &self.access.tenant, store: &desk.node.store };
        let line = paused.map_or(0, |paused| paused.line);
        let rest = unread.gather(line, &mut self.scan, BATCH.min(allowance.left), &mut batch);
        allowance.spend(batch.len());
        let answered = paused.map_or(0, |paused| paused.answered);
        let mut run = Run { batch: &batch, at: 0, resume: answered };
        let stopped = run.all(desk, self.who(), output);
        let (done, answered) = (run.at, run.resume);
        let used = batch[..done].last().map_or(0, |entry| entry.end);
        self.state = State::Requests((answered > 0).then(|| {
            let end = batch.get(done).map_or(used, |entry| entry.end);
            Paused { answered, line: end - used }
        }));
        if stopped.is_some() {
            // The rest is parsed again when there is room, or as somebody else.
            self.scan = text::Scan::default();
        }
        match stopped {
            None => self.after_batch(input, used, rest, desk, allowance),
            Some(Stopped::Full) => Step::then(used, Next::Room),
            // Others first: there are many keys, or many bytes of replies.
            Some(Stopped::Again) => Step::then(used, Next::Turn),
            Some(Stopped::Flow(flow)) => self.flow(flow, used, desk),
        }
    }

    /// Goes on with what comes after the whole requests of a batch.
    fn after_batch(
        &mut self,
        input: &[u8],
        end: usize,
        rest: Rest<'_>,
        desk: &mut Desk,
        allowance: &mut Allowance,
    ) -> Step {
        match rest {
            Rest::More => Step::more(end),
            Rest::Missing(wanted) => Step::then(end, Next::Read(wanted)),
            Rest::Bad(Bad { reply, used, swallow, close }) => {
                allowance.spend(1);
                reply.put(&mut desk.out);
                if close.is_some() {
                    return Step::then(end + used, Next::Close(CloseReason::Protocol));
                }
                if swallow > 0 {
                    self.state = State::Swallow(swallow);
                }
                Step::more(end + used)
            }
            Rest::Large { request, head, value_len, tail } => {
                let mut cx = cx(&desk.node, desk.worker, &desk.dice, self.who());
                let upload = exec::begin_upload(&request, value_len, &mut cx, &mut desk.out);
                self.state = match upload {
                    Some(upload) => {
                        let head = &input[end..end + head];
                        State::Upload(Box::new(Uploading::new(head, upload, value_len, tail)))
                    }
                    None => State::Swallow(value_len as u64 + tail as u64),
                };
                Step::more(end + head)
            }
        }
    }

    fn who(&self) -> Who<'_> {
        Who { access: &self.access, fd: self.fd }
    }

    /// Goes on as a request says that was carried out.
    fn flow(&mut self, flow: Flow, used: usize, desk: &Desk) -> Step {
        match flow {
            Flow::Continue => {}
            Flow::Close(reason) => return Step::then(used, Next::Close(reason)),
            // Of a batch, which has noted it.
            Flow::Pause { .. } => {}
            Flow::Become(access) => self.switch_to(access),
            Flow::Forget => {
                let nobody = desk.node.nobody(desk.worker);
                self.switch_to(nobody);
                self.login = Some(Box::default());
            }
            Flow::Dump(dump) => self.state = State::Dump(dump),
            Flow::Wait => return Step::then(used, Next::Verdict),
        }
        Step::more(used)
    }
}

/// What came of one thing.
struct Step {
    used: usize,
    /// What to wait for; `None`: nothing, there may be more to do.
    then: Option<Next>,
}

impl Step {
    fn more(used: usize) -> Step {
        Step { used, then: None }
    }

    fn then(used: usize, next: Next) -> Step {
        Step { used, then: Some(next) }
    }
}
