//! A browser as a person uses it: the few WebDriver commands that the browser tests need, over plain
//! HTTP. <https://www.w3.org/TR/webdriver2/>; those under `goog` and `se` are ChromeDriver's own.
//!
//! Every method panics when the browser refuses the command or has ended.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::chrome::{ChromeDriver, chromium_args};

/// How long a page may take to load.
const PATIENCE: Duration = Duration::from_secs(60);

/// The name of an element's reference in a reply.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A headless Chromium with one window; it ends with its value.
#[derive(Debug)]
pub struct Browser {
    session: String,
    driver: ChromeDriver,
}

impl Browser {
    /// Starts one that keeps logs of its console and of its requests.
    ///
    /// # Panics
    ///
    /// When Chromium or ChromeDriver is not installed or does not start.
    pub async fn start() -> Browser {
        let driver = ChromeDriver::start();
        let mut browser = Browser { session: String::new(), driver };
        let options = json!({
            "goog:chromeOptions": { "args": chromium_args() },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let asked = json!({ "capabilities": { "alwaysMatch": options } });
        let session = browser.call(Method::POST, "/session", asked).await;
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Loads the page again.
    pub async fn reload(&self) {
        self.post("/refresh", json!({})).await;
    }

    /// The text of the first element that a CSS selector finds, as a person sees it; `None` if
    /// there is none.
    pub async fn text(&self, selector: &str) -> Option<String> {
        let element = self.elements(selector).await.into_iter().next()?;
        let text = self.get(&format!("/element/{element}/text")).await;
        Some(text.as_str().unwrap().to_owned())
    }

    /// How many elements a CSS selector finds.
    pub async fn count(&self, selector: &str) -> usize {
        self.elements(selector).await.len()
    }

    /// Types into an element.
    pub async fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    /// Clicks an element that loads a page, and waits for that page.
    pub async fn click(&self, selector: &str) {
        let (before, element) = (self.elements("html").await, self.element(selector).await);
        self.post(&format!("/element/{element}/click"), json!({})).await;
        // ChromeDriver waits only for a page that begins to load at once.
        let end = Instant::now() + PATIENCE;
        while !self.is_at_another(&before).await {
            assert!(Instant::now() < end, "the click on {selector} loaded no page");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Clicks an element that loads no page.
    pub async fn press(&self, selector: &str) {
        let script = format!("(document.querySelector({selector:?}).click(), true)");
        assert_eq!(self.evaluate(&script).await, true);
    }

    /// The path of the page.
    pub async fn path(&self) -> String {
        self.evaluate("location.pathname").await.as_str().unwrap().to_owned()
    }

    /// What a JavaScript expression says in the page.
    pub async fn evaluate(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// The window as a PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        let image = self.get("/screenshot").await;
        STANDARD.decode(image.as_str().unwrap()).unwrap()
    }

    /// Gives a command to the browser's own debugging interface.
    pub async fn devtools(&self, command: &str, params: Value) {
        let asked = json!({ "cmd": command, "params": params });
        self.post("/goog/cdp/execute", asked).await;
    }

    /// Where requests went since this was last asked; those to pages inside the browser are left out.
    pub async fn requested(&self) -> Vec<String> {
        let entries = self.log("performance").await;
        let messages = entries.iter().map(|entry| serde_json::from_str::<Value>(entry).unwrap());
        let sent = messages.map(|mut entry| entry["message"].take());
        sent.filter(|message| message["method"] == "Network.requestWillBeSent")
            .map(|message| message["params"]["request"]["url"].as_str().unwrap().to_owned())
            .filter(|url| !["data:", "chrome:"].iter().any(|inside| url.starts_with(inside)))
            .collect()
    }

    /// What was written to a log (`browser`, `performance`) since it was last asked for.
    pub async fn log(&self, kind: &str) -> Vec<String> {
        let log = self.post("/se/log", json!({ "type": kind })).await;
        let entries = log.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Whether a page is there whose root is not `before`.
    async fn is_at_another(&self, before: &[String]) -> bool {
        let root = self.elements("html").await;
        !root.is_empty()
            && root != before
            && self.evaluate("document.readyState").await == "complete"
    }

    async fn element(&self, selector: &str) -> String {
        let found = self.elements(selector).await.into_iter().next();
        found.unwrap_or_else(|| panic!("nothing on the page is {selector}"))
    }

    async fn elements(&self, selector: &str) -> Vec<String> {
        let asked = json!({ "using": "css selector", "value": selector });
        let found = self.post("/elements", asked).await;
        let found = found.as_array().unwrap().iter();
        found.map(|element| element[ELEMENT].as_str().unwrap().to_owned()).collect()
    }

    async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, &format!("{}{path}", self.session), Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.call(Method::POST, &format!("{}{path}", self.session), body).await
    }

    /// One command; the value of its reply.
    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let body = if method == Method::GET { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let stream = TcpStream::connect(self.address()).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        connection.abort();
        let mut reply: Value = serde_json::from_slice(&body).unwrap();
        assert!(status.is_success(), "{path}: {reply}");
        reply["value"].take()
    }

    fn address(&self) -> String {
        self.driver.url().trim_start_matches("http://").to_owned()
    }
}
