//! Credentials.

use larder_control::{Access, CredentialRecord, Secret};
use serde::Serialize;

/// A credential, without its password: that is not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CredentialView {
    /// What a client says it is.
    pub username: String,
    /// Of `read`, `write`, `flush`, `admin`.
    pub capabilities: Vec<&'static str>,
    /// Whether it is the one that the cache's variables have.
    pub is_primary: bool,
    /// How every key begins that it may use; null: all keys.
    pub key_prefix: Option<String>,
    /// From when on it is refused; null: never.
    pub expires: Option<u64>,
    /// Whether that time is over.
    pub has_expired: bool,
    /// What it is for, in its maker's words.
    pub note: String,
    /// Whether a person chose its password.
    pub is_chosen: bool,
    /// When it was made.
    pub created: u64,
    /// When a node last saw it used; null: never.
    pub last_used: Option<u64>,
}

impl CredentialView {
    /// What is shown of a credential at the time `now`.
    #[must_use]
    pub fn new(record: &CredentialRecord, now: u64) -> Self {
        Self {
            username: record.username.clone(),
            capabilities: record.capabilities.names().collect(),
            is_primary: record.is_primary,
            key_prefix: record.key_prefix.clone(),
            expires: record.expires,
            has_expired: record.expires.is_some_and(|expires| expires <= now),
            note: record.note.clone(),
            is_chosen: record.is_chosen,
            created: record.created,
            last_used: record.last_used,
        }
    }
}

/// The credentials of a cache, the primary first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CredentialsView {
    /// One of them each.
    pub credentials: Vec<CredentialView>,
}

/// A credential that was made just now. Its password is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct SecretView {
    /// What a client says it is.
    pub username: String,
    /// The password.
    pub password: String,
    /// The variables that an application reads.
    pub variables: VariablesView,
}

impl SecretView {
    /// Of a credential that was made just now, at these servers, each `host:port`.
    #[must_use]
    pub fn new(secret: Secret, servers: Vec<String>) -> Self {
        let Secret { username, password } = secret;
        let access = Access { servers, username, password: Some(password.clone()) };
        let variables = VariablesView::of(&access, &password);
        Self { username: access.username, password, variables }
    }

    /// How an application uses it.
    #[must_use]
    pub fn access(&self) -> Access {
        Access {
            servers: self.variables.memcachier_servers.split(',').map(str::to_owned).collect(),
            username: self.username.clone(),
            password: Some(self.password.clone()),
        }
    }
}

/// Names the username only.
impl std::fmt::Debug for SecretView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretView").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A credential that was made just now, and the only sight of its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewCredentialView {
    /// The credential.
    pub credential: SecretView,
    /// Nodes that have not said yet that they know of it, by name; empty: it works everywhere.
    pub waiting_for: Vec<String>,
}

/// The environment variables with which clients find a cache, by their names.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct VariablesView {
    /// `MEMCACHIER_SERVERS`: `host:port`, separated by commas.
    pub memcachier_servers: String,
    /// `MEMCACHIER_USERNAME`.
    pub memcachier_username: String,
    /// `MEMCACHIER_PASSWORD`.
    pub memcachier_password: String,
    /// `MEMCACHE_SERVERS`, for clients that read these.
    pub memcache_servers: String,
    /// `MEMCACHE_USERNAME`.
    pub memcache_username: String,
    /// `MEMCACHE_PASSWORD`.
    pub memcache_password: String,
    /// `LARDER_URL`: all of it in one.
    pub larder_url: String,
}

/// Names the servers only.
impl std::fmt::Debug for VariablesView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let servers = &self.memcachier_servers;
        f.debug_struct("VariablesView").field("servers", servers).finish_non_exhaustive()
    }
}

impl VariablesView {
    /// The variables of a credential whose password is known.
    fn of(access: &Access, password: &str) -> Self {
        let servers = access.servers.join(",");
        Self {
            larder_url: access.url().unwrap_or_default(),
            memcachier_servers: servers.clone(),
            memcachier_username: access.username.clone(),
            memcachier_password: password.to_owned(),
            memcache_servers: servers,
            memcache_username: access.username.clone(),
            memcache_password: password.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_what_clients_read() {
        let servers = vec!["mc1:11211".to_owned(), "mc2:11211".to_owned()];
        let secret = Secret { username: "15f38e".into(), password: "p@ss/w:rd".into() };
        let view = SecretView::new(secret, servers);
        let json = serde_json::to_value(&view.variables).unwrap();
        for (name, value) in view.access().variables() {
            assert_eq!(json[&name], value);
        }
        assert_eq!(json.as_object().unwrap().len(), view.access().variables().len());
        assert!(!format!("{view:?} {:?}", view.variables).contains("p@ss"));
    }
}
