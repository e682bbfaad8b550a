//! What forms send.

use axum::extract::{Form, FromRequest, Request};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The fields of a form. What is wrong with them is told on a page.
#[derive(Debug, Clone)]
pub(super) struct Fields<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Fields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Form(fields) = Form::from_request(request, state).await?;
        Ok(Fields(fields))
    }
}

/// Text of a field; none if it was left empty.
pub(super) fn given(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}
