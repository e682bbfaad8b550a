//! `/healthz`: whether the node stores and finds a value now.
//!
//! Anybody may ask, so the node is asked at most once a second, and what it said is told to all who
//! come within that second.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::console::App;

/// For so long an answer is told again.
const FRESH: Duration = Duration::from_secs(1);

/// For so long the node may think.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the node said last.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Probes>);

#[derive(Debug, Default)]
struct Probes {
    last: Option<(Instant, Result<Duration, String>)>,
    /// One that has not ended in time. No other begins before it does.
    stuck: Option<JoinHandle<Result<Duration, String>>>,
}

/// 200 and how long it took, or 503 and why.
pub(crate) async fn answer(State(app): State<Arc<App>>) -> (StatusCode, Json<Value>) {
    match ask(&app).await {
        Ok(took) => {
            let ms = took.as_secs_f64() * 1000.0;
            (StatusCode::OK, Json(json!({ "status": "ok", "ms": ms })))
        }
        Err(reason) => {
            let body = json!({ "status": "failing", "reason": reason });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body))
        }
    }
}

/// What the node says of itself, at most a second old.
pub(crate) async fn ask(app: &App) -> Result<Duration, String> {
    let mut probes = app.health.0.lock().await;
    if let Some((at, said)) = &probes.last
        && at.elapsed() < FRESH
    {
        return said.clone();
    }
    let node = app.node.clone();
    let mut probe =
        probes.stuck.take().unwrap_or_else(|| tokio::task::spawn_blocking(move || node.probe()));
    let said = match timeout(PATIENCE, &mut probe).await {
        Ok(Ok(said)) => said,
        Ok(Err(_)) => Err("the probe failed".to_owned()),
        Err(_) => {
            probes.stuck = Some(probe);
            Err(format!("the node did not answer within {} seconds", PATIENCE.as_secs()))
        }
    };
    if let Err(reason) = &said {
        tracing::warn!(reason, "the health check failed");
    }
    probes.last = Some((Instant::now(), said.clone()));
    said
}
