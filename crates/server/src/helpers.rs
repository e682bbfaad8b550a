//! The threads beside the event loops: what clients do is looked at on one, and passwords that take long are
//! checked on another. The server serves without them, should they end.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::node::Node;

/// How often it is looked at what clients do.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(200);

/// The threads, while they run.
#[derive(Debug)]
pub(crate) struct Helpers {
    node: Arc<Node>,
    threads: Vec<JoinHandle<()>>,
}

impl Helpers {
    /// Starts them.
    ///
    /// # Errors
    ///
    /// When the system refuses a thread.
    pub(crate) fn start(node: &Arc<Node>) -> std::io::Result<Helpers> {
        let mut helpers = Helpers { node: Arc::clone(node), threads: Vec::new() };
        helpers.spawn("larder-verifier", |node| node.verifier.run(|| node.wake_workers()))?;
        if node.insights.is_enabled() {
            helpers.spawn("larder-insight", |node| {
                while !node.stop.is_asked() {
                    node.insights.collect(&node);
                    thread::park_timeout(LOOKED_AT_EVERY);
                }
            })?;
        }
        Ok(helpers)
    }

    fn spawn(
        &mut self,
        name: &str,
        run: impl FnOnce(Arc<Node>) + Send + 'static,
    ) -> std::io::Result<()> {
        let node = Arc::clone(&self.node);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || run(node))?;
        self.threads.push(thread);
        Ok(())
    }
}

/// Ends them, and the server if it has not stopped.
impl Drop for Helpers {
    fn drop(&mut self) {
        self.node.stop.ask();
        self.node.verifier.close();
        for helper in self.threads.drain(..) {
            helper.thread().unpark();
            if helper.join().is_err() {
                tracing::error!("a helper thread of the server panicked");
            }
        }
    }
}
