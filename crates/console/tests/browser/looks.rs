//! How the dashboard looks: pictures of every page, wide and narrow, light and dark, empty and busy.

use serde_json::json;

use super::support::{
    LAPTOP, PHONE, Person, gets_busy, has_many_caches, is_watched, stays_busy, until,
};

#[tokio::test]
async fn an_owner_sees_a_busy_cache() {
    let person = Person::sits_down().await;
    gets_busy(&person.site).await;
    stays_busy(&person.site);
    is_watched(&person.site).await;
    person.owns_the_shop().await;
    let pages = ["", "keys", "prefixes", "recent", "history", "credentials", "alerts", "audit"];
    for (size, scheme, name) in
        [(LAPTOP, "light", "light"), (LAPTOP, "dark", "dark"), (PHONE, "light", "phone")]
    {
        for page in pages {
            person.look(size, scheme).await;
            let path = if page.is_empty() { String::new() } else { format!("/{page}") };
            person.open(&format!("/tenants/shop{path}")).await;
            let page = if page.is_empty() { "overview" } else { page };
            person.picture(&format!("{page}-{name}"), size, scheme).await;
        }
    }
    person.was_quiet().await;
}

/// The pictures of the documentation.
#[tokio::test]
async fn a_cache_at_a_glance() {
    let person = Person::sits_down().await;
    gets_busy(&person.site).await;
    stays_busy(&person.site);
    person.owns_the_shop().await;
    for (size, scheme, name) in [
        ((1280, 1330), "light", "glance-light"),
        ((1280, 1330), "dark", "glance-dark"),
        ((390, 1100), "light", "glance-phone"),
    ] {
        person.look(size, scheme).await;
        person.open("/tenants/shop?span=3h").await;
        until("the page is live", async || person.text("#live-word").await == "live").await;
        let first = person.text("#get-hits").await;
        until("it moves", async || person.text("#get-hits").await != first).await;
        person.glance(name).await;
    }
    person.was_quiet().await;
}

#[tokio::test]
async fn a_newcomer_sees_an_empty_one() {
    let person = Person::sits_down().await;
    person.open("/sign-in").await;
    person.picture("sign-in", LAPTOP, "light").await;
    person.owns_the_shop().await;
    for page in ["", "/keys", "/prefixes", "/recent", "/history"] {
        person.look(LAPTOP, "light").await;
        person.open(&format!("/tenants/shop{page}")).await;
        let name = if page.is_empty() { "overview" } else { &page[1..] };
        person.picture(&format!("{name}-empty"), LAPTOP, "light").await;
    }
    person.look(LAPTOP, "light").await;
    person.open("/tenants/elsewhere").await;
    person.picture("error", LAPTOP, "light").await;
    person.was_quiet().await;
}

#[tokio::test]
async fn an_operator_sees_the_fleet() {
    let person = Person::sits_down().await;
    gets_busy(&person.site).await;
    has_many_caches(&person.site).await;
    stays_busy(&person.site);
    person.runs_the_fleet().await;
    let idle =
        "[...document.querySelectorAll('td')].filter((cell) => cell.textContent === '0/s').length";
    until("all that are used are busy", async || {
        person.open("/").await;
        person.browser.evaluate(idle).await == 2
    })
    .await;
    let pages = [
        ("/", "caches"),
        ("/node", "node"),
        ("/audit", "audit-all"),
        ("/account", "account"),
        ("/tenants/shop/settings", "settings"),
        ("/tenants/shop/remove", "remove"),
        ("/tenants/intranet-search-suggestions-production-europe-west", "long-name"),
    ];
    for (size, scheme, kind) in
        [(LAPTOP, "light", "light"), (LAPTOP, "dark", "dark"), (PHONE, "dark", "phone")]
    {
        for (path, name) in pages {
            person.look(size, scheme).await;
            person.open(path).await;
            person.picture(&format!("{name}-{kind}"), size, scheme).await;
        }
    }
    person.was_quiet().await;
}

#[tokio::test]
async fn colours_follow_the_taste_and_focus_can_be_seen() {
    let person = Person::sits_down().await;
    person.owns_the_shop().await;
    let background = "getComputedStyle(document.body).backgroundColor";
    let light = person.browser.evaluate(background).await;
    person.look(LAPTOP, "dark").await;
    assert_ne!(person.browser.evaluate(background).await, light);
    // The first thing that the keyboard comes to leads past the menu.
    let tab = json!({ "type": "rawKeyDown", "key": "Tab", "windowsVirtualKeyCode": 9 });
    person.browser.devtools("Input.dispatchKeyEvent", tab).await;
    let focused = "document.activeElement.className";
    assert_eq!(person.browser.evaluate(focused).await, "skip");
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(person.browser.evaluate(outline).await, "solid");
}
