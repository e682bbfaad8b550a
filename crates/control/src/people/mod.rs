//! People and programs at the console: operators, sign-in links, sessions, API tokens.
//!
//! A session, a token and a link are each a secret of 256 random bits, of which only SHA-256 is kept.
//! Whose they are is an operator, or a credential; what that may do is looked up at each use, so nothing
//! outlives the credential that it is of. None of this concerns a node: the directory's version stays.

mod checks;
mod holder;
mod operators;
mod sessions;
mod sign_in;
mod tokens;

pub(crate) use checks::Checks;
pub use operators::{OperatorRecord, SignInLink};
pub use sessions::{NewSession, SessionRecord, session_id};
pub use tokens::TokenRecord;
