//! What a bucket holds of an item: eight bytes that say where it lies and little else.
//!
//! | bits | what |
//! |---|---|
//! | 0..40 | location, in units of 4 bytes from the start of the arena; of an item never 0 |
//! | 40..42 | frequency |
//! | 42..47 | flags: [`FETCHED`](Slot::FETCHED), [`CAS_KNOWN`](Slot::CAS_KNOWN), [`STALE`](Slot::STALE), [`WON`](Slot::WON), [`MARKED`](Slot::MARKED) |
//! | 47 | free |
//! | 48..64 | tag: the low 16 bits of the hash |
//!
//! A tag says only which slots are worth a look: whoever looks compares the key.

/// One slot, by value.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) struct Slot(u64);

const FREQ_SHIFT: u32 = 40;
const FREQ_MASK: u64 = 0b11 << FREQ_SHIFT;
const LOCATION_MASK: u64 = (1 << FREQ_SHIFT) - 1;
const TAG_SHIFT: u32 = 48;
const FLAGS: u64 = Slot::FETCHED | Slot::CAS_KNOWN | Slot::STALE | Slot::WON | Slot::MARKED;

impl Slot {
    /// No item.
    pub(crate) const EMPTY: Slot = Slot(0);
    /// The item has been read since it was stored.
    pub(crate) const FETCHED: u64 = 1 << 42;
    /// The item's CAS number has been handed out.
    pub(crate) const CAS_KNOWN: u64 = 1 << 43;
    /// The item was invalidated, and may still be served as stale.
    pub(crate) const STALE: u64 = 1 << 44;
    /// Somebody has been told to recache the item.
    pub(crate) const WON: u64 = 1 << 45;
    /// Whoever stored the item wants to be told so.
    pub(crate) const MARKED: u64 = 1 << 46;

    /// The highest frequency.
    pub(crate) const MAX_FREQ: u8 = 3;

    /// The slot of an item with this hash.
    pub(crate) fn new(hash: u64, location: u64, freq: u8) -> Slot {
        debug_assert!(location <= LOCATION_MASK && freq <= Slot::MAX_FREQ);
        Slot(hash << TAG_SHIFT | u64::from(freq) << FREQ_SHIFT | location)
    }

    /// The slot in a word of a bucket.
    #[inline]
    pub(crate) fn from_word(word: u64) -> Slot {
        Slot(word)
    }

    /// The word a bucket keeps.
    #[inline]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// The tag of a hash.
    #[inline]
    pub(crate) fn tag_of(hash: u64) -> u16 {
        (hash & 0xffff) as u16
    }

    /// Where the item is, in units of 4 bytes from the start of the arena.
    #[inline]
    pub(crate) fn location(self) -> u64 {
        self.0 & LOCATION_MASK
    }

    /// The frequency, 0 to 3.
    #[inline]
    pub(crate) fn freq(self) -> u8 {
        (self.0 >> FREQ_SHIFT & 0b11) as u8
    }

    /// The low 16 bits of the item's hash.
    #[inline]
    pub(crate) fn tag(self) -> u16 {
        (self.0 >> TAG_SHIFT) as u16
    }

    /// The same with another frequency.
    #[inline]
    pub(crate) fn with_freq(self, freq: u8) -> Slot {
        debug_assert!(freq <= Slot::MAX_FREQ);
        Slot(self.0 & !FREQ_MASK | u64::from(freq) << FREQ_SHIFT)
    }

    /// The same at another place.
    #[inline]
    pub(crate) fn with_location(self, location: u64) -> Slot {
        debug_assert!(location <= LOCATION_MASK);
        Slot(self.0 & !LOCATION_MASK | location)
    }

    /// Whether it has the flag (any of several).
    #[inline]
    pub(crate) fn has(self, flag: u64) -> bool {
        self.0 & flag & FLAGS != 0
    }

    /// The same with the flag.
    #[inline]
    pub(crate) fn with(self, flag: u64) -> Slot {
        Slot(self.0 | flag & FLAGS)
    }

    /// Whether there is no item.
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self == Slot::EMPTY
    }

    /// Whether the two differ at most in what readers may change: the frequency and the flags.
    #[inline]
    pub(crate) fn is_same_item(self, other: Slot) -> bool {
        (self.0 ^ other.0) & !(FREQ_MASK | FLAGS) == 0
    }

    /// This slot, with the flags both have and the higher of the frequencies.
    pub(super) fn merged(self, other: Slot) -> Slot {
        self.with(other.0).with_freq(self.freq().max(other.freq()))
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Slot(word) = *self;
        let flags = (word & FLAGS) >> FREQ_SHIFT;
        let (tag, freq, location) = (self.tag(), self.freq(), self.location());
        write!(f, "Slot({tag:04x} freq {freq} flags {flags:07b} at {location})")
    }
}
