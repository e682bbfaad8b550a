//! FIFO lists of keys, the stuff most policies are made of.
//!
//! A key is in one list at most, so one pair of links per key is enough, and every operation takes
//! constant time. The number of lists is fixed at the start; a list is named by its number.

use super::Key;

/// No key: the end of a list.
const NONE: Key = Key::MAX;

/// In none of the lists.
const NOWHERE: u8 = u8::MAX;

/// Several lists over one set of keys.
#[derive(Debug)]
pub(super) struct Lists {
    older: Vec<Key>,
    newer: Vec<Key>,
    place: Vec<u8>,
    size: Vec<u32>,
    ends: Vec<Ends>,
}

#[derive(Debug, Clone)]
struct Ends {
    oldest: Key,
    newest: Key,
    weight: u64,
}

impl Lists {
    /// `lists` empty lists, for keys below `keys`.
    pub(super) fn new(lists: u8, keys: usize) -> Self {
        let empty = Ends { oldest: NONE, newest: NONE, weight: 0 };
        Self {
            older: vec![NONE; keys],
            newer: vec![NONE; keys],
            place: vec![NOWHERE; keys],
            size: vec![0; keys],
            ends: vec![empty; usize::from(lists)],
        }
    }

    /// The list `key` is in.
    pub(super) fn place(&self, key: Key) -> Option<u8> {
        let place = self.place[key as usize];
        (place != NOWHERE).then_some(place)
    }

    /// The size `key` had when it was pushed last.
    pub(super) fn size(&self, key: Key) -> u32 {
        self.size[key as usize]
    }

    /// The sizes of all keys of `list` together.
    pub(super) fn weight(&self, list: u8) -> u64 {
        self.ends[usize::from(list)].weight
    }

    /// The key that has been in `list` for longest.
    pub(super) fn oldest(&self, list: u8) -> Option<Key> {
        some(self.ends[usize::from(list)].oldest)
    }

    /// The key that came into the list of `key` after it.
    pub(super) fn newer(&self, key: Key) -> Option<Key> {
        some(self.newer[key as usize])
    }

    /// Puts `key`, which is in none of the lists, at the new end of `list`.
    pub(super) fn push(&mut self, list: u8, key: Key, size: u32) {
        let at = key as usize;
        debug_assert_eq!(self.place[at], NOWHERE, "key {key} is in a list");
        let ends = &mut self.ends[usize::from(list)];
        self.older[at] = ends.newest;
        self.newer[at] = NONE;
        match some(ends.newest) {
            Some(newest) => self.newer[newest as usize] = key,
            None => ends.oldest = key,
        }
        ends.newest = key;
        ends.weight += u64::from(size);
        self.place[at] = list;
        self.size[at] = size;
    }

    /// Takes `key` out of its list, if it is in one.
    pub(super) fn remove(&mut self, key: Key) {
        let at = key as usize;
        let Some(list) = self.place(key) else { return };
        let (older, newer) = (self.older[at], self.newer[at]);
        let ends = &mut self.ends[usize::from(list)];
        match some(older) {
            Some(older) => self.newer[older as usize] = newer,
            None => ends.oldest = newer,
        }
        match some(newer) {
            Some(newer) => self.older[newer as usize] = older,
            None => ends.newest = older,
        }
        ends.weight -= u64::from(self.size[at]);
        self.place[at] = NOWHERE;
    }

    /// Moves `key` from its list to the new end of `list`.
    pub(super) fn renew(&mut self, list: u8, key: Key) {
        self.remove(key);
        self.push(list, key, self.size(key));
    }
}

fn some(key: Key) -> Option<Key> {
    (key != NONE).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(lists: &Lists, list: u8) -> Vec<Key> {
        std::iter::successors(lists.oldest(list), |&key| lists.newer(key)).collect()
    }

    #[test]
    fn keys_keep_their_order_and_their_weight() {
        let mut lists = Lists::new(2, 5);
        for key in 0..4 {
            lists.push(0, key, key + 1);
        }
        assert_eq!((keys(&lists, 0), lists.weight(0)), (vec![0, 1, 2, 3], 10));
        lists.remove(1);
        lists.renew(0, 0);
        lists.renew(1, 3);
        lists.remove(4);
        assert_eq!((keys(&lists, 0), lists.weight(0)), (vec![2, 0], 4));
        assert_eq!((keys(&lists, 1), lists.weight(1)), (vec![3], 4));
        assert_eq!((lists.place(0), lists.place(3), lists.place(1)), (Some(0), Some(1), None));
        for key in [0, 2] {
            lists.remove(key);
        }
        assert_eq!((keys(&lists, 0), lists.weight(0)), (vec![], 0));
    }
}
