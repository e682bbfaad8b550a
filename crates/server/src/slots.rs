//! Where a worker keeps its connections: slots that are used again, each time under another generation.
//!
//! What epoll is told of a connection is its [`Token`]: an event of one that is gone finds nothing, even if
//! its slot has another by now.

/// Connections, or whatever else has a slot.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    taken: Option<Box<T>>,
}

/// Names what is in a slot, and never what is there later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    slot: u32,
    generation: u32,
}

impl Token {
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    #[allow(clippy::cast_possible_truncation)] // The halves are what is wanted.
    pub(crate) fn from_bits(bits: u64) -> Token {
        Token { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Puts something into a free slot; `make` is told its token.
    pub(crate) fn insert(&mut self, value: Box<T>) -> Token {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, taken: None });
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 descriptors")
        });
        let place = &mut self.slots[slot as usize];
        place.taken = Some(value);
        Token { slot, generation: place.generation }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        slot.taken.as_deref_mut().filter(|_| slot.generation == token.generation)
    }

    /// Takes it out; the slot's next is another generation.
    pub(crate) fn remove(&mut self, token: Token) -> Option<Box<T>> {
        let slot = self.slots.get_mut(token.slot as usize)?;
        if slot.generation != token.generation {
            return None;
        }
        let taken = slot.taken.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(token.slot);
        Some(taken)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All there are.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Token, &mut T)> {
        self.slots.iter_mut().zip(0..).filter_map(|(slot, number)| {
            let token = Token { slot: number, generation: slot.generation };
            slot.taken.as_deref_mut().map(|taken| (token, taken))
        })
    }

    /// The tokens of those that `wanted` says yes to.
    pub(crate) fn tokens(&mut self, mut wanted: impl FnMut(&mut T) -> bool) -> Vec<Token> {
        self.iter_mut().filter_map(|(token, value)| wanted(value).then_some(token)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_finds_the_next_in_its_slot() {
        let mut slots = Slots::default();
        let first = slots.insert(Box::new("first"));
        assert_eq!(slots.remove(first).as_deref(), Some(&"first"));
        let second = slots.insert(Box::new("second"));
        assert_eq!((first.slot, slots.len()), (second.slot, 1));
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
        assert_eq!(Token::from_bits(second.to_bits()), second);
        assert_ne!(first.to_bits(), second.to_bits());
    }
}
