//! `/metrics`: everything that is counted, for Prometheus.
//!
//! Every figure of [`Figures`] is a family `larder_tenant_…` with the label `tenant`. The labels are
//! bounded: the largest caches have one each, the rest is summed as `_other`, which is no name of a
//! cache. What is of the node as a whole is `larder_node_…`. Latencies are histograms of a few coarse
//! buckets; their sums are estimates from finer ones.
//!
//! Operators may ask, and callers on this machine if the console is for this machine only: behind a
//! proxy everybody comes from this machine.

use std::collections::HashMap;
use std::fmt::{Error, Write as _};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Extensions, HeaderMap, Uri, header};
use larder_control::Need;
use larder_tenancy::{Figures, Latency, NodeFacts, TenantId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use tokio::sync::Mutex;

use crate::console::App;
use crate::front::{Who, is_loopback, peer};
use crate::problem::Problem;

/// So many caches have a label of their own.
const MOST_TENANTS: usize = 1000;

/// So many of them have a histogram.
const MOST_HISTOGRAMS: usize = 100;

/// The label of the rest.
const OTHER: &str = "_other";

/// Upper bounds of the histograms' buckets, in nanoseconds: powers of two near 1, 4, 16, … microseconds,
/// so that each is the bound of a finer bucket.
const BOUNDS: [u64; 11] = [
    1 << 10,
    1 << 12,
    1 << 14,
    1 << 16,
    1 << 18,
    1 << 20,
    1 << 22,
    1 << 24,
    1 << 26,
    1 << 28,
    1 << 30,
];

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The exposition.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    who: Option<Who>,
    headers: HeaderMap,
    extensions: Extensions,
    uri: Uri,
) -> Result<Response, Problem> {
    match who {
        Some(who) if who.may(Need::Operator, None) => {}
        Some(_) => return Err(Problem::forbidden(Need::Operator)),
        None if is_of_this_machine(&app, &headers, &extensions, &uri) => {}
        None => return Err(Problem::nobody()),
    }
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Gathered::now(&app).await));
    let mut exposition = String::new();
    text::encode(&mut exposition, &registry).map_err(|error| Problem::unavailable(&error))?;
    Ok(([(header::CONTENT_TYPE, TYPE)], exposition).into_response())
}

/// Whether a request comes from this machine, by no proxy, for a console that nobody else is meant to
/// reach.
fn is_of_this_machine(app: &App, headers: &HeaderMap, extensions: &Extensions, uri: &Uri) -> bool {
    let is_proxied = ["forwarded", "x-forwarded-for", "x-real-ip", "via"]
        .iter()
        .any(|name| headers.contains_key(*name));
    let is_private = app.settings.public_url.as_deref().is_none_or(is_loopback);
    let is_local = peer(extensions).is_some_and(|peer| peer.ip().is_loopback());
    is_local && is_private && !is_proxied && app.hosts.allow(headers, uri)
}

/// The names of caches as of a version of the accounts.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<(u64, Arc<HashMap<TenantId, String>>)>);

impl Names {
    /// The names as they are now, or as they were last if the accounts cannot be asked.
    async fn now(&self, app: &App) -> Arc<HashMap<TenantId, String>> {
        let mut known = self.0.lock().await;
        let Ok(version) = app.accounts.version().await else { return known.1.clone() };
        if version != known.0
            && let Ok(tenants) = app.accounts.tenants().await
        {
            let named = tenants.into_iter().map(|tenant| (tenant.id, tenant.name.to_string()));
            *known = (version, Arc::new(named.collect()));
        }
        known.1.clone()
    }
}

/// All that is told at one moment.
#[derive(Debug)]
struct Gathered {
    tenants: Vec<(String, Figures)>,
    histograms: Vec<(String, Latency)>,
    node: Figures,
    latency: Latency,
    facts: NodeFacts,
    directory: u64,
}

impl Gathered {
    async fn now(app: &App) -> Self {
        let names = app.names.now(app).await;
        let mut named = Vec::new();
        let mut other: Option<Figures> = None;
        for (id, figures) in app.node.all_figures() {
            match names.get(&id) {
                Some(name) => named.push((id, name.clone(), figures)),
                None => other = Some(other.unwrap_or_default().plus(&figures)),
            }
        }
        named.sort_unstable_by(|a, b| (b.2.bytes, &a.1).cmp(&(a.2.bytes, &b.1)));
        for (_, _, figures) in named.drain(named.len().min(MOST_TENANTS)..) {
            other = Some(other.unwrap_or_default().plus(&figures));
        }
        let histogram = |(id, name, _): &(TenantId, String, Figures)| {
            (name.clone(), app.node.latency(Some(*id)))
        };
        let histograms = named.iter().take(MOST_HISTOGRAMS).map(histogram).collect();
        let mut tenants: Vec<_> =
            named.into_iter().map(|(_, name, figures)| (name, figures)).collect();
        tenants.extend(other.map(|figures| (OTHER.to_owned(), figures)));
        let facts = app.node.facts();
        Self {
            tenants,
            histograms,
            node: app.node.figures(None),
            latency: app.node.latency(None),
            directory: facts.directory_version,
            facts,
        }
    }

    fn tenant_families(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        for (at, (field, _, is_level)) in Figures::default().fields().enumerate() {
            let (name, help) = family("tenant", field);
            let kind = if is_level { MetricType::Gauge } else { MetricType::Counter };
            let mut metric = encoder.encode_descriptor(&name, &help, None, kind)?;
            for (tenant, figures) in &self.tenants {
                let value = figures.fields().nth(at).map_or(0, |(_, value, _)| value);
                let labels = [("tenant", tenant.as_str())];
                let mut sample = metric.encode_family(&labels)?;
                if is_level {
                    sample.encode_gauge(&as_gauge(value))?;
                } else {
                    sample.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
                }
            }
        }
        Ok(())
    }

    fn node_families(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        for (field, value, is_level) in self.node.fields() {
            let (name, help) = family("node", field);
            if is_level {
                gauge(encoder, &name, &help, value)?;
            } else {
                counter(encoder, &name, &help, value)?;
            }
        }
        let facts = &self.facts;
        for (name, help, value) in [
            ("started_seconds", "When the node started, in seconds since 1970", facts.started),
            ("memory_bytes", "The limit for everything stored", facts.memory_bytes),
            ("max_connections", "Most connections at once", facts.max_connections),
            ("buffer_bytes", "Bytes of half commands, unsent replies and TLS", facts.buffer_bytes),
            ("max_buffer_bytes", "The limit for them", facts.max_buffer_bytes),
            ("directory_version", "The version of the accounts obeyed", self.directory),
        ] {
            gauge(encoder, &format!("larder_node_{name}"), help, value)?;
        }
        let help = "Connections turned away because there were too many";
        counter(encoder, "larder_node_rejected_connections", help, facts.rejected_connections)
    }

    fn latencies(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let kind = MetricType::Histogram;
        let help = "How long the node took over requests";
        let name = "larder_node_request_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        let (sum, count, buckets) = coarse(&self.latency);
        metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        let help = "How long the node took over requests of a cache; of the largest caches";
        let name = "larder_tenant_request_seconds";
        let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
        for (tenant, latency) in &self.histograms {
            let (sum, count, buckets) = coarse(latency);
            let labels = [("tenant", tenant.as_str())];
            let mut sample = metric.encode_family(&labels)?;
            sample.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

impl Collector for Gathered {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.tenant_families(&mut encoder)?;
        self.node_families(&mut encoder)?;
        self.latencies(&mut encoder)
    }
}

/// The family of a figure, and a word on it. A counter of all and a level of now must not share a name.
fn family(of: &str, field: &str) -> (String, String) {
    let field = match field {
        "total_connections" => "connections_opened",
        "expired" => "expired_items",
        field => field,
    };
    let mut help = String::new();
    let whose = if of == "tenant" { "a cache" } else { "all caches together" };
    let _ = write!(help, "{} of {whose}", field.replace('_', " "));
    (format!("larder_{of}_{field}"), help)
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&as_gauge(value))
}

fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

#[allow(clippy::cast_precision_loss, reason = "Prometheus keeps samples as f64")]
fn as_gauge(value: u64) -> f64 {
    value as f64
}

/// A histogram of few buckets: the sum of all in seconds, how many, and how many in each bucket.
#[allow(clippy::cast_precision_loss, reason = "Prometheus keeps samples as f64")]
fn coarse(latency: &Latency) -> (f64, u64, Vec<(f64, u64)>) {
    let mut buckets: Vec<(f64, u64)> =
        BOUNDS.iter().map(|bound| (*bound as f64 / 1e9, 0)).collect();
    buckets.push((f64::MAX, 0));
    let mut sum = 0.0;
    for (at, count) in latency.counts().iter().enumerate() {
        let bound = Latency::bound(at);
        let coarse = BOUNDS.iter().position(|coarse| bound <= *coarse).unwrap_or(BOUNDS.len());
        buckets[coarse].1 += count;
        sum += bound as f64 / 1e9 * *count as f64;
    }
    (sum, latency.total(), buckets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coarse_buckets_have_what_the_fine_ones_have() {
        let mut latency = Latency::default();
        for nanos in [500, 1023, 1024, 5000, 3_000_000_000] {
            latency.add(Latency::bucket(nanos), 1);
        }
        let (sum, count, buckets) = coarse(&latency);
        assert_eq!(count, 5);
        let filled: Vec<_> = buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(filled, [2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!((3.0..4.0).contains(&sum), "{sum}");
    }

    #[test]
    fn no_two_figures_share_a_family() {
        let mut names: Vec<_> =
            Figures::default().fields().map(|(field, ..)| family("tenant", field).0).collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
