//! Bytes with holes: what a script sends, and what it expects.
//!
//! Both are written as text with escapes: `\r \n \t \0 \s \\ \{ \xHH`. In braces stand
//! - `{x*250}`: the text before the star, 250 times;
//! - `{#}`: a decimal number; `{#cas}`: one with a name. The first occurrence of a name gives it its
//!   value, later ones must be equal, and requests may use it;
//! - `{#new>old}`: a number greater than the one named `old`;
//! - `{~100}`: a number of seconds, give or take what a busy machine takes;
//! - `{*}`: anything up to the end of the line.

use std::collections::HashMap;

/// Seconds that may pass between a request and the next on a machine that is busy, and a tick.
const SLOW: u64 = 5;

/// A piece of a request or of an expected reply.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Bytes(Vec<u8>),
    Number(Number),
    /// Any bytes but CR and LF; only in replies.
    RestOfLine,
    /// From a binary reply's body length on: its opaque and CAS, and a body of that length.
    AnyBody,
}

/// A number that differs from run to run.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Number {
    pub(crate) name: Option<String>,
    /// The name of a number that this one must exceed.
    pub(crate) above: Option<String>,
    /// Which number of seconds it must be, give or take some.
    pub(crate) about: Option<u64>,
    /// Eight bytes, the highest first, instead of decimal digits.
    pub(crate) binary: bool,
}

/// The values of named numbers.
pub(crate) type Values = HashMap<String, u64>;

/// How far received bytes agree with what is expected.
#[derive(Debug, PartialEq)]
pub(crate) enum Progress {
    /// They do, and it took so many of them.
    Whole(usize),
    /// So far, but more must come.
    Partly,
    /// Not from this byte on.
    Differs(usize),
}

/// Reads a text with escapes and braces.
pub(crate) fn parse(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if next == '{' {
            let (inner, after) = brace(rest)?;
            tokens.push(in_braces(inner)?);
            rest = after;
        } else {
            let (bytes, after) = literal(rest)?;
            tokens.push(Token::Bytes(bytes));
            rest = after;
        }
    }
    Ok(tokens)
}

/// Reads a text that has neither numbers nor wildcards.
pub(crate) fn parse_bytes(text: &str) -> Result<Vec<u8>, String> {
    fill(&parse(text)?, &Values::new())
}

/// The bytes of a request.
pub(crate) fn fill(tokens: &[Token], values: &Values) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for token in tokens {
        match token {
            Token::Bytes(more) => bytes.extend(more),
            Token::Number(number) => {
                let value = known(number, values)?;
                if number.binary {
                    bytes.extend(value.to_be_bytes());
                } else {
                    bytes.extend(value.to_string().bytes());
                }
            }
            Token::RestOfLine | Token::AnyBody => return Err("a wildcard cannot be sent".into()),
        }
    }
    Ok(bytes)
}

/// Compares what was received with what is expected, and learns the numbers that are named there.
pub(crate) fn compare(tokens: &[Token], got: &[u8], values: &mut Values) -> Progress {
    let mut at = 0;
    for token in tokens {
        let rest = &got[at..];
        let taken = match token {
            Token::Bytes(bytes) => same_bytes(bytes, rest),
            Token::Number(number) if number.binary => binary_number(number, rest, values),
            Token::Number(number) => decimal_number(number, rest, values),
            Token::RestOfLine => match rest.iter().position(|b| matches!(b, b'\r' | b'\n')) {
                Some(end) => Progress::Whole(end),
                None => Progress::Partly,
            },
            Token::AnyBody => any_body(rest),
        };
        match taken {
            Progress::Whole(length) => at += length,
            Progress::Partly => return Progress::Partly,
            Progress::Differs(offset) => return Progress::Differs(at + offset),
        }
    }
    Progress::Whole(at)
}

/// Tokens as a reader wants to see them.
pub(crate) fn show(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        match token {
            Token::Bytes(bytes) => text.push_str(&escape(bytes)),
            Token::Number(Number { about: Some(about), .. }) => {
                text.push_str(&format!("{{~{about}}}"));
            }
            Token::Number(number) => {
                text.push_str("{#");
                text.push_str(number.name.as_deref().unwrap_or(""));
                if let Some(above) = &number.above {
                    text.push('>');
                    text.push_str(above);
                }
                text.push('}');
            }
            Token::RestOfLine | Token::AnyBody => text.push_str("{*}"),
        }
    }
    text
}

/// Bytes with escapes; the middle of many is left out.
pub(crate) fn escape(bytes: &[u8]) -> String {
    const MOST: usize = 600;
    if bytes.len() > MOST {
        let (head, tail) = (&bytes[..MOST - 200], &bytes[bytes.len() - 200..]);
        return format!("{} … {} bytes … {}", escape(head), bytes.len() - MOST, escape(tail));
    }
    bytes.escape_ascii().to_string()
}

fn same_bytes(expected: &[u8], got: &[u8]) -> Progress {
    let length = expected.len().min(got.len());
    match expected[..length].iter().zip(got).position(|(a, b)| a != b) {
        Some(offset) => Progress::Differs(offset),
        None if length < expected.len() => Progress::Partly,
        None => Progress::Whole(length),
    }
}

fn binary_number(number: &Number, got: &[u8], values: &mut Values) -> Progress {
    let Some(bytes) = got.first_chunk::<8>() else {
        return Progress::Partly;
    };
    accept(number, u64::from_be_bytes(*bytes), values, 8)
}

fn any_body(got: &[u8]) -> Progress {
    const OPAQUE_AND_CAS: usize = 12;
    let Some(length) = got.first_chunk::<4>() else {
        return Progress::Partly;
    };
    let length = u32::from_be_bytes(*length) as usize + 4 + OPAQUE_AND_CAS;
    if got.len() < length { Progress::Partly } else { Progress::Whole(length) }
}

fn decimal_number(number: &Number, got: &[u8], values: &mut Values) -> Progress {
    let digits = got.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == got.len() {
        return Progress::Partly;
    }
    let value = str::from_utf8(&got[..digits]).ok().and_then(|text| text.parse().ok());
    match value {
        Some(value) => accept(number, value, values, digits),
        None => Progress::Differs(0),
    }
}

fn accept(number: &Number, value: u64, values: &mut Values, length: usize) -> Progress {
    let exceeds = match &number.above {
        Some(name) => values.get(name).is_some_and(|&least| value > least),
        None => true,
    };
    let is_near = number.about.is_none_or(|about| about.abs_diff(value) <= SLOW);
    let agrees = match &number.name {
        Some(name) => *values.entry(name.clone()).or_insert(value) == value,
        None => true,
    };
    if exceeds && is_near && agrees { Progress::Whole(length) } else { Progress::Differs(0) }
}

fn known(number: &Number, values: &Values) -> Result<u64, String> {
    let name = number.name.as_deref().ok_or("a number without a name cannot be sent")?;
    values.get(name).copied().ok_or_else(|| format!("{{#{name}}} has no value yet"))
}

/// The inside of the braces that `text` begins with, and what follows them.
fn brace(text: &str) -> Result<(&str, &str), String> {
    let end = text.find('}').ok_or_else(|| format!("{{ without }} in {text:?}"))?;
    Ok((&text[1..end], &text[end + 1..]))
}

fn in_braces(inner: &str) -> Result<Token, String> {
    if inner == "*" {
        return Ok(Token::RestOfLine);
    }
    if let Some(name) = inner.strip_prefix('#') {
        let (name, above) = match name.split_once('>') {
            Some((name, above)) => (name, Some(above.to_owned())),
            None => (name, None),
        };
        let name = (!name.is_empty()).then(|| name.to_owned());
        return Ok(Token::Number(Number { name, above, ..Number::default() }));
    }
    if let Some(seconds) = inner.strip_prefix('~') {
        let about = seconds.parse().map_err(|_| format!("{seconds:?} is no number of seconds"))?;
        return Ok(Token::Number(Number { about: Some(about), ..Number::default() }));
    }
    let (text, times) = inner.rsplit_once('*').ok_or_else(|| format!("what is {{{inner}}}?"))?;
    let times = times.parse().map_err(|_| format!("{times:?} is no number of times"))?;
    Ok(Token::Bytes(literal(text)?.0.repeat(times)))
}

/// Bytes up to a brace or the end, escapes resolved.
fn literal(text: &str) -> Result<(Vec<u8>, &str), String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next().filter(|&c| c != '{') {
        rest = &rest[next.len_utf8()..];
        if next != '\\' {
            bytes.extend(next.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let kind = rest.chars().next().ok_or("a backslash at the end")?;
        rest = &rest[kind.len_utf8()..];
        bytes.push(match kind {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            's' => b' ',
            '\\' | '{' => kind as u8,
            'x' => {
                let digits = rest.get(..2).ok_or("\\x needs two digits")?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).map_err(|_| format!("\\x{digits}?"))?
            }
            other => return Err(format!("what is \\{other}?")),
        });
    }
    Ok((bytes, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_repetitions() {
        assert_eq!(parse_bytes(r"a\r\n\x80\0\s\\\{").unwrap(), b"a\r\n\x80\0 \\{");
        assert_eq!(parse_bytes("<{ab*3}>").unwrap(), b"<ababab>");
        for wrong in ["{", "\\", r"\q", r"\x8", "{x}", "{x*y}", "{#n}", "{*}"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_named_number_keeps_its_value() {
        let mut values = Values::new();
        let first = parse("c{#a} c{#b>a}!").unwrap();
        assert_eq!(compare(&first, b"c5 c7!", &mut values), Progress::Whole(6));
        assert_eq!(fill(&parse("cas {#b}").unwrap(), &values).unwrap(), b"cas 7");
        assert_eq!(compare(&parse("{#a}!").unwrap(), b"6!", &mut values), Progress::Differs(0));
        assert_eq!(compare(&parse("{#c>b}!").unwrap(), b"7!", &mut values), Progress::Differs(0));
    }

    #[test]
    fn a_clock_may_go_on_in_between() {
        let about = |text: &[u8]| compare(&parse("t{~100}!").unwrap(), text, &mut Values::new());
        assert_eq!(about(b"t95!"), Progress::Whole(4));
        assert_eq!(about(b"t105!"), Progress::Whole(5));
        assert_eq!(about(b"t94!"), Progress::Differs(1));
        assert_eq!(about(b"t-1!"), Progress::Differs(1));
    }

    #[test]
    fn what_arrives_in_pieces_is_not_judged_too_early() {
        let tokens = parse(r"VALUE {#} {*}\r\nEND\r\n").unwrap();
        let whole = b"VALUE 12 x y\r\nEND\r\n";
        for end in 0..whole.len() {
            let progress = compare(&tokens, &whole[..end], &mut Values::new());
            assert_eq!(progress, Progress::Partly, "{end}");
        }
        assert_eq!(compare(&tokens, whole, &mut Values::new()), Progress::Whole(whole.len()));
        assert_eq!(compare(&tokens, b"VALUE x", &mut Values::new()), Progress::Differs(6));
    }
}
