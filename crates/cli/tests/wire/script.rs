//! The language of the scripts, and its parser.
//!
//! A script is a list of sections; each begins with `== its name` and runs on connections of its
//! own, against a server that holds nothing. `#` begins a comment. A line is one of:
//!
//! ```text
//! server -m 8 -c 10       flags of the server, for this section and those after it
//! fresh                   a server of its own for this section
//! file users foo:bar\n    a file; {users} in the flags is its path
//! account name secret     a server with SASL and this account
//! unpiped | unsplit why   all requests in one write, or byte by byte, is something else here
//! not 1.6.18: why         memcached of this version or older has no such thing
//! only larder: anchor     stock memcached has no such thing: a named line of docs/protocol.md
//!
//! > text                  send the text and CRLF         >> text   send just the text
//! < text                  expect the text and CRLF       << text   expect just the text
//! bin> packet             the same in the binary protocol          bin< packet
//! < <eof>                 expect the end of the connection
//! < <silence>             expect that nothing (more) comes: the server waits for input
//! drift 1.6.18: why       memcached of this version or older answers what follows instead of
//!                         the replies just above
//! larder: anchor          we do: a named line of docs/protocol.md
//! @name                   go on on the connection of this name (the first is @1)
//! wait 2                  let so many seconds pass
//! stats [what]            ask for statistics, and expect of them:
//! bin stats [what]
//! has name pattern        that there is such a line             lacks name   that there is none
//! ```
//!
//! Texts are as in `pattern.rs`, packets as in `binary.rs`. Without a `<` after it, a request has no
//! reply: what comes later would be out of place, and at its end each connection is asked for a
//! `mn` or `noop` to be sure.

use crate::binary;
use crate::pattern::{self, Token};

/// One part of a script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) server: ServerFlags,
    pub(crate) fresh: bool,
    pub(crate) unpiped: bool,
    pub(crate) unsplit: bool,
    /// The newest version of memcached without what this is about.
    pub(crate) not: Option<Version>,
    /// The anchor in docs/protocol.md, if only we do this.
    pub(crate) only_larder: Option<String>,
    pub(crate) steps: Vec<Step>,
}

/// How the server of a section is started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct ServerFlags {
    pub(crate) flags: Vec<String>,
    /// Name and content.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Name and password.
    pub(crate) account: Option<(String, String)>,
}

/// A version of memcached.
pub(crate) type Version = (u32, u32, u32);

/// What a section does, with the line of the script that says so.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) action: Action,
}

/// One kind of step.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    Send(Vec<Token>),
    Expect(Reply),
    Connection(String),
    Wait(u64),
    Stats { binary: bool, what: String, checks: Vec<Check> },
}

/// What is expected, and who may answer otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    pub(crate) usual: Expected,
    pub(crate) drift: Option<(Version, Expected)>,
    /// With the anchor in docs/protocol.md.
    pub(crate) larder: Option<(String, Expected)>,
}

/// Bytes, and what must come after them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    pub(crate) tokens: Vec<Token>,
    pub(crate) after: After,
}

/// What comes after the expected bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) enum After {
    /// Whatever the next step says.
    #[default]
    More,
    Eof,
    Silence,
}

/// What is expected of a line of statistics.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    pub(crate) line: usize,
    pub(crate) name: String,
    /// `None`: there must be no such line.
    pub(crate) value: Option<Vec<Token>>,
}

/// Which of the replies the next `<` lines belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Alternative {
    #[default]
    Usual,
    Drift,
    Larder,
}

/// Reads a script. An error names the line.
pub(crate) fn parse(text: &str) -> Result<Vec<Section>, String> {
    let mut parser = Parser::default();
    for (index, line) in text.lines().enumerate() {
        parser.number = index + 1;
        parser.line(line).map_err(|error| format!("line {}: {error}", index + 1))?;
    }
    Ok(parser.sections)
}

#[derive(Default)]
struct Parser {
    number: usize,
    server: ServerFlags,
    sections: Vec<Section>,
    alternative: Alternative,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "==" => self.begin(rest),
            "server" | "file" | "account" => self.server(word, rest)?,
            "fresh" => self.section()?.fresh = true,
            "unpiped" => self.section()?.unpiped = true,
            "unsplit" => self.section()?.unsplit = true,
            "not" => {
                let (version, _) = rest.split_once(": ").ok_or("say why: not VERSION: reason")?;
                self.section()?.not = Some(parse_version(version)?);
            }
            "only" => {
                let anchor = rest.strip_prefix("larder: ").ok_or("only larder: anchor")?;
                self.section()?.only_larder = Some(anchor.into());
            }
            "drift" => self.drift(rest)?,
            "larder:" => self.larder(rest)?,
            "has" | "lacks" => self.check(word, rest)?,
            _ => self.step(line, word, rest)?,
        }
        Ok(())
    }

    fn begin(&mut self, name: &str) {
        let server = ServerFlags { files: Vec::new(), account: None, ..self.server.clone() };
        self.sections.push(Section {
            name: name.into(),
            line: self.number,
            server,
            ..Section::default()
        });
        self.alternative = Alternative::Usual;
    }

    fn server(&mut self, word: &str, rest: &str) -> Result<(), String> {
        if word == "server" {
            self.server.flags = rest.split_whitespace().map(str::to_owned).collect();
            let flags = self.server.flags.clone();
            if let Some(section) = self.sections.last_mut()
                && section.steps.is_empty()
            {
                section.server.flags = flags;
            }
            return Ok(());
        }
        let (name, text) = rest.split_once(' ').ok_or("a name and a text")?;
        let server = &mut self.section()?.server;
        if word == "file" {
            server.files.push((name.into(), pattern::parse_bytes(text)?));
        } else {
            server.account = Some((name.into(), text.into()));
        }
        Ok(())
    }

    /// Sends, replies and the rest: what is done in order.
    fn step(&mut self, line: &str, word: &str, rest: &str) -> Result<(), String> {
        let action = match word {
            ">" => Action::Send(pattern::parse(&format!("{rest}\\r\\n"))?),
            ">>" => Action::Send(pattern::parse(rest)?),
            "bin>" => Action::Send(binary::request(rest)?),
            "<" if rest == "<eof>" => return self.after(After::Eof),
            "<" if rest == "<silence>" => return self.after(After::Silence),
            "<" => return self.expect(pattern::parse(&format!("{rest}\\r\\n"))?),
            "<<" => return self.expect(pattern::parse(rest)?),
            "bin<" => return self.expect(binary::reply(rest)?),
            "wait" => Action::Wait(rest.parse().map_err(|_| format!("{rest:?} seconds?"))?),
            "stats" => Action::Stats { binary: false, what: rest.into(), checks: Vec::new() },
            "bin" if rest == "stats" || rest.starts_with("stats ") => {
                let what = rest.strip_prefix("stats").unwrap_or_default().trim().into();
                Action::Stats { binary: true, what, checks: Vec::new() }
            }
            _ => match line.strip_prefix('@') {
                Some(name) => Action::Connection(name.into()),
                None => return Err(format!("what is {line:?}?")),
            },
        };
        self.alternative = Alternative::Usual;
        self.push(action)
    }

    fn expect(&mut self, tokens: Vec<Token>) -> Result<(), String> {
        let expected = self.expected()?;
        if expected.after != After::More {
            return Err("nothing can come after the end".into());
        }
        expected.tokens.extend(tokens);
        Ok(())
    }

    fn after(&mut self, after: After) -> Result<(), String> {
        self.expected()?.after = after;
        Ok(())
    }

    /// The replies that are being written: those of the last step, or of a new one.
    fn expected(&mut self) -> Result<&mut Expected, String> {
        let alternative = self.alternative;
        let reply = self.reply()?;
        Ok(match alternative {
            Alternative::Usual => &mut reply.usual,
            Alternative::Drift => &mut reply.drift.as_mut().expect("begun").1,
            Alternative::Larder => &mut reply.larder.as_mut().expect("begun").1,
        })
    }

    fn drift(&mut self, rest: &str) -> Result<(), String> {
        let (version, _) = rest.split_once(": ").ok_or("say why: drift VERSION: reason")?;
        let version = parse_version(version)?;
        self.reply()?.drift = Some((version, Expected::default()));
        self.alternative = Alternative::Drift;
        Ok(())
    }

    fn larder(&mut self, anchor: &str) -> Result<(), String> {
        self.reply()?.larder = Some((anchor.into(), Expected::default()));
        self.alternative = Alternative::Larder;
        Ok(())
    }

    /// The reply of the last step; a new, empty one if that is no reply.
    fn reply(&mut self) -> Result<&mut Reply, String> {
        let last = self.section()?.steps.last().map(|step| &step.action);
        if !matches!(last, Some(Action::Expect(_))) {
            self.push(Action::Expect(Reply::default()))?;
        }
        match self.section()?.steps.last_mut() {
            Some(Step { action: Action::Expect(reply), .. }) => Ok(reply),
            _ => Err("a reply to nothing".into()),
        }
    }

    fn check(&mut self, word: &str, rest: &str) -> Result<(), String> {
        let line = self.number;
        let (name, value) = match (word, rest.split_once(' ')) {
            ("lacks", _) => (rest, None),
            (_, Some((name, value))) => (name, Some(pattern::parse(value)?)),
            (_, None) => return Err("has NAME VALUE".into()),
        };
        match self.section()?.steps.last_mut() {
            Some(Step { action: Action::Stats { checks, .. }, .. }) => {
                checks.push(Check { line, name: name.into(), value });
                Ok(())
            }
            _ => Err(format!("{word} belongs after stats")),
        }
    }

    fn push(&mut self, action: Action) -> Result<(), String> {
        let line = self.number;
        self.section()?.steps.push(Step { line, action });
        Ok(())
    }

    fn section(&mut self) -> Result<&mut Section, String> {
        self.sections.last_mut().ok_or_else(|| "a section must begin with ==".into())
    }
}

/// Reads `1.6.18`.
pub(crate) fn parse_version(text: &str) -> Result<Version, String> {
    let mut parts = text.trim().split('.').map(str::parse);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(a)), Some(Ok(b)), Some(Ok(c)), None) => Ok((a, b, c)),
        _ => Err(format!("{text:?} is no version such as 1.6.18")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_belong_to_the_alternative_before_them() {
        let text =
            "== one\n> a\n< b\n< <eof>\ndrift 1.6.18: older\n< c\nlarder: anchor\n> d\n< e\n";
        let sections = parse(text).unwrap();
        let [
            _,
            Step { action: Action::Expect(first), .. },
            _,
            Step { action: Action::Expect(second), .. },
        ] = &sections[0].steps[..]
        else {
            panic!("{sections:?}");
        };
        assert_eq!(first.usual.after, After::Eof);
        let (version, drift) = first.drift.as_ref().unwrap();
        assert_eq!((*version, drift.after), ((1, 6, 18), After::More));
        let (anchor, larder) = first.larder.as_ref().unwrap();
        assert!(anchor == "anchor" && larder.tokens.is_empty());
        assert_eq!(pattern::show(&second.usual.tokens), "e\\r\\n");
    }

    #[test]
    fn mistakes_are_found_when_a_script_is_read() {
        for wrong in ["> a", "== x\n>a", "== x\nhas a b", "== x\ndrift: why", "== x\n< <eof>\n< a"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
