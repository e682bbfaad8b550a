//! The forms found in keys as frameworks make them, and what is done when there are too many.

mod common;

use common::{Random, START, Story, event};
use larder_insight::{Event, Limits, Observer};
use proptest::prelude::*;

fn form(key: &[u8]) -> String {
    let mut observer = Observer::new(Limits::SMALL);
    observer.observe(&event(key));
    String::from(observer.insight().prefixes[0].pattern.clone())
}

fn check(table: &[(&str, &str)]) {
    for (key, wanted) in table {
        assert_eq!(form(key.as_bytes()), *wanted, "of {key}");
    }
}

#[test]
fn words_stay_and_ids_go() {
    check(&[
        ("task-fragment:123", "task-fragment:*"),
        ("latest_posts", "latest_posts"),
        ("user_1_recent_purchases", "user_*_recent_purchases"),
        ("user42", "user*"),
        ("user:42:friends", "user:*:friends"),
        ("user:550e8400-e29b-41d4-a716-446655440000:cart", "user:*:cart"),
        ("user:deadbeef-dead-beef-dead-beefdeadbeef", "user:*"),
        ("file:e7f9a1b", "file:*"),
        ("avatar:507f1f77bcf86cd799439011", "avatar:*"),
        ("order:01ARZ3NDEKTSV4RRFFQ69G5FAV", "order:*"),
        ("cus_9s6XKzkNRiz8i3", "cus_*"),
        ("link:V1StGXR8_Z5jdHi6B-myT", "link:*"),
        ("token:dGhpcyBpcyBhIHRlc3Q0==", "token:*"),
        (
            "jwt:eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
            "jwt:*.*.*",
        ),
        ("rate:10.0.0.1", "rate:*"),
        ("rate:10.0.0.1:/login", "rate:*:/login"),
        ("report:2024-01-31", "report:*"),
        ("report:2024-01-31T23:59:59Z", "report:*:*:*Z"),
        ("user:ann.lee+x@example.co.uk:cart", "user:*:cart"),
        ("ann@example.com", "*"),
        ("settings.ann@example.com", "settings.*"),
        ("user_ann@example.com", "user_*"),
        ("lock@daily", "lock@daily"),
        ("price:3.14", "price:*"),
        ("api/v2/items/17", "api/v2/items/*"),
        ("/items/17?page=2&q=red%20shoes", "/items/*?page=*&q=red%20shoes"),
        ("getUserByIdAsJson", "getUserByIdAsJson"),
        ("internationalizationSettings", "internationalizationSettings"),
        ("namn:smörgåsbord:7", "namn:smörgåsbord:*"),
        ("ключ:17", "ключ:*"),
        ("x", "x"),
        ("1", "*"),
        (":", ":"),
        ("a b", "a b"),
        ("*", "*"),
    ]);
}

#[test]
fn keys_of_django() {
    let page = "views.decorators.cache.cache_page..GET.5f4dcc3b5aa765d61d8327deb882cf99.d41d8cd98f00b204e9800998ecf8427e.en-us.UTC";
    let header = "views.decorators.cache.cache_header..5f4dcc3b5aa765d61d8327deb882cf99.en-us.UTC";
    check(&[
        (page, "views.decorators.cache.cache_page..GET.*.*.en-us.UTC"),
        (&format!(":1:{page}"), ":1:views.decorators.cache.cache_page..GET.*.*.en-us.UTC"),
        (header, "views.decorators.cache.cache_header..*.en-us.UTC"),
        (":1:template.cache.task.5f4dcc3b5aa765d61d8327deb882cf99", ":1:template.cache.task.*"),
        (
            ":1:django.contrib.sessions.cachek3j9x0q1m5v8c2z7b4n6a9s1d3f5g7h0",
            ":1:django.contrib.sessions.*",
        ),
        (":1:session:k3j9x0q1m5v8c2z7b4n6a9s1d3f5g7h0", ":1:session:*"),
        (":1:task-fragment:123", ":1:task-fragment:*"),
        ("shop:1:tasks.all", "shop:*:tasks.all"),
    ]);
}

#[test]
fn keys_of_flask_caching() {
    check(&[
        ("flask_cache_view//", "flask_cache_view//"),
        ("flask_cache_view//tasks/42", "flask_cache_view//tasks/*"),
        ("flask_cache_app.tasks.get_memver", "flask_cache_app.tasks.get_memver"),
        ("flask_cache_7PTTbYn+Gxd2kXv9qAAtcR8wLx", "flask_cache_*"),
        ("view//5f4dcc3b5aa765d61d8327deb882cf99", "view//*"),
    ]);
}

#[test]
fn keys_of_rails_and_dalli() {
    check(&[
        (
            "views/projects/42-20240101120000000000/5f4dcc3b5aa765d61d8327deb882cf99",
            "views/projects/*/*",
        ),
        (
            "views/projects/show:5f4dcc3b5aa765d61d8327deb882cf99/projects/42-20240101120000",
            "views/projects/show:*/projects/*",
        ),
        (
            "views/projects/index:5f4dcc3b5aa765d61d8327deb882cf99/projects/query-d41d8cd98f00b204e9800998ecf8427e-3-20240101120000123456",
            "views/projects/index:*/projects/query-*",
        ),
        (
            "_session_id:2::ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "_session_id:*::*",
        ),
        ("rack::attack:28333333:logins/ip:10.1.2.3", "rack::attack:*:logins/ip:*"),
    ]);
}

#[test]
fn keys_of_php_and_node() {
    check(&[
        ("laravel_cache:users.42", "laravel_cache:users.*"),
        ("laravel_cache_:5c785c036466adea360111aa28563bfd556b5fba:timer", "laravel_cache_:*:timer"),
        ("laravel_cache:tag:posts:key", "laravel_cache:tag:posts:key"),
        ("wp_:1:posts:42", "wp_:*:posts:*"),
        ("1:options:alloptions", "*:options:alloptions"),
        ("wp:transient:feed_mod_5f4dcc3b5aa765d61d8327deb882cf99", "wp:transient:feed_mod_*"),
        ("wp_query:5f4dcc3b5aa765d61d8327deb882cf99:0.12345600 1700000000", "wp_query:*:* *"),
        ("memc.sess.key.4u1nb9fq9kprhl6gu8ir8p0b3a", "memc.sess.key.*"),
        ("memc.sess.key.lock.4u1nb9fq9kprhl6gu8ir8p0b3a", "memc.sess.key.lock.*"),
        ("sess:8Vb-5mPq_0xYtR3nK7wLzAeD1fGhJ2cQ", "sess:*"),
        ("/api/products/9?currency=EUR", "/api/products/*?currency=EUR"),
    ]);
}

#[test]
fn keys_of_our_own_framework_lose_their_lengths() {
    check(&[
        ("shop:1:9:tasks.all", "shop:1:tasks.all"),
        ("shop:1:4:task:2:42", "shop:1:task:*"),
        ("shop:1:4:task:3:420", "shop:1:task:*"),
        ("shop:1:f:9:task:list:1:7:5:en-us", "shop:1:f:task:list:*:en-us"),
        ("shop:12:s:32:5f4dcc3b5aa765d61d8327deb882cf99", "shop:12:s:*"),
        ("shop:1:p:9:localhost:6:/tasks:0:", "shop:1:p:localhost:/tasks:"),
        ("shop:1:h:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "shop:1:h:*"),
        // A length that does not fit is an id like any other.
        ("shop:1:4:tasks", "shop:*:*:tasks"),
        ("shop:1:99999999999999999999:x", "shop:*:*:x"),
    ]);
}

#[test]
fn binary_keys_are_escaped_and_binary_ids_collapsed() {
    for (key, wanted) in [
        (&b"\x00\x01user:42"[..], "\\x00\\x01user:*"),
        (b"user:\x8f\x01\x02\xff\xfe\x9a!x", "user:*!x"),
        (b"\x8f\x01\x02\xff\xfe\x9a", "*"),
        (b"id:\xff", "id:\\xff"),
        (b"a\r\nb", "a\\x0d\\x0ab"),
        (b"sm\xc3\xb6r:\x01", "smör:\\x01"),
        (b"cut:\xc3", "cut:\\xc3"),
        ("turned:\u{202e}".as_bytes(), "turned:\\xe2\\x80\\xae"),
    ] {
        assert_eq!(form(key), wanted, "of {}", key.escape_ascii());
    }
}

#[test]
fn a_long_form_is_cut_at_a_character() {
    let long = form("lorem".repeat(50).as_bytes());
    assert_eq!((long.len(), long.ends_with("lorem*")), (120, false), "{long}");
    assert!(long.ends_with('*'));
    let wide = form("ö".repeat(125).as_bytes());
    assert!(wide.len() <= 120 && wide.ends_with("ö*"), "{wide}");
    let words = form("word-".repeat(50).as_bytes());
    assert!(words.len() <= 120 && words.starts_with("word-word-"), "{words}");
}

/// Ids of every kind come down to one form, or a few.
#[test]
fn random_ids_come_down_to_few_forms() {
    let mut random = Random(7);
    let base62 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let base64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let kinds: [(&str, &[u8], usize, usize); 8] = [
        ("number", b"0123456789", 9, 1),
        ("hex", b"0123456789abcdef", 32, 1),
        ("short hex", b"0123456789abcdef", 8, 40),
        ("base36", b"0123456789abcdefghijklmnopqrstuvwxyz", 32, 2),
        ("base32", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26, 2),
        ("base62", base62, 22, 60),
        ("base64", base64, 43, 60),
        ("letters", b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 40, 60),
    ];
    for (kind, alphabet, len, most) in kinds {
        let mut forms: Vec<_> = (0..1000)
            .map(|_| form(format!("id:{}", random.text(alphabet, len)).as_bytes()))
            .collect();
        let as_wanted = forms.iter().filter(|form| *form == "id:*").count();
        forms.sort_unstable();
        forms.dedup();
        assert!(
            forms.len() <= most,
            "{kind}: {} forms, as {:?}",
            forms.len(),
            &forms[..5.min(forms.len())]
        );
        assert!(as_wanted >= 940, "{kind}: {as_wanted}");
    }
}

#[test]
fn random_words_are_collapsed_when_there_are_too_many() {
    for limits in [Limits::SMALL, Limits::USUAL, Limits::LARGE] {
        let mut story = Story::with(limits);
        let mut random = Random(3);
        for at in 0..20_000 {
            let word = random.text(b"abcdefghijklmnopqrstuvwxyz", 7);
            story.hit(&format!("user:{word}:settings")).hit("latest:posts");
            if at % 10 == 0 {
                story.set(&format!("task:{at}")).hit("user:admin:settings");
            }
        }
        let users = story.prefix("user:*:settings");
        assert!(users.hits > 15_000, "{limits:?}: {users:?}");
        assert_eq!(story.prefix("latest:posts").hits, 20_000);
        assert_eq!(story.prefix("task:*").sets, 2000);
        assert!(story.insight().prefixes.len() < 60, "{limits:?}");
    }
}

#[test]
fn words_without_number_in_two_places_leave_what_is_before_them() {
    let mut story = Story::with(Limits::SMALL);
    let mut random = Random(5);
    for _ in 0..20_000 {
        let (one, two) = (random.text(b"abcdefgh", 6), random.text(b"abcdefgh", 6));
        story.hit(&format!("search:{one}+{two}")).hit("latest:posts");
    }
    assert!(story.prefix("search:*").hits > 15_000);
    assert_eq!(story.prefix("latest:posts").hits, 20_000);
}

#[test]
fn hundred_fragments_of_one_program_stay_apart() {
    let mut story = Story::new();
    for round in 0..20 {
        for name in 0..100_u8 {
            let name = format!("{}{}", char::from(b'a' + name / 10), char::from(b'k' + name % 10));
            story.hit(&format!("template.cache.{name}.{round:032x}"));
        }
    }
    let prefixes = story.insight().prefixes;
    assert_eq!(prefixes.len(), 100);
    assert!(prefixes.iter().all(|one| one.hits == 20));
}

#[test]
fn counts_of_a_form_are_those_of_its_keys() {
    let mut story = Story::new();
    story.miss("task:1").set("task:1").hit("task:1").hit("task:1").delete("task:1", true);
    story.miss("task:2").set("task:2");
    story.weight = 8;
    story.hit("task:3");
    let tasks = story.prefix("task:*");
    assert_eq!((tasks.hits, tasks.misses, tasks.sets, tasks.deletes), (10, 2, 2, 1));
    assert_eq!((tasks.bytes_set, tasks.missed.never_set), (20, 2));
    assert_eq!(story.insight().share, 0.125);
}

#[test]
fn a_form_that_is_only_ever_stored_is_told_of_until_it_is_hit() {
    let mut story = Story::new();
    for at in 0..40 {
        assert!(!story.prefix_or_default("cart:*").never_hits, "{at}");
        story.miss(&format!("cart:{at}")).set(&format!("cart:{at}")).later(if at < 39 {
            1
        } else {
            300
        });
    }
    assert!(!story.prefix("cart:*").never_hits, "a cache being filled");
    story.set("cart:40");
    assert!(story.prefix("cart:*").never_hits);
    story.hit("cart:7");
    assert!(!story.prefix("cart:*").never_hits);
    story.later(1000).set("cart:41");
    assert!(!story.prefix("cart:*").never_hits);
}

#[test]
fn counters_and_failed_stores_raise_no_alarm() {
    use larder_insight::Command::{Arith, Set};
    let mut story = Story::new();
    for at in 0..100 {
        story.set("count:1").tell(Arith, true, "count:1", None);
        story.tell(Set, false, "lock:1", None).later(at);
    }
    assert!(!story.prefix("count:*").never_hits);
    let lock = story.prefix("lock:*");
    assert_eq!((lock.never_hits, lock.sets, lock.bytes_set), (false, 100, 0));
}

#[test]
fn a_hit_in_the_sample_by_key_alone_clears_too() {
    let mut story = Story::new();
    for at in 0..50 {
        story.set(&format!("cart:{at}")).later(20);
    }
    assert!(story.prefix("cart:*").never_hits);
    story.observer.observe(&Event { unix_ms: START, request_weight: 0, ..event(b"cart:3") });
    let cart = story.prefix("cart:*");
    assert_eq!((cart.never_hits, cart.hits), (false, 0));
}

proptest! {
    #[test]
    fn any_key_has_a_form_that_is_short_text(key in proptest::collection::vec(any::<u8>(), 0..260)) {
        let form = form(&key);
        prop_assert!(form.len() <= 120);
        prop_assert!(!form.chars().any(char::is_control));
        let was_cut_wrongly = form.contains(char::REPLACEMENT_CHARACTER);
        prop_assert!(!was_cut_wrongly);
    }

    #[test]
    fn any_text_has_one(key in "[a-z0-9A-Z:._@%=\\-+ *]{0,80}") {
        prop_assert!(form(key.as_bytes()).len() <= key.len().max(1) + 1);
    }
}
