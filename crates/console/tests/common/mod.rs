//! What the tests of the console share: a node that says what it is told to, real accounts in a
//! temporary directory, and requests to the router without a socket.

#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its part"
)]

mod node;
mod shape;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use larder_console::{Console, ConsoleSettings};
use larder_control::{
    Accounts, AccountsUrl, Actor, Alerts, Caller, History, NewCredential, NewTenant, Principal,
    Secret,
};
use larder_tenancy::{Capabilities, TenantId, TenantName};
use serde_json::Value;
use tower::ServiceExt as _;

pub use self::node::FakeNode;
pub use self::shape::hold_against;

/// 25 MiB.
pub const MEMORY: u64 = 25 << 20;

/// A console with two caches, `shop` and `other`, and somebody of every kind.
pub struct Site {
    pub node: Arc<FakeNode>,
    pub accounts: Accounts,
    pub history: History,
    pub router: Router,
    /// The number of `shop`.
    pub shop: TenantId,
    pub everybody: Everybody,
    pub dir: tempfile::TempDir,
}

/// Who may ask.
pub struct Everybody {
    /// The primary credential of the cache `other`: it may do everything there.
    pub stranger: As,
    /// A credential of `shop` that may read.
    pub reader: As,
    /// A credential of `shop` that may do everything but flush, to keys that begin with `p:`.
    pub prefixed: As,
    /// The primary credential of `shop`.
    pub admin: As,
    pub operator: As,
}

/// How a request says who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum As {
    Nobody,
    Basic(String, String),
    Bearer(String),
    Cookie(String),
}

impl As {
    pub fn of(secret: &Secret) -> Self {
        As::Basic(secret.username.clone(), secret.password.clone())
    }

    pub fn username(&self) -> &str {
        match self {
            As::Basic(username, _) => username,
            other => panic!("{other:?} has no username"),
        }
    }

    /// The header as a line.
    pub fn line(&self) -> Option<String> {
        self.header().map(|(name, value)| format!("{name}: {value}"))
    }

    fn header(&self) -> Option<(header::HeaderName, String)> {
        match self {
            As::Nobody => None,
            As::Basic(user, password) => {
                let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
                Some((header::AUTHORIZATION, format!("Basic {pair}")))
            }
            As::Bearer(token) => Some((header::AUTHORIZATION, format!("Bearer {token}"))),
            As::Cookie(token) => Some((header::COOKIE, format!("larder={token}"))),
        }
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The `code` of a problem.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }

    /// The `message` of a problem.
    #[track_caller]
    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }

    /// The answer itself, if its status is this one.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

pub fn by() -> Actor {
    Actor { who: "test".to_owned(), from: "test".to_owned() }
}

pub fn name(name: &str) -> TenantName {
    TenantName::new(name).unwrap()
}

impl Site {
    pub async fn new() -> Self {
        Self::with(ConsoleSettings::default()).await
    }

    /// A site whose console is set up like this.
    pub async fn with(settings: ConsoleSettings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = AccountsUrl::file(&dir.path().join("accounts.db"));
        let accounts = Accounts::open(&url).await.unwrap();
        let node = Arc::new(FakeNode::default());
        let (shop, admin) = tenant(&accounts, "shop").await;
        let (_, stranger) = tenant(&accounts, "other").await;
        let reader = credential(&accounts, Capabilities::READ, None).await;
        let all_but_flush = Capabilities::ALL - Capabilities::FLUSH;
        let prefixed = credential(&accounts, all_but_flush, Some("p:")).await;
        let operator = operator(&accounts).await;
        let everybody = Everybody { stranger, reader, prefixed, admin, operator };
        let history = History::in_memory().await.unwrap();
        let router = console(&accounts, &history, &node, settings).router();
        Self { node, accounts, history, router, shop, everybody, dir }
    }

    /// A console on the same accounts and node, to be served.
    pub fn console(&self, settings: ConsoleSettings) -> Console {
        console(&self.accounts, &self.history, &self.node, settings)
    }

    pub async fn get(&self, who: &As, path: &str) -> Answer {
        self.ask(who, Method::GET, path, None).await
    }

    pub async fn post(&self, who: &As, path: &str, body: Value) -> Answer {
        self.ask(who, Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, who: &As, path: &str, body: Value) -> Answer {
        self.ask(who, Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, who: &As, path: &str) -> Answer {
        self.ask(who, Method::DELETE, path, None).await
    }

    /// Sends a request with a JSON body from this machine.
    pub async fn ask(&self, who: &As, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = request(who, method, path);
        if let Some(body) = body {
            let kind = "application/json".parse().unwrap();
            request.headers_mut().insert(header::CONTENT_TYPE, kind);
            *request.body_mut() = Body::from(body.to_string());
        }
        self.send(request).await
    }

    /// Sends a request.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Signs in by the API; the token in the cookie.
    pub async fn sign_in(&self, user: &str, password: &str) -> Result<As, Answer> {
        let body = serde_json::json!({ "user": user, "password": password });
        let answer = self.post(&As::Nobody, "/api/v1/sessions", body).await;
        if answer.status != StatusCode::CREATED {
            return Err(answer);
        }
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        let token = cookie.strip_prefix("larder=").unwrap().split(';').next().unwrap();
        Ok(As::Cookie(token.to_owned()))
    }
}

/// A request from a peer that is not this machine.
pub fn request(who: &As, method: Method, path: &str) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:8001")
        .extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 4711))))
        .body(Body::empty())
        .unwrap();
    if let Some((name, value)) = who.header() {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

fn console(
    accounts: &Accounts,
    history: &History,
    node: &Arc<FakeNode>,
    settings: ConsoleSettings,
) -> Console {
    Console {
        accounts: accounts.clone(),
        history: history.clone(),
        alerts: Alerts::new(),
        node: node.clone(),
        settings: ConsoleSettings {
            node_name: "n1".to_owned(),
            servers: vec!["127.0.0.1:11211".to_owned()],
            ..settings
        },
    }
}

async fn tenant(accounts: &Accounts, called: &str) -> (TenantId, As) {
    let new = NewTenant::new(name(called), MEMORY);
    let (record, secret) = accounts.create_tenant(&by(), new).await.unwrap().value;
    (record.id, As::of(&secret))
}

/// A credential of `shop`.
async fn credential(accounts: &Accounts, capabilities: Capabilities, prefix: Option<&str>) -> As {
    let key_prefix = prefix.map(str::to_owned);
    let note = "of a test".to_owned();
    let new = NewCredential { capabilities, key_prefix, expires: None, note, chosen: None };
    let made = accounts.create_credential(&by(), &name("shop"), new).await.unwrap();
    As::of(&made.value)
}

async fn operator(accounts: &Accounts) -> As {
    let link = accounts.ensure_operator().await.unwrap().unwrap();
    let session = accounts.redeem(&link.token, &Caller::default()).await.unwrap();
    let Principal::Operator { .. } = &session.principal else { panic!("{session:?}") };
    let made = accounts.create_token(&by(), &session.principal, "test", None).await.unwrap();
    As::Bearer(made.value)
}
