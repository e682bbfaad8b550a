//! In what order items are evicted: SIEVE (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024).
//!
//! Items stand in the order in which they were stored. A hand walks from the oldest to the newest
//! and round again; an item that was read since the hand last passed is spared and its mark cleared,
//! any other is the victim. A hit therefore only sets a mark, and one-time items leave quickly.

use crate::slab::{NIL, Slab};

/// The queue of a shard, linked through [`Entry::newer`](crate::slab::Entry::newer) and `older`.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    newest: u32,
    oldest: u32,
    /// Where the search for a victim goes on; [`NIL`] is the oldest.
    hand: u32,
}

impl Queue {
    /// Adds a slot as the newest.
    pub(crate) fn push(&mut self, slab: &mut Slab, slot: u32) {
        slab[slot].newer = NIL;
        slab[slot].older = self.newest;
        match self.newest {
            NIL => self.oldest = slot,
            newest => slab[newest].newer = slot,
        }
        self.newest = slot;
    }

    /// Takes a slot out.
    pub(crate) fn remove(&mut self, slab: &mut Slab, slot: u32) {
        let (newer, older) = (slab[slot].newer, slab[slot].older);
        match newer {
            NIL => self.newest = older,
            newer => slab[newer].older = older,
        }
        match older {
            NIL => self.oldest = newer,
            older => slab[older].newer = newer,
        }
        if self.hand == slot {
            self.hand = newer;
        }
    }

    /// The item stored first, or [`NIL`].
    pub(crate) fn oldest(&self) -> u32 {
        self.oldest
    }

    /// The item to evict next, or [`NIL`] if there is none. An item of which `is_dead` says so is
    /// not spared.
    pub(crate) fn victim(&mut self, slab: &mut Slab, is_dead: impl Fn(u32, &Slab) -> bool) -> u32 {
        loop {
            let slot = if self.hand == NIL { self.oldest } else { self.hand };
            self.hand = slot;
            if slot == NIL || !slab[slot].visited || is_dead(slot, slab) {
                return slot;
            }
            slab[slot].visited = false;
            self.hand = slab[slot].newer;
        }
    }

    /// The slots from the newest to the oldest; fails if the links contradict each other or there
    /// are more than `limit`.
    pub(crate) fn slots(&self, slab: &Slab, limit: usize) -> Result<Vec<u32>, String> {
        let (mut slots, mut newer, mut slot) = (Vec::new(), NIL, self.newest);
        while slot != NIL {
            if slab[slot].newer != newer || slots.len() == limit {
                return Err(format!("slot {slot} is in the queue wrongly"));
            }
            slots.push(slot);
            (newer, slot) = (slot, slab[slot].older);
        }
        if self.oldest != newer || (self.hand != NIL && !slots.contains(&self.hand)) {
            return Err("the queue's end or hand is not in the queue".into());
        }
        Ok(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Entry;

    fn queue_of(count: u32) -> (Slab, Queue) {
        let (mut slab, mut queue) = (Slab::new(), Queue::default());
        slab.grow();
        for _ in 0..count {
            let slot = slab.take(Entry { cas: 1, ..Entry::default() }).unwrap();
            queue.push(&mut slab, slot);
        }
        (slab, queue)
    }

    fn evict(slab: &mut Slab, queue: &mut Queue) -> u32 {
        let slot = queue.victim(slab, |_, _| false);
        if slot != NIL {
            queue.remove(slab, slot);
        }
        slot
    }

    #[test]
    fn the_oldest_goes_first_and_what_was_read_is_spared_once() {
        let (mut slab, mut queue) = queue_of(5);
        slab[1].visited = true;
        slab[3].visited = true;
        let order: Vec<u32> = (0..6).map(|_| evict(&mut slab, &mut queue)).collect();
        assert_eq!(order, [2, 4, 5, 1, 3, NIL]);
    }

    #[test]
    fn the_hand_survives_the_removal_of_its_item() {
        let (mut slab, mut queue) = queue_of(4);
        slab[1].visited = true;
        assert_eq!(evict(&mut slab, &mut queue), 2);
        queue.remove(&mut slab, 3);
        assert_eq!(queue.slots(&slab, 4), Ok(vec![4, 1]));
        assert_eq!(evict(&mut slab, &mut queue), 4);
        assert_eq!(evict(&mut slab, &mut queue), 1);
    }

    #[test]
    fn a_dead_item_is_not_spared() {
        let (mut slab, mut queue) = queue_of(3);
        slab[1].visited = true;
        assert_eq!(queue.victim(&mut slab, |slot, _| slot == 1), 1);
    }
}
