//! Replies to statistics commands, in both protocols: read as names and values, and checked.

use std::collections::HashMap;

use crate::pattern::{self, Progress, Token, Values};
use crate::script::Check;

/// Values by their names.
pub(crate) type Lines = HashMap<String, Vec<u8>>;

/// Whether the lines are there that must be, and those not that must not. A failure names the line of
/// the script.
pub(crate) fn check(
    checks: &[Check],
    found: &Lines,
    values: &mut Values,
) -> Result<(), (Option<usize>, String)> {
    for check in checks {
        let value = found.get(&check.name);
        let problem = match (&check.value, value) {
            (None, None) => None,
            (None, Some(value)) => Some(format!("is there: {}", pattern::escape(value))),
            (Some(tokens), None) => Some(format!("is missing: {}", pattern::show(tokens))),
            (Some(tokens), Some(value)) => {
                // A number needs something behind it to be known as whole.
                let line = [tokens.as_slice(), &[Token::Bytes(b"\r\n".to_vec())]].concat();
                let text = [value.as_slice(), b"\r\n"].concat();
                let same = pattern::compare(&line, &text, values) == Progress::Whole(text.len());
                (!same).then(|| {
                    format!("is {}, not {}", pattern::escape(value), pattern::show(tokens))
                })
            }
        };
        if let Some(problem) = problem {
            return Err((Some(check.line), format!("  {} {problem}", check.name)));
        }
    }
    Ok(())
}

/// The lines of a text reply, if it is whole.
pub(crate) fn text_lines(inbox: &[u8]) -> Option<Lines> {
    let text = str::from_utf8(inbox).ok()?;
    let whole = text.ends_with("END\r\n") || text.ends_with("ERROR\r\n");
    let lines = text.lines().filter_map(|line| line.strip_prefix("STAT "));
    let pairs = lines.map(|line| line.split_once(' ').unwrap_or((line, "")));
    whole.then(|| pairs.map(|(name, value)| (name.into(), value.into())).collect())
}

/// The packets of a binary reply up to the empty one, if it is whole.
pub(crate) fn packet_lines(inbox: &[u8]) -> Option<Lines> {
    let mut lines = HashMap::new();
    let mut rest = inbox;
    loop {
        let header = rest.first_chunk::<24>()?;
        let key = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let body = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let text = rest.get(24..24 + body)?;
        if body == 0 {
            return Some(lines);
        }
        lines.insert(String::from_utf8_lossy(&text[..key]).into_owned(), text[key..].to_vec());
        rest = &rest[24 + body..];
    }
}
