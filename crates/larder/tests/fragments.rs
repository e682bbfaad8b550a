//! `{% cache %}` in templates: what runs, what is looked up, what is stored.

#[macro_use]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder::fragments::{self, Fragments, fragment_key};
use larder::{Activity, Cache, Figures};
use minijinja::{Environment, Error, Value, context};
use support::{Kind, Rig, dead_cache};

over_every_backend!(
    a_body_runs_once_and_costs_one_look_up,
    rows_keep_their_own_text,
    a_deleted_fragment_is_made_anew,
    nested_fragments_use_what_is_cached,
);

/// Templates over a cache, with functions that count how often they run.
struct Site {
    env: Environment<'static>,
    fragments: Fragments,
    cache: Cache,
    runs: Arc<AtomicUsize>,
}

impl Site {
    fn new(cache: &Cache, templates: &[(&'static str, &str)]) -> Self {
        let fragments = Fragments::new(cache.clone());
        let mut env = Environment::new();
        fragments.install(&mut env);
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = runs.clone();
        env.add_function("run", move || {
            counter.fetch_add(1, Ordering::SeqCst);
            ""
        });
        for (name, source) in templates {
            fragments::add_template(&mut env, name, source).unwrap();
        }
        Self { env, fragments, cache: cache.clone(), runs }
    }

    /// One template called `t.html`, over a cache of its own.
    fn of(source: &str) -> Self {
        Self::new(&Cache::in_process(1 << 20), &[("t.html", source)])
    }

    async fn render(&self, context: Value) -> Result<String, Error> {
        self.fragments.render(&self.env, "t.html", context).await
    }

    /// The page, and how often `run()` was called for it.
    async fn page(&self, context: Value) -> (String, usize) {
        let before = self.runs.load(Ordering::SeqCst);
        let html = self.render(context).await.unwrap();
        (html, self.runs.load(Ordering::SeqCst) - before)
    }

    async fn error(&self, context: Value) -> String {
        format!("{:#}", self.render(context).await.unwrap_err())
    }
}

async fn figures<F: Future>(work: F) -> (F::Output, Figures) {
    let activity = Activity::new();
    let output = activity.scope(work).await;
    (output, activity.figures())
}

const ROWS: &str = "{% for u in users %}{% cache none, 'row', u.id %}\
                    <b>{{ u.name }}{{ run() }}</b>{% endcache %}{% endfor %}|{{ '<x>' }}";

fn users(names: &[&str]) -> Value {
    let users: Vec<_> =
        names.iter().enumerate().map(|(id, name)| context! { id, name => *name }).collect();
    context! { users }
}

async fn a_body_runs_once_and_costs_one_look_up(rig: Rig) {
    let site = Site::new(&rig.cache, &[("t.html", ROWS)]);
    let trips = |n| if rig.kind == Kind::InProcess { 0 } else { n };
    let names = ["a<", "b", "c", "d", "e"];
    let ((first, runs), cost) = figures(site.page(users(&names))).await;
    assert_eq!(first, "<b>a&lt;</b><b>b</b><b>c</b><b>d</b><b>e</b>|&lt;x&gt;");
    assert_eq!(runs, 5);
    assert_eq!((cost.gets, cost.hits, cost.misses), (5, 0, 5));
    assert_eq!(cost.round_trips, trips(4), "look, guard, and a fill in two");

    let ((second, runs), cost) = figures(site.page(users(&names))).await;
    assert_eq!((second, runs), (first, 0));
    assert_eq!((cost.gets, cost.hits, cost.misses, cost.sets), (5, 5, 0, 0));
    assert_eq!(cost.round_trips, trips(1));

    let ((_, runs), cost) = figures(site.page(users(&["a<", "b", "c", "d", "e", "f"]))).await;
    assert_eq!((runs, cost.hits, cost.misses), (1, 5, 1), "only what is new");
}

/// Callers that are kept past their pass would all see the last row's variables.
async fn rows_keep_their_own_text(rig: Rig) {
    let site = Site::new(&rig.cache, &[("t.html", ROWS)]);
    let expected = "<b>x</b><b>y</b><b>z</b>|&lt;x&gt;";
    assert_eq!(site.page(users(&["x", "y", "z"])).await.0, expected);
    for id in 0..3 {
        site.cache.delete(fragment_key("row", &[id.into()])).await;
        assert_eq!(site.page(users(&["x", "y", "z"])).await, (expected.to_owned(), 1));
    }
    assert_eq!(site.page(users(&["x", "y", "z"])).await, (expected.to_owned(), 0));
}

async fn a_deleted_fragment_is_made_anew(rig: Rig) {
    let source =
        "{% cache 300, 'task-fragment', id, user, none, true %}{{ text }}{{ run() }}{% endcache %}";
    let site = Site::new(&rig.cache, &[("t.html", source)]);
    let context = |text: &str| context! { id => 7, user => "bob smith", text };
    assert_eq!(site.page(context("old")).await, ("old".to_owned(), 1));
    assert_eq!(site.page(context("new")).await, ("old".to_owned(), 0));
    let vary = [7.into(), "bob smith".into(), Value::from(()), true.into()];
    assert!(site.cache.delete(fragment_key("task-fragment", &vary)).await);
    assert_eq!(site.page(context("new")).await, ("new".to_owned(), 1));
}

async fn nested_fragments_use_what_is_cached(rig: Rig) {
    let source = "{% cache none, 'list', version %}<ul>{% for u in users %}\
                  {% cache none, 'row', u.id %}<li>{{ u.name }}{{ run() }}</li>{% endcache %}\
                  {% endfor %}</ul>{% endcache %}";
    let site = Site::new(&rig.cache, &[("t.html", source)]);
    let context = |version: u32, names: &[&str]| context! { version, ..users(names) };
    let (html, runs) = site.page(context(1, &["a", "b"])).await;
    assert_eq!((html.as_str(), runs), ("<ul><li>a</li><li>b</li></ul>", 2));

    // A new version of the list: its rows come from the cache, with one look-up for all.
    let ((html, runs), cost) = figures(site.page(context(2, &["?", "?"]))).await;
    assert_eq!((html.as_str(), runs), ("<ul><li>a</li><li>b</li></ul>", 0));
    assert_eq!((cost.gets, cost.hits), (3, 2));

    let (_, cost) = figures(site.page(context(2, &["?", "?"]))).await;
    assert_eq!((cost.gets, cost.hits), (1, 1), "the list alone");

    let (html, runs) = site.page(context(3, &["a", "b", "c"])).await;
    assert_eq!((html.as_str(), runs), ("<ul><li>a</li><li>b</li><li>c</li></ul>", 1));
}

#[tokio::test]
async fn the_same_fragment_twice_is_computed_once() {
    let site = Site::of(
        "{% for n in [1, 2, 3] %}{% cache 300, 'a' %}[{{ n }}{{ run() }}]{% endcache %}{% endfor %}",
    );
    let ((html, runs), cost) = figures(site.page(context! {})).await;
    assert_eq!((html.as_str(), runs, cost.gets), ("[1][1][1]", 1, 1));
    let ((html, runs), cost) = figures(site.page(context! {})).await;
    assert_eq!((html.as_str(), runs, cost.gets), ("[1][1][1]", 0, 1));
}

#[tokio::test]
async fn deep_nesting_ends() {
    let mut source = "{{ run() }}x".to_owned();
    for level in 0..8 {
        source = format!("{{% cache 300, 'level', {level} %}}<{source}>{{% endcache %}}");
    }
    let site = Site::of(&source);
    let expected = format!("{}x{}", "<".repeat(8), ">".repeat(8));
    assert_eq!(site.render(context! {}).await.unwrap(), expected);
    assert_eq!(site.page(context! {}).await, (expected, 0));
}

#[tokio::test]
async fn a_fragment_that_contains_itself_is_an_error() {
    let site = Site::of("{% cache 1, 'a' %}{% cache 1, 'a' %}{% endcache %}{% endcache %}");
    let error = site.error(context! {}).await;
    assert!(error.contains("fragment 'a' contains itself"), "{error}");
}

#[tokio::test]
async fn ttls_are_none_seconds_or_zero() {
    let clock = larder::store::Clock::manual(1_800_000_000_000);
    let mut config = larder::store::Config::new(1 << 20);
    config.clock = clock.clone();
    let cache = Cache::builder(larder::Backend::store(config)).build().unwrap();
    let source = "{% cache ttl, 'a' %}{{ run() }}{% endcache %}";
    let site = Site::new(&cache, &[("t.html", source)]);

    let (_, cost) = figures(site.page(context! { ttl => 0 })).await;
    assert_eq!(cost, Figures::default(), "neither looked up nor stored");
    assert_eq!(site.page(context! { ttl => 0 }).await.1, 1);

    assert_eq!(site.page(context! { ttl => 60 }).await.1, 1);
    clock.advance(std::time::Duration::from_secs(59));
    assert_eq!(site.page(context! { ttl => 60 }).await.1, 0);
    clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(site.page(context! { ttl => Value::from(()) }).await.1, 1);
    clock.advance(std::time::Duration::from_secs(400 * 86_400));
    assert_eq!(site.page(context! { ttl => 60 }).await.1, 0, "it was stored for ever");

    for ttl in [Value::from(-1), 1.5.into(), true.into(), "60".into(), Value::UNDEFINED] {
        let error = site.error(context! { ttl => ttl.clone() }).await;
        assert!(error.contains("must be whole seconds or none"), "{ttl:?}: {error}");
    }
}

#[tokio::test]
async fn what_differs_never_shares_a_fragment() {
    let site = Site::of(
        "{% for v in lists %}{% if v.b is defined %}{% cache 1, name, v.a, v.b %}{{ run() }}{% endcache %}\
         {% else %}{% cache 1, name, v.a %}{{ run() }}{% endcache %}{% endif %}{% endfor %}",
    );
    let one = |a: Value| context! { a };
    let two = |a: &str, b: &str| context! { a, b };
    let lists = vec![
        two("a", "b"),
        two("a:b", ""),
        two("", "a:b"),
        two("ab", ""),
        one("a:b".into()),
        one("".into()),
        one("none".into()),
        one("-".into()),
        one(Value::from(())),
        one("true".into()),
        one(1.into()),
        one(1.5.into()),
    ];
    let count = lists.len();
    let (_, runs) = site.page(context! { name => "a", lists }).await;
    assert_eq!(runs, count);

    // What prints alike is alike, so that a key can be made from an id in whatever form.
    let lists = vec![one("1".into()), one(1_u64.into()), one(Value::from_safe_string("1".into()))];
    let (_, runs) = site.page(context! { name => "alike", lists }).await;
    assert_eq!(runs, 1);
    assert_ne!(fragment_key("a", &["b".into()]), fragment_key("a", &["b".into(), "".into()]));
    assert_ne!(fragment_key("a:2:=b", &[]), fragment_key("a", &["b".into()]));
}

#[tokio::test]
async fn undefined_and_composite_vary_values_are_errors() {
    let site = Site::of("\n{% cache 1, 'card', user.id %}{% endcache %}");
    let error = site.error(context! { user => context! { name => "eve" } }).await;
    assert!(error.contains("vary value 1 of fragment 'card' is undefined"), "{error}");
    assert!(error.contains("t.html:2"), "{error}");
    let error = site.error(context! { user => context! { id => vec![1] } }).await;
    assert!(error.contains("is a sequence"), "{error}");
    let error = Site::of("{% cache 1, 7 %}{% endcache %}").error(context! {}).await;
    assert!(error.contains("a fragment's name must be text, not 7"), "{error}");
    let error = Site::of("{% cache 1, 'a', by=2 %}{% endcache %}").error(context! {}).await;
    assert!(error.contains("by"), "{error}");
}

#[tokio::test]
async fn text_is_escaped_once() {
    let site =
        Site::of("{% cache 1, 'a' %}<p>{{ text }}{{ html|safe }}</p>{% endcache %}{{ text }}");
    let context = || context! { text => "<&>", html => "<i>" };
    let expected = "<p>&lt;&amp;&gt;<i></p>&lt;&amp;&gt;";
    for _ in 0..3 {
        assert_eq!(site.render(context()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_failing_body_is_not_stored() {
    let source = "{% cache 1, 'a' %}a{% endcache %}\n{% cache 1, 'b' %}{{ run() }}{{ 1 // n }}{% endcache %}";
    let site = Site::of(source);
    let error = site.error(context! { n => 0 }).await;
    assert!(error.contains("t.html:2"), "the right line: {error}");
    assert_eq!(site.page(context! { n => 1 }).await, ("a\n1".to_owned(), 1));
    assert_eq!(site.page(context! { n => 0 }).await, ("a\n1".to_owned(), 0));
    assert!(
        Site::of("{{ f() }}{% cache 1, 'a' %}{% endcache %}").render(context! {}).await.is_err()
    );
}

/// The first pass ends where the template fails; what it wrote until then is no page.
#[tokio::test]
async fn a_page_that_fails_after_its_fragments_is_an_error() {
    let site = Site::of("{% cache 1, 'a' %}a{% endcache %}{{ 1 // n }}");
    assert_eq!(site.render(context! { n => 1 }).await.unwrap(), "a1");
    assert!(site.error(context! { n => 0 }).await.contains("t.html:1"));
}

#[tokio::test]
async fn a_page_whose_fragments_are_all_cached_is_rendered_once() {
    let site =
        Site::of("{{ run() }}{% cache 1, 'a' %}a{% endcache %}-{% cache 1, 'b' %}b{% endcache %}");
    assert_eq!(site.page(context! {}).await, ("a-b".to_owned(), 2));
    assert_eq!(site.page(context! {}).await, ("a-b".to_owned(), 1));
}

#[tokio::test]
async fn a_dead_or_absent_cache_changes_nothing() {
    for cache in [dead_cache(), Cache::null()] {
        let site = Site::new(&cache, &[("t.html", ROWS)]);
        for _ in 0..2 {
            let (html, runs) = site.page(users(&["a", "b"])).await;
            assert_eq!((html.as_str(), runs), ("<b>a</b><b>b</b>|&lt;x&gt;", 2));
        }
        let version = site.fragments.versions(&["tasks"]).await;
        assert_ne!(version, site.fragments.versions(&["tasks"]).await, "nothing to find again");
    }
}

/// Rendered by minijinja alone, a template needs no cache and no runtime.
#[test]
fn without_fragments_render_every_body_runs() {
    let site = Site::of(ROWS);
    let html = site.env.get_template("t.html").unwrap().render(users(&["a"])).unwrap();
    assert_eq!(html, "<b>a</b>|&lt;x&gt;");
}

#[tokio::test]
async fn fragments_work_wherever_a_template_is_used() {
    let row = "{% cache 1, 'row', u.id %}<{{ u.name }}{{ run() }}>{% endcache %}";
    let included = "{% for u in users %}{% include 'row.html' %}{% endfor %}";
    let child = "{% extends 'base.html' %}{% block body %}{{ super() }}{% for u in users %}\
                 {% cache 1, 'row', u.id %}<{{ u.name }}{{ run() }}>{% endcache %}{% endfor %}{% endblock %}";
    let base = "({% block body %}{% cache 1, 'base' %}:{{ run() }}{% endcache %}{% endblock %})";
    let macros = "{% macro row(u) %}[{% cache 1, 'row', u.id %}<{{ u.name }}{{ run() }}>{% endcache %}]{% endmacro %}";
    let imported =
        "{% from 'macros.html' import row %}{% for u in users %}{{ row(u) }}{% endfor %}";
    let local = format!("{macros}{{% for u in users %}}{{{{ row(u) }}}}{{% endfor %}}");
    for (source, expected, runs) in [
        (included, "<a><b>", 2),
        (child, "(:<a><b>)", 3),
        (imported, "[<a>][<b>]", 2),
        (local.as_str(), "[<a>][<b>]", 2),
    ] {
        let templates =
            [("t.html", source), ("row.html", row), ("base.html", base), ("macros.html", macros)];
        let site = Site::new(&Cache::in_process(1 << 20), &templates);
        let ((html, ran), cost) = figures(site.page(users(&["a", "b"]))).await;
        assert_eq!((html.as_str(), ran), (expected, runs), "{source}");
        assert_eq!(cost.gets, runs as u64);
        let ((html, ran), cost) = figures(site.page(users(&["a", "b"]))).await;
        assert_eq!((html.as_str(), ran, cost.hits), (expected, 0, runs as u64), "{source}");
    }
}

/// A template may do anything with captured text; what it does must be done to the fragment, hit or
/// not, never to a marker.
#[tokio::test]
async fn captured_fragments_are_real_text() {
    let cases = [
        ("{% filter upper %}{% cache 1, 'a' %}abc{% endcache %}{% endfilter %}", "ABC"),
        ("{% set x %}{% cache 1, 'a' %}abc{% endcache %}{% endset %}{{ x|length }}{{ x }}", "3abc"),
        ("{% set x %}{% cache 1, 'a' %}41{% endcache %}{% endset %}{{ x|int + 1 }}", "42"),
        ("{% set x %}{% cache 1, 'a' %}a{% endcache %}{% endset %}-{{ x }}-{{ x }}", "-a-a"),
        (
            "{% set x %}{% cache 1, 'a' %}a{% endcache %}{% endset %}{% cache 1, 'b', x %}{{ x }}{% endcache %}",
            "a",
        ),
        (
            "{% set x %}{% cache 1, 'a' %}a{% endcache %}{% cache 1, 'b' %}b{% endcache %}{% endset %}{{ x }}",
            "ab",
        ),
    ];
    for (source, expected) in cases {
        let site = Site::of(source);
        for _ in 0..3 {
            assert_eq!(site.render(context! {}).await.unwrap(), expected, "{source}");
        }
    }
}

#[tokio::test]
async fn whitespace_control_and_a_loader_work() {
    let cache = Cache::in_process(1 << 20);
    let fragments = Fragments::new(cache);
    let mut env = Environment::new();
    fragments.install(&mut env);
    env.set_loader(fragments::loader(|name| {
        let source = "a {%- cache 1, 'x' -%} b {%- endcache -%} c{% raw %}{% cache %}{% endraw %}";
        Ok((name == "t.html").then(|| source.to_owned()))
    }));
    for _ in 0..2 {
        let html = fragments.render(&env, "t.html", context! {}).await.unwrap();
        assert_eq!(html, "abc{% cache %}");
    }
    assert!(fragments.render(&env, "missing.html", context! {}).await.is_err());
}

/// A delete while the body runs: what it makes is shown to those who asked before, and not kept.
#[tokio::test]
async fn a_fragment_deleted_while_it_is_made_is_not_stored() {
    let mut site =
        Site::of("{% cache none, 'a' %}{{ run() }}{{ delete() }}{{ text }}{% endcache %}");
    let cache = site.cache.clone();
    site.env.add_function("delete", move || {
        let cache = cache.clone();
        let delete = async move { cache.delete(fragment_key("a", &[])).await };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // The page's own thread is not to be blocked by a runtime inside its runtime.
        std::thread::spawn(move || runtime.block_on(delete)).join().unwrap();
        ""
    });
    for text in ["old", "new"] {
        assert_eq!(site.page(context! { text }).await, (text.to_owned(), 1));
    }
}

/// Data read before a change may be rendered after it. Versions asked for before the data keep the
/// stale page apart.
#[tokio::test]
async fn versions_keep_what_was_read_before_a_change_apart() {
    let site = Site::of("{% cache none, 'list', version %}{{ text }}{% endcache %}");
    let version = site.fragments.versions(&["tasks"]).await;
    // Here the old text is read; then somebody changes it.
    site.cache.invalidate_tags(&["tasks"]).await;
    let stale = site.render(context! { version, text => "old" }).await.unwrap();
    assert_eq!(stale, "old", "this reader asked before the change");
    let version = site.fragments.versions(&["tasks"]).await;
    let fresh = site.render(context! { version, text => "new" }).await.unwrap();
    assert_eq!(fresh, "new");
}

#[tokio::test]
async fn a_page_can_be_rendered_on_any_thread() {
    let site = Site::of(ROWS);
    let html = tokio::spawn(async move { site.render(users(&["a"])).await.unwrap() }).await;
    assert_eq!(html.unwrap(), "<b>a</b>|&lt;x&gt;");
}
