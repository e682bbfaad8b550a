//! What the console works on.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use larder_control::{Accounts, Alerts, History};
use larder_tenancy::Node;
use tokio::sync::watch;

use crate::front::{Hosts, Throttle};
use crate::health::Health;
use crate::metrics::Names;
use crate::places::Places;
use crate::webhook::Webhooks;

/// Everything that the console shows and changes.
pub struct Console {
    /// Tenants, credentials, operators.
    pub accounts: Accounts,
    /// What the node counted over time.
    pub history: History,
    /// The state of the rules about it.
    pub alerts: Alerts,
    /// The node.
    pub node: Arc<dyn Node>,
    /// How the console is set up.
    pub settings: ConsoleSettings,
}

/// How the console is set up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// What people call the node.
    pub node_name: String,
    /// Where clients reach the node, `host:port` each. Shown with a new credential when the accounts
    /// know of no live node.
    pub servers: Vec<String>,
    /// Where browsers reach the console: `http://HOST[:PORT]` or `https://HOST[:PORT]`. None: by an
    /// address or as `localhost`. With `https`, session cookies are sent over TLS only.
    pub public_url: Option<String>,
    /// Where the console listens; [`serve`](crate::serve) fills it in.
    pub listen: Option<SocketAddr>,
    /// Whether a cache's administrators may see values of items.
    pub show_values: bool,
}

impl ConsoleSettings {
    /// Whether browsers come by `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }

    /// Where browsers reach the console, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        match (&self.public_url, self.listen) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(address)) => format!("http://{address}"),
            (None, None) => "http://localhost".to_owned(),
        }
    }
}

impl Console {
    /// The console as a service, for a server that is not ours. It sends no notices and keeps no
    /// history: [`serve`](crate::serve) does.
    pub fn router(self) -> Router {
        let (_, never) = watch::channel(false);
        crate::routes::router(Arc::new(App::new(self, never)))
    }
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The console and what it keeps in memory. Handlers share one.
pub(crate) struct App {
    console: Console,
    pub(crate) hosts: Hosts,
    pub(crate) throttle: Throttle,
    pub(crate) health: Health,
    pub(crate) names: Names,
    pub(crate) webhooks: Webhooks,
    /// A place for each live stream.
    pub(crate) streams: Arc<Places>,
    /// Turns true when the console is to stop.
    pub(crate) ending: watch::Receiver<bool>,
}

/// Most live streams at once. Each is a connection and a task that looks at the node every second.
const MOST_STREAMS: usize = 200;

/// Most of those who are of one cache.
const MOST_STREAMS_OF_TENANT: usize = 50;

impl App {
    pub(crate) fn new(console: Console, ending: watch::Receiver<bool>) -> Self {
        Self {
            hosts: Hosts::of(&console.settings),
            throttle: Throttle::default(),
            health: Health::default(),
            names: Names::default(),
            webhooks: Webhooks::new(),
            streams: Places::new(MOST_STREAMS, MOST_STREAMS_OF_TENANT),
            ending,
            console,
        }
    }
}

impl Deref for App {
    type Target = Console;

    fn deref(&self) -> &Console {
        &self.console
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
