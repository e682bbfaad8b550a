//! The stage of one chapter: a running app, a visitor, and the claims made.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Cast, Claim, Event};
use crate::app::App;
use crate::config::Config;
use crate::visitor::{Page, Visitor};
use crate::web::host::AllowedHosts;

/// A running app and a visitor in front of it.
pub(super) struct Stage {
    pub(super) visitor: Visitor,
    pub(super) addr: SocketAddr,
    stop: oneshot::Sender<()>,
    app: JoinHandle<std::io::Result<()>>,
}

impl Stage {
    /// Starts an app with `configure`d settings and an empty corner of the cache.
    pub(super) async fn open(
        cast: &Cast,
        configure: impl FnOnce(&mut Config),
    ) -> anyhow::Result<Self> {
        let mut config = cast.config.clone();
        config.slow_query = cast.slow_query;
        config.allowed_hosts = AllowedHosts::loopback();
        configure(&mut config);
        let mut corner = [0; 8];
        getrandom::fill(&mut corner)?;
        let cache = cast.cache.with_prefix(&format!("walk-{}", hex::encode(corner)))?;
        let app = App::new(Arc::new(config), cast.db.clone(), cache)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let app = tokio::spawn(crate::serve(app, listener, async {
            // A stage that was dropped stops as well.
            let _ = stopped.await;
        }));
        let visitor = Visitor::new(addr);
        Ok(Self { visitor, addr, stop, app })
    }

    /// Stops the app.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        self.app.await?.context("the app ended with an error")
    }

    /// Opens the list.
    pub(super) async fn list(&mut self) -> anyhow::Result<Page> {
        let page = self.visitor.get("/").await?;
        anyhow::ensure!(page.status.is_success(), "GET / answered {}", page.status);
        Ok(page)
    }

    /// Adds a task by the form.
    pub(super) async fn add(&mut self, name: &str) -> anyhow::Result<Page> {
        let page = self.visitor.post("/add", &[("name", name)]).await?;
        anyhow::ensure!(page.status.is_redirection(), "POST /add answered {}", page.status);
        Ok(page)
    }
}

/// Tells the audience how a claim turned out.
pub(super) fn claim(
    audience: &mut dyn FnMut(Event),
    text: impl Into<String>,
    measured: impl Into<String>,
    holds: bool,
) {
    let (text, measured) = (text.into(), measured.into());
    audience(Event::Claim(Claim { text, measured, holds }));
}
