//! The console's HTTP API, as far as it is read here.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const LONGEST: usize = 64 << 20;

/// A console, and who asks it.
pub(super) struct Console {
    pub(super) url: String,
    authorization: HeaderValue,
    http: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl Console {
    /// The console at `url`, asked by who has `token`.
    pub(super) fn with_token(url: &str, token: &str) -> anyhow::Result<Console> {
        Console::new(url, &format!("Bearer {token}"))
    }

    /// The console at `url`, asked by a credential of a tenant.
    pub(super) fn with_credential(
        url: &str,
        user: &str,
        password: &str,
    ) -> anyhow::Result<Console> {
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        Console::new(url, &format!("Basic {pair}"))
    }

    fn new(url: &str, authorization: &str) -> anyhow::Result<Console> {
        let mut authorization = HeaderValue::from_str(authorization)
            .map_err(|_| anyhow!("a token is letters, digits and _ only"))?;
        authorization.set_sensitive(true);
        let https = hyper_rustls::HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        let http = Client::builder(TokioExecutor::new()).build(https);
        Ok(Console { url: url.trim_end_matches('/').to_owned(), authorization, http })
    }

    /// What is at a path of the API.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let url = format!("{}/api/v1/{path}", self.url);
        let request = Request::get(&url)
            .header(AUTHORIZATION, &self.authorization)
            .body(Empty::new())
            .with_context(|| format!("{:?} is no address of a console", self.url))?;
        let answer = async {
            let answer = self.http.request(request).await.map_err(|error| reason(&error))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), LONGEST).collect().await;
            let body = body.map_err(|error| anyhow!("{error}"))?;
            anyhow::Ok((status, body.to_bytes()))
        };
        let answered = timeout(PATIENCE, answer).await;
        let answered = answered.map_err(|_| anyhow!("no answer within {PATIENCE:?}"));
        let (status, body) =
            answered.flatten().with_context(|| format!("the console at {}", self.url))?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body)
                .with_context(|| format!("{url} does not answer as a console does")),
            StatusCode::UNAUTHORIZED => {
                bail!("the console at {} does not know this token or user", self.url)
            }
            status => bail!("{url}: {status}: {}", message(&body)),
        }
    }
}

/// What went wrong, down to its cause.
fn reason(error: &hyper_util::client::legacy::Error) -> anyhow::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    anyhow!("cannot be reached: {cause}")
}

/// The message of an error that the API answers.
fn message(body: &[u8]) -> String {
    let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    let found = json.pointer("/error/message").or_else(|| json.get("message"));
    found.and_then(|text| text.as_str()).unwrap_or("no reason given").to_owned()
}
