//! The few WebDriver commands that the browser tests need, over plain HTTP.
//! <https://www.w3.org/TR/webdriver2/>; those under `goog` and `se` are ChromeDriver's own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use larder_peers::{ChromeDriver, chromium_args};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::support::until;

/// The name of an element's reference in a reply.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A headless Chromium with one window; it ends with its value.
pub(crate) struct Browser {
    session: String,
    driver: ChromeDriver,
}

impl Browser {
    /// Starts one that keeps logs of its console and of its requests.
    pub(crate) async fn start() -> Browser {
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
    pub(crate) async fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url })).await;
    }

    /// Loads the page again.
    pub(crate) async fn reload(&self) {
        self.post("/refresh", json!({})).await;
    }

    /// The text of the first element that a CSS selector finds, as a person sees it; `None` if
    /// there is none.
    pub(crate) async fn text(&self, selector: &str) -> Option<String> {
        let element = self.elements(selector).await.into_iter().next()?;
        let text = self.get(&format!("/element/{element}/text")).await;
        Some(text.as_str().unwrap().to_owned())
    }

    /// How many elements a CSS selector finds.
    pub(crate) async fn count(&self, selector: &str) -> usize {
        self.elements(selector).await.len()
    }

    /// Types into an element.
    pub(crate) async fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.post(&format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    /// Clicks an element that loads a page, and waits for that page.
    pub(crate) async fn click(&self, selector: &str) {
        let (before, element) = (self.elements("html").await, self.element(selector).await);
        self.post(&format!("/element/{element}/click"), json!({})).await;
        // ChromeDriver waits only for a page that begins to load at once.
        until("a click loads a page", async || {
            let after = self.elements("html").await;
            !after.is_empty()
                && after != before
                && self.evaluate("document.readyState").await == "complete"
        })
        .await;
    }

    /// What a JavaScript expression says in the page.
    pub(crate) async fn evaluate(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.post("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// The window as a PNG.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        let image = self.get("/screenshot").await;
        STANDARD.decode(image.as_str().unwrap()).unwrap()
    }

    /// Gives a command to the browser's own debugging interface.
    pub(crate) async fn devtools(&self, command: &str, params: Value) {
        let asked = json!({ "cmd": command, "params": params });
        self.post("/goog/cdp/execute", asked).await;
    }

    /// What was written to a log (`browser`, `performance`) since it was last asked for.
    pub(crate) async fn log(&self, kind: &str) -> Vec<String> {
        let log = self.post("/se/log", json!({ "type": kind })).await;
        let entries = log.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
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
