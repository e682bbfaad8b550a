//! Parts of a page, cached by themselves: `{% cache %}` in minijinja templates.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use larder::Cache;
//! use larder::fragments::{self, Fragments, fragment_key};
//! use minijinja::{Environment, context};
//!
//! let cache = Cache::in_process(1 << 20);
//! let fragments = Fragments::new(cache.clone());
//! let mut env = Environment::new();
//! fragments.install(&mut env);
//! let row = "{% cache none, \"row\", task.id %}<li>{{ task.name }}</li>{% endcache %}";
//! fragments::add_template(&mut env, "row.html", row)?;
//!
//! let task = context! { id => 7, name => "water the plants" };
//! let html = fragments.render(&env, "row.html", context! { task }).await?;
//! assert_eq!(html, "<li>water the plants</li>");
//! cache.delete(fragment_key("row", &[7.into()])).await; // the task is gone
//! # Ok(()) }
//! ```
//!
//! `{% cache ttl, "name", vary… %}`: the TTL is `none` (until evicted or deleted) or whole seconds,
//! 0 for "do not store". The name is global, whatever template it is in, and all that the fragment
//! shows must follow from the name and the *vary* values, which are text, numbers, booleans or
//! `none`. Two values that print alike are alike (`1` and `"1"`); `none` equals nothing but `none`;
//! an undefined value is an error rather than a fragment that everybody shares.
//!
//! ```text
//! rewrite.rs  the tag, turned into a call block that minijinja knows
//! page.rs     one page while it renders: what its fragments are, where they go
//! ```
//!
//! # How a page is rendered
//!
//! The first pass runs no fragment's body: it notes the keys and the places. One look-up fetches
//! them all. If all are there, they are put in their places, and that is the page. If not, a second
//! pass runs the missing bodies where they stand, and one write stores them. Fragments inside a
//! missing fragment come to light when its body runs; they are looked up as well, in up to
//! [`MAX_PASSES`] passes, so a list that has changed is put together from its cached rows.
//!
//! So templates may run several times, and so may the body of a missing fragment that has others
//! in it: what costs time or has effects belongs into the handler, not into template functions,
//! and the context must not hold iterators that can be read only once. Callers are never kept
//! beyond the pass they belong to: in a loop they would all see the last row.
//!
//! # When a fragment can be stale
//!
//! A delete voids every fill that began before it, and a fill begins with the look-up in
//! [`Fragments::render`]. But the context was read before that: a row read, then changed and its
//! fragment deleted by somebody else, then rendered, would be stored as it was, for its whole TTL.
//! Three ways are right:
//!
//! 1. The fragment shows what never changes under its vary values, such as a task whose name is
//!    never edited and whose id is never used again. Deleting it with its task frees memory.
//! 2. It varies on the version of what it shows, read together with it: a version number or the
//!    time of the last change.
//! 3. It varies on [`Fragments::versions`] of some tags, asked for *before* the data is read, and
//!    whoever changes the data calls [`Cache::invalidate_tags`] afterwards.
//!
//! For anything else give the fragment a TTL that you can live with.

mod page;
mod rewrite;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, Value};

use crate::cache::{Cache, Guard};
use crate::key::{CacheKey, Family};
use page::Page;

pub use rewrite::{add_template, loader, rewrite};

/// How often a template runs at most for one page: each pass but the last may find fragments
/// within the ones that the pass before found missing.
pub const MAX_PASSES: usize = 4;

/// The fragment cache of a program's templates. Clones share the cache.
#[derive(Clone, Debug)]
pub struct Fragments {
    cache: Cache,
}

impl Fragments {
    /// Fragments kept in `cache`.
    #[must_use]
    pub fn new(cache: Cache) -> Self {
        Self { cache }
    }

    /// Teaches `env` what `{% cache %}` means. Templates come in by [`add_template`] or a
    /// [`loader`].
    ///
    /// A template that is rendered by minijinja itself, not by [`render`](Self::render), runs
    /// every body.
    pub fn install(&self, env: &mut Environment<'_>) {
        env.add_function(rewrite::FUNCTION, page::cached);
    }

    /// Renders a template with its fragments from the cache. A cache that is down is no error:
    /// the bodies run.
    ///
    /// # Errors
    /// Those of the template. Nothing is stored then.
    pub async fn render(
        &self,
        env: &Environment<'_>,
        template: &str,
        context: impl Into<Value>,
    ) -> Result<String, Error> {
        let context = context.into();
        if self.cache.backend().is_null() {
            return env.get_template(template)?.render(context);
        }
        let mut page = Page::new();
        let mut pass = 1;
        let html = loop {
            let rendered;
            (rendered, page) = page.run(env, template, context.clone(), pass == MAX_PASSES);
            let wanted = page.take_wanted();
            if wanted.is_empty() {
                rendered?;
            } else {
                // An error in a pass that lacked fragments may be for want of them.
                let found = self.cache.lookup_bytes_many(&wanted).await;
                page.learn(wanted.into_iter().zip(found));
            }
            if let Some(html) = page.spliced() {
                break html;
            }
            pass += 1;
        };
        Guard::fill_bytes_many(page.into_fills()).await;
        Ok(html)
    }

    /// The present versions of `tags`, to vary on (see the [module](self)): ask before reading the
    /// data. When the cache cannot say, a text that never comes again, so that nothing is found
    /// and nothing stale is left behind.
    pub async fn versions<T: AsRef<str>>(&self, tags: &[T]) -> String {
        match self.cache.tag_versions(tags).await {
            Some(versions) => versions.to_string(),
            None => crate::random_hex::<16>(),
        }
    }
}

/// The key of the fragment `name` with these vary values: what `{% cache ttl, name, vary… %}`
/// looks up, to be deleted when the fragment is of no more use.
#[must_use]
pub fn fragment_key(name: &str, vary: &[Value]) -> CacheKey {
    let key = CacheKey::reserved(Family::Fragment).with(name);
    vary.iter().fold(key, |key, value| match value.kind() {
        ValueKind::None => key.with('-'),
        kind if is_plain(kind) => key.with(format_args!("={value}")),
        // No template can make these; they must only not be taken for another value.
        kind => key.with(format_args!("?{kind}{value}")),
    })
}

/// Whether a value is all that it prints.
fn is_plain(kind: ValueKind) -> bool {
    matches!(kind, ValueKind::Bool | ValueKind::Number | ValueKind::String)
}
