//! What figures are told, to whom, in both forms.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use larder_store::Clock;
use larder_tenancy::{
    Capabilities, Credential, Digest, Directory, Salt, SharedDirectory, Tenant, TenantId,
    TenantLimits, TenantName,
};

use crate::access::Access;
use crate::connections::{Info, Waiting};
use crate::cx::{Cx, Flow};
use crate::exec::binary::frames::{ask, item, request};
use crate::node::{Listening, Node};
use crate::settings::{Address, ProtocolPin, Settings};
use crate::testing::{Bench, Wire};

const NOW: u64 = 1_800_000_000;

struct Server {
    bench: Bench,
    wire: Wire,
    clock: Clock,
}

impl Server {
    fn new() -> Server {
        Server::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Server {
        Server::of(Directory::open(), change)
    }

    fn of(directory: Directory, change: impl FnOnce(&mut Settings)) -> Server {
        let clock = Clock::manual(NOW * 1000);
        let mut settings = Settings { clock: clock.clone(), ..Settings::new(64 << 20) };
        change(&mut settings);
        let mut bench = Bench::new(settings, SharedDirectory::new(directory)).unwrap();
        let wire = bench.wire(ProtocolPin::Negotiated);
        Server { bench, wire, clock }
    }

    fn send(&mut self, lines: &str) -> String {
        let replies = self.bench.send(&mut self.wire, lines.replace('\n', "\r\n").as_bytes());
        String::from_utf8(replies).unwrap().replace("\r\n", "\n")
    }

    /// What `stats …` tells, by name.
    fn stats(&mut self, line: &str) -> BTreeMap<String, String> {
        let replies = self.send(&format!("{line}\n"));
        let lines = replies.strip_suffix("END\n").expect(&replies).lines();
        let figure = |line: &str| {
            let (name, value) = line.strip_prefix("STAT ").unwrap().split_once(' ').unwrap();
            (name.to_owned(), value.to_owned())
        };
        lines.map(figure).collect()
    }

    /// The same in binary, on a connection of its own.
    fn binary(&mut self, name: &str) -> BTreeMap<String, String> {
        let mut wire = self.bench.wire(ProtocolPin::Negotiated);
        let request = request(0x10, &[], name.as_bytes(), &[]);
        let mut all = ask(&mut self.bench, &mut wire, &request);
        let last = all.pop().unwrap();
        assert!(last.status == 0 && last.key.is_empty() && last.value.is_empty(), "{last:?}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        all.into_iter().map(|answer| (text(answer.key), text(answer.value))).collect()
    }
}

fn figure(stats: &BTreeMap<String, String>, name: &str) -> u64 {
    stats.get(name).unwrap_or_else(|| panic!("{name} is not there")).parse().unwrap()
}

#[test]
fn what_was_done_is_counted_under_memcacheds_names() {
    let mut server = Server::new();
    let before = server.stats("stats");
    for name in [
        "curr_items",
        "total_items",
        "bytes",
        "cmd_get",
        "cmd_set",
        "get_hits",
        "get_misses",
        "get_expired",
        "get_flushed",
        "evictions",
        "delete_hits",
        "delete_misses",
        "incr_hits",
        "incr_misses",
        "decr_hits",
        "decr_misses",
        "cas_hits",
        "cas_misses",
        "cas_badval",
        "touch_hits",
        "touch_misses",
        "listen_disabled_num",
        "time_in_listen_disabled_us",
        "lrutail_reflocked",
        "store_too_large",
        "store_no_memory",
        "reclaimed",
        "cmd_flush",
        "cmd_touch",
        "cmd_meta",
        "auth_cmds",
        "auth_errors",
        "expired_unfetched",
        "evicted_unfetched",
        "rejected_connections",
    ] {
        assert_eq!(figure(&before, name), 0, "{name}");
    }
    server.send(
        "set a 0 0 1\n1\nset b 0 10 1\nx\nget a b c\nincr a 1\nincr c 1\ndecr a 1\ndecr c 1\n\
         touch a 0\ntouch c 0\ncas a 0 0 1 99999999\n1\ncas c 0 0 1 1\n1\ndelete a\ndelete a\n",
    );
    server.clock.advance(Duration::from_secs(11));
    server.send("get b\nset f 0 0 1\nx\nflush_all\nget f\n");
    let stats = server.stats("stats");
    for (name, value) in [
        ("uptime", 11),
        ("time", NOW + 11),
        ("cmd_get", 5),
        ("get_hits", 2),
        ("get_misses", 3),
        ("get_expired", 1),
        ("get_flushed", 1),
        ("cmd_touch", 2),
        ("touch_hits", 1),
        ("touch_misses", 1),
        ("incr_hits", 1),
        ("incr_misses", 1),
        ("decr_hits", 1),
        ("decr_misses", 1),
        ("cas_misses", 1),
        ("cas_badval", 1),
        ("delete_hits", 1),
        ("delete_misses", 1),
        ("cmd_flush", 1),
        ("limit_maxbytes", 64 << 20),
        ("threads", 1),
        ("pointer_size", u64::from(usize::BITS)),
    ] {
        assert_eq!(figure(&stats, name), value, "{name}");
    }
    assert_eq!(stats["version"], "1.6.45");
    assert_eq!(stats["larder_version"], env!("CARGO_PKG_VERSION"));
    let (whole, part) = stats["rusage_user"].split_once('.').unwrap();
    assert!(whole.parse::<u64>().is_ok() && part.len() == 6, "{}", stats["rusage_user"]);
}

#[test]
fn both_protocols_tell_the_same() {
    let mut server = Server::new();
    server.send("set a 0 0 1\n1\nget a\n");
    for name in ["", "settings", "items", "slabs", "sizes", "extstore"] {
        let text = server.stats(format!("stats {name}").trim_end());
        let binary = server.binary(name);
        let names = |stats: &BTreeMap<String, String>| stats.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&binary), names(&text), "{name:?}");
        assert_eq!(binary.get("curr_items"), text.get("curr_items"));
    }
    let mut wire = server.bench.wire(ProtocolPin::Negotiated);
    for name in [&b"bogus"[..], b"detail", b"detail foo", b"cachedump 1 1"] {
        let all = ask(&mut server.bench, &mut wire, &request(0x10, &[], name, &[]));
        assert_eq!((all.len(), all[0].status, all[0].text()), (1, 1, "Not found"));
    }
}

#[test]
fn a_reset_begins_again_from_zero() {
    let mut server = Server::new();
    server.send("set a 0 0 1\n1\nget a b\ndelete b\n");
    assert_eq!(server.send("stats reset\n"), "RESET\n");
    let stats = server.stats("stats");
    for name in ["cmd_get", "cmd_set", "get_hits", "get_misses", "delete_misses", "total_items"] {
        assert_eq!(figure(&stats, name), 0, "{name}");
    }
    assert_eq!(figure(&stats, "curr_items"), 1);
    server.send("get a\n");
    assert_eq!(figure(&server.stats("stats"), "get_hits"), 1);
    assert_eq!(server.binary("reset").len(), 0);
    assert_eq!(figure(&server.stats("stats"), "get_hits"), 0);
}

#[test]
fn words_that_are_none_are_errors() {
    let mut server = Server::new();
    for line in ["stats foo", "stats noreply", "stats res", "stats proxy", "stats Settings"] {
        assert_eq!(server.send(&format!("{line}\n")), "ERROR\n", "{line}");
    }
    assert_eq!(server.send("stats extstore\n"), "END\n");
    assert_eq!(server.send("stats sizes\n"), "STAT sizes_status disabled\nEND\n");
}

#[test]
fn settings_are_memcacheds_words_and_the_command_line_has_the_last() {
    let mut server = Server::with(|settings| {
        settings.evict = false;
        settings.cas = false;
        settings.allow_shutdown = true;
        settings.idle_timeout = Some(Duration::from_secs(7));
        let shown = [("tcp_backlog", "8675"), ("binding_protocol", "ascii")];
        settings.shown = shown.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    });
    let settings = server.stats("stats settings");
    for (name, value) in [
        ("maxbytes", "67108864"),
        ("maxconns", "1024"),
        ("tcpport", "0"),
        ("udpport", "0"),
        ("inter", "NULL"),
        ("domain_socket", "NULL"),
        ("evictions", "off"),
        ("cas_enabled", "no"),
        ("shutdown_command", "yes"),
        ("auth_enabled_sasl", "no"),
        ("auth_enabled_ascii", "no"),
        ("item_size_max", "1048576"),
        ("idle_timeout", "7"),
        ("flush_enabled", "yes"),
        ("dump_enabled", "yes"),
        ("detail_enabled", "no"),
        ("stat_key_prefix", ":"),
        ("client_flags_size", "4"),
        ("ssl_enabled", "no"),
        ("tcp_backlog", "8675"),
        ("binding_protocol", "ascii"),
    ] {
        assert_eq!(settings[name], value, "{name}");
    }
    let lines = server.send("stats settings\n");
    assert_eq!(lines.matches("binding_protocol").count(), 1);
}

#[test]
fn the_one_class_is_there_while_there_are_items() {
    let mut server = Server::new();
    assert_eq!(server.send("stats items\n"), "END\n");
    assert_eq!(server.stats("stats slabs")["active_slabs"], "0");
    server.send("set a 0 0 1\n1\nset b 0 0 1\n1\nget a\n");
    let items = server.stats("stats items");
    assert_eq!(figure(&items, "items:1:number"), 2);
    assert!(figure(&items, "items:1:mem_requested") >= 4);
    let slabs = server.stats("stats slabs");
    assert_eq!(figure(&slabs, "1:used_chunks"), 2);
    assert_eq!((figure(&slabs, "1:get_hits"), figure(&slabs, "1:cmd_set")), (1, 2));
    assert_eq!(figure(&slabs, "active_slabs"), 1);
    assert!(!slabs.contains_key("total_malloced"), "no page is taken for good");
}

#[test]
fn detail_counts_by_prefix_while_it_is_on() {
    let mut server = Server::new();
    assert_eq!(server.send("stats detail dump\n"), "END\n");
    server.send("set foo:1 0 0 1\nx\n");
    assert_eq!(server.send("stats detail on\n"), "OK\n");
    server.send("set foo:1 0 0 1\nx\nset :x 0 0 1\nx\nset plain 0 0 1\nx\nget foo:1 foo:2 plain\n");
    server.send("delete foo:3\n");
    let dump = "PREFIX  get 0 hit 0 set 1 del 0\nPREFIX foo get 2 hit 1 set 1 del 1\nEND\n";
    assert_eq!(server.send("stats detail dump\n"), dump);
    let detailed = server.binary("detail dump");
    assert_eq!(detailed["detailed"], dump.replace('\n', "\r\n"));
    assert_eq!(server.stats("stats settings")["detail_enabled"], "yes");
    assert_eq!(server.send("stats detail off\n"), "OK\n");
    server.send("get foo:1\n");
    assert_eq!(server.send("stats detail dump\n"), dump, "as it was");
    server.send("stats reset\n");
    assert_eq!(server.send("stats detail dump\n"), "END\n");
    let usage = "CLIENT_ERROR usage: stats detail on|off|dump\n";
    assert_eq!(server.send("stats detail\nstats detail foo\n"), usage.repeat(2));
}

#[test]
fn detail_may_be_on_from_the_start_and_has_its_own_delimiter() {
    let mut server = Server::with(|settings| {
        settings.detail = true;
        settings.detail_delimiter = b'/';
    });
    server.send("set a/b:c 0 0 1\nx\n");
    let dump = "PREFIX a get 0 hit 0 set 1 del 0\nEND\n";
    assert_eq!(server.send("stats detail dump\n"), dump);
    server.send("stats detail off\nset a/c 0 0 1\nx\n");
    assert_eq!(server.send("stats detail dump\n"), dump);
    server.send("stats detail on\nset a/c 0 0 1\nx\n");
    assert!(server.send("stats detail dump\n").contains("set 2"));
}

#[test]
fn prefixes_are_counted_up_to_a_limit_and_end_no_line() {
    let mut server = Server::new();
    server.send("stats detail on\n");
    let mut wire = server.bench.wire(ProtocolPin::Negotiated);
    ask(&mut server.bench, &mut wire, &request(0x11, &item(0, 0), b"a\r\nEND\r\n:x", b"v"));
    let line = "PREFIX a%0D%0AEND%0D%0A get 0 hit 0 set 1 del 0\n";
    assert_eq!(server.send("stats detail dump\n"), format!("{line}END\n"));
    for from in (0..70_000).step_by(1000) {
        let gets: String = (from..from + 1000).map(|at| format!(" p{at}:k")).collect();
        server.send(&format!("get{gets}\n"));
    }
    assert_eq!(server.send("stats detail dump\n").matches("PREFIX").count(), 65_536);
    server.send("stats reset\nget p:k\n");
    assert_eq!(server.send("stats detail dump\n").matches("PREFIX").count(), 1);
}

#[test]
fn dumps_may_be_forbidden() {
    let mut server = Server::with(|settings| settings.allow_dumps = false);
    let refused = "CLIENT_ERROR stats detail not allowed\n";
    assert_eq!(server.send("stats detail on\nstats detail dump\n"), refused.repeat(2));
    assert_eq!(server.send("stats cachedump 1 1\n"), "CLIENT_ERROR stats cachedump not allowed\n");
    assert_eq!(server.send("lru_crawler metadump all\n"), "ERROR metadump not allowed\n");
    assert_eq!(server.send("lru_crawler mgdump all\n"), "ERROR key dump not allowed\n");
}

fn two_tenants() -> Directory {
    let tenant = |id, name: &str| Tenant {
        id: TenantId::new(id),
        name: TenantName::new(name).unwrap(),
        limits: TenantLimits { floor: 0, ceiling: 8 << 20 },
        flushes: 0,
    };
    let user = |name: &str, tenant| Credential {
        username: name.as_bytes().into(),
        digest: Digest::sha256(Salt::random().unwrap(), b"p"),
        tenant: TenantId::new(tenant),
        capabilities: Capabilities::ALL,
        key_prefix: None,
        expires: None,
    };
    let tenants = [tenant(1, "one"), tenant(2, "two")];
    Directory::new(1, tenants, [user("ann", 1), user("bob", 2)], None).unwrap()
}

#[test]
fn tenants_see_their_own_figures_and_no_others() {
    let mut ann = Server::of(two_tenants(), |_| {});
    ann.send("set x 0 0 5\nann p\n");
    ann.send("stats detail on\nset a:1 0 0 1\nx\nset a:2 0 0 1\nx\nget a:1 a:3\n");
    let bob = ann.bench.wire(ProtocolPin::Negotiated);
    let ann_wire = std::mem::replace(&mut ann.wire, bob);
    let mut bob = ann;
    bob.send("set x 0 0 5\nbob p\n");
    let stats = bob.stats("stats");
    for (name, value) in [
        ("cmd_get", 0),
        ("cmd_set", 0),
        ("curr_items", 0),
        ("total_items", 0),
        ("auth_cmds", 1),
        ("curr_connections", 1),
        ("total_connections", 1),
    ] {
        assert_eq!(figure(&stats, name), value, "{name}");
    }
    assert_eq!(figure(&stats, "limit_maxbytes"), 8 << 20);
    for of_the_node in ["rusage_user", "rejected_connections", "conn_yields", "larder_buffer_bytes"]
    {
        assert!(!stats.contains_key(of_the_node), "{of_the_node}");
    }
    let settings = bob.stats("stats settings");
    assert_eq!((&settings["maxbytes"][..], &settings["detail_enabled"][..]), ("8388608", "no"));
    assert!(!settings.contains_key("tcpport"));
    assert_eq!(bob.send("stats detail dump\nstats items\n"), "END\nEND\n");
    assert_eq!(bob.send("stats conns\n"), "CLIENT_ERROR stats conns not allowed\n");
    assert_eq!(bob.send("stats reset\n"), "RESET\n");

    let mut ann = Server { wire: ann_wire, ..bob };
    let stats = ann.stats("stats");
    assert_eq!((figure(&stats, "cmd_get"), figure(&stats, "get_hits")), (2, 1));
    assert_eq!((figure(&stats, "cmd_set"), figure(&stats, "curr_items")), (2, 2));
    assert!(ann.send("stats detail dump\n").starts_with("PREFIX a get 2 hit 1 set 2 del 0\n"));
}

#[test]
fn connections_are_told_with_their_addresses_and_states() {
    let node = Node::new(Settings::new(8 << 20), SharedDirectory::new(Directory::open())).unwrap();
    let tcp = |address: &str| Address::Tcp(address.parse().unwrap());
    let listening = vec![
        Listening { fd: 3, address: tcp("0.0.0.0:11211") },
        Listening { fd: 4, address: Address::Unix("/tmp/s".into()) },
    ];
    node.listening.set(listening).unwrap();
    for (number, peer, listener, waiting) in [
        (0, tcp("10.0.0.1:5000"), Some(0), Waiting::Value),
        (1, tcp("[::1]:5001"), Some(0), Waiting::Request),
        (2, Address::Unix(String::new()), Some(1), Waiting::Request),
    ] {
        let fd = 10 + i32::try_from(number).unwrap();
        let info = Info::new(fd, peer, listener, node.age_ms());
        info.set_waiting(waiting);
        node.connections.insert(0, number, Arc::new(info));
    }
    let access = node.access(0, Directory::open().anonymous().unwrap().clone());
    let mut cx = cx_of(&node, &access);
    let mut out = Vec::new();
    let args = larder_proto::server::Words::new(b"conns");
    let Flow::Dump(mut dump) = super::text(args, &mut cx, &mut out) else { panic!("no dump") };
    // A step for each worker at least.
    while dump.step(&mut cx, &mut out) {}
    let text = String::from_utf8(out).unwrap().replace("\r\n", "\n");
    let expected = "\
        STAT 3:addr tcp:0.0.0.0:11211\n\
        STAT 3:state conn_listening\n\
        STAT 4:addr unix:/tmp/s\n\
        STAT 4:state conn_listening\n\
        STAT 10:addr tcp:10.0.0.1:5000\n\
        STAT 10:listen_addr tcp:0.0.0.0:11211\n\
        STAT 10:state conn_nread\n\
        STAT 10:secs_since_last_cmd 0\n\
        STAT 11:addr tcp6:[::1]:5001\n\
        STAT 11:listen_addr tcp:0.0.0.0:11211\n\
        STAT 11:state conn_read\n\
        STAT 11:secs_since_last_cmd 0\n\
        STAT 12:addr unix:\n\
        STAT 12:listen_addr unix:/tmp/s\n\
        STAT 12:state conn_parse_cmd\n\
        STAT 12:secs_since_last_cmd 0\n\
        END\n";
    assert_eq!(text, expected);
}

#[test]
fn connections_are_told_of_in_pieces_and_none_is_kept_for_it() {
    let settings = Settings { workers: 3, ..Settings::new(8 << 20) };
    let node = Node::new(settings, SharedDirectory::new(Directory::open())).unwrap();
    // One worker has none, and one as many as go into whole pieces.
    let all: Vec<_> = [(0, 300), (2, 256)]
        .into_iter()
        .flat_map(|(worker, count)| (1..=count).map(move |number| (worker, number)))
        .map(|(worker, number)| {
            let fd = i32::try_from(1000 * worker + usize::try_from(number).unwrap()).unwrap();
            let info = Arc::new(Info::new(fd, Address::Unknown, Some(0), node.age_ms()));
            node.connections.insert(worker, number, Arc::clone(&info));
            info
        })
        .collect();
    let access = node.access(0, Directory::open().anonymous().unwrap().clone());
    let mut cx = cx_of(&node, &access);
    let (mut out, mut lines) = (Vec::new(), Vec::new());
    let args = larder_proto::server::Words::new(b"conns");
    let Flow::Dump(mut dump) = super::text(args, &mut cx, &mut out) else { panic!("no dump") };
    loop {
        let goes_on = dump.step(&mut cx, &mut out);
        assert!(out.len() <= 32 << 10, "a piece of {} bytes", out.len());
        lines.push(String::from_utf8(std::mem::take(&mut out)).unwrap());
        assert!(all.iter().all(|info| Arc::strong_count(info) <= 2), "the table and this test");
        // One that closes meanwhile, and one that opens.
        node.connections.remove(2, 255);
        node.connections.insert(2, 400, Arc::new(Info::new(9999, Address::Unknown, None, 0)));
        if !goes_on {
            break;
        }
    }
    assert!(lines.len() >= 5, "{} pieces", lines.len());
    let lines = lines.concat();
    let told = |fd: i32| lines.matches(&format!("STAT {fd}:state ")).count();
    for info in &all {
        assert_eq!(told(info.fd), usize::from(info.fd != 2255), "{}", info.fd);
    }
    assert_eq!(told(9999), 1);
    assert!(lines.ends_with("END\r\n"));
}

fn cx_of<'n>(node: &'n Node, access: &'n Access) -> Cx<'n> {
    Cx {
        node,
        access,
        worker: 0,
        fd: 12,
        now: node.now(),
        sampling: access.trace.sampling(0),
        first_in_batch: true,
        resume: 0,
    }
}
