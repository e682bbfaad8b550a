//! Which protocol a connection speaks, and the parsers of both.

use larder_proto::server::{Limits, Parsed, binary, text};

use crate::settings::ProtocolPin;

/// What the parsers accept. A line of keys as long as this asks for 4000 of the longest keys.
const LIMITS: Limits = Limits { max_keys_line: 1 << 20 };

/// What a connection speaks, from its first byte to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Text and meta.
    Text,
    Binary,
}

impl Protocol {
    /// Of a connection that begins with this byte.
    pub(crate) fn of(first: u8) -> Protocol {
        if binary::is_request(first) { Protocol::Binary } else { Protocol::Text }
    }

    /// Whether connections of a listener may speak it.
    pub(crate) fn fits(self, pin: ProtocolPin) -> bool {
        match pin {
            ProtocolPin::Negotiated => true,
            ProtocolPin::Text => self == Protocol::Text,
            ProtocolPin::Binary => self == Protocol::Binary,
        }
    }

    /// Parses the request that `input` begins with.
    pub(crate) fn parse<'b>(self, input: &'b [u8], scan: &mut text::Scan) -> Parsed<'b> {
        match self {
            Protocol::Binary => binary::parse(input),
            Protocol::Text => text::parse(input, scan, &LIMITS),
        }
    }
}
