//! How applications are told of a cache: variables, and a few lines for what people use most.

use larder_control::{Access, Form, TenantRecord};
use serde::Serialize;

use crate::console::App;
use crate::view::SecretView;

/// The panel.
#[derive(Debug, Serialize)]
pub(super) struct Connect {
    /// Whether the password is in it: only just after it was made.
    has_password: bool,
    snippets: Vec<Snippet>,
}

/// Text to be copied.
#[derive(Serialize)]
struct Snippet {
    id: &'static str,
    title: &'static str,
    text: String,
    hint: &'static str,
}

/// Names it only: the password may be in its text.
impl std::fmt::Debug for Snippet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snippet").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Connect {
    /// With a credential that was made just now.
    pub(super) fn with(secret: &SecretView) -> Connect {
        Connect { has_password: true, snippets: snippets(&secret.access()) }
    }

    /// Without its password.
    pub(super) async fn without(app: &App, tenant: &TenantRecord) -> Connect {
        let access = Access {
            servers: crate::service::tenants::servers(app).await,
            username: tenant.primary.clone(),
            password: Some("PASSWORD".to_owned()),
        };
        Connect { has_password: false, snippets: snippets(&access) }
    }
}

fn snippets(access: &Access) -> Vec<Snippet> {
    [
        (Form::Env, "Variables", "For a shell, or a file that is read by one."),
        (Form::Heroku, "Heroku", "The application restarts with them."),
        (Form::Django, "Django", "In settings.py."),
        (Form::Flask, "Flask", "Where the application is made."),
        (Form::Node, "Node.js", "Before the first use of the cache."),
        (Form::Rust, "Rust", "Reads LARDER_URL or MEMCACHIER_*."),
    ]
    .map(|(form, title, hint)| Snippet { id: form.name(), title, text: access.text(form), hint })
    .into()
}
