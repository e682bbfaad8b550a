//! The HTML templates, embedded, and what all of them are rendered with.
//!
//! All names end in `.html`, so every value is escaped; no template uses `safe`. An undefined name is an
//! error, not an empty string. A template sees `frame`, the same for all, `page`, its own, and `assets`.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::frame::Frame;
use super::{assets, figures, format};

/// Name and text of every template.
const SOURCES: &[(&str, &str)] = &[
    ("account.html", include_str!("../templates/account.html")),
    ("alerts.html", include_str!("../templates/alerts.html")),
    ("audit.html", include_str!("../templates/audit.html")),
    ("audit_log.html", include_str!("../templates/audit_log.html")),
    ("charts.html", include_str!("../templates/charts.html")),
    ("confirm.html", include_str!("../templates/confirm.html")),
    ("connect.html", include_str!("../templates/connect.html")),
    ("credential.html", include_str!("../templates/credential.html")),
    ("credentials.html", include_str!("../templates/credentials.html")),
    ("error.html", include_str!("../templates/error.html")),
    ("history.html", include_str!("../templates/history.html")),
    ("item.html", include_str!("../templates/item.html")),
    ("keys.html", include_str!("../templates/keys.html")),
    ("latency.html", include_str!("../templates/latency.html")),
    ("layout.html", include_str!("../templates/layout.html")),
    ("macros.html", include_str!("../templates/macros.html")),
    ("node.html", include_str!("../templates/node.html")),
    ("overview.html", include_str!("../templates/overview.html")),
    ("prefixes.html", include_str!("../templates/prefixes.html")),
    ("recent.html", include_str!("../templates/recent.html")),
    ("secret.html", include_str!("../templates/secret.html")),
    ("settings.html", include_str!("../templates/settings.html")),
    ("sign_in.html", include_str!("../templates/sign_in.html")),
    ("sign_in_link.html", include_str!("../templates/sign_in_link.html")),
    ("tenant.html", include_str!("../templates/tenant.html")),
    ("tenant_audit.html", include_str!("../templates/tenant_audit.html")),
    ("tenants.html", include_str!("../templates/tenants.html")),
];

/// All templates, parsed once. A template that does not parse is a bug that the tests find; its page
/// then says that it failed.
static TEMPLATES: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = environment();
    for (name, source) in SOURCES {
        if let Err(error) = environment.add_template(name, source) {
            tracing::error!(name, error = format!("{error:#}"), "a template cannot be parsed");
        }
    }
    environment
});

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    environment.add_global("assets", Value::from(Serde(&*assets::PATHS)));
    format::install(&mut environment);
    figures::install(&mut environment);
    environment
}

/// What a template is rendered with.
#[derive(Serialize)]
struct Context<'a, P> {
    frame: &'a Frame,
    page: &'a P,
}

/// A page, with the status that it answers with.
pub(super) fn page<P: Serialize>(
    status: StatusCode,
    template: &'static str,
    frame: &Frame,
    page: &P,
) -> Response {
    match rendered(template, frame, page) {
        Ok(text) => (status, Html(text)).into_response(),
        Err(error) => {
            tracing::error!(template, error = format!("{error:#}"), "a page cannot be rendered");
            let message =
                "This page cannot be shown because of a fault of the console; its log says more.";
            (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
        }
    }
}

fn rendered<P: Serialize>(
    template: &str,
    frame: &Frame,
    page: &P,
) -> Result<String, minijinja::Error> {
    let context = Value::from(Serde(Context { frame, page }));
    TEMPLATES.get_template(template)?.render(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_parses() {
        for (name, source) in SOURCES {
            let mut environment = environment();
            environment
                .add_template(name, source)
                .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
    }

    /// What the policy of the pages does not allow, or escaping does not cover.
    #[test]
    fn templates_hold_nothing_that_is_not_allowed() {
        for (name, source) in SOURCES {
            for wrong in
                ["|safe", "| safe", "style=", "<style", "onclick", "javascript:", "autoescape"]
            {
                assert!(!source.contains(wrong), "{name} has {wrong}");
            }
            let scripts = source.matches("<script").count();
            assert_eq!(
                scripts,
                source.matches("<script src=\"{{ assets.script }}\" defer>").count()
            );
        }
    }
}
