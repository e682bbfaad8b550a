//! A cache live: server-sent events, one a second.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Sse};
use futures_core::Stream;
use http::header::{self, HeaderName};
use larder_control::{AccountsError, Need, TenantRecord};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::console::App;
use crate::front::{OfTenant, Who, principal};
use crate::places::Place;
use crate::problem::Problem;
use crate::service::stats::Seen;

/// How many events there are between two looks at whether who asks may still see them.
const RECHECK: u32 = 5;

/// Begins a stream. It ends when the reader goes, when the console stops, and when who asks may no
/// longer see the cache.
pub(super) async fn live(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
) -> Result<impl IntoResponse, Problem> {
    let of = (!who.principal.is_operator()).then_some(&tenant.name);
    let place = app.streams.take(of).ok_or_else(|| {
        Problem::too_many("there are too many live streams: close some, or try again", 10)
    })?;
    // One event may wait; a reader that does not keep up misses seconds, and costs nothing.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(feed(app, who, tenant, sender, place));
    // Nobody on the way is to keep events back, or to keep them at all.
    let headers = [
        (header::CACHE_CONTROL, "private, no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Sse::new(Events(receiver)).keep_alive(KeepAlive::default())))
}

/// The events of one stream.
struct Events(mpsc::Receiver<Event>);

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.poll_recv(context).map(|event| event.map(Ok))
    }
}

async fn feed(
    app: Arc<App>,
    who: Who,
    tenant: Arc<TenantRecord>,
    sender: mpsc::Sender<Event>,
    _place: Place,
) {
    let mut seen = Seen::now(&app, &tenant);
    let mut ending = app.ending.clone();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for count in 0_u32.. {
        tokio::select! {
            _ = second.tick() => {}
            () = sender.closed() => return,
            // Nobody can say so any more if the sender is gone: a router without a server.
            Ok(_) = ending.wait_for(|ending| *ending) => return,
        }
        if count % RECHECK == RECHECK - 1 && !may_go_on(&app, &who, &tenant).await {
            return;
        }
        let view = seen.look(&app, &tenant).await;
        let Ok(event) = Event::default().json_data(&view) else { return };
        if sender.send(event).await.is_err() {
            return;
        }
    }
}

/// Whether who asked may still see the cache, and it is there. While the accounts cannot be asked, what
/// was right goes on.
async fn may_go_on(app: &App, who: &Who, tenant: &TenantRecord) -> bool {
    match principal(app, &who.way).await {
        Ok(Some(principal)) if principal.may(Need::View, Some(&tenant.name)) => {
            match app.accounts.tenant(&tenant.name).await {
                // Another may have the name by now.
                Ok(now) => now.id == tenant.id,
                Err(error) => !matches!(error, AccountsError::NotFound { .. }),
            }
        }
        Ok(_) => false,
        Err(_) => true,
    }
}
