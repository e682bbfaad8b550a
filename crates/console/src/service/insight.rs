//! What clients do with a cache, from a sample.

use larder_control::TenantRecord;

use crate::console::App;
use crate::view::{KeysView, PrefixesView, RecentView};

/// The busiest keys.
pub(crate) fn keys(app: &App, tenant: &TenantRecord) -> KeysView {
    KeysView::from(&app.node.insight(tenant.id))
}

/// The busiest prefixes.
pub(crate) fn prefixes(app: &App, tenant: &TenantRecord) -> PrefixesView {
    PrefixesView::from(&app.node.insight(tenant.id))
}

/// The latest commands.
pub(crate) fn recent(app: &App, tenant: &TenantRecord) -> RecentView {
    RecentView::from(&app.node.insight(tenant.id))
}
