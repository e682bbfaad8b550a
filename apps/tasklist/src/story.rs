//! `tasklist walkthrough`: the story on a terminal.

use std::time::Duration;

use anyhow::ensure;
use larder::Cache;
use tasklist::app;
use tasklist::config::Config;
use tasklist::walkthrough::{Cast, Claim, Event, play};

/// How slow the query pretends to be unless `TASKLIST_SLOW_QUERY_MS` says otherwise: the two
/// seconds of the tutorials.
const SLOW_QUERY: Duration = Duration::from_secs(2);

/// Plays the story and fails if a claim does not hold.
pub(crate) async fn run(mut config: Config, cache: Cache) -> anyhow::Result<()> {
    let scratch;
    if std::env::var_os("DATABASE_URL").is_none() {
        scratch = tempfile::tempdir()?;
        config.database_url = format!("sqlite:{}/walk.db", scratch.path().display()).parse()?;
    }
    let db = app::migrated(&config).await?;
    let cache = cache.with_prefix(&app::prefix(&db).await?)?;
    let slow_query = match config.slow_query {
        Duration::ZERO => SLOW_QUERY,
        given => given,
    };
    println!("Database: {}", config.database_url);
    println!("Cache:    {}", cache.backend().describe());
    println!("A query takes {} s here.", slow_query.as_secs_f64());
    let (mut held, mut broken) = (0, 0);
    let mut audience = |event| match event {
        Event::Chapter(title, about) => println!("\n{title}\n  {about}"),
        Event::Claim(claim) => {
            *(if claim.holds { &mut held } else { &mut broken }) += 1;
            print(&claim);
        }
    };
    let cast = Cast { db: db.clone(), cache, config, slow_query };
    play(&cast, &mut audience).await?;
    db.close().await;
    println!("\n{held} claims hold, {broken} do not.");
    ensure!(broken == 0, "{broken} claims do not hold");
    Ok(())
}

fn print(claim: &Claim) {
    let mark = if claim.holds { "ok  " } else { "NOT " };
    println!("  {mark}{:<66} {}", claim.text, claim.measured);
}
