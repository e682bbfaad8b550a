//! What is done, whoever asks for it: the API's handlers and the forms of the pages both call these.
//!
//! Each function is given who asks and the cache that the rights check found, and makes the checks that
//! depend on what is asked. It answers a view or a [`Problem`].

pub(crate) mod account;
pub(crate) mod alerts;
pub(crate) mod credentials;
pub(crate) mod fleet;
pub(crate) mod insight;
pub(crate) mod items;
pub(crate) mod stats;
pub(crate) mod tenants;

use std::time::Duration;

use crate::console::App;
use crate::problem::Problem;
use crate::view::DoneView;

/// How long a change waits for the nodes to obey it before it is answered.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waits for a change to reach the nodes; the names of those that it has not reached.
async fn waiting_for(app: &App, version: u64) -> Vec<String> {
    match app.accounts.acknowledged(version, PATIENCE).await {
        Ok(nodes) => nodes.into_iter().map(|node| node.name).collect(),
        Err(error) => {
            // The change itself is made.
            tracing::warn!(%error, "nobody can say whether the nodes know of a change");
            Vec::new()
        }
    }
}

/// The answer to a change without a value.
async fn done(app: &App, version: u64) -> Result<DoneView, Problem> {
    Ok(DoneView { waiting_for: waiting_for(app, version).await })
}
