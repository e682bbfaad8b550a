//! The sealed segments of a tenant: its two FIFO queues, and which of them have most waste.

use std::collections::VecDeque;

use crate::memory::arena::SegmentId;
use crate::memory::segment::Queue;

/// The sealed segments of a tenant.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    small: Fifo,
    main: Fifo,
    /// Where the search for segments that are mostly dead goes on.
    pub(crate) hand: usize,
}

/// Segments, oldest first.
#[derive(Debug)]
struct Fifo {
    entries: VecDeque<SegmentId>,
    /// Entries ever taken from the front: a place in the queue is counted from the first of all.
    taken: u64,
    /// Entries that are not [`GONE`].
    segments: usize,
    closing: Option<Closing>,
}

/// How far the gaps of a queue have been closed: entries between the two places are [`GONE`], and
/// those behind them are moved to the front of these, a few at a time.
#[derive(Debug, Clone, Copy)]
struct Closing {
    to: u64,
    from: u64,
}

/// Entries looked at in a step of closing gaps.
const CLOSED_A_STEP: usize = 64;

impl Default for Fifo {
    fn default() -> Fifo {
        // Half way: segments are put in front of the first, too.
        Fifo { entries: VecDeque::new(), taken: 1 << 63, segments: 0, closing: None }
    }
}

impl Fifo {
    fn entry(&mut self, place: u64) -> Option<&mut SegmentId> {
        let index = usize::try_from(place.checked_sub(self.taken)?).ok()?;
        self.entries.get_mut(index)
    }

    /// Moves some segments over gaps, once those are as many as the segments; tells their new places.
    fn close_gaps(&mut self, moved: impl Fn(SegmentId, u64)) {
        let Fifo { entries, taken, segments, closing } = self;
        if closing.is_none() && entries.len() > 2 * *segments + CLOSED_A_STEP {
            *closing = Some(Closing { to: *taken, from: *taken });
        }
        let Some(Closing { mut to, mut from }) = *closing else { return };
        // The queue may have been taken from meanwhile.
        (to, from) = (to.max(*taken), from.max(*taken));
        let at = |place: u64| usize::try_from(place - *taken).expect("a place in the queue");
        for _ in 0..CLOSED_A_STEP {
            let Some(segment) = entries.get(at(from)).copied() else {
                entries.truncate(at(to));
                *closing = None;
                return;
            };
            if segment != GONE {
                if to < from {
                    entries.swap(at(to), at(from));
                    moved(segment, to);
                }
                to += 1;
            }
            from += 1;
        }
        *closing = Some(Closing { to, from });
    }
}

/// In the place of a segment that was taken out of the middle of its queue.
pub(crate) const GONE: SegmentId = SegmentId::MAX;

impl Queues {
    fn of(&mut self, queue: Queue) -> &mut Fifo {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }

    /// Adds the youngest; returns its place.
    pub(crate) fn push(&mut self, queue: Queue, segment: SegmentId) -> u64 {
        let fifo = self.of(queue);
        fifo.entries.push_back(segment);
        fifo.segments += 1;
        fifo.taken + fifo.entries.len() as u64 - 1
    }

    /// Takes the oldest out.
    pub(crate) fn pop(&mut self, queue: Queue) -> Option<SegmentId> {
        let fifo = self.of(queue);
        loop {
            let segment = fifo.entries.pop_front()?;
            fifo.taken += 1;
            if segment != GONE {
                fifo.segments -= 1;
                return Some(segment);
            }
        }
    }

    /// Segments in a queue.
    pub(crate) fn len(&self, queue: Queue) -> usize {
        match queue {
            Queue::Small => self.small.segments,
            Queue::Main => self.main.segments,
        }
    }

    /// Closes some of the gaps that segments taken out have left, once they are as many as the segments;
    /// tells the new place of each that moves.
    pub(crate) fn close_gaps(&mut self, moved: impl Fn(SegmentId, u64)) {
        self.small.close_gaps(&moved);
        self.main.close_gaps(&moved);
    }

    /// Entries of both queues, for [`segment_at`](Self::segment_at).
    pub(crate) fn entries(&self) -> usize {
        self.main.entries.len() + self.small.entries.len()
    }

    /// The segment of an entry, or [`GONE`].
    pub(crate) fn segment_at(&self, entry: usize) -> SegmentId {
        let main = self.main.entries.len();
        match entry.checked_sub(main) {
            None => self.main.entries[entry],
            Some(small) => self.small.entries[small],
        }
    }

    /// Takes a segment out of its place; whether it was there.
    pub(crate) fn take_out(&mut self, queue: Queue, place: u64, segment: SegmentId) -> bool {
        let fifo = self.of(queue);
        match fifo.entry(place) {
            Some(entry) if *entry == segment => *entry = GONE,
            _ => return false,
        }
        fifo.segments -= 1;
        true
    }

    /// Puts a segment where one was taken out, or where the oldest are if its place has gone by;
    /// returns its place.
    pub(crate) fn put(&mut self, queue: Queue, place: u64, segment: SegmentId) -> u64 {
        let fifo = self.of(queue);
        fifo.segments += 1;
        match fifo.entry(place) {
            Some(entry) if *entry == GONE => {
                *entry = segment;
                // What is moved over gaps stays behind it.
                if let Some(closing) = &mut fifo.closing
                    && (closing.to..closing.from).contains(&place)
                {
                    closing.to = place + 1;
                }
                place
            }
            _ => {
                fifo.entries.push_front(segment);
                fifo.taken -= 1;
                fifo.taken
            }
        }
    }

    /// The oldest of the `newest` youngest segments of the small queue.
    pub(crate) fn nth_youngest_small(&self, newest: usize) -> Option<SegmentId> {
        let entries = &self.small.entries;
        let segment = entries.len().checked_sub(newest).map(|index| entries[index])?;
        (segment != GONE).then_some(segment)
    }

    /// All segments there are, emptying both queues.
    pub(crate) fn take_all(&mut self) -> [VecDeque<SegmentId>; 2] {
        self.hand = 0;
        [std::mem::take(&mut self.small).entries, std::mem::take(&mut self.main).entries]
    }

    /// All segments there are, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = SegmentId> {
        let entries = self.small.entries.iter().chain(&self.main.entries);
        entries.copied().filter(|segment| *segment != GONE)
    }
}

/// Sealed segments of which much is dead, by how much; some may not be there any more.
#[derive(Debug, Default)]
pub(crate) struct Wasteful([VecDeque<SegmentId>; WASTE_CLASSES]);

/// Classes of waste: a quarter of a segment, half, three quarters, all of it.
const WASTE_CLASSES: usize = 4;
/// The class of those that are half dead.
pub(crate) const HALF_DEAD: usize = 1;

/// Entries of a class looked at for each segment chosen, which is more than come to it meanwhile.
const TIDIED: usize = 4;

impl Wasteful {
    /// The class of a segment of `len` bytes of which `waste` are dead, if that is worth anything.
    #[inline]
    pub(crate) fn class(waste: u32, len: u32) -> Option<usize> {
        let quarters = (waste * 4).checked_div(len)?.min(4);
        quarters.checked_sub(1).map(|class| class as usize)
    }

    pub(crate) fn push(&mut self, class: usize, segment: SegmentId) {
        self.0[class].push_back(segment);
    }

    /// One of the most wasteful, with its class, which is at least `least`.
    pub(crate) fn pop(&mut self, least: usize) -> Option<(usize, SegmentId)> {
        let classes = self.0.iter_mut().enumerate().skip(least);
        let (class, segments) = classes.rev().find(|(_, list)| !list.is_empty())?;
        segments.pop_back().map(|segment| (class, segment))
    }

    /// Looks at some of the oldest entries of each class, and drops those that `is_there` says no to:
    /// a segment leaves one in each class it passes through.
    pub(crate) fn tidy(&mut self, is_there: impl Fn(usize, SegmentId) -> bool) {
        for (class, segments) in self.0.iter_mut().enumerate() {
            for _ in 0..TIDIED.min(segments.len()) {
                if let Some(segment) = segments.pop_front()
                    && is_there(class, segment)
                {
                    segments.push_back(segment);
                }
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0 = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;

    use super::*;

    /// Queues beside the places they have told.
    struct Told {
        queues: Queues,
        places: RefCell<HashMap<SegmentId, u64>>,
    }

    impl Told {
        fn push(&mut self, segment: SegmentId) {
            let place = self.queues.push(Queue::Main, segment);
            self.places.get_mut().insert(segment, place);
        }

        fn take_out(&mut self, segment: SegmentId) -> bool {
            let place = self.places.borrow()[&segment];
            self.queues.take_out(Queue::Main, place, segment)
        }

        fn close_gaps(&mut self) {
            let places = &self.places;
            self.queues.close_gaps(|segment, place| _ = places.borrow_mut().insert(segment, place));
        }
    }

    #[test]
    fn closing_gaps_keeps_the_order_and_tells_where_everything_is() {
        let mut told = Told { queues: Queues::default(), places: RefCell::default() };
        (0..10_000).for_each(|segment| told.push(segment));
        // All but one in seven go; gaps are closed meanwhile, and the oldest are taken.
        let mut left: Vec<SegmentId> = (0..10_000).collect();
        for segment in (0..10_000).filter(|segment| segment % 7 != 0) {
            assert!(told.take_out(segment), "{segment}");
            left.retain(|other| *other != segment);
            told.close_gaps();
            if segment % 1_000 == 1 {
                let oldest = told.queues.pop(Queue::Main).unwrap();
                assert_eq!(oldest, left.remove(0));
            }
        }
        for _ in 0..1_000 {
            told.close_gaps();
        }
        assert!(told.queues.entries() <= 2 * left.len() + CLOSED_A_STEP, "gaps are left");
        assert_eq!(told.queues.all().collect::<Vec<_>>(), left);
        assert_eq!(told.queues.len(Queue::Main), left.len());
        assert!(left.iter().all(|segment| told.take_out(*segment)));
    }

    #[test]
    fn closing_gaps_is_done_a_few_at_a_time() {
        let mut told = Told { queues: Queues::default(), places: RefCell::default() };
        (0..10_000).for_each(|segment| told.push(segment));
        (0..9_000).for_each(|segment| assert!(told.take_out(segment)));
        let moved = std::cell::Cell::new(0);
        for _ in 0..9_000 / CLOSED_A_STEP {
            told.queues.close_gaps(|_, _| moved.set(moved.get() + 1));
        }
        assert_eq!(moved.get(), 0, "nothing was in the way");
        told.queues.close_gaps(|_, _| moved.set(moved.get() + 1));
        assert!((1..=CLOSED_A_STEP).contains(&moved.get()));
    }

    #[test]
    fn what_is_put_into_a_gap_stays_before_what_moves() {
        let mut told = Told { queues: Queues::default(), places: RefCell::default() };
        (0..1_000).for_each(|segment| told.push(segment));
        (100..900).for_each(|segment| assert!(told.take_out(segment)));
        let place = told.places.borrow()[&150];
        (0..5).for_each(|_| told.close_gaps());
        assert_eq!(told.queues.put(Queue::Main, place, 5_000), place);
        (0..30).for_each(|_| told.close_gaps());
        let expected: Vec<_> = (0..100).chain([5_000]).chain(900..1_000).collect();
        assert_eq!(told.queues.all().collect::<Vec<_>>(), expected);
    }
}
