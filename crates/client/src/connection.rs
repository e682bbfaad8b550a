//! One connection: authentication at its start, then exchanges of a pipeline of requests for its
//! replies.
//!
//! A connection belongs to whoever is using it. If an exchange does not come to its end, for
//! whatever reason, the connection must be dropped: replies may be under way on it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use larder_proto::sasl::{self, SaslReply};
use larder_proto::text_auth::{self, AuthReply};
use larder_proto::{
    Codec, Command, Progress, Protocol, ProtocolError, Refusal, RefusalKind, Reply,
};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::addr::ServerAddr;
use crate::config::Credentials;
use crate::error::Error;
use crate::stream::{Stream, Tls};

/// Requests are encoded this many bytes ahead of what the network takes, not all at once, so that a
/// huge batch is not held in memory twice.
const WRITE_AHEAD: usize = 256 * 1024;

/// The least room made in the read buffer.
const READ_ROOM: usize = 8 * 1024;

/// All that is needed to connect to one server.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) addr: ServerAddr,
    pub(crate) protocol: Protocol,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) tls: Option<Tls>,
    pub(crate) timeout: Duration,
    pub(crate) max_value_len: usize,
    /// It has been logged that the server asks for no credentials.
    pub(crate) told_no_auth: AtomicBool,
}

/// An authenticated connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    codec: Codec,
    received: BytesMut,
}

/// How a completed exchange leaves the connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Ready for the next one.
    InSync,
    /// To be dropped: the server closes it, or may send what was not asked for.
    Close,
}

/// An exchange that was not completed.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: Error,
    /// The connection was lost before a single byte of a reply came: what happens when the server
    /// had closed an idle connection.
    pub(crate) before_reply: bool,
}

impl Connection {
    /// Connects and authenticates.
    pub(crate) async fn open(target: &Target) -> Result<Self, Error> {
        let stream = Stream::connect(target.addr.endpoint(), target.tls.as_ref())
            .await
            .map_err(|error| connect_error(target, &error))?;
        let codec = Codec::new(target.protocol, target.max_value_len);
        let mut connection = Self { stream, codec, received: BytesMut::new() };
        if let Some(credentials) = &target.credentials {
            match target.protocol {
                Protocol::Binary => connection.sasl(target, credentials).await?,
                Protocol::Text | Protocol::Meta => {
                    connection.text_auth(target, credentials).await?;
                }
            }
        }
        Ok(connection)
    }

    /// See [`Stream::is_stale`].
    pub(crate) fn is_stale(&self) -> bool {
        self.stream.is_stale()
    }

    /// Sends `commands` and appends their replies to `replies` as they come, in order. Reads while
    /// it writes: a server that stops reading until its replies are taken cannot block it.
    pub(crate) async fn exchange(
        &mut self,
        target: &Target,
        commands: &[Command],
        replies: &mut Vec<Result<Reply, Error>>,
    ) -> Result<End, Broken> {
        let mut sending = Sending::new(commands);
        let mut before_reply = true;
        let mut room = READ_ROOM;
        while sending.answered < commands.len() {
            let lost = |reason: String, before_reply| Broken {
                error: Error::Io { server: target.addr.clone(), reason },
                before_reply,
            };
            match self.write_and_read(&mut sending, room).await {
                Err(error) => return Err(lost(error.to_string(), before_reply)),
                Ok(0) => return Err(lost("the server closed it".to_owned(), before_reply)),
                Ok(_) => before_reply = false,
            }
            match self.take_replies(target, &mut sending, replies)? {
                Taken::NeedMore(missing) => room = missing.max(READ_ROOM),
                Taken::OutOfSync => return Ok(End::Close),
            }
        }
        // Bytes beyond the last reply answer nothing that was asked.
        Ok(if self.received.is_empty() { End::InSync } else { End::Close })
    }

    /// Takes all complete replies out of what was received.
    fn take_replies(
        &mut self,
        target: &Target,
        sending: &mut Sending<'_>,
        replies: &mut Vec<Result<Reply, Error>>,
    ) -> Result<Taken, Broken> {
        while let Some(&opaque) = sending.opaques.get(sending.answered) {
            let command = &sending.commands[sending.answered];
            let answer = match self.codec.parse(command, opaque, &mut self.received) {
                Ok(Progress::NeedMore(missing)) => return Ok(Taken::NeedMore(missing)),
                Ok(Progress::Ready(answer)) => answer,
                Err(error) => {
                    let error = Error::protocol(&target.addr, error);
                    if let Error::TooLarge { .. } = error {
                        // This item's own fault; only what comes after it is lost.
                        replies.push(Err(error));
                        return Ok(Taken::OutOfSync);
                    }
                    return Err(Broken { error, before_reply: false });
                }
            };
            replies.push(answer.reply.map_err(|refusal| refused(target, refusal)));
            sending.answered += 1;
            if !answer.in_sync {
                return Ok(Taken::OutOfSync);
            }
        }
        Ok(Taken::NeedMore(1))
    }

    /// Writes as much as the network takes and waits for bytes to read; returns how many came, 0 at
    /// the end of the stream.
    async fn write_and_read(
        &mut self,
        sending: &mut Sending<'_>,
        room: usize,
    ) -> io::Result<usize> {
        self.received.reserve(room);
        let Self { stream, codec, received } = self;
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = sending.poll_write(codec, stream, cx) {
                return Poll::Ready(Err(error));
            }
            // The future keeps nothing between polls, so a new one each time loses nothing.
            pin!(stream.read_buf(received)).poll(cx)
        })
        .await
    }

    /// SASL PLAIN. A server without SASL asks for no credentials and is used without.
    async fn sasl(&mut self, target: &Target, credentials: &Credentials) -> Result<(), Error> {
        let mut request = BytesMut::new();
        sasl::encode_plain(&credentials.username, &credentials.password, &mut request);
        match self.handshake(target, &request, sasl::parse).await? {
            SaslReply::Authenticated => Ok(()),
            SaslReply::Refused(reason) => Err(auth_error(target, reason)),
            SaslReply::Unsupported => {
                target.tell_no_auth();
                Ok(())
            }
        }
    }

    /// The text protocol's login, after asking whether one is wanted: a server without
    /// authentication would store the password as an item.
    async fn text_auth(&mut self, target: &Target, credentials: &Credentials) -> Result<(), Error> {
        let mut request = BytesMut::new();
        text_auth::encode_probe(&mut request);
        let limit = target.max_value_len;
        let probe = self.handshake(target, &request, |buf| text_auth::parse_probe(buf, limit));
        if probe.await? == AuthReply::Accepted {
            target.tell_no_auth();
            return Ok(());
        }
        request.clear();
        text_auth::encode_login(&credentials.username, &credentials.password, &mut request);
        match self.handshake(target, &request, text_auth::parse_login).await? {
            AuthReply::Accepted => Ok(()),
            AuthReply::Refused(reason) => Err(auth_error(target, reason)),
        }
    }

    /// One request and its one reply.
    async fn handshake<T>(
        &mut self,
        target: &Target,
        request: &[u8],
        parse: impl Fn(&mut BytesMut) -> Result<Option<T>, ProtocolError>,
    ) -> Result<T, Error> {
        let lost = |error: &io::Error| connect_error(target, error);
        self.stream.write_all(request).await.map_err(|error| lost(&error))?;
        self.stream.flush().await.map_err(|error| lost(&error))?;
        loop {
            self.received.reserve(READ_ROOM);
            let read = self.stream.read_buf(&mut self.received).await;
            if read.map_err(|error| lost(&error))? == 0 {
                let reason = "the server closed the connection during authentication".to_owned();
                return Err(Error::Connect { server: target.addr.clone(), reason });
            }
            let parsed = parse(&mut self.received);
            if let Some(reply) = parsed.map_err(|error| Error::protocol(&target.addr, error))? {
                return Ok(reply);
            }
        }
    }
}

impl Target {
    fn tell_no_auth(&self) {
        if !self.told_no_auth.swap(true, Ordering::Relaxed) {
            tracing::info!(
                server = %self.addr,
                "the cache server asks for no credentials; used without authentication"
            );
        }
    }
}

/// What [`Connection::take_replies`] comes to.
enum Taken {
    /// At least this many more bytes are needed for the next reply, if one is due.
    NeedMore(usize),
    /// Nothing that follows on this connection can be believed.
    OutOfSync,
}

/// The requests of one exchange on their way out.
struct Sending<'a> {
    commands: &'a [Command],
    /// One for each command encoded so far.
    opaques: Vec<u32>,
    /// How many commands have their reply.
    answered: usize,
    bytes: BytesMut,
}

impl<'a> Sending<'a> {
    fn new(commands: &'a [Command]) -> Self {
        let opaques = Vec::with_capacity(commands.len());
        Self { commands, opaques, answered: 0, bytes: BytesMut::new() }
    }

    /// Writes until all is sent or the network takes no more.
    fn poll_write(
        &mut self,
        codec: &mut Codec,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            while let Some(command) = self.commands.get(self.opaques.len()) {
                if self.bytes.len() >= WRITE_AHEAD {
                    break;
                }
                let opaque = codec.encode(command, &mut self.bytes).map_err(io::Error::other)?;
                self.opaques.push(opaque);
            }
            if self.bytes.is_empty() {
                return Pin::new(stream).poll_flush(cx);
            }
            match ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.bytes.advance(written),
            }
        }
    }
}

fn connect_error(target: &Target, error: &io::Error) -> Error {
    Error::Connect { server: target.addr.clone(), reason: error.to_string() }
}

fn auth_error(target: &Target, reason: String) -> Error {
    let user = target.credentials.as_ref().map(|credentials| credentials.username.clone());
    Error::Auth { server: target.addr.clone(), user, reason }
}

fn refused(target: &Target, refusal: Refusal) -> Error {
    match refusal.kind {
        RefusalKind::Unauthenticated => auth_error(target, refusal.message),
        RefusalKind::TooLarge => {
            Error::TooLarge { server: target.addr.clone(), reason: refusal.to_string() }
        }
        _ => Error::Server { server: target.addr.clone(), refusal },
    }
}
