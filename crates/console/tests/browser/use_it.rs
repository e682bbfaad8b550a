//! What people do with the dashboard.

use larder_tenancy::{Figures, Insight, KeyUse};
use serde_json::json;

use super::common::name;
use super::support::{LAPTOP, Person, gets_busy, until};

/// The tutorials have the reader watch these three while reloading a page of an application.
#[tokio::test]
async fn counters_move_by_themselves() {
    let person = Person::sits_down().await;
    person.owns_the_shop().await;
    let browser = &person.browser;
    assert_eq!(person.text("#get-hits-title").await, "get hits");
    assert_eq!(person.text("#get-misses-title").await, "get misses");
    assert_eq!(person.text("#set-cmds-title").await, "set cmds");
    until("the page is live", async || person.text("#live-word").await == "live").await;

    let mut figures =
        Figures { get_misses: 1, sets: 1, limit_bytes: 25 << 20, ..Figures::default() };
    person.site.node.set(person.site.shop, figures);
    until("a first load is a miss and a set", async || {
        let seen = [person.text("#get-misses").await, person.text("#set-cmds").await];
        seen == ["1", "1"] && person.text("#get-hits").await == "0"
    })
    .await;
    (figures.get_hits, figures.bytes, figures.items) = (1_234, 12 << 20, 99);
    person.site.node.set(person.site.shop, figures);
    until("reloads are hits", async || person.text("#get-hits").await == "1,234").await;
    until("the bar is filled", async || person.text("#bytes").await == "12 MiB").await;
    assert_eq!(
        browser.evaluate("document.getElementById('memory-bar').getAttribute('width')").await,
        "480"
    );
    assert_eq!(person.text("#items").await, "99");
    // It is that of the last seconds, so requests go on for as long as it is looked for.
    until("the hit rate is told in words", async || {
        (figures.get_hits, figures.get_misses) = (figures.get_hits + 9_999, figures.get_misses + 1);
        person.site.node.set(person.site.shop, figures);
        let text = person.text("#hit-rate-now").await;
        text.contains("99.9 %") && text.contains("good")
    })
    .await;

    person.browser.press("#live-toggle").await;
    assert_eq!(person.text("#live-word").await, "paused");
    figures.get_hits = 1_000_000_000;
    person.site.node.set(person.site.shop, figures);
    // What comes after it shows that nothing came before it.
    person.browser.press("#live-toggle").await;
    until("it goes on", async || person.text("#get-hits").await == "1,000,000,000").await;
    person.was_quiet().await;
}

/// The script writes what moves as the server writes what stands.
#[tokio::test]
async fn the_script_writes_figures_as_the_server_does() {
    let person = Person::sits_down().await;
    person.owns_the_shop().await;
    for (expression, text) in [
        ("count(1234567)", "1,234,567"),
        ("decimal(0)", "0"),
        ("decimal(0.25)", "0.25"),
        ("decimal(0.999)", "1"),
        ("decimal(3.14)", "3.1"),
        ("decimal(9.96)", "10"),
        ("size(1023)", "1023 B"),
        ("size(1536)", "1.5 KiB"),
        ("size(1024 * 1048576 - 1)", "1 GiB"),
        ("size(1300 * 1048576)", "1.27 GiB"),
        ("percent(0.00001)", "0.1 %"),
        ("percent(0.8754)", "87.5 %"),
        ("percent(0.99999)", "99.9 %"),
        ("percent(1)", "100 %"),
        ("nanos(840)", "840 ns"),
        ("nanos(12500)", "12.5 µs"),
        ("nanos(999600)", "1 ms"),
        ("nanos(1200000000)", "1.2 s"),
        ("ago(1000000 - 250, 1000000)", "4 min ago"),
        ("ago(1000000 + 259200, 1000000)", "in 3 days"),
    ] {
        assert_eq!(person.browser.evaluate(expression).await, text, "{expression}");
    }
}

#[tokio::test]
async fn lists_are_fetched_again_by_themselves() {
    let person = Person::sits_down().await;
    person.owns_the_shop().await;
    person.open("/tenants/shop/keys").await;
    assert!(person.text("#keys").await.contains("No key was used yet."));
    let key = KeyUse { key: b"tasks.all"[..].into(), hits: 12, ..KeyUse::default() };
    *person.site.node.insight.lock().unwrap() =
        Insight { since: 1, share: 1.0, keys: vec![key], ..Insight::default() };
    until("the key is there", async || person.text("#keys").await.contains("tasks.all")).await;
    assert!(person.text("#keys").await.contains("Every request is counted"));
    person.was_quiet().await;
}

#[tokio::test]
async fn charts_tell_the_value_under_the_pointer() {
    let person = Person::sits_down().await;
    gets_busy(&person.site).await;
    person.owns_the_shop().await;
    let point = "(() => {
        const plot = document.querySelector('#chart-requests svg[role=img]');
        const box = plot.getBoundingClientRect();
        const place = { clientX: box.left + box.width / 2, clientY: box.top + 9, bubbles: true };
        plot.dispatchEvent(new PointerEvent('pointermove', place));
        return document.querySelector('#chart-requests .readout').textContent;
    })()";
    let told = person.browser.evaluate(point).await;
    let told = told.as_str().unwrap();
    assert!(told.starts_with("5 min ago: get hits ") || told.starts_with("4 min ago: "), "{told}");
    assert!(told.contains("/s · get misses ") && told.contains("/s · set cmds "), "{told}");
    assert_eq!(person.browser.count("#chart-requests .cursor").await, 1);
}

#[tokio::test]
async fn a_flush_asks_in_a_dialog() {
    let person = Person::sits_down().await;
    person.owns_the_shop().await;
    let flushes = async || person.site.accounts.tenant(&name("shop")).await.unwrap().flushes;
    person.browser.press("#flush").await;
    until("it asks", async || person.browser.count("dialog[open]").await == 1).await;
    assert!(person.text("dialog h1").await.contains("Flush shop?"));
    person.picture("dialog", LAPTOP, "light").await;
    person.browser.press("dialog [data-cancel]").await;
    until("it goes away", async || person.browser.count("dialog").await == 0).await;
    assert_eq!((person.browser.path().await.as_str(), flushes().await), ("/tenants/shop", 0));
    let is_back = "document.activeElement.id";
    assert_eq!(person.browser.evaluate(is_back).await, "flush", "the focus is where it was");

    person.browser.press("#flush").await;
    until("it asks again", async || person.browser.count("dialog[open]").await == 1).await;
    person.browser.click("dialog button[type=submit]").await;
    assert!(person.text(".notice").await.contains("Flushed"));
    assert_eq!(flushes().await, 1);
    person.was_quiet().await;
}

#[tokio::test]
async fn a_cache_is_made_and_connected() {
    let person = Person::sits_down().await;
    person.runs_the_fleet().await;
    person.browser.write("#name", "fresh").await;
    person.browser.write("#memory", "16m").await;
    person.browser.click("form[action='/tenants'] button").await;
    assert_eq!(person.text("#secret-title").await, "fresh is ready");
    let password = person.text("#secret-password").await;
    person.picture("secret", LAPTOP, "light").await;
    let variables = person.text("#connect-env").await;
    assert!(variables.contains(&format!("export MEMCACHIER_PASSWORD={password}")), "{variables}");
    // It says so for two seconds only.
    until("it says so", async || {
        person.browser.press("[data-copy=connect-env]").await;
        let said = person.text("[data-copy=connect-env]").await;
        said == "Copied" || said == "Selected"
    })
    .await;
    person.browser.reload().await;
    // A reload of the answer to a form asks the browser's user; the page by itself has no password.
    person.open("/tenants/fresh").await;
    let page = person.browser.evaluate("document.body.textContent").await;
    assert!(!page.as_str().unwrap().contains(&password));
}

#[tokio::test]
async fn a_credential_is_rotated_in_three_steps() {
    let person = Person::sits_down().await;
    person.owns_the_shop().await;
    let old = person.site.everybody.admin.username().to_owned();
    person.open("/tenants/shop/credentials").await;
    person.browser.click("#rotate li:nth-child(1) button").await;
    let new = person.text("#secret-username").await;
    person.browser.click(".actions a.button").await;
    assert!(person.text("#rotate li:nth-child(1)").await.contains("not used yet"));

    person.browser.press("#rotate li:nth-child(2) a").await;
    until("it asks", async || person.browser.count("dialog[open]").await == 1).await;
    person.browser.click("dialog button[type=submit]").await;
    assert!(person.text(".notice").await.contains("Promoted"));
    let tenant = person.site.accounts.tenant(&name("shop")).await.unwrap();
    assert_eq!(tenant.primary, new);
    let third = person.text("#rotate li:nth-child(3)").await;
    assert!(third.contains("too early to say") && third.contains(&old), "{third}");
    person.picture("rotation", LAPTOP, "light").await;
}

#[tokio::test]
async fn without_scripts_everything_is_there() {
    let person = Person::sits_down().await;
    let off = json!({ "value": true });
    person.browser.devtools("Emulation.setScriptExecutionDisabled", off).await;
    person.site.node.set(person.site.shop, Figures { get_hits: 7, ..Figures::default() });
    person.owns_the_shop().await;
    assert_eq!(person.text("#get-hits").await, "7");
    assert_eq!(person.text("#live").await, "", "what needs a script is not shown");
    person.browser.click("#flush").await;
    assert_eq!(person.text("h1").await, "Flush shop?");
    person.browser.click("main button[type=submit]").await;
    assert!(person.text(".notice").await.contains("Flushed"));
}
