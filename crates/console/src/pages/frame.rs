//! What surrounds every page: who is signed in, which cache it is about, where the links lead.

use http::StatusCode;
use larder_control::{Need, TenantRecord, percent_encoded};
use serde::{Deserialize, Serialize};

use crate::console::{App, now};
use crate::front::Who;
use crate::service::account;
use crate::view::{MeView, TenantView};

/// What surrounds a page.
#[derive(Debug, Serialize)]
pub(super) struct Frame {
    /// The moment that relative times count from, in seconds since 1970.
    pub(super) now: u64,
    me: Option<MeView>,
    is_operator: bool,
    tenant: Option<TenantView>,
    may: May,
    tabs: Vec<Tab>,
    /// The entry of the menu that the page belongs to.
    section: &'static str,
    /// The name of the node.
    node: String,
    /// What was done just now.
    notice: Option<&'static str>,
}

/// What who asks may do with the cache of the page.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct May {
    flush: bool,
    admin: bool,
}

/// A page of a cache.
#[derive(Debug, Serialize)]
struct Tab {
    title: &'static str,
    path: String,
    is_current: bool,
}

/// The pages of a cache: path, title, and what it takes to see them.
const TABS: [(&str, &str, Need); 9] = [
    ("", "Overview", Need::View),
    ("keys", "Keys", Need::View),
    ("prefixes", "Prefixes", Need::View),
    ("recent", "Recent", Need::Admin),
    ("history", "History", Need::View),
    ("credentials", "Credentials", Need::Admin),
    ("alerts", "Alerts", Need::Admin),
    ("audit", "Log", Need::Admin),
    ("settings", "Settings", Need::Operator),
];

impl Frame {
    /// Of a page of the console.
    pub(super) fn of(app: &App, who: Option<&Who>, section: &'static str) -> Frame {
        Frame {
            now: now(),
            me: who.map(account::me),
            is_operator: who.is_some_and(|who| who.principal.is_operator()),
            tenant: None,
            may: May::default(),
            tabs: Vec::new(),
            section,
            node: app.settings.node_name.clone(),
            notice: None,
        }
    }

    /// Of a page of a cache; `section` is one of [`TABS`].
    pub(super) fn of_tenant(
        app: &App,
        who: &Who,
        tenant: &TenantRecord,
        section: &'static str,
    ) -> Frame {
        let may = |need| who.may(need, Some(&tenant.name));
        let base = path(tenant);
        let tabs = TABS.into_iter().filter(|(.., need)| may(*need));
        let tab = |(name, title, _): (&'static str, _, _)| Tab {
            title,
            path: if name.is_empty() { base.clone() } else { format!("{base}/{name}") },
            is_current: name == section,
        };
        Frame {
            tenant: Some(TenantView::from(tenant)),
            may: May { flush: may(Need::Flush), admin: may(Need::Admin) },
            tabs: tabs.map(tab).collect(),
            ..Frame::of(app, Some(who), "tenants")
        }
    }

    /// With a word on what was done just now.
    pub(super) fn after(self, done: Option<Done>) -> Frame {
        Frame { notice: done.map(Done::words), ..self }
    }
}

/// The path of a cache's pages.
pub(super) fn path(tenant: &TenantRecord) -> String {
    format!("/tenants/{}", percent_encoded(tenant.name.as_str()))
}

/// What was done before a page was asked for again. It comes in the query, so it says nothing that only
/// the doer may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Done {
    /// The cache was flushed.
    Flushed,
    /// An item was deleted.
    Deleted,
    /// Settings were saved.
    Saved,
    /// A credential became the primary.
    Promoted,
    /// A credential or a token was revoked.
    Revoked,
    /// Something was made.
    Created,
    /// Something was removed.
    Removed,
    /// Browsers were signed out.
    Ended,
    /// The password was set.
    Password,
}

impl Done {
    /// As it is in the query.
    pub(super) fn name(self) -> &'static str {
        match self {
            Done::Flushed => "flushed",
            Done::Deleted => "deleted",
            Done::Saved => "saved",
            Done::Promoted => "promoted",
            Done::Revoked => "revoked",
            Done::Created => "created",
            Done::Removed => "removed",
            Done::Ended => "ended",
            Done::Password => "password",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Done::Flushed => "Flushed: every item that was there is a miss now.",
            Done::Deleted => "The item was deleted.",
            Done::Saved => "Saved. It holds already.",
            Done::Promoted => "Promoted: it is the primary now, and the one before still works.",
            Done::Revoked => "Revoked: it opens nothing any more.",
            Done::Created => "Created.",
            Done::Removed => "Removed.",
            Done::Ended => "Signed out there.",
            Done::Password => "The new password holds, and your other browsers were signed out.",
        }
    }
}

/// The title of an error's page, and what helps.
pub(super) fn in_words(status: StatusCode) -> (&'static str, &'static str) {
    match status {
        StatusCode::FORBIDDEN => (
            "Not allowed",
            "Somebody with more rights can do it, or give this credential the capability.",
        ),
        StatusCode::NOT_FOUND => {
            ("Not found", "It may have been removed, or the address is mistyped.")
        }
        StatusCode::CONFLICT => ("That does not go together", ""),
        StatusCode::TOO_MANY_REQUESTS => ("Too many tries", "Wait a little, then try again."),
        StatusCode::SERVICE_UNAVAILABLE => {
            ("The accounts do not answer", "The caches go on serving with what they know.")
        }
        status if status.is_server_error() => {
            ("Something went wrong", "The fault is the console's; its log says more.")
        }
        _ => ("That cannot be done", ""),
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    #[test]
    fn what_was_done_is_read_as_it_is_written() {
        let all = [
            Done::Flushed,
            Done::Deleted,
            Done::Saved,
            Done::Promoted,
            Done::Revoked,
            Done::Created,
            Done::Removed,
            Done::Ended,
            Done::Password,
        ];
        for done in all {
            let name: StrDeserializer<'_, Error> = done.name().into_deserializer();
            assert_eq!(Done::deserialize(name), Ok(done));
        }
    }
}
