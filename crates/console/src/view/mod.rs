//! What the API answers, and what the pages are made of: the same structs are the API's JSON and the
//! context of a page's template.
//!
//! Times are seconds since 1970, sizes are bytes, durations say their unit in their names. A figure that
//! is not known is `null`, never 0. Nothing here holds a password but [`SecretView`], which is made once
//! and never stored.

mod account;
mod alert;
mod credential;
mod figures;
mod history;
mod insight;
mod item;
mod key;
mod node;
mod tenant;

pub use self::account::{
    MeView, SessionView, SessionsView, TokenSecretView, TokenView, TokensView,
};
pub use self::alert::{AlertStateView, AlertTestView, AlertView, AlertsView};
pub use self::credential::{
    CredentialView, CredentialsView, NewCredentialView, SecretView, VariablesView,
};
pub use self::figures::{
    FiguresView, Grade, HitRateView, HitRatesView, LatencyBucketView, LatencyView,
};
pub use self::history::HistoryView;
pub use self::insight::{
    CommandView, KeyUseView, KeysView, MissedView, PrefixUseView, PrefixesView, RecentView,
};
pub use self::item::{ItemView, ValueView};
pub use self::key::KeyView;
pub use self::node::{AuditEntryView, AuditView, DoneView, NodeFactsView, NodeView, NodesView};
pub use self::tenant::{
    CapacityView, LiveView, NewTenantView, StatsView, TenantRowView, TenantView, TenantsView,
};
