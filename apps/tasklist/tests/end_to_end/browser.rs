//! The task list in headless Chromium, as a person uses it. The screenshots are kept in
//! `screenshots` in the build directory.

use std::path::{Path, PathBuf};

use larder_peers::browser::Browser;
use serde_json::json;

use super::support::{App, Database, Vars, until};

const NAME_FIELD: &str = "form[action='/add'] input[name='name']";
const ADD_BUTTON: &str = "form[action='/add'] button";
const TASK: &str = ".task-name";
const REMOVE_BUTTON: &str = "form[action='/remove'] button";

/// The row of `/caches` that is about the last page before it.
const LAST_PAGE: &str = "section[aria-labelledby='pages'] tbody tr:first-child";

/// A phone's window.
const PHONE: (u32, u32) = (390, 844);
/// A small laptop's.
const LAPTOP: (u32, u32) = (1100, 760);

/// A browser before an app.
struct Person {
    browser: Browser,
    app: App,
    _database: Database,
}

impl Person {
    async fn sits_down() -> Person {
        let database = Database::sqlite();
        let app = App::start(&Vars::default().with("DATABASE_URL", &database.url));
        let browser = Browser::start().await;
        let person = Person { browser, app, _database: database };
        person.look(LAPTOP, "light").await;
        person
    }

    async fn open(&self, path: &str) {
        self.browser.open(&format!("http://{}{path}", self.app.addr)).await;
    }

    async fn add(&self, name: &str) {
        self.browser.write(NAME_FIELD, name).await;
        self.browser.click(ADD_BUTTON).await;
    }

    /// The texts of the last page's row on `/caches`.
    async fn last_page(&self) -> String {
        self.open("/caches").await;
        self.browser.text(LAST_PAGE).await.expect("a row")
    }

    /// Gives the window a size and the person a taste.
    async fn look(&self, (width, height): (u32, u32), scheme: &str) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 2, "mobile": false });
        self.browser.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let taste = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.browser.devtools("Emulation.setEmulatedMedia", taste).await;
    }

    /// Keeps a picture, and checks that nothing sticks out of the window sideways.
    async fn picture(&self, name: &str) {
        let picture = self.browser.screenshot().await;
        std::fs::write(screenshots().join(name).with_extension("png"), picture).unwrap();
        let fits = "document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(self.browser.evaluate(fits).await, true, "{name}");
    }

    async fn background(&self) -> String {
        let color = "getComputedStyle(document.body).backgroundColor";
        self.browser.evaluate(color).await.as_str().unwrap().to_owned()
    }
}

fn screenshots() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let directory = target.join("screenshots");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

#[tokio::test]
async fn a_person_keeps_a_list() {
    let person = Person::sits_down().await;
    let browser = &person.browser;
    person.open("/").await;
    assert_eq!(browser.count(TASK).await, 0);
    person.picture("empty").await;

    person.add("Buy flour").await;
    assert_eq!(browser.text(TASK).await.as_deref(), Some("Buy flour"));
    // The browser came from the form to a page that was made for it; the reloads are not.
    until("a second reload is a hit", async || {
        person.open("/").await;
        browser.reload().await;
        browser.reload().await;
        assert_eq!(browser.text(TASK).await.as_deref(), Some("Buy flour"));
        let row = person.last_page().await;
        row.starts_with("GET / ") && row.contains(" hit 2 2 0 ")
    })
    .await;
    person.picture("caches").await;

    person.open("/").await;
    browser.click(REMOVE_BUTTON).await;
    assert_eq!(browser.count(TASK).await, 0);
    let text = browser.text("main").await.unwrap();
    assert!(text.contains("Nothing on the shelf"), "{text}");
}

#[tokio::test]
async fn a_person_has_a_session_and_ends_it() {
    let person = Person::sits_down().await;
    let browser = &person.browser;
    person.open("/").await;
    person.add("Mine to remember").await;
    person.open("/me").await;
    assert_eq!(browser.text(".added").await.as_deref(), Some("Mine to remember"));
    person.picture("session").await;
    assert_eq!(browser.evaluate("document.cookie").await, "", "scripts must not see the session");
    browser.click("form[action='/sign-out'] button").await;
    assert_eq!(browser.path().await, "/");
    assert_eq!(browser.text(TASK).await.as_deref(), Some("Mine to remember"));
    person.open("/me").await;
    assert_eq!(browser.count(".added").await, 0);
}

#[tokio::test]
async fn the_list_looks_well_and_is_harmless() {
    let person = Person::sits_down().await;
    let browser = &person.browser;
    person.open("/").await;
    let names = [
        "Buy flour, yeast and two jars of damson jam",
        "<script>alert(1)</script>",
        "Crème brûlée für vier",
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    ];
    for name in names {
        person.add(name).await;
    }
    assert_eq!(browser.count(TASK).await, names.len());
    let second = "tr:nth-child(2) .task-name";
    assert_eq!(browser.text(second).await.as_deref(), Some("<script>alert(1)</script>"));
    assert_eq!(browser.count("script").await, 0);

    person.picture("list").await;
    let light = person.background().await;
    person.look(LAPTOP, "dark").await;
    person.picture("list-dark").await;
    assert_ne!(person.background().await, light);
    person.look(PHONE, "light").await;
    person.picture("list-phone").await;
    person.open("/caches").await;
    person.picture("caches-phone").await;

    let own = format!("http://{}/", person.app.addr);
    let requested = browser.requested().await;
    assert!(requested.contains(&own), "{requested:?}");
    assert_eq!(requested.iter().find(|url| !url.starts_with(&own)), None);
    assert_eq!(browser.log("browser").await, [""; 0]);
}
