//! What a parser makes of a connection's bytes, and what must be true of it.

use larder_proto::MAX_KEY_LEN;
use larder_proto::server::Parsed;

/// The largest value that is waited for; larger ones are swallowed, as a server does. No input is as long:
/// so what is swallowed is never there in one piece.
const MAX_VALUE_LEN: usize = 1 << 20;

/// Parses `bytes` whole, and byte by byte: it has to be the same.
///
/// # Panics
///
/// When it is not, or when the parser breaks its word.
pub(crate) fn check<S>(
    bytes: &[u8],
    scan: impl Fn() -> S,
    parse: impl for<'b> Fn(&'b [u8], &mut S) -> Parsed<'b>,
) {
    let whole = requests(bytes, bytes.len().max(1), &scan, &parse);
    for piece in [1, 2, 7] {
        assert_eq!(requests(bytes, piece, &scan, &parse), whole, "in pieces of {piece}");
    }
}

/// What has been made of all bytes, when they come in pieces.
fn requests<S>(
    bytes: &[u8],
    piece: usize,
    scan: &impl Fn() -> S,
    parse: &impl for<'b> Fn(&'b [u8], &mut S) -> Parsed<'b>,
) -> Vec<String> {
    let (mut unread, mut swallow, mut seen) = (Vec::new(), 0, Vec::new());
    let mut state = scan();
    for piece in bytes.chunks(piece) {
        unread.extend_from_slice(piece);
        loop {
            let swallowed = unread.len().min(usize::try_from(swallow).unwrap_or(usize::MAX));
            unread.drain(..swallowed);
            swallow -= swallowed as u64;
            if unread.is_empty() {
                break;
            }
            let (used, then) = match parse(&unread, &mut state) {
                Parsed::Ready { request, used } => {
                    if let Some(key) = request.single_key() {
                        assert!((1..=MAX_KEY_LEN).contains(&key.len()), "a key of {}", key.len());
                    }
                    seen.push(format!("{request:?}"));
                    (used, 0)
                }
                Parsed::Partial { request, head, value_len, tail } if value_len > MAX_VALUE_LEN => {
                    seen.push(format!("{request:?} of {value_len}"));
                    (head, value_len as u64 + tail as u64)
                }
                Parsed::Partial { head, value_len, tail, .. } => {
                    assert!(head <= unread.len() && tail <= 2);
                    assert!(unread.len() < head + value_len + tail, "partial, and all there");
                    break;
                }
                Parsed::NeedMore { missing } => {
                    assert!(missing > 0, "nothing is missing");
                    break;
                }
                Parsed::Bad(bad) => {
                    // What is left of a line that is too long depends on how much of it has come.
                    seen.push(format!("{:?} {:?}", bad.reply, bad.close));
                    if bad.close.is_some() {
                        return seen;
                    }
                    (bad.used, bad.swallow)
                }
            };
            assert!(used <= unread.len(), "{used} of {} used", unread.len());
            assert!(used > 0 || then > 0, "no progress");
            unread.drain(..used);
            swallow = then;
        }
    }
    seen
}
