//! The page that asks before something that cannot be taken back.

use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::frame::Frame;
use super::render;
use super::sentence;
use crate::problem::Problem;

/// A question, and what happens if it is answered with yes.
#[derive(Debug, Serialize)]
pub(super) struct Confirm {
    /// The question.
    pub(super) title: String,
    /// What will happen, in paragraphs.
    pub(super) words: Vec<String>,
    /// Where its form is posted to.
    pub(super) action: String,
    /// What the button says.
    pub(super) button: &'static str,
    /// Whether something is lost.
    pub(super) is_dangerous: bool,
    /// Fields that are sent with it.
    pub(super) fields: Vec<(&'static str, String)>,
    /// What must be typed to be sure.
    pub(super) typed: Option<String>,
    /// Where else to go.
    pub(super) back: String,
    /// What went wrong when it was answered.
    pub(super) problem: Option<String>,
}

impl Confirm {
    /// A question about something dangerous that is answered by a button alone.
    pub(super) fn new(
        title: String,
        action: String,
        button: &'static str,
        back: String,
    ) -> Confirm {
        Confirm {
            title,
            words: Vec::new(),
            action,
            button,
            is_dangerous: true,
            fields: Vec::new(),
            typed: None,
            back,
            problem: None,
        }
    }

    /// With what will happen.
    pub(super) fn saying(self, words: impl IntoIterator<Item = impl Into<String>>) -> Confirm {
        Confirm { words: words.into_iter().map(Into::into).collect(), ..self }
    }

    /// As a page.
    pub(super) fn page(&self, frame: &Frame) -> Response {
        render::page(StatusCode::OK, "confirm.html", frame, self)
    }

    /// As a page that says what went wrong when it was answered.
    pub(super) fn again(self, frame: &Frame, problem: &Problem) -> Response {
        let page = Confirm { problem: Some(sentence(&problem.message)), ..self };
        render::page(problem.status, "confirm.html", frame, &page)
    }
}
