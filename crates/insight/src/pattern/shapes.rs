//! Pieces of keys, runs of letters and digits, and shapes of several: which are words, and which ids.

/// The shortest token with `-` or `_` in it.
const TOKEN: usize = 20;

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word.
    Word,
    /// A word that could begin a token as well: it is short, or has capitals in a row.
    Odd,
    Number,
    /// An id of letters and digits, or letters alone.
    Token,
    /// A word with a number, such as `user42`.
    Mixed,
}

/// The piece that `text` begins with, and what it is.
#[inline]
pub(super) fn first_piece(text: &[u8]) -> (&[u8], Kind) {
    let (mut any, mut all) = (0, u8::MAX);
    let mut len = 0;
    while let Some(byte) = text.get(len)
        && is_word(*byte)
    {
        any |= CLASS[usize::from(*byte)];
        all &= CLASS[usize::from(*byte)];
        len += 1;
    }
    let piece = &text[..len];
    let kind = match (any & DIGIT != 0, all & DIGIT != 0, all & HEX != 0) {
        (_, true, _) => Kind::Number,
        (true, _, true) if len >= 8 => Kind::Token,
        (false, _, true) if len >= 16 => Kind::Token,
        (true, ..) => with_digits(piece),
        (false, ..) if len >= 16 && Traits::of(piece).are_random(len) => Kind::Token,
        (false, ..) if len < 3 || any & UPPER != 0 && has_capitals(piece) => Kind::Odd,
        (false, ..) => Kind::Word,
    };
    (piece, kind)
}

/// What a piece of letters and digits is.
fn with_digits(piece: &[u8]) -> Kind {
    // A version tells more than `v*`.
    if let [b'v' | b'V', b'0'..=b'9'] | [b'v' | b'V', b'0'..=b'9', b'0'..=b'9'] = piece {
        return Kind::Odd;
    }
    let traits = Traits::of(piece);
    let is_token = traits.runs > 3
        || traits.runs == 3 && piece[0].is_ascii_digit()
        || piece.len() >= 12 && traits.are_random(piece.len());
    if is_token { Kind::Token } else { Kind::Mixed }
}

fn has_capitals(piece: &[u8]) -> bool {
    piece.windows(2).any(|pair| pair.iter().all(u8::is_ascii_uppercase))
}

/// What tells words from ids.
#[derive(Debug, Default)]
struct Traits {
    /// Runs of letters and of digits.
    runs: usize,
    case_changes: usize,
    /// Capitals after capitals.
    capitals: usize,
    /// The longest run of consonants.
    consonants: usize,
}

impl Traits {
    fn of(piece: &[u8]) -> Self {
        let mut traits = Self::default();
        let mut before = 0;
        let mut consonants = 0;
        for byte in piece {
            let class = CLASS[usize::from(*byte)];
            traits.runs += usize::from((class ^ before) & DIGIT != 0 || before == 0);
            traits.case_changes += usize::from((class ^ before) & CASE == CASE);
            traits.capitals += usize::from(class & before & UPPER != 0);
            consonants = if class & CONSONANT == 0 { 0 } else { consonants + 1 };
            traits.consonants = traits.consonants.max(consonants);
            before = class;
        }
        traits
    }

    /// Words seldom change case at every third letter, with capitals in a row, or have seven consonants in a row.
    fn are_random(&self, len: usize) -> bool {
        self.case_changes * 10 > len * 3 && self.capitals >= 2 || self.consonants >= 7
    }
}

/// Bytes of a UUID.
pub(super) const UUID: usize = 36;

pub(super) fn is_uuid(text: &[u8]) -> bool {
    let Some((uuid, rest)) = text.split_at_checked(UUID) else { return false };
    let fits = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    uuid[8] == b'-'
        && uuid.iter().enumerate().all(fits)
        && !rest.first().is_some_and(|byte| is_word(*byte))
}

/// How far bytes of base64 go, of its alphabet for URLs and files, or `+`.
pub(super) fn run_len(text: &[u8]) -> usize {
    let is_of_it = |byte: &u8| is_word(*byte) || matches!(byte, b'_' | b'-' | b'+');
    text.iter().position(|byte| !is_of_it(byte)).unwrap_or(text.len())
}

/// Whether a run of pieces is one token: long, of both cases and digits, and most of it no words.
pub(super) fn is_token(run: &[u8]) -> bool {
    let classes = run.iter().fold(0, |all, byte| all | CLASS[usize::from(*byte)]);
    if run.len() < TOKEN || classes & (CASE | DIGIT) != CASE | DIGIT {
        return false;
    }
    let is_plain = |piece: &&[u8]| first_piece(piece).1 == Kind::Word;
    let words: usize = run
        .split(|byte| matches!(byte, b'_' | b'-' | b'+'))
        .filter(is_plain)
        .map(<[u8]>::len)
        .sum();
    words * 2 < run.len()
}

/// Where an e-mail address is.
pub(super) fn email(text: &[u8]) -> Option<(usize, usize)> {
    // Most have none, and this is quicker to tell than where it is.
    if !text.contains(&b'@') {
        return None;
    }
    let at = text.iter().position(|byte| *byte == b'@')?;
    let is_local = |byte: &u8| is_word(*byte) || matches!(byte, b'.' | b'+' | b'-');
    let mut start =
        text[..at].iter().rposition(|byte| !is_local(byte)).map_or(0, |before| before + 1);
    if start == 0 {
        // All there is before it: rather a path with an address at its end.
        start = text[..at].iter().rposition(|byte| *byte == b'.').map_or(0, |before| before + 1);
    }
    start += text[start..at].iter().position(|byte| is_word(*byte))?;
    let is_domain = |byte: &u8| is_word(*byte) || matches!(byte, b'.' | b'-');
    let domain = text[at + 1..]
        .iter()
        .position(|byte| !is_domain(byte))
        .map_or(&text[at + 1..], |end| &text[at + 1..][..end]);
    let domain = &domain[..domain.iter().rposition(|byte| is_word(*byte))? + 1];
    domain[1..].contains(&b'.').then_some((start, at + 1 + domain.len()))
}

/// Whether a byte is of a piece, rather than between pieces. What is beyond ASCII counts as a letter.
#[inline]
pub(crate) fn is_word(byte: u8) -> bool {
    CLASS[usize::from(byte)] != 0
}

const DIGIT: u8 = 1;
const HEX: u8 = 2;
const UPPER: u8 = 4;
const LOWER: u8 = 8;
const CONSONANT: u8 = 16;
const OTHER: u8 = 32;
const CASE: u8 = UPPER | LOWER;

/// What each byte is; 0: none of a word.
const CLASS: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        let hex = if byte.is_ascii_hexdigit() { HEX } else { 0 };
        let consonant = match byte.to_ascii_lowercase() {
            b'a' | b'e' | b'i' | b'o' | b'u' | b'y' => 0,
            _ => CONSONANT,
        };
        classes[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT | hex,
            b'A'..=b'Z' => UPPER | hex | consonant,
            b'a'..=b'z' => LOWER | hex | consonant,
            0x80.. => OTHER,
            _ => 0,
        };
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};
