//! What people are told.

use std::fmt::Write as _;

use larder_tenancy::TenantName;

use super::rule::{AlertKind, AlertRule};
use super::webhook::Webhook;

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
                format!("ALERT {tenant}: {found} (alert: {kind}), since {}", Utc(since))
            }
            News::Cleared { since } => {
                format!("OK {tenant}: {found} (alert: {kind}); it was wrong since {}", Utc(since))
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

/// Seconds since 1970 as `2026-11-22 08:00 UTC`.
struct Utc(u64);

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mut days, minutes) = (self.0 / 86_400, self.0 / 60 % 1440);
        let is_leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let mut year = 1970;
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            if days < length || year == 9999 {
                break;
            }
            days -= length;
            year += 1;
        }
        let february = if is_leap(year) { 29 } else { 28 };
        let mut month = 1;
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if days < length {
                break;
            }
            days -= length;
            month += 1;
        }
        let (day, hour, minute) = (days + 1, minutes / 60, minutes % 60);
        write!(f, "{year}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use larder_tenancy::TenantId;

    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400 - 1, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
            (1_795_334_460, "2026-11-22 08:01 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(Utc(seconds).to_string(), shown, "{seconds}");
        }
        assert!(Utc(u64::MAX).to_string().starts_with("9999-"));
    }

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
