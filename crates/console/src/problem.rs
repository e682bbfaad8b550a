//! What went wrong, as the one who asked is told it.
//!
//! What is inside (a database's address, a file's path) goes to the log and not into an answer.

use axum::Json;
use axum::extract::rejection::{BytesRejection, FormRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use larder_control::{AccountsError, AlertError, HistoryError, Need, SignInError};
use serde_json::json;

/// Why a request is not answered: `{"error":{"code","message"}}` in the API, an error page elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// For programs: a word that stays.
    pub(crate) code: &'static str,
    /// For people: what was wrong, with which value, and what would be right.
    pub(crate) message: String,
    /// After how many seconds it is worth trying again.
    pub(crate) retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// The request is not what it should be.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", message)
    }

    /// Nobody is signed in.
    pub(crate) fn nobody() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "nobody is signed in: send `Authorization: Bearer TOKEN`, a username and password by \
             HTTP Basic, or sign in with a browser",
        )
    }

    /// There is no such cache, or none that the one who asks may know of: the same for both.
    pub(crate) fn no_such_tenant() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such cache")
    }

    /// The one who asks may know of it, but not do it.
    pub(crate) fn forbidden(need: Need) -> Self {
        let message = match need {
            Need::SignedIn => "this is for those who are signed in",
            Need::View => "this needs a credential with the capability read and no key prefix",
            Need::Flush => "this needs a credential with the capability flush and no key prefix",
            Need::Admin => "this needs a credential with the capability admin and no key prefix",
            Need::Operator => "this is for operators",
        };
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// It would give what the one who asks does not have.
    pub(crate) fn beyond(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// Too much at once.
    pub(crate) fn too_many(message: impl Into<String>, retry_after: u64) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", message);
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// Something of ours does not work; `error` is for the log.
    pub(crate) fn unavailable(error: &dyn std::fmt::Display) -> Self {
        tracing::warn!(%error, "the console cannot answer");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the accounts cannot be asked now; caches go on serving, try again in a moment",
        )
    }
}

impl From<AccountsError> for Problem {
    fn from(error: AccountsError) -> Self {
        let text = error.to_string();
        match error {
            AccountsError::NotFound { .. } => Self::new(StatusCode::NOT_FOUND, "not_found", text),
            AccountsError::Exists { .. } => Self::new(StatusCode::CONFLICT, "exists", text),
            AccountsError::Invalid { .. } => Self::invalid(text),
            AccountsError::Conflict(_) => Self::new(StatusCode::CONFLICT, "conflict", text),
            AccountsError::NoRoom { .. } => Self::new(StatusCode::CONFLICT, "no_room", text),
            _ => Self::unavailable(&text),
        }
    }
}

impl From<SignInError> for Problem {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Accounts(error) => error.into(),
            SignInError::Busy => Self::too_many(error.to_string(), 5),
            _ => Self::new(StatusCode::UNAUTHORIZED, "refused", error.to_string()),
        }
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        Self::unavailable(&error)
    }
}

impl From<AlertError> for Problem {
    fn from(error: AlertError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        Self::new(rejection.status(), "invalid", rejection.body_text())
    }
}

impl From<FormRejection> for Problem {
    fn from(rejection: FormRejection) -> Self {
        Self::new(rejection.status(), "invalid", rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

/// The API's answer. It carries the problem, so that the front can make a page of it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == "unauthorized" {
            // Not `Basic`: browsers would ask for a password on their own.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
