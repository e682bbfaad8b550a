//! Clocks that jump, nodes that restart, looks that come late.

use larder_control::Span;

use crate::node::{EIGHT, Watched, shown};

#[tokio::test]
async fn a_clock_put_back_counts_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.until(EIGHT + 130, |node| node.gets(1, 1, 0)).await;
    // By a second, in its minute; then by two minutes.
    watched.jump(EIGHT + 129).await;
    watched.until(EIGHT + 131, |node| node.gets(1, 1, 0)).await;
    watched.jump(EIGHT + 5).await;
    watched.until(EIGHT + 200, |node| node.gets(1, 1, 0)).await;
    let total = 130 + 2 + 195;
    for span in [Span::Day, Span::Week, Span::ThreeMonths] {
        let points = watched.series(1, span).await.points;
        let hits: u64 = points.iter().map(|point| point.figures.get_hits).sum();
        assert_eq!(hits, total, "{span:?}");
        for point in &points {
            assert!(point.figures.get_hits <= point.seconds + 2, "{span:?}: {point:?}");
        }
        assert!(points.is_sorted_by(|one, next| one.at < next.at), "{span:?}");
    }
    let seconds = watched.series(1, Span::TenMinutes).await.points;
    assert!(seconds.is_sorted_by(|one, next| one.at < next.at));
    assert!(seconds.iter().all(|point| point.figures.get_hits <= 1));
}

#[tokio::test]
async fn an_hour_made_before_the_clock_was_put_back_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT + 3500).await;
    watched.until(EIGHT + 3700, |node| node.gets(1, 1, 0)).await;
    watched.jump(EIGHT + 3550).await;
    watched.until(EIGHT + 7300, |node| node.gets(1, 1, 0)).await;
    let hours = shown(&watched.series(1, Span::ThreeMonths).await);
    assert_eq!(hours.iter().map(|hour| hour.2).sum::<u64>(), 200 + 3750);
    assert_eq!(hours.iter().map(|hour| hour.0).collect::<Vec<_>>(), [0, 3600, 7200]);
}

#[tokio::test]
async fn a_long_sleep_is_a_gap_and_no_spike() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.until(EIGHT + 60, |node| node.gets(1, 1, 0)).await;
    watched.node.gets(1, 30, 0);
    watched.jump(EIGHT + 5 * 3600).await;
    watched.second(|node| node.gets(1, 1, 0)).await;
    let shown = shown(&watched.series(1, Span::Day).await);
    let after = 5 * 3600;
    assert_eq!(shown, [(0, 60, 60, 0, 0), (after - 60, 60, 30, 0, 0), (after, 1, 1, 0, 0)]);
}

#[tokio::test]
async fn a_late_look_is_of_all_the_seconds_since_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.second(|node| node.gets(1, 1, 0)).await;
    watched.node.gets(1, 7, 0);
    watched.jump(EIGHT + 8).await;
    watched.jump(EIGHT + 8).await;
    let found = shown(&watched.series(1, Span::TenMinutes).await);
    assert_eq!(found, [(0, 1, 1, 0, 0), (7, 7, 7, 0, 0)]);
}

#[tokio::test]
async fn a_node_that_starts_again_counts_from_zero() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.until(EIGHT + 60, |node| node.gets(1, 2, 1)).await;
    watched.node.restart(EIGHT + 60);
    watched.until(EIGHT + 120, |node| node.gets(1, 1, 0)).await;
    watched.second(|_| ()).await;
    let found = shown(&watched.series(1, Span::Day).await);
    assert_eq!(found, [(0, 60, 120, 60, 60), (60, 60, 60, 0, 0), (120, 1, 0, 0, 0)]);
    assert_eq!(shown(&watched.sum(Span::Day).await), found);
}

#[tokio::test]
async fn a_tenant_that_is_removed_makes_no_spike_of_the_sum() {
    let dir = tempfile::tempdir().unwrap();
    let mut watched = Watched::new(dir.path(), EIGHT).await;
    watched.until(EIGHT + 30, |node| node.gets(1, 100, 0)).await;
    watched.until(EIGHT + 60, |node| node.gets(2, 100, 0)).await;
    watched.node.with(|counted| counted.remove(&larder_tenancy::TenantId::new(1)));
    watched.until(EIGHT + 120, |_| ()).await;
    let minutes = shown(&watched.sum(Span::Day).await);
    assert_eq!(minutes, [(0, 60, 6000, 0, 0), (60, 60, 0, 0, 0)]);
    let own = shown(&watched.series(1, Span::Day).await);
    assert_eq!(own[0], (0, 60, 3000, 0, 0), "what it did stays");
}
