//! The two forms, parsed: what a handler receives is valid, everything else is a clear 4xx page.
//!
//! [`NewTask`] and [`RemoveTask`] are axum extractors. The body is bounded before it is read, the
//! percent-encoding is decoded strictly (a browser's own encoding always passes), and a refused
//! name travels with its [`FormProblem`], so that the error page can offer it again: nothing a
//! visitor has typed is lost.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::errors::PageError;

/// The longest name of a task, in characters.
pub const LONGEST_NAME: usize = 200;

/// The largest body of a form, in bytes. The longest name takes 2,400 when all is encoded; the rest
/// is room to give an overlong name back to its author.
pub const LARGEST_BODY: usize = 16 * 1024;

/// The form that adds a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// 1 to [`LONGEST_NAME`] characters, none of them a control character, no space at the ends.
    pub name: String,
}

/// The form that removes a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveTask {
    /// The task's id; whether there is such a task is for the database to say.
    pub id: i64,
}

/// Why a form was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormProblem {
    /// The body is not declared as an HTML form; what it is declared as, if at all.
    NotAForm(Option<String>),
    /// The body is over [`LARGEST_BODY`].
    TooLarge,
    /// The connection broke while the body was read.
    BrokenOff,
    /// A percent sign without two hex digits, or bytes that are not UTF-8.
    Encoding,
    /// The field is not in the form.
    Missing(&'static str),
    /// The field is in the form more than once.
    Several(&'static str),
    /// The name is empty, or only spaces.
    EmptyName,
    /// The name has too many characters.
    LongName {
        /// The name.
        typed: String,
    },
    /// The name has a control character in it.
    ControlCharacter {
        /// The name.
        typed: String,
        /// The first such character.
        found: char,
    },
    /// The id is not a whole number.
    BadId {
        /// What it is instead.
        value: String,
    },
}

impl FormProblem {
    /// The status of the page that reports it.
    pub fn status(&self) -> StatusCode {
        match self {
            FormProblem::NotAForm(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            FormProblem::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            FormProblem::BrokenOff | FormProblem::Encoding => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl<S: Sync> FromRequest<S> for NewTask {
    type Rejection = PageError;

    async fn from_request(request: Request, _: &S) -> Result<NewTask, PageError> {
        let fields = Fields::read(request).await.map_err(PageError::Add)?;
        NewTask::parse(&fields).map_err(PageError::Add)
    }
}

impl<S: Sync> FromRequest<S> for RemoveTask {
    type Rejection = PageError;

    async fn from_request(request: Request, _: &S) -> Result<RemoveTask, PageError> {
        let fields = Fields::read(request).await.map_err(PageError::Remove)?;
        RemoveTask::parse(&fields).map_err(PageError::Remove)
    }
}

impl NewTask {
    fn parse(fields: &Fields) -> Result<NewTask, FormProblem> {
        let name = fields.only("name")?.trim();
        if name.is_empty() {
            return Err(FormProblem::EmptyName);
        }
        let typed = || name.to_owned();
        if let Some(found) = name.chars().find(|c| c.is_control()) {
            return Err(FormProblem::ControlCharacter { typed: typed(), found });
        }
        if name.chars().count() > LONGEST_NAME {
            return Err(FormProblem::LongName { typed: typed() });
        }
        Ok(NewTask { name: typed() })
    }
}

impl RemoveTask {
    fn parse(fields: &Fields) -> Result<RemoveTask, FormProblem> {
        let value = fields.only("id")?;
        let id = value.parse().map_err(|_| FormProblem::BadId { value: value.to_owned() })?;
        Ok(RemoveTask { id })
    }
}

/// The fields of a form, decoded, in the order they were sent.
struct Fields(Vec<(String, String)>);

impl Fields {
    async fn read(request: Request) -> Result<Fields, FormProblem> {
        declared_as_form(request.headers())?;
        Fields::parse(&read_body(request.into_body()).await?)
    }

    fn parse(body: &[u8]) -> Result<Fields, FormProblem> {
        let pairs = body.split(|b| *b == b'&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let equals = pair.iter().position(|b| *b == b'=');
            let (name, value) = equals.map_or((pair, &[][..]), |at| (&pair[..at], &pair[at + 1..]));
            Some((decode(name)?, decode(value)?))
        });
        decoded.collect::<Option<_>>().map(Fields).ok_or(FormProblem::Encoding)
    }

    fn only(&self, name: &'static str) -> Result<&str, FormProblem> {
        let mut values = self.0.iter().filter(|(field, _)| field == name);
        match (values.next(), values.next()) {
            (None, _) => Err(FormProblem::Missing(name)),
            (Some((_, value)), None) => Ok(value),
            (Some(_), Some(_)) => Err(FormProblem::Several(name)),
        }
    }
}

fn declared_as_form(headers: &HeaderMap) -> Result<(), FormProblem> {
    let declared =
        headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mime = declared.as_deref().and_then(|value| value.split(';').next()).unwrap_or_default();
    if mime.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(());
    }
    Err(FormProblem::NotAForm(declared.map(std::borrow::Cow::into_owned)))
}

async fn read_body(body: Body) -> Result<Vec<u8>, FormProblem> {
    match Limited::new(body, LARGEST_BODY).collect().await {
        Ok(whole) => Ok(whole.to_bytes().to_vec()),
        Err(error) if error.is::<LengthLimitError>() => Err(FormProblem::TooLarge),
        Err(_) => Err(FormProblem::BrokenOff),
    }
}

/// One name or value of `application/x-www-form-urlencoded`; `None` if it is not in that encoding
/// or not UTF-8.
fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(*rest.next()?)? * 16 + hex_digit(*rest.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(body: &[u8]) -> Result<String, FormProblem> {
        Fields::parse(body).and_then(|fields| NewTask::parse(&fields)).map(|form| form.name)
    }

    fn remove(body: &[u8]) -> Result<i64, FormProblem> {
        Fields::parse(body).and_then(|fields| RemoveTask::parse(&fields)).map(|form| form.id)
    }

    #[test]
    fn names() {
        let long = format!("name={}", "%F0%9F%A5%AB".repeat(LONGEST_NAME));
        for (body, name) in [
            (&b"name=Buy+flour"[..], "Buy flour"),
            (b"name=%20%09Buy%0A", "Buy"),
            (b"x=1&name=a%26b%3Dc%2Bd&", "a&b=c+d"),
            (b"name=a=b", "a=b"),
            (b"%6eame=<b>", "<b>"),
            ("name=Cr\u{e8}me".as_bytes(), "Crème"),
            (long.as_bytes(), &"🥫".repeat(LONGEST_NAME)),
        ] {
            assert_eq!(add(body).as_deref(), Ok(name));
        }
    }

    #[test]
    fn refused_names() {
        let typed = "é".repeat(LONGEST_NAME + 1);
        let long = format!("name={typed}");
        let control =
            |typed: &str, found| FormProblem::ControlCharacter { typed: typed.into(), found };
        for (body, problem) in [
            (&b""[..], FormProblem::Missing("name")),
            (b"name", FormProblem::EmptyName),
            (b"name=", FormProblem::EmptyName),
            (b"name=+%20%0d%0a%c2%a0", FormProblem::EmptyName),
            (b"Name=a", FormProblem::Missing("name")),
            (b"name=a&name=b", FormProblem::Several("name")),
            (b"name=a%0Ab", control("a\nb", '\n')),
            (b"name=a%00b", control("a\0b", '\0')),
            (b"name=a%C2%9Bb", control("a\u{9b}b", '\u{9b}')),
            (b"name=%", FormProblem::Encoding),
            (b"name=%4", FormProblem::Encoding),
            (b"name=%zz", FormProblem::Encoding),
            (b"name=%+1", FormProblem::Encoding),
            (b"name=%ff", FormProblem::Encoding),
            (b"name=\xc3", FormProblem::Encoding),
            (b"name=%ED%A0%80", FormProblem::Encoding),
            (long.as_bytes(), FormProblem::LongName { typed: typed.clone() }),
        ] {
            let status = problem.status();
            assert_eq!(add(body), Err(problem), "{}", String::from_utf8_lossy(body));
            assert!(status.is_client_error());
        }
    }

    #[test]
    fn ids() {
        assert_eq!(remove(b"id=17"), Ok(17));
        assert_eq!(remove(b"id=-1"), Ok(-1));
        assert_eq!(remove(b"id=9223372036854775807"), Ok(i64::MAX));
        assert_eq!(remove(b""), Err(FormProblem::Missing("id")));
        assert_eq!(remove(b"id=1&id=2"), Err(FormProblem::Several("id")));
        for value in ["", "one", "1.0", "1e3", "9223372036854775808", "0x1", " 1", "1;"] {
            let problem = FormProblem::BadId { value: value.into() };
            assert_eq!(remove(format!("id={value}").as_bytes()), Err(problem), "{value}");
        }
    }
}
