//! One item, looked up by its key, and its deletion.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use larder_control::Need;
use serde::Serialize;

use super::confirm::Confirm;
use super::frame::{Done, Frame, path};
use super::{after, format, render, sentence};
use crate::console::App;
use crate::front::{OfTenant, Who};
use crate::problem::Problem;
use crate::routes::Route;
use crate::service::items;
use crate::view::{ItemView, KeyView};

pub(super) fn routes() -> Vec<Route> {
    const KEY: &[(&str, &str)] = &[("key", "the key"), ("key_base64", "or the key in base64")];
    vec![
        Route::get("/tenants/{t}/key", Need::Admin, "One item", show).query(KEY),
        Route::get(
            "/tenants/{t}/key/delete",
            Need::Admin,
            "Asks before an item is deleted",
            ask_delete,
        )
        .query(KEY),
        Route::post("/tenants/{t}/key/delete", Need::Admin, "Delete an item", delete),
    ]
}

/// What the page shows.
#[derive(Debug, Serialize)]
struct ItemPage {
    key: KeyView,
    /// None: a get would miss.
    item: Option<ItemView>,
    problem: Option<String>,
}

async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    if query.is_empty() {
        return Ok(Redirect::to(&format!("{}/keys", path(&tenant))).into_response());
    }
    let (key, item) = match items::key_of(&query) {
        Ok(key) => (KeyView::from(&*key), items::look_up(&app, &who, &tenant, &key)),
        Err(problem) => (KeyView::from(&b""[..]), Err(problem)),
    };
    let (status, item, problem) = match item {
        Ok(item) => (StatusCode::OK, Some(item), None),
        // The page says what that may mean.
        Err(problem) if problem.code == "no_item" => (problem.status, None, None),
        Err(problem) => (problem.status, None, Some(sentence(&problem.message))),
    };
    let frame = Frame::of_tenant(&app, &who, &tenant, "keys");
    Ok(render::page(status, "item.html", &frame, &ItemPage { key, item, problem }))
}

async fn ask_delete(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.unwrap_or_default();
    let key = items::key_of(&query)?;
    let base = path(&tenant);
    let shown: String =
        format::pieces(&String::from_utf8_lossy(&key)).iter().map(format::Piece::text).collect();
    let question = Confirm {
        fields: vec![("key_base64", BASE64_STANDARD.encode(&key))],
        ..Confirm::new(
            format!("Delete {shown}?"),
            format!("{base}/key/delete"),
            "Delete the item",
            format!("{base}/key?{query}"),
        )
        .saying(["It is gone from this node; the next get of it is a miss."])
    };
    Ok(question.page(&Frame::of_tenant(&app, &who, &tenant, "keys")))
}

/// The body is written as the query is.
async fn delete(
    State(app): State<Arc<App>>,
    who: Who,
    OfTenant(tenant): OfTenant,
    body: String,
) -> Result<Response, Problem> {
    let key = items::key_of(&body)?;
    items::delete(&app, &who, &tenant, &key).await?;
    Ok(after(Done::Deleted, &format!("{}/keys", path(&tenant))))
}
