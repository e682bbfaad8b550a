//! What the console does without being asked: every second it looks at the node, for the history and
//! the alerts; every minute it notes when credentials were last used.

use std::sync::Arc;
use std::time::Duration;

use larder_control::{AlertRule, Notice};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::console::{App, now};

/// Seconds between two notes of when credentials were last used.
const MINUTE: u64 = 60;

/// Seconds between two readings of the rules: they change in the accounts, by whichever console.
const RULES: u64 = 10;

/// How long it rests after a fault.
const REST: Duration = Duration::from_secs(1);

/// Ticks until the console ends. A fault in a tick, of the node perhaps, must not end the history and the
/// alerts without a word.
pub(crate) async fn run(app: Arc<App>) {
    let mut ending = app.ending.clone();
    while let Err(fault) = tokio::spawn(tick(app.clone())).await {
        tracing::error!(%fault, "history and alerts failed by a fault of this program and go on");
        tokio::select! {
            () = sleep(REST) => {}
            _ = ending.wait_for(|ending| *ending) => return,
        }
    }
}

async fn tick(app: Arc<App>) {
    let mut ending = app.ending.clone();
    let mut rules: Vec<AlertRule> = Vec::new();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for count in 0_u64.. {
        tokio::select! {
            _ = second.tick() => {}
            _ = ending.wait_for(|ending| *ending) => return,
        }
        let now = now();
        app.history.sample(now, &*app.node).await;
        if count % RULES == 0 {
            match app.accounts.all_alert_rules().await {
                Ok(read) => rules = read,
                Err(error) => tracing::warn!(%error, "the alerts are as they were"),
            }
        }
        for notice in app.alerts.evaluate(now, &rules, &*app.node) {
            tell(&app, notice);
        }
        if count % MINUTE == MINUTE - 1 {
            note_last_used(&app).await;
        }
    }
}

/// Sends a notice to where its rule says.
fn tell(app: &App, notice: Notice) {
    let text = text(app, &notice);
    tracing::info!(tenant = %notice.tenant, text, "an alert");
    if let Some(webhook) = notice.webhook {
        app.webhooks.deliver(&notice.tenant, webhook, notice.webhook_private, text);
    }
}

/// A notice as its receiver reads it.
pub(crate) fn text(app: &App, notice: &Notice) -> String {
    let link = format!("{}/tenants/{}/alerts", app.settings.url(), notice.tenant);
    notice.text(&app.settings.node_name, &link)
}

async fn note_last_used(app: &App) {
    let seen = app.node.last_used();
    if seen.is_empty() {
        return;
    }
    if let Err(error) = app.accounts.note_last_used(&seen).await {
        tracing::debug!(%error, "nobody notes when credentials were last used");
    }
}
