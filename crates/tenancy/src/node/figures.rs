//! What a node counts.

/// Declares [`Figures`] and the names under which each of its fields is shown, stored and exported.
macro_rules! figures {
    ($($(#[$doc:meta])* $kind:ident $field:ident,)*) => {
        /// What a node counts, of a tenant or of all together. Everything counts up from the start of the
        /// server, but for the levels. `stats reset` does not set these back.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct Figures {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Figures {
            /// Each figure's name, its value, and whether it is a level, in the order of the fields.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64, bool)> {
                [$((stringify!($field), self.$field, figures!(@ $kind)),)*].into_iter()
            }

            /// Puts every figure and that of `other` into one by `join`, which is told whether it is a level.
            #[must_use]
            pub fn joined(&self, other: &Self, join: impl Fn(u64, u64, bool) -> u64) -> Self {
                Self { $($field: join(self.$field, other.$field, figures!(@ $kind)),)* }
            }

            /// The figure of this name, as [`Figures::fields`] has it.
            pub fn named_mut(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($field) => Some(&mut self.$field),)*
                    _ => None,
                }
            }
        }
    };
    (@ level) => { true };
    (@ count) => { false };
}

figures! {
    /// Keys asked for and found.
    count get_hits,
    /// Keys asked for and not found, for whatever reason.
    count get_misses,
    /// Of the misses: the item's time was over.
    count get_expired,
    /// Of the misses: the item was flushed.
    count get_flushed,
    /// Store commands of all kinds.
    count sets,
    /// Deletes that removed an item.
    count delete_hits,
    /// Deletes of what was not there.
    count delete_misses,
    /// Increments of what was there.
    count incr_hits,
    /// Increments of what was not.
    count incr_misses,
    /// Decrements of what was there.
    count decr_hits,
    /// Decrements of what was not.
    count decr_misses,
    /// Compare-and-swaps that stored.
    count cas_hits,
    /// Compare-and-swaps of what was not there.
    count cas_misses,
    /// Compare-and-swaps of what had changed.
    count cas_badval,
    /// Touches of what was there, and gets that touch.
    count touch_hits,
    /// Touches of what was not.
    count touch_misses,
    /// Flush commands.
    count flushes,
    /// Stores refused because the item was too large.
    count too_large,
    /// Stores refused for want of memory.
    count no_memory,
    /// Items there now.
    level items,
    /// Bytes that the items take now, with all that goes with them.
    level bytes,
    /// Bytes that they may take.
    level limit_bytes,
    /// Items evicted to make room.
    count evictions,
    /// Of the evictions: nobody had read the item.
    count evicted_unread,
    /// Items whose memory came back because their time was over.
    count expired,
    /// Of them: nobody had read the item.
    count expired_unread,
    /// Connections open now.
    level connections,
    /// Connections opened.
    count total_connections,
    /// Attempts to authenticate.
    count auth_commands,
    /// Of them: refused.
    count auth_errors,
    /// Commands refused because the credential does not allow them.
    count denied,
    /// Bytes read from clients.
    count bytes_read,
    /// Bytes written to clients.
    count bytes_written,
}

impl Figures {
    /// What was counted since `before`; levels as they are. A count that is lower than before, as after a
    /// restart, counts from 0.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        self.joined(before, |now, before, is_level| match now.checked_sub(before) {
            Some(more) if !is_level => more,
            _ => now,
        })
    }

    /// These and those of another tenant, or another time, together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.joined(other, |one, another, _| one.saturating_add(another))
    }

    /// Keys asked for.
    #[must_use]
    pub fn gets(&self) -> u64 {
        self.get_hits.saturating_add(self.get_misses)
    }

    /// The share of keys asked for that were found, from 0 to 1; none if none was asked for.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a share needs no more digits")]
    pub fn hit_rate(&self) -> Option<f64> {
        (self.gets() > 0).then(|| self.get_hits as f64 / self.gets() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_since_and_levels_are_now() {
        let before = Figures { get_hits: 5, items: 9, ..Figures::default() };
        let now = Figures { get_hits: 8, get_misses: 1, items: 7, ..Figures::default() };
        let since = now.since(&before);
        assert_eq!((since.get_hits, since.get_misses, since.items), (3, 1, 7));
        assert_eq!(since.hit_rate(), Some(0.75));
        let restarted = before.since(&now);
        assert_eq!((restarted.get_hits, restarted.get_misses), (5, 0));
    }

    #[test]
    fn every_figure_is_found_by_its_name() {
        let mut figures = Figures::default();
        let names: Vec<_> = figures.fields().map(|(name, ..)| name).collect();
        for (at, name) in (1..).zip(&names) {
            *figures.named_mut(name).unwrap() = at;
        }
        assert!(figures.fields().map(|(_, value, _)| value).eq(1..=names.len() as u64));
        assert_eq!(figures.named_mut("nothing"), None);
        assert_eq!(Figures::default().hit_rate(), None);
    }
}
