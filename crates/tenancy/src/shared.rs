//! The one place of a process where the current directory is.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Cache};

use crate::directory::Directory;

/// Holds the current [`Directory`]. Clones are the same place. Readers never wait.
#[derive(Clone)]
pub struct SharedDirectory(Arc<Place>);

struct Place {
    current: Arc<ArcSwap<Directory>>,
    /// Who is told of news. Locked while the version is compared and the directory replaced.
    publishing: Mutex<Vec<Watcher>>,
}

/// Told that there is another directory; false: not to be told any more.
type Watcher = Box<dyn Fn() -> bool + Send + Sync>;

impl SharedDirectory {
    /// Begins with `directory`.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        let current = Arc::new(ArcSwap::from_pointee(directory));
        Self(Arc::new(Place { current, publishing: Mutex::default() }))
    }

    /// The current directory, to keep.
    #[must_use]
    pub fn load(&self) -> Arc<Directory> {
        self.0.current.load_full()
    }

    /// A reader for one thread, which remembers the directory it saw last.
    #[must_use]
    pub fn reader(&self) -> DirectoryReader {
        DirectoryReader(Cache::new(self.0.current.clone()))
    }

    /// Makes `directory` the current one.
    ///
    /// # Errors
    ///
    /// [`Outdated`] if its version is not higher than the current one's: news that come late, or
    /// twice, change nothing.
    pub fn publish(&self, directory: Directory) -> Result<(), Outdated> {
        let mut watchers = self.watchers();
        let (current, offered) = (self.load().version(), directory.version());
        if offered <= current {
            return Err(Outdated { current, offered });
        }
        self.0.current.store(Arc::new(directory));
        watchers.retain(|tell| tell());
        Ok(())
    }

    /// Has `tell` called after each change, by whoever made it, until it returns false. It must return at
    /// once, and not publish.
    pub fn watch(&self, tell: impl Fn() -> bool + Send + Sync + 'static) {
        self.watchers().push(Box::new(tell));
    }

    fn watchers(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.0.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedDirectory").field(&self.load()).finish()
    }
}

/// Sees the current directory at the price of one atomic load while nothing changes.
#[derive(Clone)]
pub struct DirectoryReader(Cache<Arc<ArcSwap<Directory>>, Arc<Directory>>);

impl DirectoryReader {
    /// The current directory.
    #[inline]
    pub fn load(&mut self) -> &Arc<Directory> {
        self.0.load()
    }
}

impl fmt::Debug for DirectoryReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectoryReader(..)")
    }
}

/// A directory that is not newer than the one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("directory {offered} is not newer than the current one, {current}")]
pub struct Outdated {
    /// The version that stays.
    pub current: u64,
    /// The version that was refused.
    pub offered: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: u64) -> Directory {
        Directory::new(version, [], [], None).unwrap()
    }

    #[test]
    fn everybody_sees_what_was_published_last() {
        let shared = SharedDirectory::new(version(1));
        let mut reader = shared.clone().reader();
        assert_eq!(reader.load().version(), 1);
        shared.publish(version(5)).unwrap();
        assert_eq!(reader.load().version(), 5);
        assert_eq!(shared.load().version(), 5);
    }

    #[test]
    fn the_version_only_grows() {
        let shared = SharedDirectory::new(version(5));
        for offered in [0, 4, 5] {
            assert_eq!(shared.publish(version(offered)), Err(Outdated { current: 5, offered }));
        }
        assert_eq!(shared.load().version(), 5);
    }

    #[test]
    fn who_watches_is_told_of_news_only() {
        let shared = SharedDirectory::new(version(1));
        let (sender, told) = std::sync::mpsc::channel();
        let (twin, more) = (shared.clone(), Mutex::new(3));
        shared.watch(move || {
            sender.send(twin.load().version()).unwrap();
            *more.lock().unwrap() -= 1;
            *more.lock().unwrap() > 0
        });
        shared.publish(version(2)).unwrap();
        assert!(shared.publish(version(2)).is_err());
        for news in 3..9 {
            shared.publish(version(news)).unwrap();
        }
        assert_eq!(told.iter().collect::<Vec<_>>(), [2, 3, 4], "and its watcher is dropped");
    }

    #[test]
    fn publishers_at_once_leave_the_highest_version() {
        let shared = SharedDirectory::new(version(0));
        std::thread::scope(|scope| {
            for first in 1..=4 {
                let shared = &shared;
                scope.spawn(move || {
                    for step in 0..100 {
                        // Refused or not, whatever is there is at least as new.
                        let offered = first + step * 4;
                        if let Err(outdated) = shared.publish(version(offered)) {
                            assert!(outdated.current >= offered);
                        }
                        assert!(shared.load().version() >= offered);
                    }
                });
            }
        });
        assert_eq!(shared.load().version(), 400);
    }
}
