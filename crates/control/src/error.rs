//! What can go wrong with the accounts, in words that somebody can act on.
//!
//! No variant holds a password, nor the URL of a database as it was given.

/// A failure of the accounts or of their database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountsError {
    /// There is none of this name.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// The kind of thing, such as `tenant`.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// The name is taken.
    #[error("there is a {what} {name:?} already")]
    Exists {
        /// The kind of thing.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A value that cannot be.
    #[error("{what} {value:?} is not valid: {wanted}")]
    Invalid {
        /// Which value, such as `floor`.
        what: &'static str,
        /// The value; nothing secret.
        value: String,
        /// What would be right.
        wanted: String,
    },
    /// It cannot be done as things are; the text says why and what to do first.
    #[error("{0}")]
    Conflict(String),
    /// The memory is promised to other tenants.
    #[error(
        "no room for {asked} bytes: {free} of the {memory} bytes of the smallest node are not promised to other tenants; ask for less, or lower another tenant's floor"
    )]
    NoRoom {
        /// Bytes asked for.
        asked: u64,
        /// Bytes that no tenant's floor takes.
        free: u64,
        /// Bytes of the smallest node.
        memory: u64,
    },
    /// The database does not answer now; the text says which, why, and what to do.
    #[error("{0}")]
    Unavailable(String),
    /// The database, or a file, is not what it should be; the text says which and what to do.
    #[error("{0}")]
    Damaged(String),
}

/// Why somebody is not signed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// An unknown user, a wrong password, a credential or a link whose time is over.
    #[error("unknown user or wrong password")]
    Refused,
    /// Too many passwords are being checked at once.
    #[error("too many sign-ins at once: try again in a few seconds")]
    Busy,
    /// The accounts cannot be asked.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
}
