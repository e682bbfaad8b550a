//! How a cache is doing, now and over time.

use larder_control::{HitRates, Span, TenantRecord};
use larder_tenancy::{Figures, Latency, TenantId};

use crate::console::{App, now};
use crate::problem::Problem;
use crate::view::{FiguresView, HistoryView, HitRatesView, LatencyView, LiveView, StatsView};

/// The figures of a cache on this node.
pub(crate) async fn stats(app: &App, tenant: &TenantRecord) -> StatsView {
    let figures = app.node.figures(Some(tenant.id));
    StatsView {
        at: now(),
        figures: FiguresView(figures),
        hit_rates: hit_rates(app, tenant.id).await,
        memory_used: memory_used(&figures),
        latency: LatencyView::from(&app.node.latency(Some(tenant.id))),
    }
}

/// Hit rates of a cache, or of all together.
pub(crate) async fn hit_rates(app: &App, tenant: impl Into<Option<TenantId>>) -> HitRatesView {
    rates(app.history.hit_rates(tenant.into()).await)
}

/// A span of a cache's past on this node.
pub(crate) async fn history(
    app: &App,
    tenant: &TenantRecord,
    span: &str,
) -> Result<HistoryView, Problem> {
    history_of(app, tenant.id, span).await
}

/// A span of the past of a cache, or of all together.
pub(crate) async fn history_of(
    app: &App,
    tenant: impl Into<Option<TenantId>>,
    span: &str,
) -> Result<HistoryView, Problem> {
    let Some(span) = Span::named(span) else {
        let names: Vec<_> = Span::ALL.iter().map(|span| span.name()).collect();
        let message = format!("{span:?} is no span: use one of {}", names.join(", "));
        return Err(Problem::invalid(message));
    };
    let series = app.history.series(tenant.into(), span).await?;
    Ok(HistoryView::new(span, &series))
}

/// What a live stream saw last.
pub(crate) struct Seen {
    figures: Figures,
    latency: Latency,
}

impl Seen {
    /// Begins to look at a cache.
    pub(crate) fn now(app: &App, tenant: &TenantRecord) -> Self {
        let id = Some(tenant.id);
        Self { figures: app.node.figures(id), latency: app.node.latency(id) }
    }

    /// What happened since the last look.
    pub(crate) async fn look(&mut self, app: &App, tenant: &TenantRecord) -> LiveView {
        let now_seen = Self::now(app, tenant);
        let latency = now_seen.latency.since(&self.latency);
        let view = LiveView {
            at: now(),
            figures: FiguresView(now_seen.figures),
            rates: FiguresView(now_seen.figures.since(&self.figures)),
            hit_rates: hit_rates(app, tenant.id).await,
            memory_used: memory_used(&now_seen.figures),
            p50_ns: latency.quantile(0.5),
            p99_ns: latency.quantile(0.99),
        };
        *self = now_seen;
        view
    }
}

fn rates(rates: HitRates) -> HitRatesView {
    HitRatesView {
        now: rates.now.into(),
        hour: rates.hour.into(),
        day: rates.day.into(),
        week: rates.week.into(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "a share needs no more digits")]
fn memory_used(figures: &Figures) -> Option<f64> {
    let limit = figures.limit_bytes;
    (limit > 0 && limit < u64::MAX).then(|| figures.bytes as f64 / limit as f64)
}
