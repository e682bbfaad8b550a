//! One suite over every backend: the rigs it runs on.

#![allow(
    dead_code,
    unreachable_pub,
    unused_macros,
    reason = "a module shared by test files, each of which uses a part of it"
)]

use std::time::{Duration, Instant};

use larder::client::{Client, Config, Credentials, Protocol, ServerAddr};
use larder::store::Clock;
use larder::{Backend, Cache, Ttl};
use larder_peers::Memcached;
use tokio::net::TcpSocket;

/// The backends of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    InProcess,
    Text,
    Meta,
    BinarySasl,
}

/// A cache with what a test needs to know of its backend.
pub struct Rig {
    pub cache: Cache,
    pub kind: Kind,
    clock: Option<Clock>,
    pub server: Option<Memcached>,
}

impl Rig {
    pub fn new(kind: Kind) -> Self {
        let (backend, clock, server) = match kind {
            Kind::InProcess => {
                let clock = Clock::manual(1_800_000_000_000);
                let mut config = larder::store::Config::new(8 * 1024 * 1024);
                config.clock = clock.clone();
                (Backend::store(config), Some(clock), None)
            }
            _ => {
                let (server, config) = server(kind);
                let client = Client::new(config).expect("a valid configuration");
                (Backend::memcached(client), None, Some(server))
            }
        };
        let cache = Cache::builder(backend).prefix("suite").build().expect("a valid prefix");
        Self { cache, kind, clock, server }
    }

    /// A second program on the same servers, with connections of its own. In process there is
    /// only one: the same cache again.
    pub fn another(&self) -> Cache {
        let Some(server) = &self.server else {
            return self.cache.clone();
        };
        let client = Client::new(config(self.kind, server)).expect("a valid configuration");
        Cache::builder(Backend::memcached(client)).prefix("suite").build().expect("a valid prefix")
    }

    /// Lets `seconds` go by: at once where the clock is ours, by waiting where it is not.
    pub async fn pass(&self, seconds: u64) {
        match &self.clock {
            Some(clock) => clock.advance(Duration::from_secs(seconds)),
            None => {
                // memcached's clock ticks once a second, and on a busy machine late: what lives as
                // long from now on tells when it has come so far.
                let end = Instant::now() + Duration::from_secs(seconds + 60);
                assert!(self.cache.set("passes", &seconds, Ttl::secs(seconds)).await);
                while self.cache.contains("passes").await {
                    assert!(Instant::now() < end, "{seconds} s do not pass");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

fn server(kind: Kind) -> (Memcached, Config) {
    let server = match kind {
        Kind::BinarySasl => Memcached::sasl("suite", "s3cret"),
        _ => Memcached::plain(),
    };
    let config = config(kind, &server);
    (server, config)
}

fn config(kind: Kind, server: &Memcached) -> Config {
    let addr: ServerAddr = server.addr().to_string().parse().expect("an address");
    let mut config = Config::new(vec![addr]);
    // The suite asks what is stored, not how fast: a busy machine must not turn it into misses.
    config.timeout = Duration::from_secs(10);
    match kind {
        Kind::BinarySasl => config.with_credentials(Credentials::new("suite", "s3cret")),
        Kind::Text => {
            config.protocol = Protocol::Text;
            config
        }
        _ => config,
    }
}

/// A cache whose only server is a port where nobody listens.
pub fn dead_cache() -> Cache {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let addr = socket.local_addr().expect("its address");
    // Bound to the end of the program, so that nobody else is given the port.
    std::mem::forget(socket);
    let config = Config::new(vec![addr.to_string().parse().expect("an address")]);
    let client = Client::new(config).expect("a valid configuration");
    Cache::builder(Backend::memcached(client)).default_ttl(Ttl::Never).build().expect("valid")
}

/// Runs each named `async fn(Rig)` over every backend, as tests of their own.
macro_rules! over_every_backend {
    ($($test:ident),* $(,)?) => {
        over_every_backend!(@ in_process InProcess $($test)*);
        over_every_backend!(@ memcached_text Text $($test)*);
        over_every_backend!(@ memcached_meta Meta $($test)*);
        over_every_backend!(@ memcached_binary_sasl BinarySasl $($test)*);
    };
    (@ $module:ident $kind:ident $($test:ident)*) => {
        mod $module {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::support::Rig::new(super::support::Kind::$kind)).await;
            })*
        }
    };
}
