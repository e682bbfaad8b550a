//! `larder sign-in`: a way into the console for whoever may open the accounts' database.

use anyhow::bail;
use larder_control::{NodeRecord, SignInLink};

use super::place::Place;
use super::{actor, explained, print};
use crate::tell;

/// Flags of `larder sign-in`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whom to sign in
    #[arg(default_value = "operator")]
    operator: String,
    /// Where the console is  [default: what the servers say]
    #[arg(long, value_name = "URL")]
    console_url: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let accounts = args.place.open_existing().await?;
    let nodes = accounts.nodes().await?;
    let Some(url) = args.console_url.or_else(|| console_of(&nodes)) else {
        bail!(
            "no server has said where its console is: start larder serve --data DIR, or give \
             --console-url http://…"
        );
    };
    // The first operator is made with the first server, or here.
    accounts.ensure_operator().await?;
    let link = accounts.new_sign_in_link(&actor("sign-in"), &args.operator).await;
    let link = link.map_err(explained)?;
    accounts.close().await;
    print(&format!("{}\n", address(&url, &link)))?;
    tell::error("It works once, within 15 minutes.");
    Ok(())
}

/// Where a link leads.
pub(crate) fn address(console_url: &str, link: &SignInLink) -> String {
    format!("{}/sign-in/{}", console_url.trim_end_matches('/'), link.token)
}

/// The console of a server, of one that runs if there is any.
pub(crate) fn console_of(nodes: &[NodeRecord]) -> Option<String> {
    let consoles = |live: bool| {
        nodes
            .iter()
            .filter(move |node| node.is_live == live)
            .find_map(|node| node.console_url.clone())
    };
    consoles(true).or_else(|| consoles(false))
}
