//! What a node's figures make of rules.

use larder_control::{AlertKind, AlertRule, AlertState, Alerts, News, Notice};
use larder_tenancy::{Insight, PrefixUse, TenantId, TenantName};

use crate::node::{EIGHT, FakeNode};

fn rule(tenant: u32, kind: AlertKind) -> AlertRule {
    AlertRule {
        id: tenant.into(),
        tenant: TenantName::new(&format!("shop{tenant}")).unwrap(),
        tenant_id: TenantId::new(tenant),
        kind,
        for_minutes: 2,
        webhook: None,
        webhook_private: false,
        enabled: true,
    }
}

/// Alerts, their rules and node, and the time.
struct Judged {
    alerts: Alerts,
    rules: Vec<AlertRule>,
    node: FakeNode,
    now: u64,
}

impl Judged {
    /// One rule, and the first look.
    fn new(kind: AlertKind) -> Self {
        let rules = vec![rule(1, kind)];
        let node = FakeNode::default();
        let judged = Self { alerts: Alerts::new(), rules, node, now: EIGHT };
        assert_eq!(judged.alerts.evaluate(EIGHT, &judged.rules, &judged.node), []);
        judged
    }

    /// A minute passes, in which this was asked for.
    fn minute(&mut self, hits: u64, misses: u64) -> Vec<Notice> {
        self.node.gets(1, hits, misses);
        let mut notices = Vec::new();
        for _ in 0..60 {
            self.now += 1;
            notices.extend(self.alerts.evaluate(self.now, &self.rules, &self.node));
        }
        notices
    }

    fn state(&self) -> AlertState {
        self.alerts.state(&self.rules[0])
    }
}

#[test]
fn an_alert_is_told_once_and_when_it_is_over() {
    let mut judged = Judged::new(AlertKind::HitRateBelow(80));
    assert_eq!(judged.minute(90, 10), []);
    assert_eq!(judged.state(), AlertState::Ok);
    assert_eq!(judged.minute(10, 90), []);
    let since = EIGHT + 60;
    assert_eq!(judged.state(), AlertState::Pending { since });
    let [raised] = &judged.minute(10, 90)[..] else { panic!("one") };
    assert_eq!(raised.news, News::Raised { since });
    assert_eq!(raised.at, EIGHT + 180);
    assert_eq!(
        raised.text("n1", "http://c/alerts"),
        "ALERT shop1: the hit rate is 10.0 % (alert: hit rate below 80 %), since 2026-11-22 08:01 UTC; \
         on n1; see http://c/alerts"
    );
    assert_eq!(judged.state(), AlertState::Firing { since });
    // About the threshold, and without requests, nothing more is told.
    for (hits, misses) in [(79, 21), (81, 19), (79, 21), (81, 19), (0, 0), (9, 0), (0, 0)] {
        assert_eq!(judged.minute(hits, misses), []);
        assert_eq!(judged.state(), AlertState::Firing { since });
    }
    assert_eq!(judged.minute(95, 5), []);
    let [cleared] = &judged.minute(95, 5)[..] else { panic!("one") };
    assert_eq!(cleared.news, News::Cleared { since });
    assert_eq!(judged.state(), AlertState::Ok);
    assert!(cleared.text("", "").starts_with("OK shop1: the hit rate is 95.0 %"));
}

#[test]
fn a_rule_that_is_disabled_removed_or_other_than_before_begins_afresh() {
    type Change = fn(&mut Vec<AlertRule>);
    let changes: [Change; 4] = [
        |rules| rules[0].enabled = false,
        |rules| rules[0].id = 7,
        |rules| rules[0].kind = AlertKind::HitRateBelow(81),
        |rules| rules[0].for_minutes = 3,
    ];
    for change in changes {
        let mut judged = Judged::new(AlertKind::HitRateBelow(80));
        judged.minute(0, 100);
        assert_eq!(judged.minute(0, 100).len(), 1);
        let before = judged.rules.clone();
        change(&mut judged.rules);
        assert_eq!(judged.state(), AlertState::Ok, "at once");
        assert_eq!(judged.minute(0, 100), []);
        judged.rules = before;
        assert_eq!(judged.minute(0, 100), [], "it was forgotten");
        let told = [judged.minute(0, 100), judged.minute(0, 100)].concat();
        assert_eq!(told.len(), 1);
    }
    // Where it is told is no reason to begin afresh.
    let mut judged = Judged::new(AlertKind::HitRateBelow(80));
    judged.minute(0, 100);
    judged.rules[0].webhook_private = true;
    let [raised] = &judged.minute(0, 100)[..] else { panic!("one") };
    assert!(raised.webhook_private);
}

#[test]
fn a_node_that_starts_again_and_a_clock_that_jumps_raise_nothing() {
    let mut judged = Judged::new(AlertKind::HitRateBelow(80));
    judged.minute(1000, 0);
    judged.node.restart(judged.now);
    assert_eq!(judged.minute(100, 0), []);
    assert_eq!(judged.state(), AlertState::Ok, "counts begin at 0 again");
    assert_eq!(judged.minute(0, 100), []);
    assert!(matches!(judged.state(), AlertState::Pending { .. }));
    // A sleep is no time in which it was wrong, and what was counted is of no known time.
    judged.now += 8 * 3600;
    assert_eq!(judged.minute(0, 100), []);
    judged.now -= 3600;
    assert_eq!(judged.minute(0, 100), []);
    assert!(matches!(judged.state(), AlertState::Pending { .. }));
    judged.minute(0, 100);
    judged.minute(0, 100);
    assert!(matches!(judged.state(), AlertState::Firing { .. }));
}

#[test]
fn after_a_start_of_the_process_all_is_well_until_it_was_wrong_for_its_time() {
    let mut judged = Judged::new(AlertKind::HitRateBelow(80));
    judged.minute(0, 100);
    judged.minute(0, 100);
    judged.alerts = Alerts::new();
    assert_eq!(judged.state(), AlertState::Ok);
    assert_eq!(judged.minute(0, 100), []);
    assert_eq!(judged.minute(0, 100), []);
    assert_eq!(judged.minute(0, 100).len(), 1);
}

#[test]
fn tenants_do_not_mix() {
    let mut judged = Judged::new(AlertKind::HitRateBelow(80));
    judged.rules.push(rule(2, AlertKind::HitRateBelow(80)));
    judged.rules.push(rule(3, AlertKind::MemoryAbove(90)));
    for _ in 0..3 {
        judged.node.gets(2, 0, 100);
        let notices = judged.minute(100, 0);
        assert!(notices.iter().all(|notice| notice.tenant.as_str() == "shop2"), "{notices:?}");
    }
    assert!(matches!(judged.alerts.state(&judged.rules[1]), AlertState::Firing { .. }));
    assert_eq!(judged.state(), AlertState::Ok);
    assert_eq!(judged.alerts.state(&judged.rules[2]), AlertState::Ok, "it was never used");
}

#[test]
fn keys_that_never_hit_are_told_by_name() {
    let mut judged = Judged::new(AlertKind::NeverHits);
    judged.minute(0, 0);
    let prefix =
        |never_hits| PrefixUse { pattern: "session:*".into(), never_hits, ..PrefixUse::default() };
    let seen = |never_hits| Insight { prefixes: vec![prefix(never_hits)], ..Insight::default() };
    *judged.node.insight.lock().unwrap() = seen(true);
    assert_eq!([judged.minute(0, 0), judged.minute(0, 0)], [[], []]);
    let [raised] = &judged.minute(0, 0)[..] else { panic!("one") };
    assert!(raised.text("", "").contains("never hit: session:*"), "{raised:?}");
    *judged.node.insight.lock().unwrap() = Insight::default();
    assert_eq!(judged.minute(0, 0), [], "forgotten is not well");
    *judged.node.insight.lock().unwrap() = seen(false);
    judged.minute(0, 0);
    judged.minute(0, 0);
    let [cleared] = &judged.minute(0, 0)[..] else { panic!("one") };
    assert!(matches!(cleared.news, News::Cleared { .. }));
}

#[test]
fn a_test_says_that_it_is_one() {
    let judged = Judged::new(AlertKind::NeverHits);
    let test = judged.alerts.test(EIGHT, &judged.rules[0]);
    assert_eq!(test.news, News::Test);
    assert!(test.text("", "").starts_with("TEST shop1:"));
    assert_eq!(judged.state(), AlertState::Ok);
}
