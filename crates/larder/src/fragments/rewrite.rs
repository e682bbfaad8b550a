//! `{% cache %}` turned into what minijinja knows, when a template is added or loaded.
//!
//! `{% cache ttl, "name", vary… %}…{% endcache %}` becomes a call block of [`FUNCTION`], whose body
//! runs only if the function asks for it. Everything else in the source stays as it is, byte for
//! byte, so whitespace control and line numbers do too. Raw blocks, comments and strings are passed
//! over by the same rules as in minijinja's lexer, for its standard delimiters.

use minijinja::{Environment, Error, ErrorKind};

/// The name under which the fragment function is known to templates.
pub(super) const FUNCTION: &str = "__larder_cache";

/// Adds a template whose source may hold `{% cache %}` blocks.
///
/// # Errors
/// If the source is no valid template; the message names the line.
pub fn add_template<'source>(
    env: &mut Environment<'source>,
    name: &'source str,
    source: &str,
) -> Result<(), Error> {
    env.add_template_owned(name, rewrite(name, source)?)
}

/// Wraps a function that finds templates' sources by name, for [`Environment::set_loader`].
pub fn loader<F>(load: F) -> impl Fn(&str) -> Result<Option<String>, Error> + Send + Sync + 'static
where
    F: Fn(&str) -> Result<Option<String>, Error> + Send + Sync + 'static,
{
    move |name| load(name)?.map(|source| rewrite(name, &source)).transpose()
}

/// The source of template `name` with its `{% cache %}` blocks as call blocks.
///
/// # Errors
/// If a `{% cache %}` has no end, TTL or name; the message names the template and the line.
pub fn rewrite(name: &str, source: &str) -> Result<String, Error> {
    let mut rewriter = Rewriter {
        name,
        source,
        copied: 0,
        out: String::with_capacity(source.len()),
        open: vec![],
    };
    let mut at = 0;
    while let Some(start) = find(source, at, "{") {
        let inside = start + 2;
        at = match source.as_bytes().get(start + 1) {
            Some(b'#') => find(source, inside, "#}").map_or(source.len(), |end| end + 2),
            Some(b'{') => code(source, inside, "}}").map_or(source.len(), |code| code.after),
            Some(b'%') => rewriter.tag(inside)?,
            _ => start + 1,
        };
    }
    rewriter.finish()
}

struct Rewriter<'s> {
    name: &'s str,
    source: &'s str,
    /// How much of the source is in `out`.
    copied: usize,
    out: String,
    open: Vec<Open>,
}

/// A block that waits for its end.
struct Open {
    block: &'static str,
    at: usize,
}

impl Rewriter<'_> {
    /// Handles the tag whose inside begins at `inside`; where to go on.
    fn tag(&mut self, inside: usize) -> Result<usize, Error> {
        if let Some(raw) = simple_tag(self.source, inside, "raw") {
            return Ok(end_of_raw(self.source, raw));
        }
        let Some(code) = code(self.source, inside, "%}") else {
            return Ok(self.source.len()); // minijinja says what is wrong
        };
        let text = &self.source[inside..code.end];
        let lead = text.len() - text.trim_start_matches(['-', '+']).trim_start().len();
        let start = inside + lead;
        let word = text[lead..].split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next();
        match word.unwrap_or_default() {
            "cache" => self.cache(start, &code)?,
            "endcache" => {
                self.close("cache", start)?;
                self.replace(start, start + "endcache".len(), "endcall");
            }
            "call" => self.open.push(Open { block: "call", at: start }),
            "endcall" => self.close("call", start)?,
            _ => {}
        }
        Ok(code.after)
    }

    fn cache(&mut self, start: usize, code: &Code) -> Result<(), Error> {
        let arguments = start + "cache".len();
        let first = code.commas.first().copied().unwrap_or(code.end);
        let second = code.commas.get(1).copied().unwrap_or(code.end);
        let is_empty = |from: usize, to: usize| self.source[from..to].trim().is_empty();
        if is_empty(arguments, first) || first == code.end || is_empty(first + 1, second) {
            return Err(self.error(
                start,
                "{% cache %} needs a TTL and a name, for example {% cache 300, \"sidebar\" %}",
            ));
        }
        self.replace(start, arguments, &format!("call {FUNCTION}("));
        self.replace(code.end, code.end, ")");
        self.open.push(Open { block: "cache", at: start });
        Ok(())
    }

    fn close(&mut self, block: &str, at: usize) -> Result<(), Error> {
        match self.open.pop() {
            Some(open) if open.block == block => Ok(()),
            Some(open) => {
                let line = self.line(open.at);
                let inner = open.block;
                let what = format!(
                    "{{% end{block} %}} comes before the end of {{% {inner} %}} in line {line}"
                );
                Err(self.error(at, &what))
            }
            None => Err(self.error(at, &format!("{{% end{block} %}} without {{% {block} %}}"))),
        }
    }

    fn replace(&mut self, from: usize, to: usize, with: &str) {
        self.out.push_str(&self.source[self.copied..from]);
        self.out.push_str(with);
        self.copied = to;
    }

    fn finish(mut self) -> Result<String, Error> {
        if let Some(open) = self.open.iter().find(|open| open.block == "cache") {
            return Err(self.error(open.at, "{% cache %} without {% endcache %}"));
        }
        self.out.push_str(&self.source[self.copied..]);
        Ok(self.out)
    }

    fn line(&self, at: usize) -> usize {
        1 + self.source[..at].matches('\n').count()
    }

    fn error(&self, at: usize, what: &str) -> Error {
        let (name, line) = (self.name, self.line(at));
        Error::new(ErrorKind::SyntaxError, format!("{what} (in {name}:{line})"))
    }
}

/// What stands between delimiters.
struct Code {
    /// Where it ends, whitespace control excluded.
    end: usize,
    /// After the closing delimiter.
    after: usize,
    /// The commas that are in no brackets.
    commas: Vec<usize>,
}

/// The code that begins at `from` and runs to `close`, which counts outside of strings and brackets
/// only.
fn code(source: &str, from: usize, close: &str) -> Option<Code> {
    let bytes = source.as_bytes();
    let (mut at, mut depth, mut commas) = (from, 0_i32, Vec::new());
    while let Some(&byte) = bytes.get(at) {
        if depth == 0 && bytes[at..].starts_with(close.as_bytes()) {
            let control = at > from && matches!(bytes[at - 1], b'-' | b'+');
            let end = if control { at - 1 } else { at };
            return Some(Code { end, after: at + close.len(), commas });
        }
        match byte {
            b'"' | b'\'' => at = end_of_string(bytes, at)?,
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => commas.push(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the string that opens at `start` has its closing quote.
fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    while *bytes.get(at)? != bytes[start] {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(at)
}

/// What follows the tag that has nothing but `word` in it, if it is that.
fn simple_tag(source: &str, inside: usize, word: &str) -> Option<usize> {
    let rest = source[inside..].strip_prefix(['-', '+']).unwrap_or(&source[inside..]);
    let rest = rest.trim_ascii_start().strip_prefix(word)?.trim_ascii_start();
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
    Some(source.len() - rest.len())
}

fn end_of_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(start) = find(source, at, "{%") {
        at = start + 2;
        if let Some(after) = simple_tag(source, at, "endraw") {
            return after;
        }
    }
    source.len()
}

fn find(source: &str, from: usize, what: &str) -> Option<usize> {
    source.get(from..)?.find(what).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tags_change() {
        let cases = [
            (
                "{% cache 300, \"a\" %}x{% endcache %}",
                "{% call __larder_cache( 300, \"a\" )%}x{% endcall %}",
            ),
            (
                "a {%- cache none, 'a', u.id -%} x {%+ endcache +%} b",
                "a {%- call __larder_cache( none, 'a', u.id )-%} x {%+ endcall +%} b",
            ),
            ("{%cache 1,'a'%}{%endcache%}", "{%call __larder_cache( 1,'a')%}{%endcall%}"),
            (
                "{% cache 1,\n 'a',\n [x, {'k': \"%}\"}] %}\n{% endcache %}",
                "{% call __larder_cache( 1,\n 'a',\n [x, {'k': \"%}\"}] )%}\n{% endcall %}",
            ),
        ];
        for (source, expected) in cases {
            assert_eq!(rewrite("t", source).unwrap(), expected, "{source}");
        }
    }

    #[test]
    fn what_only_looks_like_a_tag_stays() {
        for source in [
            "{% raw %}{% cache %}{% endraw %}",
            "{%- raw -%}{% cache %}{{ '{% cache %}' }}{%- endraw -%}",
            "{# {% cache %} #}",
            "{{ '{% cache %}' }}",
            "{{ \"\\\"{% cache %}\" ~ {'a': {'b': 1}}.a.b }}",
            "{% set a = '{% cache %}' %}",
            "{% set cache = 1 %}{{ cache }}{% if cache %}{% endif %}",
            "{% cached %}",
            "{% call m() %}{% endcall %}",
            "{ % cache % } {",
            "{% set a = 'unclosed",
            "{{ 'unclosed",
            "{# unclosed",
            "{% raw %} unclosed {% cache %}",
        ] {
            assert_eq!(rewrite("t", source).unwrap(), source);
        }
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let cases = [
            ("\n\n{% cache 1, 'a' %}", "without {% endcache %} (in t:3)"),
            ("{% endcache %}", "{% endcache %} without {% cache %} (in t:1)"),
            ("\n{% cache %}{% endcache %}", "needs a TTL and a name"),
            ("\n{% cache 300 %}{% endcache %}", "needs a TTL and a name"),
            ("\n{% cache 300, %}{% endcache %}", "(in t:2)"),
            ("\n{% cache , 'a' %}{% endcache %}", "(in t:2)"),
            ("{% cache f(1, 2) %}{% endcache %}", "needs a TTL and a name"),
            (
                "{% call m() %}\n{% cache 1, 'a' %}{% endcall %}{% endcache %}",
                "{% endcall %} comes before the end of {% cache %} in line 2",
            ),
        ];
        for (source, told) in cases {
            let error = rewrite("t", source).unwrap_err();
            assert!(error.to_string().contains(told), "{source:?}: {error}");
            assert_eq!(error.kind(), ErrorKind::SyntaxError);
        }
    }

    #[test]
    fn no_source_makes_it_panic() {
        for source in [
            "{",
            "{%",
            "{{",
            "{#",
            "{%-",
            "{% raw",
            "{% cache '\\",
            "é{% cache é, 'é' %}é{% endcache %}",
        ] {
            let _ = rewrite("t", source);
        }
    }
}
