//! The client: routes commands to servers and puts their replies back in order, with typed methods
//! on top.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Poll;

use bytes::Bytes;
use larder_proto::{Command, Direction, Item, Key, Reply, StoreMode, StoreOutcome};

use crate::addr::ServerAddr;
use crate::config::{Config, ConfigError};
use crate::connection::Target;
use crate::error::Error;
use crate::health::ServerHealth;
use crate::ring::Ring;
use crate::server::Server;
use crate::stream::Tls;

/// A client of one fleet of memcached servers. Cheap to clone; clones share connections.
///
/// Connections are made when first needed. Every operation is bounded by [`Config::timeout`], and
/// may be cancelled at any point by dropping its future: the connection it was using is closed, and
/// deletes or sets that were not confirmed are remembered (see [`Client::owe_delete`]).
#[derive(Debug, Clone)]
pub struct Client {
    fleet: Arc<Fleet>,
}

#[derive(Debug)]
struct Fleet {
    ring: Ring,
    servers: Vec<Arc<Server>>,
    config: Config,
}

/// The replies to a batch of commands.
#[derive(Debug)]
pub struct Batch {
    /// One for each command, in the order of the commands.
    pub replies: Vec<Result<Reply, Error>>,
    /// Exchanges of requests for replies that had to be waited for one after the other: usually 1,
    /// since servers are asked at the same time; 0 if nothing could be sent; more when owed deletes
    /// had to be applied first or a stale connection was replaced. Connecting and authenticating
    /// are not counted.
    pub round_trips: u32,
}

impl Client {
    /// A client with these settings. Opens no connection and needs no runtime; reads the CA file if
    /// one is set.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the setting that makes no sense.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let tls = config.tls.as_ref().map(Tls::new).transpose()?;
        let server = |addr: &ServerAddr| {
            let target = Target {
                addr: addr.clone(),
                protocol: config.protocol,
                credentials: config.credentials.clone(),
                tls: tls.clone(),
                timeout: config.timeout,
                max_value_len: config.max_value_len,
                told_no_auth: AtomicBool::new(false),
            };
            Arc::new(Server::new(target, &config))
        };
        let servers = config.servers.iter().map(server).collect();
        let ring = Ring::new(config.ring, &config.servers);
        Ok(Self { fleet: Arc::new(Fleet { ring, servers, config }) })
    }

    /// Carries out commands: each server gets its part as one pipeline, all servers at the same
    /// time. Commands for the same server keep their order; a failure of one server leaves the
    /// replies of the others.
    ///
    /// [`Command::FlushAll`] and [`Command::Version`] have no key and so no server; here they are
    /// [`Error::Invalid`]. Use [`Self::flush_all`] and [`Self::versions`].
    pub async fn batch(&self, commands: Vec<Command>) -> Batch {
        let total = commands.len();
        let mut groups: Vec<Part> = Vec::new();
        groups.resize_with(self.fleet.servers.len(), Part::default);
        let mut replies = Vec::new();
        replies.resize_with(total, || None);
        for (index, command) in commands.into_iter().enumerate() {
            match self.route(&command) {
                Ok(server) => {
                    groups[server].places.push(index);
                    groups[server].commands.push(command);
                }
                Err(error) => replies[index] = Some(Err(error)),
            }
        }
        let (mut places, mut runs) = (Vec::new(), Vec::new());
        for (server, group) in self.fleet.servers.iter().zip(groups) {
            if !group.commands.is_empty() {
                places.push(group.places);
                runs.push(server.run(group.commands));
            }
        }
        let mut round_trips = 0;
        for (places, outcome) in places.into_iter().zip(join_all(runs).await) {
            round_trips = round_trips.max(outcome.round_trips);
            for (place, reply) in places.into_iter().zip(outcome.replies) {
                replies[place] = Some(reply);
            }
        }
        let replies = replies.into_iter().map(|reply| reply.unwrap_or_else(|| Err(unanswered())));
        Batch { replies: replies.collect(), round_trips }
    }

    /// Reads one item; none on a miss.
    ///
    /// # Errors
    ///
    /// [`Error`] when the server cannot tell.
    pub async fn get(&self, key: &Key) -> Result<Option<Item>, Error> {
        match self.one(Command::Get { key: key.clone() }).await? {
            Reply::Item(item) => Ok(item),
            other => Err(misplaced(&other)),
        }
    }

    /// Reads several items in one batch; replies in the order of `keys`.
    pub async fn get_many(&self, keys: &[Key]) -> Vec<Result<Option<Item>, Error>> {
        let commands = keys.iter().map(|key| Command::Get { key: key.clone() }).collect();
        let replies = self.batch(commands).await.replies.into_iter();
        let items = replies.map(|reply| match reply? {
            Reply::Item(item) => Ok(item),
            other => Err(misplaced(&other)),
        });
        items.collect()
    }

    /// Writes an item under a condition; all storing methods come down to this one. For `flags` and
    /// `exptime` see [`Command`].
    ///
    /// # Errors
    ///
    /// [`Error`] when it is not known to be written or refused; [`Error::TooLarge`] over a limit.
    pub async fn store(
        &self,
        mode: StoreMode,
        key: &Key,
        value: impl Into<Bytes>,
        flags: u32,
        exptime: u32,
    ) -> Result<StoreOutcome, Error> {
        let (key, value) = (key.clone(), value.into());
        match self.one(Command::Store { mode, key, value, flags, exptime }).await? {
            Reply::Store(outcome) => Ok(outcome),
            other => Err(misplaced(&other)),
        }
    }

    /// Writes an item whatever is there.
    ///
    /// # Errors
    ///
    /// As [`Self::store`].
    pub async fn set(
        &self,
        key: &Key,
        value: impl Into<Bytes>,
        flags: u32,
        exptime: u32,
    ) -> Result<StoreOutcome, Error> {
        self.store(StoreMode::Set, key, value, flags, exptime).await
    }

    /// Writes an item if there is none.
    ///
    /// # Errors
    ///
    /// As [`Self::store`].
    pub async fn add(
        &self,
        key: &Key,
        value: impl Into<Bytes>,
        flags: u32,
        exptime: u32,
    ) -> Result<StoreOutcome, Error> {
        self.store(StoreMode::Add, key, value, flags, exptime).await
    }

    /// Writes an item if there is one.
    ///
    /// # Errors
    ///
    /// As [`Self::store`].
    pub async fn replace(
        &self,
        key: &Key,
        value: impl Into<Bytes>,
        flags: u32,
        exptime: u32,
    ) -> Result<StoreOutcome, Error> {
        self.store(StoreMode::Replace, key, value, flags, exptime).await
    }

    /// Writes an item if its CAS is still `cas`.
    ///
    /// # Errors
    ///
    /// As [`Self::store`]; [`Error::Invalid`] for a CAS of 0.
    pub async fn cas(
        &self,
        key: &Key,
        value: impl Into<Bytes>,
        flags: u32,
        exptime: u32,
        cas: u64,
    ) -> Result<StoreOutcome, Error> {
        self.store(StoreMode::Cas(cas), key, value, flags, exptime).await
    }

    /// Adds bytes after an item's value.
    ///
    /// # Errors
    ///
    /// As [`Self::store`].
    pub async fn append(&self, key: &Key, value: impl Into<Bytes>) -> Result<StoreOutcome, Error> {
        self.store(StoreMode::Append, key, value, 0, 0).await
    }

    /// Adds bytes before an item's value.
    ///
    /// # Errors
    ///
    /// As [`Self::store`].
    pub async fn prepend(&self, key: &Key, value: impl Into<Bytes>) -> Result<StoreOutcome, Error> {
        self.store(StoreMode::Prepend, key, value, 0, 0).await
    }

    /// Removes an item; whether there was one.
    ///
    /// # Errors
    ///
    /// [`Error`] when it is not known to be gone; it is owed then.
    pub async fn delete(&self, key: &Key) -> Result<bool, Error> {
        match self.one(Command::Delete { key: key.clone() }).await? {
            Reply::Deleted(was_there) => Ok(was_there),
            other => Err(misplaced(&other)),
        }
    }

    /// Gives an item a new expiry; whether there is one.
    ///
    /// # Errors
    ///
    /// [`Error`] when it is not known to be done.
    pub async fn touch(&self, key: &Key, exptime: u32) -> Result<bool, Error> {
        match self.one(Command::Touch { key: key.clone(), exptime }).await? {
            Reply::Touched(is_there) => Ok(is_there),
            other => Err(misplaced(&other)),
        }
    }

    /// Adds to a stored number (wraps at 2^64); the new number, or none if there is no item.
    ///
    /// # Errors
    ///
    /// [`Error`] when it is not known to be done; [`Error::Server`] if the item is no number.
    pub async fn incr(&self, key: &Key, delta: u64) -> Result<Option<u64>, Error> {
        self.arith(key, delta, Direction::Incr).await
    }

    /// Subtracts from a stored number (stops at 0); the new number, or none if there is no item.
    ///
    /// # Errors
    ///
    /// As [`Self::incr`].
    pub async fn decr(&self, key: &Key, delta: u64) -> Result<Option<u64>, Error> {
        self.arith(key, delta, Direction::Decr).await
    }

    /// Drops every item of every server: of all applications that share them.
    ///
    /// A server that did not answer is owed the flush: until it is done, operations on that server
    /// fail with [`Error::Unavailable`]. One that refuses is left as it is.
    pub async fn flush_all(&self) -> Vec<(ServerAddr, Result<(), Error>)> {
        self.on_every_server(Command::FlushAll, |reply| match reply {
            Reply::Flushed => Ok(()),
            other => Err(misplaced(&other)),
        })
        .await
    }

    /// Every server's version text.
    pub async fn versions(&self) -> Vec<(ServerAddr, Result<String, Error>)> {
        self.on_every_server(Command::Version, |reply| match reply {
            Reply::Version(text) => Ok(text),
            other => Err(misplaced(&other)),
        })
        .await
    }

    /// Notes that `key` must be deleted before its server is read again.
    ///
    /// The client does so by itself for every delete or plain set that was not confirmed. Until the
    /// delete is applied (by the next operation on that server, or in the background), operations
    /// on that server fail with [`Error::Unavailable`] rather than read what may be stale. Past
    /// 100 000 keys per server, the whole server is flushed instead.
    pub fn owe_delete(&self, key: &Key) {
        self.fleet.server(key).owe([key]);
    }

    /// Notes that `keys` must be deleted once the server of `first` has applied all that it is
    /// owed; at once if that is nothing.
    ///
    /// For what other processes may make of the value under `first` as long as its delete has not
    /// arrived. Nothing is held back meanwhile: `keys` may be read and written.
    pub fn owe_deletes_after<'a>(&self, first: &Key, keys: impl IntoIterator<Item = &'a Key>) {
        let server = self.fleet.server(first);
        for key in keys {
            server.owe_later(self.fleet.server(key), key);
        }
    }

    /// The server that `key` belongs to.
    #[must_use]
    pub fn server_of(&self, key: &Key) -> &ServerAddr {
        &self.fleet.server(key).target.addr
    }

    /// How many servers there are.
    #[must_use]
    pub fn server_count(&self) -> usize {
        self.fleet.servers.len()
    }

    /// How each server is doing, in the configured order.
    #[must_use]
    pub fn health(&self) -> Vec<ServerHealth> {
        self.fleet.servers.iter().map(|server| server.health()).collect()
    }

    /// The index of the server a command goes to, if it can be sent at all.
    fn route(&self, command: &Command) -> Result<usize, Error> {
        let Some(key) = command.key() else {
            let reason = "flush_all and version concern whole servers, not a key".to_owned();
            return Err(Error::Invalid { reason });
        };
        let index = self.fleet.ring.server_of(key.as_bytes());
        command.check(self.fleet.config.max_value_len).map_err(|error| {
            let server = self.fleet.server(key);
            if let Command::Store { mode: StoreMode::Set, .. } = command {
                // The old value was to be replaced; it must not be read on.
                server.owe([key]);
            }
            Error::command(&server.target.addr, error)
        })?;
        Ok(index)
    }

    async fn one(&self, command: Command) -> Result<Reply, Error> {
        let replies = self.batch(vec![command]).await.replies;
        replies.into_iter().next().unwrap_or_else(|| Err(unanswered()))
    }

    async fn arith(
        &self,
        key: &Key,
        delta: u64,
        direction: Direction,
    ) -> Result<Option<u64>, Error> {
        match self.one(Command::Arith { key: key.clone(), delta, direction }).await? {
            Reply::Number(number) => Ok(number),
            other => Err(misplaced(&other)),
        }
    }

    async fn on_every_server<T>(
        &self,
        command: Command,
        read: impl Fn(Reply) -> Result<T, Error>,
    ) -> Vec<(ServerAddr, Result<T, Error>)> {
        let servers = &self.fleet.servers;
        let runs = servers.iter().map(|server| server.run(vec![command.clone()])).collect();
        let outcomes = join_all(runs).await.into_iter().zip(servers);
        let results = outcomes.map(|(outcome, server)| {
            let reply = outcome.replies.into_iter().next();
            let result = reply.unwrap_or_else(|| Err(unanswered())).and_then(&read);
            (server.target.addr.clone(), result)
        });
        results.collect()
    }
}

impl Fleet {
    fn server(&self, key: &Key) -> &Arc<Server> {
        &self.servers[self.ring.server_of(key.as_bytes())]
    }
}

/// One server's part of a batch.
#[derive(Default)]
struct Part {
    /// Where in the batch each command stands.
    places: Vec<usize>,
    commands: Vec<Command>,
}

/// Runs futures at the same time, within this task: dropping it drops them at once.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = Vec::new();
    outputs.resize_with(futures.len(), || None);
    poll_fn(move |cx| {
        let mut pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => pending = true,
                }
            }
        }
        if pending {
            return Poll::Pending;
        }
        Poll::Ready(outputs.iter_mut().filter_map(Option::take).collect())
    })
    .await
}

/// The codec only yields replies that fit their command; this names the fault if it ever does not.
fn misplaced(reply: &Reply) -> Error {
    Error::Invalid { reason: format!("the reply {reply:?} does not fit the command") }
}

fn unanswered() -> Error {
    Error::Invalid { reason: "it was lost within the client".to_owned() }
}
