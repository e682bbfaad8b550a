//! The task that writes minutes, so that nobody who looks at the node waits for the disk.
//!
//! What cannot be written, as when the disk is full, waits in memory and is tried again every minute.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::disk::{Disk, is_damage};
use super::live::Ended;
use crate::caught::caught;

/// Minutes that wait at most; then the oldest are lost.
const MOST_WAITING: usize = 60;

/// What the task is told.
#[derive(Debug)]
pub(super) enum Job {
    /// A minute is over.
    Write(Box<Ended>),
    /// Somebody found the file to be damaged.
    Damaged(String),
    /// Say when all that came before is done.
    Settle(oneshot::Sender<()>),
}

/// Writes until nobody can tell it anything any more.
pub(super) async fn run(disk: Arc<Disk>, mut jobs: mpsc::Receiver<Job>) {
    let mut writer = Writer { disk, waiting: VecDeque::new(), is_failing: false };
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Write(ended) => {
                writer.waiting.push_back(ended);
                // A minute is in the file whole or not at all; the one that cannot be written is given up.
                if caught(writer.write()).await.is_none() {
                    writer.waiting.pop_front();
                    tracing::error!("a minute of the history is lost by a fault of this program");
                }
            }
            Job::Damaged(why) => _ = caught(writer.check(&why)).await,
            // Who asked may not wait any more.
            Job::Settle(done) => _ = done.send(()),
        }
    }
}

struct Writer {
    disk: Arc<Disk>,
    waiting: VecDeque<Box<Ended>>,
    is_failing: bool,
}

impl Writer {
    async fn write(&mut self) {
        while let Some(ended) = self.waiting.front() {
            match self.disk.write(ended).await {
                Ok(()) => {
                    self.waiting.pop_front();
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!("the history is written again to {}", self.disk.place());
                    }
                }
                Err(error) if is_damage(&error) && self.begin_anew(&error.to_string()).await => {}
                Err(error) => {
                    self.warn(&error);
                    break;
                }
            }
        }
        while self.waiting.len() > MOST_WAITING {
            self.waiting.pop_front();
        }
    }

    /// Looks for the damage: there may be a new file already.
    async fn check(&mut self, why: &str) {
        if !self.disk.is_sound().await {
            self.begin_anew(why).await;
        }
    }

    /// Whether there is a new file.
    async fn begin_anew(&mut self, why: &str) -> bool {
        match self.disk.begin_anew(why).await {
            Ok(()) => true,
            Err(error) => {
                self.warn(&error);
                false
            }
        }
    }

    /// Says once what is wrong, until it is right again.
    fn warn(&mut self, error: &sqlx::Error) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let place = self.disk.place();
            tracing::warn!(
                "the history cannot be written to {place}, and waits in memory: {error}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::points::Period;

    fn minute(at: u64) -> Box<Ended> {
        let tally = Some(Default::default());
        let period = Period { at, seconds: 60, tally, ..Period::default() };
        Box::new(Ended { now: at + 61, period, rows: Vec::new() })
    }

    #[tokio::test]
    async fn what_cannot_be_written_waits_and_is_written_when_it_can() {
        let disk = Arc::new(Disk::open(None, u64::MAX).await.unwrap());
        let waiting = VecDeque::new();
        let mut writer = Writer { disk: Arc::clone(&disk), waiting, is_failing: false };
        disk.allow_writes(false).await;
        for at in 0..MOST_WAITING as u64 + 5 {
            writer.waiting.push_back(minute(at * 60));
            writer.write().await;
            assert!(writer.is_failing);
        }
        assert_eq!(writer.waiting.len(), MOST_WAITING, "no more than that");
        disk.allow_writes(true).await;
        writer.waiting.push_back(minute(MOST_WAITING as u64 * 60 + 300));
        writer.write().await;
        assert!(writer.waiting.is_empty() && !writer.is_failing);
        let written = disk.read(60, None, 0, u64::MAX).await.unwrap();
        let at: Vec<_> = written.iter().map(|period| period.at / 60).collect();
        assert_eq!(at, (5..=MOST_WAITING as u64 + 5).collect::<Vec<_>>());
    }
}
