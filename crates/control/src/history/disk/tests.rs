//! The file's limit, and what becomes of what it has.

use larder_tenancy::Figures;

use super::*;

fn tally(hits: u64) -> Tally {
    let figures = Figures { get_hits: hits, bytes: 1 << 30, ..Figures::default() };
    Tally { figures, ..Tally::default() }
}

impl Disk {
    /// Whether what is in memory can be written from now on.
    pub(in crate::history) async fn allow_writes(&self, allow: bool) {
        let sql = if allow { "PRAGMA query_only = 0" } else { "PRAGMA query_only = 1" };
        sqlx::query(sql).execute(&self.file().pool).await.unwrap();
    }
}

/// A minute of this many tenants, found to be over when the next has begun.
fn ended(at: u64, tenants: u32) -> Ended {
    let row = |tenant: u32| (TenantId::new(tenant), tally(1 + u64::from(tenant)).encode());
    let tally = Some(tally(7));
    Ended {
        now: at + 61,
        period: Period { at, seconds: 60, tally, ..Period::default() },
        rows: (0..tenants).map(row).collect(),
    }
}

async fn size(disk: &Disk) -> u64 {
    used(&mut disk.file().pool.acquire().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn the_file_stays_below_its_limit_and_keeps_the_newest() {
    const LIMIT: u64 = 1 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let disk = Disk::open(Some(&path), LIMIT).await.unwrap();
    let minutes = 400;
    for minute in 0..minutes {
        disk.write(&ended(minute * 60, 100)).await.unwrap();
        assert!(size(&disk).await < LIMIT + (1 << 17));
    }
    disk.file().pool.close().await;
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes < LIMIT + (1 << 17), "what is forgotten makes room: {bytes}");
    let disk = Disk::open(Some(&path), LIMIT).await.unwrap();
    let kept = disk.read(60, Some(TenantId::new(9)), 0, minutes * 60).await.unwrap();
    let hour = &kept[kept.len() - 60..];
    assert!(hour.iter().all(|period| period.tally == Some(tally(10))));
    assert!(hour.windows(2).all(|pair| pair[0].at + 60 == pair[1].at));
}

/// What an application does in a minute with this many gets.
fn busy(gets: u64) -> Tally {
    let mut tally = Tally::default();
    let figures = &mut tally.figures;
    (figures.get_hits, figures.get_misses) = (gets * 9 / 10, gets / 10);
    (figures.sets, figures.delete_hits, figures.expired) = (gets / 10, gets / 50, gets / 20);
    (figures.evictions, figures.evicted_unread) = (gets / 30, gets / 300);
    (figures.items, figures.connections) = (gets * 2, 20);
    (figures.bytes, figures.limit_bytes) = (gets * 1000, 25 << 20);
    (figures.bytes_read, figures.bytes_written) = (gets * 60, gets * 900);
    for bucket in 40..60 {
        tally.latency.add(bucket, gets >> (bucket - 39));
    }
    tally
}

#[tokio::test]
async fn three_months_of_ten_thousand_tenants_are_small() {
    const HOURS_AT_ALL: u64 = 92 * 24;
    const ACTIVE: u64 = 25;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let disk = Disk::open(Some(&path), u64::MAX).await.unwrap();
    for hour in 0..HOURS_AT_ALL {
        let tenant = |count| u32::try_from((hour * ACTIVE + count) % 10_000).unwrap();
        let row = |count| (TenantId::new(tenant(count)), busy(3000 + count * 999).encode());
        let ended = ended(hour * HOUR, 0);
        disk.write(&Ended { rows: (0..ACTIVE).map(row).collect(), ..ended }).await.unwrap();
    }
    let file = disk.file();
    let (rows,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM figures").fetch_one(&file.pool).await.unwrap();
    // All hours, ten minutes of eight days, minutes of a day.
    assert!(unsigned(rows) > (HOURS_AT_ALL + 8 * 24 + 24) * ACTIVE);
    file.pool.close().await;
    let bytes = std::fs::metadata(&path).unwrap().len();
    assert!(bytes < 7 << 20, "{bytes} bytes, {} a row", bytes / unsigned(rows));
}

#[tokio::test]
async fn what_is_old_is_forgotten() {
    let disk = Disk::open(None, u64::MAX).await.unwrap();
    let (day, last) = (86_400, 100 * 86_400);
    for at in (0..=last).step_by(4 * 3600) {
        disk.write(&ended(at, 1)).await.unwrap();
    }
    for (step, kept) in [MINUTES, TEN_MINUTES, HOURS] {
        let periods = disk.read(step, None, 0, u64::MAX).await.unwrap();
        let first = periods[0].at;
        assert!(first + kept + 4 * 3600 >= last && first + kept <= last + day, "{step}: {first}");
    }
}

#[tokio::test]
async fn what_was_written_by_another_release_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let disk = Disk::open(Some(&path), u64::MAX).await.unwrap();
    disk.write(&ended(0, 1)).await.unwrap();
    let file = disk.file();
    // It did not have the figure that is the first now, and had one that is no more.
    let theirs = names().join(",").replacen("get_hits,", "of_another_time,", 1);
    sqlx::query("UPDATE names SET names = ?1").bind(theirs).execute(&file.pool).await.unwrap();
    file.pool.close().await;
    let disk = Disk::open(Some(&path), u64::MAX).await.unwrap();
    disk.write(&ended(60, 1)).await.unwrap();
    let both = disk.read(60, None, 0, 120).await.unwrap();
    let hits = |period: &Period| period.tally.as_ref().unwrap().figures.get_hits;
    assert_eq!(both.iter().map(hits).collect::<Vec<_>>(), [0, 7]);
    assert_eq!(both[0].tally.as_ref().unwrap().figures.bytes, 1 << 30);
}

#[tokio::test]
async fn a_full_disk_loses_nothing_once_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let disk = Disk::open(Some(&path), u64::MAX).await.unwrap();
    let file = disk.file();
    let mut all = Vec::new();
    for _ in 0..3 {
        let mut connection = file.pool.acquire().await.unwrap();
        sqlx::query("PRAGMA max_page_count = 20").execute(&mut *connection).await.unwrap();
        all.push(connection);
    }
    drop(all);
    disk.write(&ended(0, 10)).await.unwrap();
    let error = disk.write(&ended(60, 10_000)).await.unwrap_err();
    assert!(error.to_string().contains("full") && !is_damage(&error), "{error}");
    let minutes = disk.read(60, None, 0, 1000).await.unwrap();
    assert_eq!(minutes.len(), 1, "all of a minute or nothing");
    disk.write(&ended(60, 10)).await.unwrap();
    assert_eq!(disk.read(60, None, 0, 1000).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_damaged_row_is_passed_over() {
    let disk = Disk::open(None, u64::MAX).await.unwrap();
    disk.write(&ended(0, 2)).await.unwrap();
    let damage = "UPDATE figures SET data = x'ffffff' WHERE tenant = 0";
    sqlx::query(damage).execute(&disk.file().pool).await.unwrap();
    disk.write(&ended(3600, 1)).await.unwrap();
    for (tenant, is_there) in [(0, false), (1, true)] {
        for (step, _) in [MINUTES, HOURS] {
            let read = disk.read(step, Some(TenantId::new(tenant)), 0, 3600).await.unwrap();
            assert_eq!((read.len(), read[0].tally.is_some()), (1, is_there), "{tenant} {step}");
        }
    }
}
