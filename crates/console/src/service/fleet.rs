//! Nodes, and the log of changes.

use larder_control::TenantRecord;

use crate::console::App;
use crate::problem::Problem;
use crate::view::{AuditView, LatencyView, NodeFactsView, NodeView, NodesView};

/// The largest page of the log.
const MOST_ENTRIES: u32 = 200;

/// All nodes, and more of this one.
pub(crate) async fn nodes(app: &App) -> Result<NodesView, Problem> {
    let this = &app.settings.node_name;
    let nodes = app.accounts.nodes().await?;
    let used = app.node.figures(None).bytes;
    let latency = LatencyView::from(&app.node.latency(None));
    Ok(NodesView {
        nodes: nodes.into_iter().map(|node| NodeView::new(node, this)).collect(),
        this: NodeFactsView::new(this, app.node.facts(), used, latency),
    })
}

/// A page of the log, of one cache or of all: the latest entries, or those before the entry `before`.
pub(crate) async fn audit(
    app: &App,
    tenant: Option<&TenantRecord>,
    before: Option<i64>,
    most: Option<u32>,
) -> Result<AuditView, Problem> {
    let most = most.unwrap_or(50);
    if !(1..=MOST_ENTRIES).contains(&most) {
        return Err(Problem::invalid(format!(
            "\"limit\" is {most}; it must be 1 to {MOST_ENTRIES}"
        )));
    }
    let name = tenant.map(|tenant| &tenant.name);
    // One more than asked for tells whether there is a next page.
    let mut entries = app.accounts.audit(name, before, most + 1).await?;
    let is_more = entries.len() > most as usize;
    entries.truncate(most as usize);
    let next = if is_more { entries.last().map(|entry| entry.id) } else { None };
    Ok(AuditView { entries: entries.into_iter().map(Into::into).collect(), next })
}
