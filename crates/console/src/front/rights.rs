//! The rights check: before any handler, for every row of the table that needs somebody.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use larder_control::{AccountsError, Need, Principal, TenantRecord};
use larder_tenancy::TenantName;

use super::who;
use crate::console::App;
use crate::problem::Problem;

/// The cache that a path with `{t}` names. Whoever asks may know of it.
#[derive(Debug, Clone)]
pub(crate) struct OfTenant(pub(crate) Arc<TenantRecord>);

/// Runs the handler if who asks has the right that its row needs.
pub(crate) async fn enforce(
    State((app, need)): State<(Arc<App>, Need)>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Response {
    let who = match who::identify(&app, request.headers(), request.extensions()).await {
        Ok(Some(who)) => who,
        Ok(None) => return Problem::nobody().into_response(),
        Err(problem) => return problem.into_response(),
    };
    let named = match &params {
        Ok(params) => params.iter().find(|(name, _)| *name == "t").map(|(_, value)| value),
        // What is no text is no name.
        Err(_) => Some(""),
    };
    let mut response = match check(&app, &who.principal, need, named).await {
        Ok(tenant) => {
            if let Some(tenant) = tenant {
                request.extensions_mut().insert(OfTenant(Arc::new(tenant)));
            }
            request.extensions_mut().insert(who.clone());
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    // The page that tells of a problem greets whoever it is.
    response.extensions_mut().insert(who);
    response
}

/// Whether `principal` has the right, to the cache of this name if the path has one.
///
/// To a stranger a cache that exists and one that does not are the same, in the answer and in the work
/// done for it: nobody looks whether it exists.
pub(crate) async fn check(
    app: &App,
    principal: &Principal,
    need: Need,
    named: Option<&str>,
) -> Result<Option<TenantRecord>, Problem> {
    let Some(named) = named else {
        return if principal.may(need, None) { Ok(None) } else { Err(Problem::forbidden(need)) };
    };
    let name = TenantName::new(named).map_err(|_| Problem::no_such_tenant())?;
    if !principal.may(Need::SignedIn, Some(&name)) {
        return Err(Problem::no_such_tenant());
    }
    if !principal.may(need, Some(&name)) {
        return Err(Problem::forbidden(need));
    }
    match app.accounts.tenant(&name).await {
        Ok(tenant) => Ok(Some(tenant)),
        Err(AccountsError::NotFound { .. }) => Err(Problem::no_such_tenant()),
        Err(error) => Err(error.into()),
    }
}

impl<S: Sync> FromRequestParts<S> for OfTenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<OfTenant>().cloned().ok_or_else(Problem::no_such_tenant)
    }
}
