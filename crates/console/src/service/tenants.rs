//! Caches.

use std::collections::{BTreeMap, HashMap};

use larder_control::{NewTenant, Secret, TenantChange, TenantRecord};
use larder_tenancy::{Figures, TenantName};
use serde::Deserialize;

use super::{done, waiting_for};
use crate::console::App;
use crate::front::{Size, Who};
use crate::problem::Problem;
use crate::view::{
    DoneView, FiguresView, NewTenantView, SecretView, TenantRowView, TenantView, TenantsView,
};

/// A cache to be made. `memory` is floor and ceiling in one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenantBody {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) memory: Option<Size>,
    #[serde(default)]
    pub(crate) floor: Option<Size>,
    #[serde(default)]
    pub(crate) ceiling: Option<Size>,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

/// What to change of a cache; what is absent stays.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantPatch {
    #[serde(default)]
    pub(crate) memory: Option<Size>,
    #[serde(default)]
    pub(crate) floor: Option<Size>,
    #[serde(default)]
    pub(crate) ceiling: Option<Size>,
    #[serde(default)]
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// All caches with what this node counted of each.
pub(crate) async fn list(app: &App) -> Result<TenantsView, Problem> {
    let figures: HashMap<_, _> = app.node.all_figures().into_iter().collect();
    let row = |tenant: TenantRecord| TenantRowView {
        tenant: TenantView::from(&tenant),
        figures: FiguresView(figures.get(&tenant.id).copied().unwrap_or_default()),
    };
    Ok(TenantsView {
        tenants: app.accounts.tenants().await?.into_iter().map(row).collect(),
        capacity: app.accounts.capacity().await?.into(),
        total: FiguresView(app.node.figures(None)),
    })
}

/// One cache with what this node counted of it.
pub(crate) fn show(app: &App, tenant: &TenantRecord) -> TenantRowView {
    let figures: Figures = app.node.figures(Some(tenant.id));
    TenantRowView { tenant: TenantView::from(tenant), figures: FiguresView(figures) }
}

/// Makes a cache and its primary credential.
pub(crate) async fn create(
    app: &App,
    who: &Who,
    body: NewTenantBody,
) -> Result<NewTenantView, Problem> {
    let name = TenantName::new(&body.name).map_err(|error| {
        Problem::invalid(format!("the name {:?} is not valid: {error}", body.name))
    })?;
    let (floor, ceiling) = limits(body.memory, body.floor, body.ceiling)?;
    let Some(floor) = floor else {
        return Err(Problem::invalid(
            "how much memory is missing: give \"memory\", such as \"25m\"",
        ));
    };
    let ceiling = ceiling.unwrap_or(floor);
    let new = NewTenant { floor, ceiling, labels: body.labels, ..NewTenant::new(name, floor) };
    let made = app.accounts.create_tenant(&who.actor(), new).await?;
    let (tenant, secret) = made.value;
    Ok(NewTenantView {
        tenant: TenantView::from(&tenant),
        credential: secret_view(app, secret).await,
        waiting_for: waiting_for(app, made.version).await,
    })
}

/// Changes the size or the labels of a cache.
pub(crate) async fn change(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    patch: TenantPatch,
) -> Result<TenantView, Problem> {
    let (floor, ceiling) = limits(patch.memory, patch.floor, patch.ceiling)?;
    let change = TenantChange { floor, ceiling, labels: patch.labels };
    let changed = app.accounts.change_tenant(&who.actor(), &tenant.name, change).await?;
    waiting_for(app, changed.version).await;
    Ok(TenantView::from(&changed.value))
}

/// Removes a cache with all that is in it.
pub(crate) async fn remove(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
) -> Result<DoneView, Problem> {
    let changed = app.accounts.remove_tenant(&who.actor(), &tenant.name).await?;
    done(app, changed.version).await
}

/// Makes every item of a cache a miss, on every node.
pub(crate) async fn flush(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
) -> Result<DoneView, Problem> {
    let changed = app.accounts.flush_tenant(&who.actor(), &tenant.name).await?;
    done(app, changed.version).await
}

/// Where clients should connect to: the nodes that are live, or else this one.
pub(crate) async fn servers(app: &App) -> Vec<String> {
    let nodes = app.accounts.nodes().await.unwrap_or_default();
    let live = nodes.into_iter().filter(|node| node.is_live);
    let servers: Vec<String> = live.flat_map(|node| node.servers).collect();
    if servers.is_empty() { app.settings.servers.clone() } else { servers }
}

/// A new credential with the variables that an application needs.
pub(super) async fn secret_view(app: &App, secret: Secret) -> SecretView {
    SecretView::new(secret, servers(app).await)
}

/// Floor and ceiling of what was given: `memory` is both.
fn limits(
    memory: Option<Size>,
    floor: Option<Size>,
    ceiling: Option<Size>,
) -> Result<(Option<u64>, Option<u64>), Problem> {
    match (memory, floor, ceiling) {
        (Some(memory), None, None) => Ok((Some(memory.0), Some(memory.0))),
        (None, floor, ceiling) => Ok((floor.map(|size| size.0), ceiling.map(|size| size.0))),
        _ => Err(Problem::invalid("give \"memory\", or \"floor\" and \"ceiling\", but not both")),
    }
}
