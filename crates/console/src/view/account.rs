//! Who is asking, and how they signed in.

use serde::Serialize;

/// Who is asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeView {
    /// `operator` or `credential`.
    pub kind: &'static str,
    /// The operator's name, or the credential's username.
    pub name: String,
    /// The cache that a credential opens; null for an operator, who opens all.
    pub tenant: Option<String>,
    /// Of `read`, `write`, `flush`, `admin`; an operator has all.
    pub capabilities: Vec<&'static str>,
    /// How every key begins that a credential may use; null: all keys.
    pub key_prefix: Option<String>,
}

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionView {
    /// Its number, to end it by.
    pub id: String,
    /// When it signed in.
    pub created: u64,
    /// When it was last used, to the minute.
    pub seen: u64,
    /// The address that it signed in from.
    pub from: String,
    /// What the browser said it is; may be empty.
    pub user_agent: String,
    /// Whether it is the one that asks.
    pub is_current: bool,
}

/// All browsers that are signed in as whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionsView {
    /// One of them each, the latest first.
    pub sessions: Vec<SessionView>,
}

/// A token for programs, without its secret: that is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenView {
    /// Its number, to revoke it by.
    pub id: String,
    /// What it is for, in its maker's words.
    pub note: String,
    /// When it was made.
    pub created: u64,
    /// From when on it is refused; null: never.
    pub expires: Option<u64>,
    /// When it was last used; null: never.
    pub last_used: Option<u64>,
}

/// All tokens of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokensView {
    /// One of them each, the latest first.
    pub tokens: Vec<TokenView>,
}

/// A token that was made just now, shown this once.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct TokenSecretView {
    /// `lrd_…`, to be sent as `Authorization: Bearer lrd_…`.
    pub token: String,
}

/// Prints nothing of the token.
impl std::fmt::Debug for TokenSecretView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSecretView").finish_non_exhaustive()
    }
}
