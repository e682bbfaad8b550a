//! What is shown over each span, and how it adds up.

use larder_control::{HitRates, Span};
use larder_tenancy::{Latency, TenantId};

use crate::node::{EIGHT, Watched, shown};

#[tokio::test]
async fn seconds_are_shown_as_they_happen() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    assert_eq!(shown(&watched.series(1, Span::TenMinutes).await), []);
    watched.second(|node| node.gets(1, 3, 1)).await;
    watched.second(|_| ()).await;
    watched.second(|node| node.gets(1, 5, 0)).await;
    let series = watched.series(1, Span::TenMinutes).await;
    assert_eq!(series.step, 1);
    assert_eq!(shown(&series), [(0, 1, 3, 1, 1), (1, 1, 0, 0, 1), (2, 1, 5, 0, 1)]);
    let [first, second, _] = series.points[..] else { panic!("three") };
    assert_eq!(first.p50, Some(Latency::bound(Latency::bucket(1000))));
    assert_eq!((second.p50, second.p99), (None, None));
    assert_eq!(shown(&watched.sum(Span::TenMinutes).await), shown(&series));
}

#[tokio::test]
async fn the_first_look_is_no_spike() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.second(|node| node.gets(1, 1_000_000, 0)).await;
    // Another history begins to look at the same node.
    let other = tempfile::tempdir().unwrap();
    let mut late = Watched { node: watched.node, ..Watched::new(other.path(), 1).await };
    late.history = larder_control::History::in_memory().await.unwrap();
    late.jump(EIGHT + 1).await;
    late.second(|node| node.gets(1, 2, 0)).await;
    assert_eq!(shown(&late.series(1, Span::TenMinutes).await), [(1, 1, 2, 0, 0)]);
    assert_eq!(shown(&late.sum(Span::Day).await), [(0, 1, 2, 0, 0)]);
    let p99 = late.series(1, Span::Day).await.points[0].p99;
    assert_eq!(p99, Some(Latency::bound(Latency::bucket(1000))));
}

#[tokio::test]
async fn minutes_become_ten_minutes_and_hours_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.until(EIGHT + 2 * 3600 + 90, |node| node.gets(1, 2, 1)).await;
    let seconds: u64 = 2 * 3600 + 90;
    for span in [Span::ThreeHours, Span::Day, Span::Week, Span::ThreeMonths] {
        let step = u64::from(span.step());
        for series in [watched.series(1, span).await, watched.sum(span).await] {
            assert_eq!(series.points.len() as u64, seconds.div_ceil(step), "{span:?}");
            let sum = |of: fn(&larder_control::Point) -> u64| series.points.iter().map(of).sum();
            assert_eq!((seconds, 2 * seconds), (sum(|p| p.seconds), sum(|p| p.figures.get_hits)));
            let last = series.points.last().unwrap();
            assert_eq!(last.figures.items, seconds);
            assert_eq!(last.at, (EIGHT + seconds - 1) / step * step);
        }
    }
}

#[tokio::test]
async fn an_idle_tenant_is_shown_as_idle_with_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.second(|node| node.gets(1, 0, 4)).await;
    watched.until(EIGHT + 121, |node| node.gets(2, 1, 0)).await;
    let series = watched.series(1, Span::Day).await;
    assert_eq!(shown(&series), [(0, 60, 0, 4, 4), (60, 60, 0, 0, 4), (120, 1, 0, 0, 4)]);
    // Idle for all of the span: what it has is known all the same.
    watched.jump(EIGHT + 2 * 86_400).await;
    watched.second(|node| node.gets(2, 1, 0)).await;
    let week = watched.series(1, Span::Day).await;
    assert_eq!(shown(&week).last().unwrap().4, 4);
    assert_eq!(watched.series(3, Span::Day).await.points, [], "was never there");
}

#[tokio::test]
async fn hit_rates_are_of_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    let one = Some(TenantId::new(1));
    assert_eq!(watched.history.hit_rates(one).await, HitRates::default());
    watched.second(|node| node.gets(1, 3, 1)).await;
    let rate = Some(0.75);
    let all = HitRates { now: rate, hour: rate, day: rate, week: rate };
    assert_eq!(watched.history.hit_rates(one).await, all);
    assert_eq!(watched.history.hit_rates(None).await, all);
    watched.until(EIGHT + 11, |_| ()).await;
    assert_eq!(watched.history.hit_rates(one).await, HitRates { now: None, ..all });
    watched.jump(EIGHT + 2 * 3600).await;
    watched.second(|node| node.gets(1, 0, 4)).await;
    let later = watched.history.hit_rates(one).await;
    let both = Some(3.0 / 8.0);
    assert_eq!(later, HitRates { now: Some(0.0), hour: Some(0.0), day: both, week: both });
    watched.jump(EIGHT + 2 * 86_400).await;
    watched.second(|node| node.gets(1, 8, 0)).await;
    let later = watched.history.hit_rates(one).await;
    assert_eq!((later.now, later.day, later.week), (Some(1.0), Some(1.0), Some(11.0 / 16.0)));
}

#[tokio::test]
async fn more_active_tenants_than_are_written_are_all_there_in_the_hour() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    let all_but_one_a_lot = |node: &crate::node::FakeNode| {
        for tenant in 2..=1201 {
            node.gets(tenant, 10, 0);
        }
        node.gets(1, 1, 0);
    };
    for minute in 1..=61 {
        watched.jump(EIGHT + 60 * minute - 30).await;
        all_but_one_a_lot(&watched.node);
        watched.jump(EIGHT + 60 * minute - 1).await;
    }
    let hours = watched.series(1, Span::ThreeMonths).await;
    assert_eq!(hours.points[0].figures.get_hits, 60);
    let minutes = watched.series(1, Span::Day).await;
    assert!(minutes.points.len() < 60, "it had to stand back");
    let sum: u64 = minutes.points.iter().map(|point| point.figures.get_hits).sum();
    assert_eq!(sum, 61);
    for (point, minute) in minutes.points.iter().zip(&watched.sum(Span::Day).await.points) {
        assert!(point.seconds >= minute.seconds, "a rate is over all its time");
    }
}
