//! What a node counted over time: seconds for minutes, minutes for a day, ten minutes for a week, hours
//! for three months.
//!
//! Somebody calls [`History::sample`] every second. That looks at the node and counts in memory (`live`,
//! `seconds`); a task (`writer`) puts each minute that is over into a SQLite file (`disk`), as rows of few
//! bytes (`tally`), and makes longer periods from them. What was asked for is put together from the file
//! and from memory (`points`).
//!
//! Bounds: seconds are kept of the 256 tenants that were last active or last looked at, in at most 165 KiB
//! each; a minute has rows of the 1,000 most active tenants, and what others did is counted on and written
//! with the hour at the latest; the file takes at most 512 MiB, beyond which the oldest is forgotten
//! earlier. The end of the process, however sudden, loses at most the minute that was not over, and of
//! tenants that were not among the 1,000 at most the hour.

mod disk;
mod live;
mod points;
mod seconds;
mod series;
mod tally;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use larder_tenancy::{Node, TenantId};
use tokio::sync::{mpsc, oneshot};

use self::disk::{Disk, HOURS, MINUTES, TEN_MINUTES};
use self::live::{Ended, Live};
use self::points::{Period, merged, points};
pub use self::series::{HitRates, Point, Series, Span};
use self::tally::Gets;
use self::writer::Job;

/// What a node counted over time. Clones share it.
#[derive(Clone)]
pub struct History {
    shared: Arc<Shared>,
}

struct Shared {
    live: Mutex<Live>,
    past: Mutex<HashMap<Option<TenantId>, Past>>,
    disk: Arc<Disk>,
    writer: mpsc::Sender<Job>,
}

/// Keys asked for in the last hour, day and week before the minute that is not over.
#[derive(Debug, Clone, Copy)]
struct Past {
    minute: u64,
    gets: [Gets; 3],
}

/// How far it was looked.
#[derive(Debug, Clone, Copy)]
struct Seen {
    now: u64,
    minute: u64,
}

impl Seen {
    fn of(live: &Live) -> Self {
        Self { now: live.now(), minute: live.minute() }
    }
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file could not be opened or made.
    #[error("the history file {path} cannot be opened or made: {source}", path = path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The file could not be read.
    #[error("the history cannot be read: {0}")]
    Read(#[from] sqlx::Error),
}

impl History {
    /// Bytes that the file takes at most, with its log some more while it is written.
    pub const MOST_BYTES: u64 = 512 << 20;

    /// Bytes that a history without a file takes at most.
    pub const MOST_BYTES_IN_MEMORY: u64 = 32 << 20;

    /// Minutes that the writer may be behind.
    const BEHIND: usize = 4;

    /// How long it is waited for a writer that is.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Tenants of whom it is remembered what they did before the minute.
    const MOST_PAST: usize = 1000;

    /// Opens the history file at `path`, or begins one. A damaged one is renamed to `….damaged`, with a
    /// warning. It begins a task, so it needs a runtime of tokio.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Open`] if there can be no file.
    pub async fn open(path: &Path) -> Result<History, HistoryError> {
        Self::with(Some(path), Self::MOST_BYTES)
            .await
            .map_err(|source| HistoryError::Open { path: path.to_owned(), source })
    }

    /// A history that ends with the process.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Read`] if there is not even memory for it.
    pub async fn in_memory() -> Result<History, HistoryError> {
        Ok(Self::with(None, Self::MOST_BYTES_IN_MEMORY).await?)
    }

    async fn with(path: Option<&Path>, most_bytes: u64) -> Result<History, sqlx::Error> {
        let disk = Arc::new(Disk::open(path, most_bytes).await?);
        let (writer, jobs) = mpsc::channel(Self::BEHIND);
        tokio::spawn(writer::run(Arc::clone(&disk), jobs));
        let (live, past) = Default::default();
        Ok(History { shared: Arc::new(Shared { live, past, disk, writer }) })
    }

    /// Looks at the node. To be called every second; `now_unix` is in seconds since 1970 and may jump. The
    /// first call is only what the next is compared with.
    #[allow(
        clippy::unused_async,
        reason = "callers need not know that only a task waits for the disk"
    )]
    pub async fn sample(&self, now_unix: u64, node: &dyn Node) {
        let ended = self.live().look(now_unix, node);
        if let Some(ended) = ended {
            self.hand_on(ended).await;
        }
    }

    /// What a tenant did, or all together, up to the last look. A step in which a tenant did nothing is a
    /// point of zeros with the levels it had before; there is no point where the node was not looked at.
    ///
    /// # Errors
    ///
    /// [`HistoryError::Read`] if the file cannot be read.
    pub async fn series(
        &self,
        tenant: Option<TenantId>,
        span: Span,
    ) -> Result<Series, HistoryError> {
        let step = span.step();
        if span == Span::TenMinutes {
            let mut live = self.live();
            live.watch(tenant);
            let from = live.now().saturating_sub(span.seconds());
            let (periods, levels) = live.seconds(tenant, from);
            return Ok(Series { step, points: points(periods, levels) });
        }
        let (seen, open, last) = {
            let live = self.live();
            (Seen::of(&live), live.open(tenant), live.last(tenant))
        };
        let mut periods = self.written(tenant, u64::from(step), span.seconds(), seen).await?;
        periods.push(open);
        let periods = merged(periods, u64::from(step));
        let is_known = periods.iter().any(|period| period.tally.is_some());
        Ok(Series { step, points: points(periods, last.filter(|_| !is_known)) })
    }

    /// Hit rates of a tenant, or of all together, up to the last look. What cannot be read is left out.
    pub async fn hit_rates(&self, tenant: Option<TenantId>) -> HitRates {
        let past = self.past(tenant).await;
        let mut live = self.live();
        live.watch(tenant);
        let now = live.gets_from(tenant, live.now().saturating_sub(10)).hit_rate();
        let open = live.open_gets(tenant);
        let [hour, day, week] = past.map(|gets| gets.plus(open).hit_rate());
        HitRates { now, hour, day, week }
    }

    /// Writes the minute that is not over, and waits until all is written. For a clean end.
    pub async fn close(&self) {
        let ended = {
            let mut live = self.live();
            let minute = live.minute();
            live.end(minute, None)
        };
        if let Some(ended) = ended {
            self.hand_on(ended).await;
        }
        self.settle().await;
    }

    /// Keys asked for in the last hour, day and week before the minute that is not over.
    async fn past(&self, tenant: Option<TenantId>) -> [Gets; 3] {
        let seen = Seen::of(&self.live());
        let known = self.pasts().get(&tenant).copied();
        if let Some(past) = known.filter(|past| past.minute == seen.minute) {
            return past.gets;
        }
        let mut gets = [Gets::default(); 3];
        let spans = [(MINUTES.0, 3600), (TEN_MINUTES.0, 86_400), (HOURS.0, 7 * 86_400)];
        for (sum, (step, seconds)) in gets.iter_mut().zip(spans) {
            let Ok(periods) = self.written(tenant, step, seconds, seen).await else { return gets };
            let tallies = periods.iter().filter_map(|period| period.tally.as_ref());
            *sum = tallies.fold(*sum, |sum, tally| sum.plus(Gets::of(&tally.figures)));
        }
        let mut pasts = self.pasts();
        if pasts.len() >= Self::MOST_PAST {
            pasts.clear();
        }
        pasts.insert(tenant, Past { minute: seen.minute, gets });
        gets
    }

    /// What is written of the last `seconds`: in periods of `step` seconds as far as they were made, then in
    /// shorter ones.
    async fn written(
        &self,
        tenant: Option<TenantId>,
        step: u64,
        seconds: u64,
        seen: Seen,
    ) -> Result<Vec<Period>, HistoryError> {
        self.settle().await;
        let mut from = seen.now.saturating_sub(seconds) / step * step;
        let mut periods = Vec::new();
        for (step, _) in [HOURS, TEN_MINUTES, MINUTES].into_iter().filter(|(s, _)| *s <= step) {
            let (more, until) = self
                .written_in(tenant, step, from, seen)
                .await
                .map_err(|error| self.cannot_read(error))?;
            periods.extend(more);
            from = from.max(until);
        }
        Ok(periods)
    }

    /// The periods of `step` seconds that were written, and their end. What is written of a time to come,
    /// from before the clock was put back, is not among them.
    async fn written_in(
        &self,
        tenant: Option<TenantId>,
        step: u64,
        from: u64,
        seen: Seen,
    ) -> Result<(Vec<Period>, u64), sqlx::Error> {
        let disk = &self.shared.disk;
        let until = match step == MINUTES.0 {
            // With what is written of the minute that is not over: the process may have been restarted in it.
            true => seen.minute + 60,
            false => disk.end_of(step, seen.now).await?.min(seen.minute),
        };
        Ok((disk.read(step, tenant, from, until).await?, until))
    }

    fn cannot_read(&self, error: sqlx::Error) -> HistoryError {
        if disk::is_damage(&error) {
            // If the task is busy, the next one who reads tells it.
            let _ = self.shared.writer.try_send(Job::Damaged(error.to_string()));
        }
        HistoryError::Read(error)
    }

    /// Waits until the task has done what it was told.
    async fn settle(&self) {
        let (done, is_done) = oneshot::channel();
        if self.shared.writer.send(Job::Settle(done)).await.is_ok() {
            // If the task is gone there is nothing to wait for.
            let _ = is_done.await;
        }
    }

    /// Hands a minute to the task. A disk that is behind by minutes is not waited for.
    async fn hand_on(&self, ended: Ended) {
        let sent = self.shared.writer.send(Job::Write(Box::new(ended)));
        if tokio::time::timeout(Self::PATIENCE, sent).await.is_err() {
            let place = self.shared.disk.place();
            tracing::warn!("{place} is too slow: a minute of the history is lost");
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.shared.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pasts(&self) -> MutexGuard<'_, HashMap<Option<TenantId>, Past>> {
        self.shared.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("disk", &self.shared.disk).finish_non_exhaustive()
    }
}
