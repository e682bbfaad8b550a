//! Errors as pages: what was wrong, with which value, what would be right, and a way back.
//!
//! [`PageError`] is what handlers and middleware return. Its response carries an [`ErrorPage`],
//! which [`render`] turns into HTML; error replies of other
//! layers (no such route, wrong method, the CSRF check) get their page there too. Details of a
//! failure of ours go to the log, never into the page.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use super::forms::{FormProblem, LARGEST_BODY, LONGEST_NAME};
use super::host::HostProblem;
use super::templates::Templates;

/// A request that ends in an error page.
#[derive(Debug)]
pub enum PageError {
    /// The `Host` check failed: 400.
    Host(HostProblem),
    /// The form that adds a task was refused: 4xx.
    Add(FormProblem),
    /// The form that removes a task was refused: 4xx.
    Remove(FormProblem),
    /// There is no task with this id (any more): 404.
    NoSuchTask(i64),
    /// Something failed on our side: 500; the reason goes to the log.
    Internal(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for PageError {
    fn from(error: E) -> PageError {
        PageError::Internal(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let page = match self {
            PageError::Host(problem) => host_page(&problem),
            PageError::Add(problem) => add_page(problem),
            PageError::Remove(problem) => remove_page(&problem),
            PageError::NoSuchTask(id) => no_such_task(id),
            PageError::Internal(error) => {
                // `#` writes the causes too.
                tracing::error!(error = %format_args!("{error:#}"), "a request failed");
                ErrorPage::of_status(StatusCode::INTERNAL_SERVER_ERROR, &Method::GET)
            }
        };
        let mut response = page.status().into_response();
        response.extensions_mut().insert(page);
        response
    }
}

/// What an error page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorPage {
    /// The HTTP status.
    pub status: u16,
    /// The heading.
    pub title: String,
    /// What was wrong.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
    /// What the visitor typed as a name: when present, the page has the form again, filled in.
    pub typed: Option<String>,
}

impl ErrorPage {
    fn new(status: StatusCode, title: &str, problem: String, remedy: &str) -> ErrorPage {
        let (title, remedy) = (title.to_owned(), remedy.to_owned());
        ErrorPage { status: status.as_u16(), title, problem, remedy, typed: None }
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The page for a bare error status, as other layers reply it.
    fn of_status(status: StatusCode, method: &Method) -> ErrorPage {
        let (title, problem, remedy) = match status {
            StatusCode::NOT_FOUND => (
                "There is no such page",
                "Nothing is at this address.".into(),
                "The address may be misspelt; the list of tasks is at /.",
            ),
            StatusCode::METHOD_NOT_ALLOWED => (
                "This address does something else",
                format!("It does not take {method} requests."),
                "Tasks are added and deleted by the buttons on the list's page.",
            ),
            StatusCode::FORBIDDEN => (
                "This came from another site",
                "The form was sent from a page that is not part of this site, so it was not acted on.".into(),
                "If you meant to do it, do it here, on the list's page. (Behind a proxy: it must \
                 pass the Host and Origin headers on unchanged.)",
            ),
            status if status.is_server_error() => (
                "Something went wrong on our side",
                "The request could not be answered. What happened is in the server's log.".into(),
                "Nothing you did caused this; try again in a moment.",
            ),
            _ => (
                "The request could not be understood",
                format!("The server answered it with status {}.", status.as_u16()),
                "Go back to the list and try again.",
            ),
        };
        ErrorPage::new(status, title, problem, remedy)
    }
}

/// Gives an error reply its page; any other reply stays as it is.
pub async fn render(templates: &Templates, method: &Method, mut response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let page = response.extensions_mut().remove::<ErrorPage>();
    if page.is_none() && is_html(&response) {
        return response;
    }
    let page = page.unwrap_or_else(|| ErrorPage::of_status(status, method));
    match templates.render("error.html", &page).await {
        Ok(html) => put_html(&mut response, html),
        Err(error) => tracing::error!(%error, "the error page cannot be rendered"),
    }
    response
}

/// Replaces the body; the other headers stay (`Allow` of a 405, for one).
fn put_html(response: &mut Response, html: String) {
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = Body::from(html);
}

fn is_html(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

fn host_page(problem: &HostProblem) -> ErrorPage {
    let what = match problem {
        HostProblem::Missing => "The request has no Host header.".to_owned(),
        HostProblem::Several => "The request has more than one Host header.".to_owned(),
        HostProblem::Malformed => "The request's Host header is not a host name.".to_owned(),
        HostProblem::Contradiction => {
            "The request's Host header and its address name two different hosts.".to_owned()
        }
        HostProblem::NotAllowed(host) => {
            let name = host.name();
            return ErrorPage::new(
                StatusCode::BAD_REQUEST,
                "This host name is not set up here",
                format!(
                    "The request is for the host {name}, which this task list does not answer to."
                ),
                &format!(
                    "If you run this site, add {name} to the variable TASKLIST_ALLOWED_HOSTS and start it again."
                ),
            );
        }
    };
    let remedy = "Send one Host header with a name that is in TASKLIST_ALLOWED_HOSTS, such as localhost:8000.";
    ErrorPage::new(StatusCode::BAD_REQUEST, "The request names no valid host", what, remedy)
}

fn add_page(problem: FormProblem) -> ErrorPage {
    let status = problem.status();
    let remedy = format!("A name has 1 to {LONGEST_NAME} characters, on one line.");
    let (what, typed) = match problem {
        FormProblem::EmptyName => ("The name is empty.".to_owned(), Some(String::new())),
        FormProblem::LongName { typed } => {
            let length = typed.chars().count();
            (format!("The name has {length} characters; {LONGEST_NAME} is the most."), Some(typed))
        }
        FormProblem::ControlCharacter { typed, found } => {
            let code = u32::from(found);
            (format!("The name has a control character in it (U+{code:04X})."), Some(typed))
        }
        other => (describe(&other), Some(String::new())),
    };
    ErrorPage { typed, ..ErrorPage::new(status, "The task was not added", what, &remedy) }
}

fn remove_page(problem: &FormProblem) -> ErrorPage {
    let remedy =
        "Use the Delete button of a task in the list; it sends the task's id, a whole number.";
    ErrorPage::new(problem.status(), "No task was deleted", describe(problem), remedy)
}

fn no_such_task(id: i64) -> ErrorPage {
    ErrorPage::new(
        StatusCode::NOT_FOUND,
        "This task is not in the list",
        format!("There is no task with the id {id}; most likely it has been deleted already."),
        "The list shows what is there now.",
    )
}

fn describe(problem: &FormProblem) -> String {
    match problem {
        FormProblem::NotAForm(None) => {
            "The request does not say that it is a form (no Content-Type).".into()
        }
        FormProblem::NotAForm(Some(kind)) => format!(
            "The request is of the type {:?}; a form is of the type application/x-www-form-urlencoded.",
            shorten(kind)
        ),
        FormProblem::TooLarge => format!("The form is larger than {} KiB.", LARGEST_BODY / 1024),
        FormProblem::BrokenOff => "The connection broke before the whole form was here.".into(),
        FormProblem::Encoding => "The form is not valid percent-encoded UTF-8 text.".into(),
        FormProblem::Missing(field) => format!("The form lacks its field {field:?}."),
        FormProblem::Several(field) => format!("The form has its field {field:?} more than once."),
        FormProblem::BadId { value } => {
            format!("The id is {:?}, which is no whole number.", shorten(value))
        }
        FormProblem::EmptyName
        | FormProblem::LongName { .. }
        | FormProblem::ControlCharacter { .. } => "The name is not valid.".into(),
    }
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
