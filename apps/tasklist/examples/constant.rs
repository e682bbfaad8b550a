//! A server that answers every request with the same bytes: the ceiling that `cargo xtask bench
//! page` measures the task list against. Same runtime, same HTTP stack, nothing else.
//!
//! Usage: `constant BODY-FILE`; prints `listening on ADDRESS` when it is ready.

use std::io::Write as _;

use axum::Router;
use axum::body::Bytes;
use axum::response::Html;
use axum::routing::get;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: constant BODY-FILE")?;
    let body = Bytes::from(std::fs::read(file)?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "listening on {}", listener.local_addr()?)?;
    let app = Router::new().route("/", get(async move || Html(body)));
    Ok(axum::serve(listener, app).await?)
}
