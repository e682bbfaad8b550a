//! Replies: a header of 24 bytes, then extras, key and value, appended to a buffer.

use crate::binary::{HEADER_LEN, MAGIC_REPLY, opcode as op, status};

/// What a reply repeats of its request's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The operation.
    pub opcode: u8,
    /// The client's number for the request.
    pub opaque: u32,
}

impl Head {
    /// Whether a client may send it before it has authenticated: SASL, and version.
    #[must_use]
    pub fn is_login(self) -> bool {
        matches!(self.opcode, op::SASL_LIST | op::SASL_AUTH | op::SASL_STEP | op::VERSION)
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Status {
    /// Done.
    Ok = status::OK,
    /// There is no such item.
    NotFound = status::NOT_FOUND,
    /// There is an item, or it has another CAS number.
    Exists = status::EXISTS,
    /// The item would be too large.
    TooLarge = status::TOO_LARGE,
    /// The request's parts do not fit its opcode.
    Invalid = status::INVALID,
    /// append or prepend without an item.
    NotStored = status::NOT_STORED,
    /// The item's value is not a number.
    NonNumeric = status::NON_NUMERIC,
    /// The credentials are wrong, or are needed for this.
    AuthFailed = status::AUTH_FAILED,
    /// The mechanism waits for its next message.
    AuthContinue = status::AUTH_CONTINUE,
    /// There is no such opcode.
    UnknownCommand = status::UNKNOWN_COMMAND,
    /// There is no room.
    OutOfMemory = status::OUT_OF_MEMORY,
}

impl Status {
    /// memcached's words for it, the body of the reply.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Status::Ok | Status::AuthContinue => "",
            Status::NotFound => "Not found",
            Status::Exists => "Data exists for key.",
            Status::TooLarge => "Too large.",
            Status::Invalid => "Invalid arguments",
            Status::NotStored => "Not stored.",
            Status::NonNumeric => "Non-numeric server-side value for incr or decr",
            Status::AuthFailed => "Auth failure.",
            Status::UnknownCommand => "Unknown command",
            Status::OutOfMemory => "Out of memory",
        }
    }
}

/// A reply that says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Of the request.
    pub head: Head,
    /// Why.
    pub status: Status,
}

impl Refusal {
    /// Appends it.
    pub fn put(self, out: &mut Vec<u8>) {
        self.head.refuse(out, self.status);
    }
}

/// The writers. Lengths are within the protocol's limits: keys of at most 250 bytes, values of at most
/// 1 GiB.
impl Head {
    /// Done; with the item's CAS number, 0 if there is none.
    pub fn done(self, out: &mut Vec<u8>, cas: u64) {
        out.extend_from_slice(&self.header(Status::Ok, 0, 0, 0, cas));
    }

    /// Anything but done, in words.
    pub fn refuse(self, out: &mut Vec<u8>, status: Status) {
        let text = status.text().as_bytes();
        out.extend_from_slice(&self.header(status, 0, 0, text.len(), 0));
        out.extend_from_slice(text);
    }

    /// No item, to a request whose reply repeats the key: it takes the place of the words.
    pub fn miss_with_key(self, out: &mut Vec<u8>, key: &[u8]) {
        out.extend_from_slice(&self.header(Status::NotFound, 0, key.len(), key.len(), 0));
        out.extend_from_slice(key);
    }

    /// An item, up to its value: `value_len` bytes are to follow. An empty key is not repeated.
    pub fn item(self, out: &mut Vec<u8>, flags: u32, key: &[u8], value_len: usize, cas: u64) {
        let flags = flags.to_be_bytes();
        let body_len = flags.len() + key.len() + value_len;
        out.extend_from_slice(&self.header(Status::Ok, flags.len(), key.len(), body_len, cas));
        out.extend_from_slice(&flags);
        out.extend_from_slice(key);
    }

    /// The result of increment and decrement.
    pub fn number(self, out: &mut Vec<u8>, number: u64, cas: u64) {
        self.body(out, &[], &number.to_be_bytes(), cas);
    }

    /// Text: a version, mechanisms, "Authenticated".
    pub fn text(self, out: &mut Vec<u8>, text: &[u8]) {
        self.body(out, &[], text, 0);
    }

    /// One of the figures that answer stat. One with neither name nor value ends them.
    pub fn stat(self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        self.body(out, name, value, 0);
    }

    fn body(self, out: &mut Vec<u8>, key: &[u8], value: &[u8], cas: u64) {
        out.extend_from_slice(&self.header(Status::Ok, 0, key.len(), key.len() + value.len(), cas));
        out.extend_from_slice(key);
        out.extend_from_slice(value);
    }

    /// A length beyond what its field holds would be cut to the field's maximum, which no client
    /// accepts, rather than wrap around.
    fn header(
        self,
        status: Status,
        extras_len: usize,
        key_len: usize,
        body_len: usize,
        cas: u64,
    ) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = MAGIC_REPLY;
        bytes[1] = self.opcode;
        bytes[2..4].copy_from_slice(&u16::try_from(key_len).unwrap_or(u16::MAX).to_be_bytes());
        bytes[4] = u8::try_from(extras_len).unwrap_or(u8::MAX);
        bytes[6..8].copy_from_slice(&(status as u16).to_be_bytes());
        bytes[8..12].copy_from_slice(&u32::try_from(body_len).unwrap_or(u32::MAX).to_be_bytes());
        bytes[12..16].copy_from_slice(&self.opaque.to_be_bytes());
        bytes[16..].copy_from_slice(&cas.to_be_bytes());
        bytes
    }
}
