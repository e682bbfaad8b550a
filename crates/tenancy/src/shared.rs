//! The one place of a process where the current directory is.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Cache};

use crate::directory::Directory;

/// Holds the current [`Directory`]. Clones are the same place. Readers never wait.
#[derive(Clone)]
pub struct SharedDirectory(Arc<Place>);

struct Place {
    current: Arc<ArcSwap<Directory>>,
    /// Held while the version is compared and the directory replaced.
    publishing: Mutex<()>,
}

impl SharedDirectory {
    /// Begins with `directory`.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        let current = Arc::new(ArcSwap::from_pointee(directory));
        Self(Arc::new(Place { current, publishing: Mutex::new(()) }))
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
        let _alone = self.0.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let (current, offered) = (self.load().version(), directory.version());
        if offered <= current {
            return Err(Outdated { current, offered });
        }
        self.0.current.store(Arc::new(directory));
        Ok(())
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
