//! The file: minutes, ten minutes and hours of the node and of each tenant that did something in them.
//!
//! Table `periods` says when the node was looked at, `figures` has a row for each tenant of a period and
//! one, [`SUM`], for all together, `names` the lists of names that rows refer to. Ten minutes and hours
//! are made from the minutes when they are over and missing: so it does not matter when the process ended.
//! There is one writer. What must stay true: the file stays below its limit, but for what one minute
//! adds; what is written of a period that is there already, as after the clock was put back, is added.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use larder_tenancy::TenantId;
use sqlx::error::DatabaseError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{QueryBuilder, Sqlite};

use super::live::Ended;
use super::points::Period;
use super::tally::{Tally, names, put, take};

/// The lengths of periods in seconds, and for how long they are kept.
pub(super) const MINUTES: (u64, u64) = (60, 26 * HOUR);
pub(super) const TEN_MINUTES: (u64, u64) = (600, 8 * 24 * HOUR);
pub(super) const HOURS: (u64, u64) = (HOUR, 93 * 24 * HOUR);
const HOUR: u64 = 3600;

/// The number under which the sum of all tenants is filed; no tenant's.
const SUM: i64 = -1;

/// Periods that are forgotten at once at most, so that no write takes long.
const MOST_FORGOTTEN: u64 = 10;

/// Rows of one statement.
const CHUNK: usize = 128;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS periods (
    step INTEGER NOT NULL, at INTEGER NOT NULL,
    seconds INTEGER NOT NULL, is_cut INTEGER NOT NULL, is_start INTEGER NOT NULL,
    PRIMARY KEY (step, at)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS figures (
    step INTEGER NOT NULL, at INTEGER NOT NULL, tenant INTEGER NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (step, at, tenant)
) STRICT, WITHOUT ROWID;
";

/// When it began, its seconds, whether it is cut, and a start; what a tenant did.
type PeriodRow = (i64, i64, bool, bool, Option<Vec<u8>>);

/// Where the history is kept.
#[derive(Debug)]
pub(super) struct Disk {
    /// None: in memory.
    path: Option<PathBuf>,
    most_bytes: u64,
    file: RwLock<Arc<File>>,
}

/// An open file.
#[derive(Debug)]
struct File {
    pool: SqlitePool,
    /// The number of the list of this program's names.
    own: u64,
    lists: HashMap<u64, Box<[Box<str>]>>,
}

impl Disk {
    /// Opens the file, or begins one. A damaged one is set aside.
    pub(super) async fn open(path: Option<&Path>, most_bytes: u64) -> Result<Self, sqlx::Error> {
        let file = match (File::open(path).await, path) {
            (Err(error), Some(path)) if is_damage(&error) => {
                set_aside(path, &error.to_string())?;
                File::open(Some(path)).await?
            }
            (file, _) => file?,
        };
        let file = RwLock::new(Arc::new(file));
        Ok(Self { path: path.map(Path::to_owned), most_bytes, file })
    }

    /// Sets the file aside, as it is damaged, and begins another.
    pub(super) async fn begin_anew(&self, why: &str) -> Result<(), sqlx::Error> {
        self.file().pool.close().await;
        if let Some(path) = &self.path {
            set_aside(path, why)?;
        }
        let file = Arc::new(File::open(self.path.as_deref()).await?);
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file;
        Ok(())
    }

    /// Writes a minute, and what can be made and what must be forgotten now.
    pub(super) async fn write(&self, ended: &Ended) -> Result<(), sqlx::Error> {
        let file = self.file();
        let mut tx = file.pool.begin_with("BEGIN IMMEDIATE").await?;
        file.put_minute(&mut tx, ended).await?;
        for (step, _) in [TEN_MINUTES, HOURS] {
            for at in missing(&mut tx, step, ended.now).await? {
                file.put_longer(&mut tx, step, at).await?;
            }
        }
        for (step, kept) in [MINUTES, TEN_MINUTES, HOURS] {
            forget(&mut tx, step, ended.now.saturating_sub(kept)).await?;
        }
        self.hold_limit(&mut tx, ended.now).await?;
        tx.commit().await
    }

    /// Forgets some of what is oldest if the file is too large: hours and ten minutes of which there are no
    /// minutes any more, and if there are none, minutes.
    async fn hold_limit(&self, tx: &mut SqliteConnection, now: u64) -> Result<(), sqlx::Error> {
        let minute = oldest(tx, MINUTES.0).await?.unwrap_or(now);
        for (step, before) in [
            (HOURS.0, minute / HOUR * HOUR),
            (TEN_MINUTES.0, minute / TEN_MINUTES.0 * TEN_MINUTES.0),
            (MINUTES.0, now.saturating_sub(HOUR)),
        ] {
            if used(tx).await? <= self.most_bytes {
                break;
            }
            forget(tx, step, before).await?;
        }
        Ok(())
    }

    /// What is known of a tenant, or of all together, in the periods of `step` seconds in this time.
    pub(super) async fn read(
        &self,
        step: u64,
        tenant: Option<TenantId>,
        from: u64,
        until: u64,
    ) -> Result<Vec<Period>, sqlx::Error> {
        let file = self.file();
        let rows: Vec<PeriodRow> = sqlx::query_as(
            "SELECT p.at, p.seconds, p.is_cut, p.is_start, f.data FROM periods p
             LEFT JOIN figures f ON f.step = p.step AND f.at = p.at AND f.tenant = ?1
             WHERE p.step = ?2 AND p.at >= ?3 AND p.at < ?4 ORDER BY p.at",
        )
        .bind(tenant.map_or(SUM, number))
        .bind(signed(step))
        .bind(signed(from))
        .bind(signed(until))
        .fetch_all(&file.pool)
        .await?;
        let period =
            |(at, seconds, is_cut, is_start, data): (_, _, _, _, Option<Vec<u8>>)| Period {
                at: unsigned(at),
                seconds: unsigned(seconds),
                is_cut,
                is_start,
                tally: data.and_then(|data| file.decode(&data)),
            };
        Ok(rows.into_iter().map(period).collect())
    }

    /// The end of the last period of `step` seconds that is over and was made; 0 if there is none.
    pub(super) async fn end_of(&self, step: u64, now: u64) -> Result<u64, sqlx::Error> {
        let file = self.file();
        let (last,): (Option<i64>,) =
            sqlx::query_as("SELECT max(at) FROM periods WHERE step = ?1 AND at <= ?2")
                .bind(signed(step))
                .bind(signed(now.saturating_sub(step)))
                .fetch_one(&file.pool)
                .await?;
        Ok(last.map_or(0, |last| unsigned(last) + step))
    }

    /// Whether no damage can be found. That reads the whole file.
    pub(super) async fn is_sound(&self) -> bool {
        let file = self.file();
        let found: Result<(String,), _> =
            sqlx::query_as("PRAGMA quick_check(1)").fetch_one(&file.pool).await;
        match found {
            Ok((answer,)) => answer == "ok",
            Err(error) => !is_damage(&error),
        }
    }

    /// Where it is, for a warning.
    pub(super) fn place(&self) -> String {
        let path = self.path.as_ref();
        path.map_or_else(|| "memory".to_owned(), |path| path.display().to_string())
    }

    fn file(&self) -> Arc<File> {
        Arc::clone(&self.file.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl File {
    async fn open(path: Option<&Path>) -> Result<Self, sqlx::Error> {
        let pool = match path {
            Some(path) => {
                create(path)?;
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .pragma("journal_size_limit", "16777216");
                SqlitePoolOptions::new().max_connections(3).connect_with(options).await?
            }
            // It lives as long as its one connection.
            None => {
                SqlitePoolOptions::new()
                    .min_connections(1)
                    .max_connections(1)
                    .idle_timeout(None)
                    .max_lifetime(None)
                    .connect_with(SqliteConnectOptions::new().in_memory(true))
                    .await?
            }
        };
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        let own = names().join(",");
        sqlx::query("INSERT INTO names (names) VALUES (?1) ON CONFLICT DO NOTHING")
            .bind(&own)
            .execute(&pool)
            .await?;
        let lists: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, names FROM names").fetch_all(&pool).await?;
        let of = |names: &str| names.split(',').map(Into::into).collect();
        Ok(Self {
            pool,
            own: lists.iter().find(|(_, names)| *names == own).map_or(0, |(id, _)| unsigned(*id)),
            lists: lists.iter().map(|(id, names)| (unsigned(*id), of(names))).collect(),
        })
    }

    /// Adds a minute to what is there of it, which mostly is nothing.
    async fn put_minute(
        &self,
        tx: &mut SqliteConnection,
        ended: &Ended,
    ) -> Result<(), sqlx::Error> {
        let (step, at) = (MINUTES.0, ended.period.at);
        let mut period = ended.period.clone();
        let sum = period.tally.take().map(|tally| (SUM, tally.encode()));
        let rows = ended.rows.iter().map(|(id, row)| (number(*id), row.clone()));
        let mut rows: BTreeMap<i64, Box<[u8]>> = sum.into_iter().chain(rows).collect();
        if let Some(before) = period_at(tx, step, at).await? {
            period.seconds += before.seconds;
            period.is_start |= before.is_start;
            for (tenant, mut tally) in self.tallies(tx, at).await? {
                if let Some(more) = rows.get(&tenant).and_then(|row| Tally::decode(row, names())) {
                    tally.add(&more);
                    rows.insert(tenant, tally.encode());
                }
            }
            forget_longer(tx, at).await?;
        }
        self.put(tx, step, &period, rows).await
    }

    /// Makes a longer period from its minutes.
    async fn put_longer(
        &self,
        tx: &mut SqliteConnection,
        step: u64,
        at: u64,
    ) -> Result<(), sqlx::Error> {
        let mut longer = Period { at, ..Period::default() };
        let mut tallies: BTreeMap<i64, Tally> = BTreeMap::new();
        for minute in (at..at + step).step_by(60) {
            let Some(period) = period_at(tx, MINUTES.0, minute).await? else { continue };
            longer.add(period);
            for (tenant, tally) in self.tallies(tx, minute).await? {
                match tallies.get_mut(&tenant) {
                    Some(sum) => sum.add(&tally),
                    None => _ = tallies.insert(tenant, tally),
                }
            }
        }
        let rows = tallies.into_iter().map(|(tenant, tally)| (tenant, tally.encode())).collect();
        self.put(tx, step, &longer, rows).await
    }

    async fn put(
        &self,
        tx: &mut SqliteConnection,
        step: u64,
        period: &Period,
        rows: BTreeMap<i64, Box<[u8]>>,
    ) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT OR REPLACE INTO periods VALUES (?1, ?2, ?3, ?4, ?5)")
            .bind(signed(step))
            .bind(signed(period.at))
            .bind(signed(period.seconds))
            .bind(period.is_cut)
            .bind(period.is_start)
            .execute(&mut *tx)
            .await?;
        let rows: Vec<_> = rows.into_iter().collect();
        for chunk in rows.chunks(CHUNK) {
            let mut insert: QueryBuilder<Sqlite> =
                QueryBuilder::new("INSERT OR REPLACE INTO figures (step, at, tenant, data) ");
            insert.push_values(chunk, |mut values, (tenant, row)| {
                let mut data = Vec::with_capacity(row.len() + 1);
                put(&mut data, self.own);
                data.extend_from_slice(row);
                values
                    .push_bind(signed(step))
                    .push_bind(signed(period.at))
                    .push_bind(*tenant)
                    .push_bind(data);
            });
            insert.build().execute(&mut *tx).await?;
        }
        Ok(())
    }

    /// What each tenant, and all together, did in the minute at `at`.
    async fn tallies(
        &self,
        tx: &mut SqliteConnection,
        at: u64,
    ) -> Result<Vec<(i64, Tally)>, sqlx::Error> {
        let rows: Vec<(i64, Vec<u8>)> =
            sqlx::query_as("SELECT tenant, data FROM figures WHERE step = ?1 AND at = ?2")
                .bind(signed(MINUTES.0))
                .bind(signed(at))
                .fetch_all(tx)
                .await?;
        let tally = |(tenant, data): (i64, Vec<u8>)| Some((tenant, self.decode(&data)?));
        Ok(rows.into_iter().filter_map(tally).collect())
    }

    fn decode(&self, mut data: &[u8]) -> Option<Tally> {
        let list = take(&mut data)?;
        Tally::decode(data, self.lists.get(&list)?)
    }
}

async fn period_at(
    tx: &mut SqliteConnection,
    step: u64,
    at: u64,
) -> Result<Option<Period>, sqlx::Error> {
    let found: Option<(i64, bool, bool)> =
        sqlx::query_as("SELECT seconds, is_cut, is_start FROM periods WHERE step = ?1 AND at = ?2")
            .bind(signed(step))
            .bind(signed(at))
            .fetch_optional(tx)
            .await?;
    Ok(found.map(|(seconds, is_cut, is_start)| Period {
        at,
        seconds: unsigned(seconds),
        is_cut,
        is_start,
        tally: None,
    }))
}

/// The periods of `step` seconds that are over by `now`, have minutes, and are not made yet.
async fn missing(tx: &mut SqliteConnection, step: u64, now: u64) -> Result<Vec<u64>, sqlx::Error> {
    let found: Vec<(i64,)> = sqlx::query_as(
        "SELECT DISTINCT m.at / ?1 * ?1 AS begin FROM periods m
         WHERE m.step = 60 AND m.at < ?2 / ?1 * ?1
         AND NOT EXISTS (SELECT 1 FROM periods p WHERE p.step = ?1 AND p.at = m.at / ?1 * ?1)",
    )
    .bind(signed(step))
    .bind(signed(now))
    .fetch_all(tx)
    .await?;
    Ok(found.into_iter().map(|(at,)| unsigned(at)).collect())
}

/// Forgets that the longer periods of this minute were made, so that they are made again.
async fn forget_longer(tx: &mut SqliteConnection, minute: u64) -> Result<(), sqlx::Error> {
    for (step, _) in [TEN_MINUTES, HOURS] {
        sqlx::query("DELETE FROM periods WHERE step = ?1 AND at = ?2")
            .bind(signed(step))
            .bind(signed(minute / step * step))
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Forgets periods of `step` seconds that began before `before`, the oldest and only some at once.
async fn forget(tx: &mut SqliteConnection, step: u64, before: u64) -> Result<(), sqlx::Error> {
    let oldest = oldest(tx, step).await?;
    let Some(oldest) = oldest.filter(|oldest| *oldest < before) else { return Ok(()) };
    let before = before.min(oldest + MOST_FORGOTTEN * step);
    for table in [
        "DELETE FROM figures WHERE step = ?1 AND at < ?2",
        "DELETE FROM periods WHERE step = ?1 AND at < ?2",
    ] {
        sqlx::query(table).bind(signed(step)).bind(signed(before)).execute(&mut *tx).await?;
    }
    Ok(())
}

/// When the first period of `step` seconds begins that is not forgotten.
async fn oldest(tx: &mut SqliteConnection, step: u64) -> Result<Option<u64>, sqlx::Error> {
    let (oldest,): (Option<i64>,) = sqlx::query_as("SELECT min(at) FROM periods WHERE step = ?1")
        .bind(signed(step))
        .fetch_one(tx)
        .await?;
    Ok(oldest.map(unsigned))
}

/// Bytes of the file that are in use.
async fn used(tx: &mut SqliteConnection) -> Result<u64, sqlx::Error> {
    let (used,): (i64,) = sqlx::query_as(
        "SELECT (page_count - freelist_count) * page_size
         FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
    )
    .fetch_one(tx)
    .await?;
    Ok(unsigned(used))
}

/// Makes the file, readable for its owner only, if there is none.
fn create(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Renames a damaged file; one that was set aside before is replaced.
fn set_aside(path: &Path, why: &str) -> std::io::Result<()> {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let aside = beside(".damaged");
    tracing::warn!(
        "the history file {} is damaged ({why}): it is now {}, and a new one is begun",
        path.display(),
        aside.display()
    );
    for log in ["-wal", "-shm"] {
        match std::fs::remove_file(beside(log)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(path, aside)
}

/// Whether an error says that the file is damaged: SQLITE_CORRUPT or SQLITE_NOTADB.
pub(super) fn is_damage(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(DatabaseError::code);
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| [11, 26].contains(&(code & 0xff)))
}

fn number(tenant: TenantId) -> i64 {
    tenant.get().into()
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;
