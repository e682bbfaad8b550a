//! The parser of text and meta, and what it must say of plain requests.

use larder_proto::server::{Limits, Parsed, Request, meta, text};

/// Short, so that inputs reach it.
const LIMITS: Limits = Limits { max_keys_line: 3000 };

/// Parses what `input` begins with.
///
/// # Panics
///
/// When it is plain, and the parser does not say the same of it.
pub(crate) fn parse<'b>(input: &'b [u8], scan: &mut text::Scan) -> Parsed<'b> {
    let parsed = text::parse(input, scan, &LIMITS);
    let get = text::plain_get(input);
    let get = get.map(|(key, used)| (Request::Text(text::Command::get(key)), used));
    let set = text::plain_set(input);
    let set = set.map(|(store, used)| (Request::Text(text::Command::Store(store)), used));
    let meta = meta::plain_get(input).map(|(command, used)| (Request::Meta(command), used));
    for (request, used) in [get, set, meta].into_iter().flatten() {
        assert_eq!(parsed, Parsed::Ready { request, used });
    }
    parsed
}
