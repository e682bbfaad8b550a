//! A person before the console, and what a busy cache looks like.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use larder_console::{ConsoleSettings, serve};
use larder_peers::browser::Browser;
use larder_tenancy::{Command, Figures, Insight, KeyUse, Latency, Missed, PrefixUse, Recent};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::common::{As, Site, by, name};

/// How long something that comes by itself may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A phone's window.
pub(crate) const PHONE: (u32, u32) = (390, 844);
/// A laptop's.
pub(crate) const LAPTOP: (u32, u32) = (1280, 860);

/// A browser before a console that listens.
pub(crate) struct Person {
    pub(crate) browser: Browser,
    pub(crate) site: Site,
    pub(crate) addr: SocketAddr,
    _ends: oneshot::Sender<()>,
}

impl Person {
    /// Somebody who is not signed in.
    pub(crate) async fn sits_down() -> Person {
        let site = Site::new().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (ends, end) = oneshot::channel::<()>();
        let console = site.console(ConsoleSettings::default());
        tokio::spawn(async move {
            let end = async { end.await.unwrap_or_default() };
            serve(console, listener, end).await.unwrap();
        });
        let person = Person { browser: Browser::start().await, site, addr, _ends: ends };
        let hidden = json!({ "hidden": true });
        person.browser.devtools("Emulation.setScrollbarsHidden", hidden).await;
        person.look(LAPTOP, "light").await;
        person
    }

    /// Signs in as an operator, by a link.
    pub(crate) async fn runs_the_fleet(&self) {
        let link = self.site.accounts.new_sign_in_link(&by(), "operator").await.unwrap();
        self.open(&format!("/sign-in/{}", link.token)).await;
        self.browser.click("main button").await;
        assert_eq!(self.browser.path().await, "/");
    }

    /// Signs in with the primary credential of `shop`.
    pub(crate) async fn owns_the_shop(&self) {
        let As::Basic(user, password) = &self.site.everybody.admin else { panic!("no password") };
        self.open("/sign-in").await;
        self.browser.write("#user", user).await;
        self.browser.write("#password", password).await;
        self.browser.click("main button").await;
        assert_eq!(self.browser.path().await, "/tenants/shop");
    }

    pub(crate) async fn open(&self, path: &str) {
        self.browser.open(&format!("http://{}{path}", self.addr)).await;
    }

    /// The text of an element as a person sees it, in one step: a live page may replace the element
    /// between two.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let seen = "(element) => element && (element.checkVisibility() ? element.innerText : '')";
        let text = format!("({seen})(document.querySelector({selector:?}))");
        let text = self.browser.evaluate(&text).await;
        text.as_str().unwrap_or_else(|| panic!("no {selector}")).trim().to_owned()
    }

    /// Gives the window a size and the person a taste.
    pub(crate) async fn look(&self, (width, height): (u32, u32), scheme: &str) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.browser.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let taste = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.browser.devtools("Emulation.setEmulatedMedia", taste).await;
    }

    /// Keeps a picture of the whole page, and checks that nothing sticks out of the window sideways.
    pub(crate) async fn picture(&self, name: &str, (width, _): (u32, u32), scheme: &str) {
        let height = self.browser.evaluate("document.documentElement.scrollHeight").await;
        let height = u32::try_from(height.as_u64().unwrap()).unwrap();
        self.look((width, height.clamp(700, 4000)), scheme).await;
        self.glance(name).await;
    }

    /// Keeps a picture of what is in the window.
    pub(crate) async fn glance(&self, name: &str) {
        let picture = self.browser.screenshot().await;
        std::fs::write(screenshots().join(name).with_extension("png"), picture).unwrap();
        let fits = "document.documentElement.scrollWidth <= window.innerWidth";
        assert_eq!(self.browser.evaluate(fits).await, true, "{name}");
    }

    /// Nothing was complained of in the browser's console, and nothing was asked of anybody else.
    pub(crate) async fn was_quiet(&self) {
        let said = self.browser.log("browser").await;
        // A page that is not there, which a test asked for, is told of there too.
        let said: Vec<_> = said.iter().filter(|line| !line.contains("status of 4")).collect();
        assert!(said.is_empty(), "{said:?}");
        let own = format!("http://{}/", self.addr);
        let requested = self.browser.requested().await;
        assert!(requested.iter().any(|url| url.starts_with(&own)), "{requested:?}");
        assert_eq!(requested.iter().find(|url| !url.starts_with(&own)), None);
    }
}

fn screenshots() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let directory = target.join("screenshots");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// Asks again and again until the answer is yes.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < end, "it did not come to pass: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Makes `shop` a cache that has been busy for hours, with a gap while the node did not run.
pub(crate) async fn gets_busy(site: &Site) {
    let now = now();
    let mut figures = Figures { limit_bytes: 25 << 20, connections: 24, ..Figures::default() };
    let mut noise = 7_u64;
    let start = now - 3 * 3600;
    for at in start..now {
        // Xorshift: <https://www.jstatsoft.org/article/view/v008i14>
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        let age = at - start;
        if (7000..7600).contains(&age) {
            continue;
        }
        let wave = 60 + (age / 40 % 60) + noise % 25;
        figures.get_hits += wave * 9;
        figures.get_misses += wave + noise % 11;
        figures.sets += wave / 2 + noise % 7;
        figures.bytes = (6 << 20) + (age * 1500).min(16 << 20);
        figures.items = figures.bytes / 700;
        figures.evictions += u64::from(age > 9000) * (noise % 5);
        figures.evicted_unread += u64::from(age > 9000 && noise.is_multiple_of(9));
        figures.expired += noise % 13;
        figures.bytes_read += wave * 900;
        figures.bytes_written += wave * 7200;
        figures.total_connections += u64::from(noise.is_multiple_of(40));
        site.node.set(site.shop, figures);
        grow(&mut site.node.latency.lock().unwrap(), noise);
        if age % 10 == 9 || age > 10_100 {
            site.history.sample(at, &*site.node).await;
        }
    }
    (figures.delete_hits, figures.delete_misses) = (811, 93);
    (figures.incr_hits, figures.incr_misses) = (4_120, 66);
    (figures.cas_hits, figures.cas_badval) = (1_002, 14);
    figures.auth_commands = 31;
    site.node.set(site.shop, figures);
    *site.node.insight.lock().unwrap() = insight(now);
}

/// Keeps all caches that were ever asked for something busy, a hundred times a second, until the test
/// ends.
pub(crate) fn stays_busy(site: &Site) {
    let node = site.node.clone();
    tokio::spawn(async move {
        for turn in 0_u64.. {
            tokio::time::sleep(Duration::from_millis(10)).await;
            for figures in node.figures.lock().unwrap().values_mut() {
                let share = figures.hit_rate().unwrap_or(0.0);
                figures.get_hits += if share > 0.0 { 7 } else { 0 };
                figures.get_misses += u64::from(
                    share > 0.0 && f64::from(u8::try_from(turn % 100).unwrap()) > share * 100.0,
                ) * 8;
                figures.sets += u64::from(share > 0.0 && turn.is_multiple_of(3));
                figures.expired += u64::from(share > 0.0 && turn.is_multiple_of(17));
                figures.bytes_read += 700;
                figures.bytes_written += 5_900;
            }
            grow(&mut node.latency.lock().unwrap(), turn * 77);
        }
    });
}

/// Has somebody watch the shop.
pub(crate) async fn is_watched(site: &Site) {
    use larder_control::{AlertKind, NewAlert, Webhook};
    let hook = Webhook::parse("https://hooks.slack.com/services/T000/B000/XXXX").unwrap();
    let kinds = [
        (AlertKind::HitRateBelow(80), Some(hook)),
        (AlertKind::MemoryAbove(95), None),
        (AlertKind::NeverHits, None),
    ];
    for (kind, webhook) in kinds {
        let enabled = kind != AlertKind::MemoryAbove(95);
        let new = NewAlert { kind, for_minutes: 5, webhook, webhook_private: false, enabled };
        site.accounts.create_alert(&by(), &name("shop"), new).await.unwrap();
    }
}

/// Some requests more, most of them fast.
fn grow(latency: &mut Latency, noise: u64) {
    for part in 0..12_u64 {
        let nanos = 4_000 + (noise >> part) % 9_000;
        latency.add(Latency::bucket(nanos), 60);
    }
    latency.add(Latency::bucket(40_000 + noise % 60_000), 6);
    latency.add(Latency::bucket(300_000 + noise % 900_000), 1);
}

fn insight(now: u64) -> Insight {
    let key = |text: &str, hits, misses, sets, bytes| KeyUse {
        per_minute: hits / 180,
        key: text.as_bytes().into(),
        hits,
        misses,
        sets,
        bytes,
        ..KeyUse::default()
    };
    let prefix = |pattern: &str, hits, missed: Missed, sets| PrefixUse {
        per_minute: (hits + sets) / 180,
        pattern: pattern.into(),
        hits,
        misses: missed.never_set
            + missed.expired
            + missed.evicted
            + missed.deleted
            + missed.flushed,
        missed,
        sets,
        bytes_set: sets * 812,
        ..PrefixUse::default()
    };
    let missed = |never_set, expired, evicted, deleted, flushed| Missed {
        never_set,
        expired,
        evicted,
        deleted,
        flushed,
    };
    let commands = [Command::Get, Command::Get, Command::Set, Command::Delete];
    let recent = (0..40).zip(commands.into_iter().cycle()).map(|(number, command)| Recent {
        unix_ms: now * 1000 - number * 37,
        command,
        key: format!("task-fragment:{}", 4711 - number * 3).into_bytes().into(),
        found: number % 5 != 0,
        bytes: if command == Command::Set { 812 } else { 0 },
    });
    Insight {
        since: now - 10_800,
        share: 0.125,
        keys: vec![
            key("tasks.all", 812_331, 1_204, 1_204, 24_812),
            key(
                "views.decorators.cache.cache_page..GET.8f14e45fceea167a5a36dedd4bea2543.en-us.UTC",
                402_118,
                98,
                98,
                61_440,
            ),
            key("task-fragment:42", 98_212, 12, 12, 812),
            key("session:9f2c4e1a7b", 64_001, 33, 801, 2_048),
            key("rates\u{0}eur\nusd", 12_011, 9_820, 40, 64),
            key("用户:资料:1001", 8_410, 1_033, 120, 4_096),
        ],
        prefixes: vec![
            prefix("task-fragment:*", 5_401_220, missed(24_120, 90_210, 12_004, 4_100, 0), 130_434),
            prefix("tasks.all", 812_331, missed(1, 0, 0, 1_203, 0), 1_204),
            prefix(
                "views.decorators.cache.cache_page..GET.*.en-us.UTC",
                402_118,
                missed(61, 30, 0, 0, 7),
                98,
            ),
            prefix("session:*", 388_002, missed(42_001, 11_820, 60_422, 0, 0), 90_121),
            PrefixUse {
                never_hits: true,
                ..prefix("user-v2:*:profile", 0, missed(8_812, 0, 0, 0, 0), 9_120)
            },
        ],
        missed: missed(74_995, 102_060, 72_426, 5_303, 7),
        recent: recent.collect(),
    }
}

/// Gives the fleet caches with names and sizes of all kinds.
pub(crate) async fn has_many_caches(site: &Site) {
    let caches = [
        ("blog", 8_u64, 97_u64, 3_u64),
        ("intranet-search-suggestions-production-europe-west", 64, 61, 39),
        ("checkout", 128, 44, 56),
        ("api-sessions", 32, 9_912, 88),
        ("never-used", 16, 0, 0),
    ];
    for (called, mib, hits, misses) in caches {
        let new = larder_control::NewTenant::new(name(called), mib << 20);
        let id = site.accounts.create_tenant(&by(), new).await.unwrap().value.0.id;
        let counted = Figures {
            get_hits: hits * 8_312,
            get_misses: misses * 8_312,
            sets: misses * 9_000,
            items: hits * 120,
            bytes: (mib << 20) * hits / (hits + misses + 1),
            limit_bytes: mib << 20,
            evictions: misses * misses * 7,
            connections: hits % 37,
            ..Figures::default()
        };
        site.node.set(id, counted);
        let from = now() - 120;
        for second in 0..120_u64 {
            let figures = Figures {
                get_hits: counted.get_hits + second * hits,
                get_misses: counted.get_misses + second * misses,
                ..counted
            };
            site.node.set(id, figures);
            if called == "never-used" {
                site.history.sample(from + second, &*site.node).await;
            }
        }
    }
}
