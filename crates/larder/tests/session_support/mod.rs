//! What the session tests share: a table that can be stopped between its steps, and a site whose
//! handlers are closures.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "a module shared by test files, each of which uses a part of it"
)]

pub mod road;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use larder::Cache;
use larder::sessions::{
    Session, SessionEngine, SessionError, SessionLayer, SessionRow, SessionTable, TableFuture,
};
use larder::store::Clock;
use tokio::sync::oneshot;
use tower::{Layer, ServiceExt, service_fn};

/// A table in memory. Every method stops at the gates named in it, where a test has put one.
#[derive(Default)]
pub struct Table {
    pub rows: Mutex<HashMap<String, SessionRow>>,
    gates: Mutex<HashMap<&'static str, Gate>>,
    /// Every method fails.
    pub down: Mutex<bool>,
}

struct Gate {
    reached: oneshot::Sender<()>,
    open: oneshot::Receiver<()>,
}

/// Somebody who will be stopped at a gate.
pub struct Stopped {
    reached: Option<oneshot::Receiver<()>>,
    open: Option<oneshot::Sender<()>>,
}

impl Stopped {
    /// Waits until they are there.
    pub async fn reached(&mut self) {
        self.reached.take().expect("asked once").await.expect("the gate is there");
    }

    /// Lets them go on.
    pub fn go_on(&mut self) {
        // They may have been cancelled.
        let _ = self.open.take().expect("opened once").send(());
    }
}

impl Table {
    /// Stops the next one who comes to the gate `name`.
    pub fn stop_at(&self, name: &'static str) -> Stopped {
        let (reached, wait_reached) = oneshot::channel();
        let (open, wait_open) = oneshot::channel();
        let gate = Gate { reached, open: wait_open };
        assert!(self.gates.lock().unwrap().insert(name, gate).is_none());
        Stopped { reached: Some(wait_reached), open: Some(open) }
    }

    async fn pass(&self, name: &'static str) {
        let gate = self.gates.lock().unwrap().remove(name);
        if let Some(gate) = gate {
            gate.reached.send(()).expect("the test waits");
            let _ = gate.open.await;
        }
    }

    /// One method: a gate before, the step at once, a gate after.
    async fn step<T>(
        &self,
        before: &'static str,
        after: &'static str,
        step: impl FnOnce(&mut HashMap<String, SessionRow>) -> T,
    ) -> Result<T, larder::sessions::TableError> {
        self.pass(before).await;
        if *self.down.lock().unwrap() {
            return Err("the database is down".into());
        }
        let result = step(&mut self.rows.lock().unwrap());
        self.pass(after).await;
        Ok(result)
    }
}

impl SessionTable for Table {
    fn load<'a>(&'a self, id: &'a str, now_ms: i64) -> TableFuture<'a, Option<SessionRow>> {
        Box::pin(self.step("load", "loaded", move |rows| {
            rows.get(id).filter(|row| row.expires_ms > now_ms).cloned()
        }))
    }

    fn insert<'a>(&'a self, id: &'a str, data: &'a str, expires_ms: i64) -> TableFuture<'a, bool> {
        Box::pin(self.step("insert", "inserted", move |rows| {
            let row = SessionRow { data: data.to_owned(), version: 1, expires_ms };
            let is_new = !rows.contains_key(id);
            rows.entry(id.to_owned()).or_insert(row);
            is_new
        }))
    }

    fn update<'a>(
        &'a self,
        id: &'a str,
        data: &'a str,
        expires_ms: i64,
        expected: i64,
    ) -> TableFuture<'a, bool> {
        Box::pin(self.step("update", "updated", move |rows| {
            let Some(row) = rows.get_mut(id).filter(|row| row.version == expected) else {
                return false;
            };
            *row = SessionRow { data: data.to_owned(), version: expected + 1, expires_ms };
            true
        }))
    }

    fn delete<'a>(&'a self, id: &'a str) -> TableFuture<'a, ()> {
        Box::pin(self.step("delete", "deleted", move |rows| {
            rows.remove(id);
        }))
    }
}

/// A site with sessions.
#[derive(Clone)]
pub struct Site {
    pub layer: SessionLayer,
    pub table: Arc<Table>,
    pub clock: Clock,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Site {
    pub fn cached_db(cache: &Cache) -> Self {
        let table = Arc::new(Table::default());
        let engine = SessionEngine::CachedDb { cache: cache.clone(), table: table.clone() };
        Self::new(engine, table)
    }

    pub fn cache_only(cache: &Cache) -> Self {
        Self::new(SessionEngine::Cache(cache.clone()), Arc::default())
    }

    fn new(engine: SessionEngine, table: Arc<Table>) -> Self {
        let clock = Clock::manual(1_800_000_000_000);
        Self { layer: SessionLayer::new(engine).clock(clock.clone()), table, clock }
    }

    /// A request to `handler` with the cookie `cookie` (`name=value`; none if empty).
    pub async fn ask<F, Fut>(&self, cookie: &str, handler: F) -> Answer
    where
        F: FnOnce(Session) -> Fut,
        Fut: Future<Output = Result<String, SessionError>> + Send + 'static,
    {
        let mut request = Request::builder().uri("/");
        if !cookie.is_empty() {
            request = request.header(COOKIE, cookie);
        }
        self.send(request.body(()).unwrap(), |session| {
            let answer = handler(session);
            async move {
                answer.await.map_or_else(
                    |error| reply(StatusCode::SERVICE_UNAVAILABLE, format!("{error}")),
                    |text| reply(StatusCode::OK, text),
                )
            }
        })
        .await
    }

    pub async fn send<F, Fut>(&self, request: Request<()>, handler: F) -> Answer
    where
        F: FnOnce(Session) -> Fut,
        Fut: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let handler = Mutex::new(Some(handler));
        let service = self.layer.layer(service_fn(|request: Request<()>| {
            let session = Session::from_extensions(request.extensions()).expect("a session");
            let answer = (handler.lock().unwrap().take().expect("one request"))(session);
            async move { Ok::<_, Infallible>(answer.await) }
        }));
        let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// Starts a session in which `key` is `value`; its cookie.
    pub async fn begin(&self, key: &'static str, value: &'static str) -> String {
        self.put("", key, value).await.cookie().expect("a new session sets its cookie")
    }

    pub async fn put(&self, cookie: &str, key: &'static str, value: &'static str) -> Answer {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.ask(cookie, |session| async move {
            session.insert(&key, &value).await?;
            Ok(String::new())
        })
        .await
    }

    /// The value under `key`, or `-`.
    pub async fn read(&self, cookie: &str, key: &'static str) -> String {
        let key = key.to_owned();
        let answer = self.ask(cookie, |session| async move {
            Ok(session.get(&key).await?.unwrap_or_else(|| "-".to_owned()))
        });
        answer.await.text
    }

    pub async fn sign_out(&self, cookie: &str) -> Answer {
        let answer = self.ask(cookie, async move |session| {
            session.destroy().await?;
            Ok(String::new())
        });
        answer.await
    }

    pub fn rows(&self) -> usize {
        self.table.rows.lock().unwrap().len()
    }
}

impl Answer {
    /// The cookie that was set, as the browser sends it back.
    pub fn cookie(&self) -> Option<String> {
        let mut set = self.headers.get_all(SET_COOKIE).iter();
        let cookie = set.next()?.to_str().unwrap().split(';').next().unwrap().to_owned();
        assert!(set.next().is_none(), "one cookie at most");
        Some(cookie)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

pub fn reply(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
