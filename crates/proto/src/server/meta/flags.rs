//! The flags of a command.

use super::Words;
use crate::server::line::{decimal, signed32};

/// The flags of a meta command, as they came. Each letter is there once at most, and an argument that
/// has to be a number is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags<'b> {
    words: Words<'b>,
    letters: Letters,
}

/// One flag: a letter, and what follows it up to the next space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag<'b> {
    /// The letter.
    pub letter: u8,
    /// The letter and its argument.
    pub word: &'b [u8],
}

impl<'b> Flags<'b> {
    pub(super) fn new(words: Words<'b>, letters: Letters) -> Flags<'b> {
        Flags { words, letters }
    }

    /// Whether a letter is there.
    #[must_use]
    #[inline]
    pub fn has(&self, letter: u8) -> bool {
        self.letters.has(letter)
    }

    /// Whether there are no others than these letters.
    #[must_use]
    #[inline]
    pub fn are_among(&self, letters: &[u8]) -> bool {
        self.letters.0 & !Letters::of(letters).0 == 0
    }

    /// The flags in the order they came in.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Flag<'b>> + use<'b> {
        self.words.map(|word| Flag { letter: word.first().copied().unwrap_or_default(), word })
    }

    /// `C`: the CAS number that the item has to have.
    #[must_use]
    #[inline]
    pub fn cas(&self) -> Option<u64> {
        self.number(b'C')
    }

    /// `E`: the CAS number that the item gets. 0 is none.
    #[must_use]
    #[inline]
    pub fn new_cas(&self) -> Option<u64> {
        self.number(b'E').filter(|&cas| cas != 0)
    }

    /// `D`: by how much `ma` changes the number, 1 if nothing is said.
    #[must_use]
    pub fn delta(&self) -> u64 {
        self.number(b'D').unwrap_or(1)
    }

    /// `J`: the number that `ma` creates, 0 if nothing is said.
    #[must_use]
    pub fn initial(&self) -> u64 {
        self.number(b'J').unwrap_or(0)
    }

    /// `F`: the client's flags, 0 if nothing is said.
    #[must_use]
    #[inline]
    pub fn client_flags(&self) -> u32 {
        self.number(b'F').and_then(|flags| u32::try_from(flags).ok()).unwrap_or(0)
    }

    /// `T`: the exptime that the item gets.
    #[must_use]
    #[inline]
    pub fn exptime(&self) -> Option<i64> {
        self.signed(b'T')
    }

    /// `N`: the exptime with which it is created if it is not there.
    #[must_use]
    #[inline]
    pub fn vivify(&self) -> Option<i64> {
        self.signed(b'N')
    }

    /// `R`: the time left below which it is to be replaced.
    #[must_use]
    #[inline]
    pub fn recache(&self) -> Option<i64> {
        self.signed(b'R')
    }

    /// `M`: the letter after it.
    #[must_use]
    #[inline]
    pub fn mode(&self) -> Option<u8> {
        self.argument(b'M')?.first().copied()
    }

    /// `O`: what is to come back.
    #[must_use]
    #[inline]
    pub fn opaque(&self) -> Option<Flag<'b>> {
        self.find(b'O')
    }

    #[inline]
    fn number(&self, letter: u8) -> Option<u64> {
        decimal(self.argument(letter)?)
    }

    #[inline]
    fn signed(&self, letter: u8) -> Option<i64> {
        signed32(self.argument(letter)?).map(i64::from)
    }

    #[inline]
    fn argument(&self, letter: u8) -> Option<&'b [u8]> {
        self.find(letter).map(|flag| flag.argument())
    }

    #[inline]
    fn find(&self, letter: u8) -> Option<Flag<'b>> {
        if !self.has(letter) {
            return None;
        }
        self.iter().find(|flag| flag.letter == letter)
    }
}

impl<'b> Flag<'b> {
    /// What follows the letter.
    #[must_use]
    pub fn argument(&self) -> &'b [u8] {
        self.word.get(1..).unwrap_or_default()
    }
}

/// A set of ASCII letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Letters(u64);

impl Letters {
    pub(super) const fn of(letters: &[u8]) -> Letters {
        let (mut set, mut at) = (0, 0);
        while at < letters.len() {
            set |= Self::bit(letters[at]);
            at += 1;
        }
        Letters(set)
    }

    #[inline]
    pub(super) fn has(self, letter: u8) -> bool {
        self.0 & Self::bit(letter) != 0
    }

    #[inline]
    pub(super) fn add(&mut self, letter: u8) {
        self.0 |= Self::bit(letter);
    }

    /// Upper and lower case lie in two of the four blocks of 32 characters; what is no letter has no
    /// bit.
    const fn bit(letter: u8) -> u64 {
        if letter.is_ascii_alphabetic() { 1 << (letter & 0x3f) } else { 0 }
    }
}
