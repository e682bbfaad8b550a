//! Packets of the binary protocol, written as a name and fields: `set key=foo flags=7 value=bar`.
//!
//! Fields stand apart by single spaces; `value=` takes the rest of the line. Numbers are decimal, or
//! hexadecimal after `0x`; `cas=` also takes a named number (`{#cas}`).
//! - Requests and replies: `key value cas opaque extras` (hexadecimal), and to write what is wrong
//!   on purpose `magic keylen extlen bodylen datatype`.
//! - The extras of requests by name: `flags exptime delta initial level`; those of replies: `flags`.
//! - Replies: `status` by name, whose text is the value unless one is given; `number` for the eight
//!   bytes of an incr; `value={*}` stands for any body.

use std::collections::HashMap;
use std::fmt::Display;

use crate::pattern::{self, Token};

/// What every packet carries unless it says otherwise; replies repeat it.
const OPAQUE: u32 = 0xdead_beef;

const OPCODES: [(&str, u8); 37] = [
    ("get", 0x00),
    ("set", 0x01),
    ("add", 0x02),
    ("replace", 0x03),
    ("delete", 0x04),
    ("incr", 0x05),
    ("decr", 0x06),
    ("quit", 0x07),
    ("flush", 0x08),
    ("getq", 0x09),
    ("noop", 0x0a),
    ("version", 0x0b),
    ("getk", 0x0c),
    ("getkq", 0x0d),
    ("append", 0x0e),
    ("prepend", 0x0f),
    ("stat", 0x10),
    ("setq", 0x11),
    ("addq", 0x12),
    ("replaceq", 0x13),
    ("deleteq", 0x14),
    ("incrq", 0x15),
    ("decrq", 0x16),
    ("quitq", 0x17),
    ("flushq", 0x18),
    ("appendq", 0x19),
    ("prependq", 0x1a),
    ("verbosity", 0x1b),
    ("touch", 0x1c),
    ("gat", 0x1d),
    ("gatq", 0x1e),
    ("sasl-list", 0x20),
    ("sasl-auth", 0x21),
    ("sasl-step", 0x22),
    ("gatk", 0x23),
    ("gatkq", 0x24),
    ("rget", 0x30),
];

const STATUSES: [(&str, u16, &str); 12] = [
    ("ok", 0x00, ""),
    ("not-found", 0x01, "Not found"),
    ("exists", 0x02, "Data exists for key."),
    ("too-large", 0x03, "Too large."),
    ("invalid", 0x04, "Invalid arguments"),
    ("not-stored", 0x05, "Not stored."),
    ("non-numeric", 0x06, "Non-numeric server-side value for incr or decr"),
    ("auth-error", 0x20, "Auth failure."),
    ("auth-continue", 0x21, ""),
    ("unknown", 0x81, "Unknown command"),
    ("no-memory", 0x82, "Out of memory"),
    ("authenticated", 0x00, "Authenticated"),
];

/// A request.
pub(crate) fn request(text: &str) -> Result<Vec<Token>, String> {
    let mut packet = Fields::new(text)?;
    let extras = match packet.hex("extras")? {
        Some(extras) => extras,
        None => request_extras(&packet.name.clone(), &mut packet)?,
    };
    packet.tokens(0x80, &extras, 0, Vec::new())
}

/// A reply.
pub(crate) fn reply(text: &str) -> Result<Vec<Token>, String> {
    let mut packet = Fields::new(text)?;
    let status = packet.take("status").unwrap_or_else(|| "ok".into());
    let (_, status, text) = STATUSES
        .into_iter()
        .find(|(name, ..)| *name == status)
        .ok_or_else(|| format!("no status is called {status:?}"))?;
    let extras = match (packet.hex("extras")?, packet.number("flags")?) {
        (Some(extras), _) => extras,
        (None, Some(flags)) => narrow::<u32, _>(flags)?.to_be_bytes().to_vec(),
        (None, None) => Vec::new(),
    };
    let value = match packet.number("number")? {
        Some(number) => number.to_be_bytes().to_vec(),
        None => text.as_bytes().to_vec(),
    };
    packet.tokens(0x81, &extras, status, value)
}

/// The number of an opcode: its name or the number itself.
fn opcode(name: &str) -> Result<u8, String> {
    match OPCODES.iter().find(|(known, _)| *known == name) {
        Some((_, code)) => Ok(*code),
        None => narrow(parse_number(name)?),
    }
}

fn request_extras(name: &str, packet: &mut Fields) -> Result<Vec<u8>, String> {
    let mut extras = Vec::new();
    match name.strip_suffix('q').unwrap_or(name) {
        "set" | "add" | "replace" => {
            extras.extend(packet.u32("flags")?.unwrap_or(0).to_be_bytes());
            extras.extend(packet.u32("exptime")?.unwrap_or(0).to_be_bytes());
        }
        "incr" | "decr" => {
            extras.extend(packet.number("delta")?.unwrap_or(1).to_be_bytes());
            extras.extend(packet.number("initial")?.unwrap_or(0).to_be_bytes());
            extras.extend(packet.u32("exptime")?.unwrap_or(0).to_be_bytes());
        }
        "touch" | "gat" | "gatk" => {
            extras.extend(packet.u32("exptime")?.unwrap_or(0).to_be_bytes());
        }
        "flush" => {
            extras.extend(packet.u32("exptime")?.into_iter().flat_map(u32::to_be_bytes));
        }
        "verbosity" => extras.extend(packet.u32("level")?.unwrap_or(0).to_be_bytes()),
        _ => {}
    }
    Ok(extras)
}

/// The fields of one packet, taken out one by one.
struct Fields {
    name: String,
    fields: HashMap<String, String>,
}

impl Fields {
    fn new(text: &str) -> Result<Fields, String> {
        let (text, value) = match text.split_once(" value=") {
            Some((text, value)) => (text, Some(value)),
            None => (text, None),
        };
        let mut words = text.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let mut fields = HashMap::new();
        for word in words {
            let (field, value) =
                word.split_once('=').ok_or_else(|| format!("{word:?} is not field=value"))?;
            fields.insert(field.to_owned(), value.to_owned());
        }
        if let Some(value) = value {
            fields.insert("value".into(), value.into());
        }
        Ok(Fields { name, fields })
    }

    fn take(&mut self, field: &str) -> Option<String> {
        self.fields.remove(field)
    }

    fn number(&mut self, field: &str) -> Result<Option<u64>, String> {
        self.take(field).map(|text| parse_number(&text)).transpose()
    }

    fn u32(&mut self, field: &str) -> Result<Option<u32>, String> {
        self.number(field)?.map(narrow).transpose()
    }

    fn hex(&mut self, field: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(text) = self.take(field) else {
            return Ok(None);
        };
        let digits = |at| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(digits).collect();
        bytes.map(Some).ok_or_else(|| format!("{text:?} is not hexadecimal"))
    }

    /// The whole packet. `value` is the body's end unless there is a field of that name.
    fn tokens(
        mut self,
        magic: u8,
        extras: &[u8],
        status: u16,
        value: Vec<u8>,
    ) -> Result<Vec<Token>, String> {
        let key = pattern::parse_bytes(&self.take("key").unwrap_or_default())?;
        let any_body = self.fields.get("value").is_some_and(|text| text == "{*}");
        let value = match self.take("value") {
            Some(text) if !any_body => pattern::parse_bytes(&text)?,
            _ => value,
        };
        let body = extras.len() + key.len() + value.len();
        let mut head = Vec::new();
        head.push(self.number("magic")?.map_or(Ok(magic), narrow)?);
        head.push(opcode(&self.name)?);
        head.extend(
            self.number("keylen")?.map_or(narrow(key.len()), narrow::<u16, _>)?.to_be_bytes(),
        );
        head.push(self.number("extlen")?.map_or(narrow(extras.len()), narrow)?);
        head.push(self.number("datatype")?.map_or(Ok(0), narrow)?);
        head.extend(status.to_be_bytes());
        if any_body {
            return Ok(vec![Token::Bytes(head), Token::AnyBody]);
        }
        head.extend(self.u32("bodylen")?.map_or(narrow::<u32, _>(body), Ok)?.to_be_bytes());
        head.extend(self.u32("opaque")?.unwrap_or(OPAQUE).to_be_bytes());
        let cas = self.cas()?;
        let tail = [extras, &key, &value].concat();
        match self.fields.keys().next() {
            Some(field) => Err(format!("{} takes no field {field:?}", self.name)),
            None => Ok(vec![Token::Bytes(head), cas, Token::Bytes(tail)]),
        }
    }

    fn cas(&mut self) -> Result<Token, String> {
        let text = self.take("cas").unwrap_or_else(|| "0".into());
        if !text.starts_with('{') {
            return Ok(Token::Bytes(parse_number(&text)?.to_be_bytes().to_vec()));
        }
        match pattern::parse(&text)?.pop() {
            Some(Token::Number(mut number)) => {
                number.binary = true;
                Ok(Token::Number(number))
            }
            _ => Err(format!("{text:?} is no number")),
        }
    }
}

fn parse_number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text:?} is neither a known name nor a number"))
}

fn narrow<T: TryFrom<N>, N: Copy + Display>(number: N) -> Result<T, String> {
    T::try_from(number).map_err(|_| format!("{number} is too large for its field"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::{Values, fill};

    #[test]
    fn a_request_is_header_extras_key_and_value() {
        let tokens = request("set key=k flags=1 exptime=2 value=a b").unwrap();
        let expected = b"\x80\x01\0\x01\x08\0\0\0\0\0\0\x0c\xde\xad\xbe\xef\0\0\0\0\0\0\0\0\
            \0\0\0\x01\0\0\0\x02ka b";
        assert_eq!(fill(&tokens, &Values::new()).unwrap(), expected);
    }

    #[test]
    fn lengths_can_be_wrong_on_purpose() {
        let tokens = request("0x50 key=k keylen=251 bodylen=0xffffffff opaque=1").unwrap();
        let expected = b"\x80\x50\0\xfb\0\0\0\0\xff\xff\xff\xff\0\0\0\x01\0\0\0\0\0\0\0\0k";
        assert_eq!(fill(&tokens, &Values::new()).unwrap(), expected);
    }

    #[test]
    fn an_error_has_its_text() {
        let tokens = reply("get status=not-found").unwrap();
        assert_eq!(tokens[2], Token::Bytes(b"Not found".to_vec()));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in ["gett", "get kei=k", "get key", "set flags=x", "get keylen=65536"] {
            assert!(request(wrong).is_err(), "{wrong}");
        }
        assert!(reply("get status=fine").is_err());
    }
}
