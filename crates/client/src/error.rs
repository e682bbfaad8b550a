//! The one error type of operations. Each variant calls for its own action, and names the server.

use std::time::Duration;

use larder_proto::{CommandError, ProtocolError, Refusal};

use crate::addr::ServerAddr;

/// Why an operation on the cache failed. A web page treats all of them as a miss.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The deadline passed. Whether the server carried the command out is not known.
    #[error(
        "{server}: no answer within {limit:?} (while {stage}); is the server overloaded, \
         or the timeout shorter than the network needs?"
    )]
    Timeout {
        /// The server that did not answer.
        server: ServerAddr,
        /// The whole operation's time limit.
        limit: Duration,
        /// What was being waited for.
        stage: Stage,
    },
    /// Nothing was sent: the server's circuit breaker is open, or deletes that it is owed could not
    /// be applied, so that its content is not to be trusted yet.
    #[error("{server}: not used for now: {reason}")]
    Unavailable {
        /// The server.
        server: ServerAddr,
        /// What must happen first.
        reason: String,
    },
    /// No connection could be made.
    #[error("{server}: cannot connect: {reason}")]
    Connect {
        /// The server.
        server: ServerAddr,
        /// What the system said.
        reason: String,
    },
    /// An established connection failed. Whether the command was carried out is not known.
    #[error("{server}: connection lost: {reason}")]
    Io {
        /// The server.
        server: ServerAddr,
        /// What the system said.
        reason: String,
    },
    /// The server does not accept the credentials, or wants some. Never holds the password.
    #[error("{server}: authentication failed {}: {reason}", as_user(.user))]
    Auth {
        /// The server.
        server: ServerAddr,
        /// The user name that was offered, if any.
        user: Option<String>,
        /// The server's words.
        reason: String,
    },
    /// The server does not speak the protocol; its connection was closed.
    #[error("{server}: {source}; is this a memcached server that speaks this protocol?")]
    Protocol {
        /// The server.
        server: ServerAddr,
        /// What was wrong.
        source: ProtocolError,
    },
    /// The server answered this command with an error.
    #[error("{server}: {refusal}")]
    Server {
        /// The server.
        server: ServerAddr,
        /// Its answer.
        refusal: Refusal,
    },
    /// A value, sent or received, is over a limit.
    #[error("{server}: {reason}; raise max_value_len (and the server's item limit) or store less")]
    TooLarge {
        /// The server.
        server: ServerAddr,
        /// Which limit, and by how much.
        reason: String,
    },
    /// The command cannot be carried out by any server; nothing was sent.
    #[error("the command cannot be sent: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
}

/// What an operation was waiting for when its deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Every connection was in use.
    FreeConnection,
    /// Another task was applying owed deletes.
    OwedDeletes,
    /// Connecting, the TLS handshake, authentication.
    Connecting,
    /// The exchange of requests and replies.
    Exchange,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FreeConnection => "waiting for a free connection; all max_connections in use",
            Self::OwedDeletes => "waiting for owed deletes to be applied",
            Self::Connecting => "connecting",
            Self::Exchange => "waiting for replies",
        })
    }
}

impl Error {
    /// Whether the server could not be used at all (down, not reachable, too slow, distrusted), as
    /// opposed to a server that answered.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. }
                | Self::Unavailable { .. }
                | Self::Connect { .. }
                | Self::Io { .. }
                | Self::Auth { .. }
                | Self::Protocol { .. }
        )
    }

    /// The server this is about; none when nothing was sent to any.
    #[must_use]
    pub fn server(&self) -> Option<&ServerAddr> {
        match self {
            Self::Timeout { server, .. }
            | Self::Unavailable { server, .. }
            | Self::Connect { server, .. }
            | Self::Io { server, .. }
            | Self::Auth { server, .. }
            | Self::Protocol { server, .. }
            | Self::Server { server, .. }
            | Self::TooLarge { server, .. } => Some(server),
            Self::Invalid { .. } => None,
        }
    }

    /// Whether the failure counts against the server's circuit breaker: a server that answers, even
    /// with a refusal, is up, and one that is busy with our own requests is not down.
    pub(crate) fn counts_as_failure(&self) -> bool {
        match self {
            Self::Timeout { stage, .. } => {
                matches!(stage, Stage::Connecting | Stage::Exchange)
            }
            Self::Connect { .. } | Self::Io { .. } | Self::Auth { .. } | Self::Protocol { .. } => {
                true
            }
            Self::Unavailable { .. }
            | Self::Server { .. }
            | Self::TooLarge { .. }
            | Self::Invalid { .. } => false,
        }
    }

    pub(crate) fn protocol(server: &ServerAddr, source: ProtocolError) -> Self {
        let server = server.clone();
        match source {
            ProtocolError::TooLong { what: "value", .. } => {
                Self::TooLarge { server, reason: source.to_string() }
            }
            _ => Self::Protocol { server, source },
        }
    }

    pub(crate) fn command(server: &ServerAddr, error: CommandError) -> Self {
        let reason = error.to_string();
        match error {
            CommandError::ValueTooLarge { .. } => Self::TooLarge { server: server.clone(), reason },
            CommandError::ZeroCas => Self::Invalid { reason },
        }
    }
}

fn as_user(user: &Option<String>) -> String {
    match user {
        Some(user) => format!("for user {user:?}"),
        None => "without credentials".to_owned(),
    }
}
