//! What people are told.

use std::fmt::Write as _;

use larder_tenancy::TenantName;

use super::rule::{AlertKind, AlertRule};
use super::webhook::Webhook;
use crate::moment::utc_minute;

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// By which rule.
    pub rule: i64,
    /// Of which tenant.
    pub tenant: TenantName,
    /// What is, or was, wrong.
    pub kind: AlertKind,
    /// What is new about it.
    pub news: News,
    /// When that was found, in seconds since 1970.
    pub at: u64,
    /// What was found, for people, such as `the hit rate is 12.5 %`. It may have parts of keys in it.
    pub found: String,
    /// Where to tell it; none: only on the dashboard.
    pub webhook: Option<Webhook>,
    /// Whether the webhook may be at an address that is not public, because an operator set it.
    pub webhook_private: bool,
}

/// What is new about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Something is wrong.
    Raised {
        /// Since when, in seconds since 1970.
        since: u64,
    },
    /// It is right again.
    Cleared {
        /// Since when it was wrong, in seconds since 1970.
        since: u64,
    },
    /// Nothing; somebody wants to see whether a notice arrives.
    Test,
}

impl Notice {
    pub(super) fn new(now: u64, rule: &AlertRule, news: News, found: String) -> Self {
        Self {
            rule: rule.id,
            tenant: rule.tenant.clone(),
            kind: rule.kind,
            news,
            at: now,
            found,
            webhook: rule.webhook.clone(),
            webhook_private: rule.webhook_private,
        }
    }

    /// The whole text for people, on one line and without markup. `node` is the name of the node that found
    /// it and `link` the URL of the page about it; what is empty is left out.
    #[must_use]
    pub fn text(&self, node: &str, link: &str) -> String {
        let Notice { tenant, kind, found, .. } = self;
        let mut text = match self.news {
            News::Raised { since } => {
                format!("ALERT {tenant}: {found} (alert: {kind}), since {} UTC", utc_minute(since))
            }
            News::Cleared { since } => {
                format!(
                    "OK {tenant}: {found} (alert: {kind}); it was wrong since {} UTC",
                    utc_minute(since)
                )
            }
            News::Test => {
                format!("TEST {tenant}: a test of the alert \"{kind}\"; nothing is wrong")
            }
        };
        if !node.is_empty() {
            let _ = write!(text, "; on {node}");
        }
        if !link.is_empty() {
            let _ = write!(text, "; see {link}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use larder_tenancy::TenantId;

    use super::*;

    #[test]
    fn a_notice_says_who_what_since_when_and_where_to_look() {
        let rule = AlertRule {
            id: 3,
            tenant: TenantName::new("shop").unwrap(),
            tenant_id: TenantId::new(1),
            kind: AlertKind::HitRateBelow(80),
            for_minutes: 5,
            webhook: None,
            webhook_private: false,
            enabled: true,
        };
        let since = 1_795_334_460;
        let text = |news| {
            let found = "the hit rate is 12.5 %".to_owned();
            Notice::new(since + 300, &rule, news, found).text("n1", "https://c/tenants/shop/alerts")
        };
        assert_eq!(
            text(News::Raised { since }),
            "ALERT shop: the hit rate is 12.5 % (alert: hit rate below 80 %), since 2026-11-22 08:01 UTC; \
             on n1; see https://c/tenants/shop/alerts"
        );
        assert_eq!(
            text(News::Cleared { since }),
            "OK shop: the hit rate is 12.5 % (alert: hit rate below 80 %); it was wrong since \
             2026-11-22 08:01 UTC; on n1; see https://c/tenants/shop/alerts"
        );
        assert_eq!(
            text(News::Test),
            "TEST shop: a test of the alert \"hit rate below 80 %\"; nothing is wrong; on n1; \
             see https://c/tenants/shop/alerts"
        );
        let bare = Notice::new(since, &rule, News::Test, String::new()).text("", "");
        assert!(bare.ends_with("nothing is wrong"), "{bare}");
    }
}
