//! The server as its owner has it: made, run, and told what to do from other threads.

use std::sync::Arc;
use std::thread;

use larder_store::StoreError;
use larder_tenancy::SharedDirectory;

use crate::helpers::Helpers;
use crate::listen::Acceptor;
use crate::node::{Listening, Node};
use crate::settings::{Listener, Settings};
use crate::tls::{Tls, TlsError};
use crate::worker::{StopOnPanic, Worker};

/// A cache server that does not run yet.
#[derive(Debug)]
pub struct Server {
    node: Arc<Node>,
}

/// A running server, or one that will run, as other threads see it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Handle {
    node: Arc<Node>,
}

/// Why there is no server, or it had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// There is no memory for the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting that must be at least 1 is 0.
    #[error("{0} is 0, and must be at least 1")]
    Zero(&'static str),
    /// The system refused an event loop or a thread, or broke one.
    #[error("cannot serve: {0}")]
    System(#[from] std::io::Error),
    /// A worker panicked: its connections are lost, and the others were closed in order.
    #[error("a worker of the server panicked")]
    Panicked,
}

impl Server {
    /// A server with an empty store, for the tenants and credentials of `directory`, now and as it changes.
    ///
    /// # Errors
    ///
    /// When a setting is 0 that must not be, or there is no memory.
    pub fn new(settings: Settings, directory: SharedDirectory) -> Result<Server, ServerError> {
        for (name, value) in [
            ("the number of workers", settings.workers),
            ("the number of connections", settings.max_connections),
            ("the number of requests a turn", settings.requests_per_turn as usize),
        ] {
            if value == 0 {
                return Err(ServerError::Zero(name));
            }
        }
        let node = Arc::new(Node::new(settings, directory)?);
        let watching = Arc::downgrade(&node);
        node.directory.watch(move || {
            let node = watching.upgrade();
            node.inspect(|node| node.directory_changed()).is_some()
        });
        Ok(Server { node })
    }

    /// For other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { node: Arc::clone(&self.node) }
    }

    /// Serves until it is told to [stop](Handle::stop), by its handle or, if that is allowed, by a client.
    /// Then nothing is accepted any more, what was sent is answered, and it returns when all replies are
    /// taken, or after [`Settings::stop_deadline`].
    ///
    /// The calling thread accepts connections; each worker is a thread of its own.
    ///
    /// # Errors
    ///
    /// When the system refuses something without which a server cannot be, or a worker panics.
    pub fn run(self, listeners: Vec<Listener>) -> Result<(), ServerError> {
        let node = &self.node;
        let listening = |of: &Listener| Listening { fd: of.fd(), address: of.address() };
        let _ = node.listening.set(listeners.iter().map(listening).collect());
        let _ = node.tls.set(all_tls(&listeners));
        let workers: Vec<_> = (0..node.settings.workers)
            .map(|index| Worker::new(node, index))
            .collect::<Result<_, _>>()
            .map_err(std::io::Error::from)?;
        let inboxes: Vec<_> = workers.iter().map(Worker::inbox).collect();
        let _ = node.inboxes.set(inboxes.clone());
        let acceptor = Acceptor::new(node, listeners, inboxes).map_err(std::io::Error::from)?;
        let helpers = Helpers::start(node)?;
        let (mut threads, mut result) = (Vec::new(), Ok(()));
        for (index, worker) in workers.into_iter().enumerate() {
            match spawn(Arc::clone(node), index, worker) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    node.stop.ask();
                    result = Err(error.into());
                }
            }
        }
        let accepted = acceptor.run().map_err(|error| ServerError::System(error.into()));
        node.stop.ask();
        for thread in threads {
            let served = match thread.join() {
                Ok(served) => served.map_err(|error| ServerError::System(error.into())),
                Err(_) => Err(ServerError::Panicked),
            };
            result = result.and(served);
        }
        drop(helpers);
        result.and(accepted)
    }
}

fn spawn(
    node: Arc<Node>,
    index: usize,
    worker: Worker,
) -> std::io::Result<thread::JoinHandle<rustix::io::Result<()>>> {
    thread::Builder::new().name(format!("larder-worker-{index}")).spawn(move || {
        let _guard = StopOnPanic(node);
        worker.run()
    })
}

/// Every TLS configuration once, however many listeners share it.
fn all_tls(listeners: &[Listener]) -> Vec<Arc<Tls>> {
    let mut all: Vec<Arc<Tls>> = Vec::new();
    for tls in listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        if !all.iter().any(|other| Arc::ptr_eq(other, tls)) {
            all.push(Arc::clone(tls));
        }
    }
    all
}

impl Handle {
    /// Has the server stop. Returns at once.
    pub fn stop(&self) {
        self.node.stop.ask();
    }

    /// Whether it was told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.node.stop.is_asked()
    }

    /// Reads the certificates of all listeners again, for connections from now on.
    ///
    /// # Errors
    ///
    /// Names the first file that is wrong; a listener whose files are wrong goes on with what it has.
    pub fn reload_certificates(&self) -> Result<(), TlsError> {
        self.node.reload_tls()
    }

    /// What it is a handle of.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.node.connections.open()
    }

    /// Passwords ever checked whose digests are slow on purpose.
    #[must_use]
    pub fn slow_checks(&self) -> u64 {
        self.node.verifier.done()
    }

    /// Memory that half commands, unsent replies and TLS of all connections take, in bytes.
    #[must_use]
    pub fn buffer_bytes(&self) -> usize {
        self.node.budget.used()
    }
}
