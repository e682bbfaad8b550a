//! The form of a key: what looks like an id becomes a `*`, words stay.
//!
//! A key is cut into pieces of letters and digits at everything else, and each piece is judged by itself:
//! numbers, hex of eight digits or more, and what changes between letters and digits as words do not are ids. Four
//! shapes go beyond a piece: UUIDs, e-mail addresses, tokens of base64 with `-` and `_` in them, and binary
//! bytes. A form has at most [`MOST_BYTES`] and is made in one pass over the key, twice over some bytes at most.

mod shapes;

pub(crate) use self::shapes::is_word;
use self::shapes::{Kind, UUID, email, first_piece, is_token, is_uuid, run_len};

/// The longest form, in bytes. A longer one ends in a `*` for the rest.
pub(crate) const MOST_BYTES: usize = 120;

/// How many bytes that are no text make a part of a key binary; fewer are escaped one by one.
const BINARY: usize = 4;

/// Puts the form of `key` in place of what is in `form`: text, the bytes that are none escaped.
pub(crate) fn write(key: &[u8], form: &mut Vec<u8>) {
    form.clear();
    let mut writer = Writer { form, star: None, gap: None };
    // Without a way out, so that many bytes are seen at once.
    if key.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~')) {
        writer.key(key);
    } else {
        writer.unusual(key);
    }
    writer.cut();
}

struct Writer<'a> {
    form: &'a mut Vec<u8>,
    /// What the last `*` stands for, if no word was written since.
    star: Option<Star>,
    /// What was written since that: nothing, one byte, or more (`Some(0)`).
    gap: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Star {
    Number,
    Token,
}

impl Writer<'_> {
    /// A key that is text.
    fn key(&mut self, key: &[u8]) {
        if let Some(own) = Own::parse(key) {
            return self.own(&own);
        }
        let head = django_version(key);
        self.literal(&key[..head]);
        self.text(&key[head..]);
    }

    /// A key of our framework: the lengths of its parts are no more than its punctuation.
    fn own(&mut self, own: &Own<'_>) {
        self.literal(own.head);
        if own.is_digest {
            return self.text(own.parts);
        }
        for part in parts(own.parts) {
            self.between(b':');
            self.text(part);
        }
    }

    /// A key with bytes beyond printable ASCII. Where many are no text, so are those between them.
    fn unusual(&mut self, key: &[u8]) {
        let binary: Vec<usize> = not_text(key).collect();
        if binary.is_empty() {
            return self.key(key);
        }
        if let [first, .., last] = *binary
            && binary.len() >= BINARY
        {
            let start =
                key[..first].iter().rposition(|byte| !is_word(*byte)).map_or(0, |at| at + 1);
            let end = key[last..].iter().skip(1).position(|byte| !is_word(*byte));
            self.text(&key[..start]);
            self.star(Star::Token);
            return self.text(end.map_or(&[], |at| &key[last + 1 + at..]));
        }
        let mut from = 0;
        for at in binary {
            self.text(&key[from..at]);
            self.literal(format!("\\x{:02x}", key[at]).as_bytes());
            from = at + 1;
        }
        self.text(&key[from..]);
    }

    fn text(&mut self, text: &[u8]) {
        let email = email(text);
        // Up to where it is known that no long token begins.
        let mut judged = 0;
        let mut at = 0;
        while at < text.len() && self.form.len() < MOST_BYTES {
            let rest = &text[at..];
            if let Some((_, end)) = email.filter(|(start, _)| *start == at) {
                self.star(Star::Token);
                at = end;
            } else if !is_word(rest[0]) {
                at += self.separator(rest);
            } else if is_uuid(rest) {
                self.star(Star::Token);
                at += UUID;
            } else {
                let (piece, kind) = first_piece(rest);
                let most =
                    email.filter(|(start, _)| *start > at).map_or(text.len(), |(start, _)| start);
                let goes_on = matches!(rest.get(piece.len()), Some(b'_' | b'-' | b'+'));
                if goes_on && at >= judged && kind != Kind::Word {
                    judged = at + run_len(&text[at..most]);
                    if is_token(&text[at..judged]) {
                        self.star(Star::Token);
                        at = judged;
                        continue;
                    }
                }
                self.piece(piece, kind);
                at += piece.len();
            }
        }
    }

    fn piece(&mut self, piece: &[u8], kind: Kind) {
        match kind {
            Kind::Word | Kind::Odd => self.literal(piece),
            Kind::Number => self.star(Star::Number),
            Kind::Token => self.star(Star::Token),
            Kind::Mixed => {
                for part in
                    piece.chunk_by(|one, next| one.is_ascii_digit() == next.is_ascii_digit())
                {
                    if part[0].is_ascii_digit() {
                        self.star(Star::Number);
                    } else {
                        self.literal(part);
                    }
                }
            }
        }
    }

    /// Writes what is between pieces at the start of `rest`; how many bytes that was.
    fn separator(&mut self, rest: &[u8]) -> usize {
        match *rest {
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                self.literal(&rest[..3]);
                3
            }
            // What base64 is filled up with.
            [b'=', ..] if self.star == Some(Star::Token) && self.gap.is_none() => {
                let fill = rest.iter().take_while(|byte| **byte == b'=').count();
                if rest.get(fill).is_some_and(|byte| is_word(*byte)) {
                    self.between(b'=');
                    return 1;
                }
                fill
            }
            [byte, ..] => {
                self.between(byte);
                1
            }
            [] => 0,
        }
    }

    fn literal(&mut self, word: &[u8]) {
        self.form.extend_from_slice(word);
        if !word.is_empty() {
            self.star = None;
        }
    }

    fn between(&mut self, byte: u8) {
        self.form.push(byte);
        self.gap = Some(if self.gap.is_none() { byte } else { 0 });
    }

    /// Writes a `*`. Ids joined by `-`, such as dates, and numbers joined by `.`, such as IP addresses, are one.
    fn star(&mut self, star: Star) {
        let joins = match (self.star, self.gap) {
            (Some(_), None) => true,
            (Some(before), Some(gap)) => {
                gap == b'-' || gap == b'.' && (before, star) == (Star::Number, Star::Number)
            }
            (None, _) => false,
        };
        if !joins {
            self.form.push(b'*');
        } else if self.gap.is_some() {
            self.form.pop();
        }
        self.star = Some(star);
        self.gap = None;
    }

    /// Keeps the form to its length, at the boundary of a character.
    fn cut(&mut self) {
        if self.form.len() <= MOST_BYTES {
            return;
        }
        let mut len = MOST_BYTES - 1;
        while self.form[len] & 0xc0 == 0x80 {
            len -= 1;
        }
        self.form.truncate(len);
        if self.form.last() != Some(&b'*') {
            self.form.push(b'*');
        }
    }
}

/// Where the bytes are that are no text: what is not UTF-8, and characters that cannot be seen, among them those
/// that turn the direction of what follows.
fn not_text(key: &[u8]) -> impl Iterator<Item = usize> {
    let is_unseen = |shown: char| {
        shown.is_control()
            || matches!(shown, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut from = 0;
    key.utf8_chunks().flat_map(move |chunk| {
        let start = from;
        let end = start + chunk.valid().len();
        from = end + chunk.invalid().len();
        let unseen = chunk.valid().char_indices().filter(move |(_, shown)| is_unseen(*shown));
        let bytes = unseen.flat_map(move |(at, shown)| start + at..start + at + shown.len_utf8());
        bytes.chain(end..from)
    })
}

/// How long the head `:1:` is that Django puts before keys without a prefix of their own: the version, which is
/// no id. 0 if there is none.
fn django_version(key: &[u8]) -> usize {
    let digits = key.iter().skip(1).take(3).take_while(|byte| byte.is_ascii_digit()).count();
    match key {
        [b':', b'0'..=b'9', ..] if key.get(digits + 1) == Some(&b':') => digits + 2,
        _ => 0,
    }
}

/// A key of our own framework: `prefix:version`, for a family of its own a letter, and parts with their lengths.
struct Own<'a> {
    /// Up to the parts.
    head: &'a [u8],
    parts: &'a [u8],
    /// What would be too long is `:h:` and a digest.
    is_digest: bool,
}

impl<'a> Own<'a> {
    fn parse(key: &'a [u8]) -> Option<Self> {
        let prefix = key.iter().position(|byte| *byte == b':')?;
        let version = key[prefix + 1..].iter().position(|byte| !byte.is_ascii_digit())?;
        let mut head = prefix + 1 + version;
        if !(1..=10).contains(&version) {
            return None;
        }
        if let [b':', family, b':', ..] = key[head..]
            && family.is_ascii_lowercase()
        {
            head += 2;
        }
        let (head, parts) = key.split_at(head);
        if head.ends_with(b":h")
            && parts.len() == 65
            && parts[1..].iter().all(u8::is_ascii_hexdigit)
        {
            return Some(Self { head, parts, is_digest: true });
        }
        let mut rest = parts;
        while let Some((_, after)) = part(rest) {
            rest = after;
        }
        (rest.is_empty() && !parts.is_empty()).then_some(Self { head, parts, is_digest: false })
    }
}

/// The parts of `:length:part:length:part`.
fn parts(mut encoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (found, rest) = part(encoded)?;
        encoded = rest;
        Some(found)
    })
}

/// The first part, and what is after it.
fn part(encoded: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = encoded.strip_prefix(b":")?;
    let colon = digits.iter().take(4).position(|byte| *byte == b':')?;
    let len = std::str::from_utf8(&digits[..colon]).ok()?.parse().ok()?;
    digits[colon + 1..].split_at_checked(len)
}
