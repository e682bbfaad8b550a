//! One page while it renders.
//!
//! A [`Page`] owns what is known of the page's fragments and what the running pass has written. The
//! template reaches it through a task-local, which unlike a context variable is also there inside
//! imported macros.
//!
//! A fragment that is not known yet is answered with a marker. If the very next thing that reaches
//! the page is that marker, its place is noted as a *hole*. If not, the template has caught it (in
//! a macro, a filter, a `set` block, the body of another fragment) and may do anything with it, so
//! the whole pass is void and another one runs with the fragment's text in place. Markers are never
//! searched for, so no text of a user's can pass for one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::{fragment_key, is_plain};
use crate::cache::{Guard, Lookup};
use crate::key::CacheKey;
use crate::ttl::Ttl;

tokio::task_local! {
    static PAGE: RefCell<Page>;
}

#[derive(Debug, Default)]
pub(super) struct Page {
    fragments: HashMap<CacheKey, Fragment>,
    fills: Vec<(Guard, Bytes, Ttl)>,
    marker: String,
    pass: Pass,
}

/// What is known of a fragment.
#[derive(Debug)]
enum Fragment {
    /// To be looked up after this pass.
    Wanted,
    /// Not in the cache: the body runs.
    Missing(Guard),
    /// The body is running.
    Running,
    /// As it goes into the page.
    Text(Value),
}

/// What one pass has written and found.
#[derive(Debug, Default)]
struct Pass {
    last: bool,
    html: Vec<u8>,
    /// Where unknown fragments belong, in the order of the page.
    holes: Vec<(usize, CacheKey)>,
    /// The fragment whose marker must be what is written next.
    pending: Option<CacheKey>,
    wanted: Vec<CacheKey>,
    /// How many markers were given out.
    markers: usize,
    /// Whether a marker went elsewhere than straight into the page, or the template failed.
    void: bool,
}

/// What the template is to do about a fragment.
enum Step {
    Print(Value),
    /// Run the body and, given a guard, store the result.
    Run(Option<Guard>),
    /// The fragment is inside itself.
    Loop,
}

impl Page {
    pub(super) fn new() -> Self {
        Self { marker: crate::random_hex::<16>(), ..Self::default() }
    }

    /// Renders the template once. The last pass leaves no fragment for later.
    pub(super) fn run(
        mut self,
        env: &Environment<'_>,
        template: &str,
        context: Value,
        last: bool,
    ) -> (Result<(), Error>, Self) {
        self.pass = Pass { last, ..Pass::default() };
        PAGE.sync_scope(RefCell::new(self), || {
            let rendered = env
                .get_template(template)
                .and_then(|template| template.render_captured_to(context, Sink).map(drop));
            let mut page = PAGE.with(RefCell::take);
            page.pass.void |= rendered.is_err();
            (rendered, page)
        })
    }

    /// The fragments to be looked up before the next pass.
    pub(super) fn take_wanted(&mut self) -> Vec<CacheKey> {
        std::mem::take(&mut self.pass.wanted)
    }

    /// What the look-up found.
    pub(super) fn learn(&mut self, found: impl Iterator<Item = (CacheKey, Lookup<Bytes>)>) {
        for (key, lookup) in found {
            let fragment = match lookup.value_or_guard() {
                Ok(bytes) => Fragment::Text(safe(&String::from_utf8_lossy(&bytes))),
                Err(guard) => Fragment::Missing(guard),
            };
            self.fragments.insert(key, fragment);
        }
    }

    /// The page, if the last pass and what is known by now make one.
    pub(super) fn spliced(&self) -> Option<String> {
        let Pass { html, holes, pending, void, .. } = &self.pass;
        if *void || pending.is_some() {
            return None;
        }
        let mut page = Vec::with_capacity(html.len() + holes.len() * 64);
        let mut done = 0;
        for (at, key) in holes {
            let Some(Fragment::Text(text)) = self.fragments.get(key) else {
                return None;
            };
            page.extend_from_slice(&html[done..*at]);
            page.extend_from_slice(text.as_str().unwrap_or_default().as_bytes());
            done = *at;
        }
        page.extend_from_slice(&html[done..]);
        String::from_utf8(page).ok()
    }

    /// What this page computed, to be stored.
    pub(super) fn into_fills(self) -> Vec<(Guard, Bytes, Ttl)> {
        self.fills
    }

    fn visit(&mut self, key: &CacheKey) -> Step {
        match self.fragments.get_mut(key) {
            Some(Fragment::Text(text)) => return Step::Print(text.clone()),
            Some(Fragment::Running) => return Step::Loop,
            Some(missing @ Fragment::Missing(_)) => {
                if let Fragment::Missing(guard) = std::mem::replace(missing, Fragment::Running) {
                    return Step::Run(Some(guard));
                }
            }
            Some(Fragment::Wanted) => {}
            None if self.pass.last => return Step::Run(None),
            None => {
                self.fragments.insert(key.clone(), Fragment::Wanted);
                self.pass.wanted.push(key.clone());
            }
        }
        self.pass.mark(key.clone());
        Step::Print(safe(&self.marker))
    }

    /// The body has run: `text` is all there is to it, unless a marker was given out meanwhile.
    fn ran(&mut self, key: CacheKey, guard: Guard, text: Option<&str>, ttl: Ttl) {
        let fragment = match text {
            Some(text) => {
                self.fills.push((guard, Bytes::copy_from_slice(text.as_bytes()), ttl));
                Fragment::Text(safe(text))
            }
            None => Fragment::Missing(guard),
        };
        self.fragments.insert(key, fragment);
    }
}

impl Pass {
    fn mark(&mut self, key: CacheKey) {
        self.markers += 1;
        self.void |= self.pending.replace(key).is_some();
    }

    fn write(&mut self, text: &[u8], marker: &str) {
        match self.pending.take() {
            Some(key) if text == marker.as_bytes() => self.holes.push((self.html.len(), key)),
            pending => {
                self.void |= pending.is_some();
                self.html.extend_from_slice(text);
            }
        }
    }
}

/// What minijinja writes a page to.
struct Sink;

impl io::Write for Sink {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        PAGE.with(|page| {
            let Page { pass, marker, .. } = &mut *page.borrow_mut();
            pass.write(text, marker);
        });
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The function behind `{% cache %}`; `caller` is the body.
#[allow(clippy::needless_pass_by_value, reason = "minijinja gives arguments by value")]
pub(super) fn cached(
    state: &mut State<'_, '_>,
    ttl: Value,
    name: Value,
    vary: Rest<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let caller: Value = options.get("caller")?;
    options.assert_all_used()?;
    let key = key_of(&name, &vary)?;
    let ttl = ttl_of(&name, &ttl)?;
    if ttl == Ttl::secs(0) {
        return caller.call(state, &[]);
    }
    // Without a page, the template is not rendered by `Fragments`.
    let step = PAGE.try_with(|page| page.borrow_mut().visit(&key)).unwrap_or(Step::Run(None));
    match step {
        Step::Print(text) => Ok(text),
        Step::Loop => Err(invalid(format!("fragment {name:?} contains itself"))),
        Step::Run(None) => caller.call(state, &[]),
        Step::Run(Some(guard)) => {
            let markers = PAGE.with(|page| page.borrow().pass.markers);
            let text = caller.call(state, &[]);
            PAGE.with(|page| {
                let page = &mut *page.borrow_mut();
                let whole = text.as_ref().ok().filter(|_| page.pass.markers == markers);
                page.ran(key, guard, whole.and_then(Value::as_str), ttl);
            });
            text
        }
    }
}

fn key_of(name: &Value, vary: &[Value]) -> Result<CacheKey, Error> {
    let text = name.as_str().filter(|name| !name.is_empty());
    let Some(text) = text else {
        return Err(invalid(format!("a fragment's name must be text, not {name:?}")));
    };
    for (index, value) in vary.iter().enumerate() {
        let number = index + 1;
        match value.kind() {
            ValueKind::None => {}
            kind if is_plain(kind) => {}
            ValueKind::Undefined => {
                return Err(Error::new(
                    ErrorKind::UndefinedError,
                    format!("vary value {number} of fragment {name:?} is undefined"),
                ));
            }
            kind => {
                return Err(invalid(format!(
                    "vary value {number} of fragment {name:?} is a {kind}; vary on text, numbers, \
                     booleans or none"
                )));
            }
        }
    }
    Ok(fragment_key(text, vary))
}

fn ttl_of(name: &Value, ttl: &Value) -> Result<Ttl, Error> {
    match ttl.kind() {
        ValueKind::None => return Ok(Ttl::Never),
        ValueKind::Number if ttl.is_integer() => {
            if let Ok(seconds) = u64::try_from(ttl.clone()) {
                return Ok(Ttl::secs(seconds));
            }
        }
        _ => {}
    }
    Err(invalid(format!("the TTL of fragment {name:?} must be whole seconds or none, not {ttl:?}")))
}

/// Text that is HTML already.
fn safe(text: &str) -> Value {
    Value::from_safe_string(text.to_owned())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}
