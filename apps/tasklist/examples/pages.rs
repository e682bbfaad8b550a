//! Renders every page with sample data into a directory, with the stylesheet beside them, to look
//! at the design without a server: `cargo run -p tasklist --example pages -- DIRECTORY`.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use tasklist::db::Task;
use tasklist::web::assets;
use tasklist::web::errors::ErrorPage;
use tasklist::web::templates::{
    CachesPage, IndexPage, MePage, PageReport, Setting, Templates, Total,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = std::env::args_os().nth(1).context("usage: pages DIRECTORY")?;
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join("style.css"), assets::STYLE)?;
    let templates = Templates::new(None)?;
    write(directory, &templates, "index", &IndexPage { tasks: tasks() }).await?;
    write(directory, &templates, "me", &me()).await?;
    write(directory, &templates, "caches", &caches()).await?;
    write(directory, &templates, "error", &error()).await?;
    let empty = templates.render("index.html", &IndexPage { tasks: Vec::new() }).await?;
    std::fs::write(directory.join("empty.html"), local(&empty))?;
    Ok(())
}

async fn write(
    to: &Path,
    templates: &Templates,
    name: &str,
    values: &impl Serialize,
) -> anyhow::Result<()> {
    let file = format!("{name}.html");
    let html = templates.render(&file, values).await?;
    Ok(std::fs::write(to.join(file), local(&html))?)
}

/// Points the page at the stylesheet beside it.
fn local(html: &str) -> String {
    html.replace(&assets::style_path(), "style.css")
}

fn tasks() -> Vec<Task> {
    let names = [
        "Buy flour, yeast and two jars of damson jam",
        "Crème brûlée 🍮 für vier",
        "<script>alert('hello')</script>",
        "לקנות חלב",
        "Write down the recipe that Grandmother never did, with the quantities she meant when she said \
         “enough”, before everybody who has watched her make it has forgotten it or moved away for good",
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    ];
    (1..).zip(names).map(|(id, name)| Task { id, name: name.into() }).collect()
}

fn me() -> MePage {
    let added = vec![
        "Buy flour, yeast and two jars of damson jam".into(),
        "Crème brûlée 🍮 für vier".into(),
    ];
    MePage { visits: 7, added, engine: "cached_db", lifetime: "14 days".into() }
}

fn caches() -> CachesPage {
    let total = |what, gets, hits, errors| Total {
        what,
        gets,
        hits,
        misses: gets - hits,
        sets: gets - hits,
        errors,
        unreadable: 0,
        refused: 0,
        never_hits: false,
    };
    let page =
        |time: &str, request: &str, page: &str, gets, hits, queries, total_ms: &str| PageReport {
            time: time.into(),
            request: request.into(),
            status: if request.starts_with("POST") { 303 } else { 200 },
            page: page.into(),
            gets,
            hits,
            misses: gets - hits,
            round_trips: gets.min(3),
            queries,
            cache_ms: "0.41".into(),
            total_ms: total_ms.into(),
        };
    CachesPage {
        cache: "in this process".into(),
        settings: vec![
            Setting { name: "TASKLIST_QUERY_CACHE", value: "delete".into() },
            Setting { name: "TASKLIST_FRAGMENT_CACHE", value: "on".into() },
            Setting { name: "TASKLIST_PAGE_CACHE", value: "on".into() },
            Setting { name: "TASKLIST_SLOW_QUERY_MS", value: "2000".into() },
        ],
        totals: vec![
            total("Pages and tags", 1_204, 1_188, 0),
            total("List (query)", 16, 2, 0),
            total("Rows (fragments)", 96, 81, 3),
            total("Sessions", 0, 0, 0),
        ],
        pages: vec![
            page("14:03:24", "GET /", "hit", 2, 2, 0, "0.52"),
            page("14:03:22", "GET /", "miss, stored", 9, 5, 1, "2003.10"),
            page("14:03:21", "POST /add", "not asked", 1, 1, 0, "4.07"),
        ],
    }
}

fn error() -> ErrorPage {
    ErrorPage {
        status: 422,
        title: "The task was not added".into(),
        problem: "The name has 214 characters; 200 is the most.".into(),
        remedy: "A name has 1 to 200 characters, on one line.".into(),
        typed: Some("Write down the recipe that Grandmother never did, with the quantities".into()),
    }
}
