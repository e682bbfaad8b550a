//! What forms have in common but for one piece, or but for all from one piece on.

use crate::pattern;

/// Pieces of a form that may be collapsed, counted from its start.
const MOST_PIECES: usize = 8;

/// What a `*` of an absorbing form stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Span {
    /// One piece.
    Piece,
    /// All from there on.
    Rest,
}

/// Forms that are the same but for a piece, or but for all from a piece on.
#[derive(Debug)]
pub(crate) struct Group {
    /// One of them, collapsed.
    pub(crate) collapsed: Collapsed,
    pub(crate) forms: usize,
    pub(crate) score: f64,
}

impl Group {
    pub(crate) fn of(collapsed: Collapsed) -> Self {
        Self { collapsed, forms: 0, score: 0.0 }
    }

    pub(crate) fn add(&mut self, score: f64) {
        self.forms += 1;
        self.score += score;
    }

    /// One piece is better than all the rest; then more forms, or more words that stay.
    pub(crate) fn merit(&self) -> (bool, usize) {
        match self.collapsed.span {
            Span::Piece => (true, self.forms),
            Span::Rest => (false, self.collapsed.start),
        }
    }
}

/// A form with a `*` in place of a piece, or of all from there on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Collapsed {
    pub(crate) span: Span,
    start: usize,
    end: usize,
}

impl Collapsed {
    /// Puts it in place of what is in `out`.
    pub(crate) fn write(&self, form: &[u8], out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&form[..self.start]);
        out.push(b'*');
        out.extend_from_slice(&form[self.end..]);
    }
}

/// What a form can become by collapsing: the most like it first.
pub(crate) fn collapses(form: &[u8]) -> impl Iterator<Item = Collapsed> {
    let mut pieces = [(0, 0); MOST_PIECES];
    let mut count = 0;
    for (piece, place) in words(form).zip(&mut pieces) {
        *place = piece;
        count += 1;
    }
    let piece =
        move |at: usize| Collapsed { span: Span::Piece, start: pieces[at].0, end: pieces[at].1 };
    let len = form.len();
    let rest = move |at: usize| Collapsed { span: Span::Rest, start: pieces[at].0, end: len };
    (0..count).map(piece).chain((1..count).rev().map(rest))
}

/// Where the pieces of a form are that are no `*`.
fn words(form: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let is_of_piece = |byte: &u8| pattern::is_word(*byte) || *byte == b'*';
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            at += form[at..].iter().position(is_of_piece)?;
            let len =
                form[at..].iter().position(|byte| !is_of_piece(byte)).unwrap_or(form.len() - at);
            let start = at;
            at += len;
            if form[start..at] != *b"*" {
                return Some((start, at));
            }
        }
    })
}
