//! Two tenants and every command of the three protocols: nothing that one does shows to the other, or changes
//! anything of it.

mod script;

use larder_tenancy::Capabilities;
use script::{Script, user};

/// Keys and values of the first tenant. Nothing of the second, and no reply to it, has any of these words.
const KEYS: [&str; 3] = ["k-alpha", "k-number", "k-stale"];
const SECRETS: [&str; 4] = ["alpha-value", "4242", "stale-value", "k-only-anns"];

/// Every command of the text and meta protocols, with keys that the other tenant has.
const TEXT: [&str; 72] = [
    "get k-alpha|",
    "get k-alpha k-number k-stale k-only-anns|",
    "gets k-alpha k-number|",
    "gat 0 k-alpha|",
    "gat -1 k-alpha k-number|",
    "gats 1 k-alpha|",
    "set k-alpha 0 0 1|b|",
    "set k-alpha 0 -1 1|b|",
    "set k-alpha 0 0 1 noreply|b|",
    "set k-alpha 0 0 9999999|",
    "add k-alpha 0 0 1|b|",
    "replace k-alpha 0 0 1|b|",
    "append k-alpha 0 0 1|b|",
    "prepend k-alpha 0 0 1|b|",
    "cas k-alpha 0 0 1 1|b|",
    "cas k-alpha 0 0 1 18446744073709551615|b|",
    "incr k-number 1|",
    "decr k-number 1|",
    "incr k-number 1 noreply|",
    "touch k-alpha -1|",
    "touch k-alpha 1|",
    "delete k-alpha|",
    "delete k-alpha 0|",
    "delete k-number noreply|",
    "flush_all|",
    "flush_all 1|",
    "flush_all -1|",
    "flush_all noreply|",
    "mg k-alpha|",
    "mg k-alpha v t f c s l h k|",
    "mg k-alpha v u|",
    "mg k-alpha T1 v|",
    "mg k-alpha N30 v|",
    "mg k-alpha R30 v|",
    "mg ay1hbHBoYQ== b v k|",
    "mg k-stale v|",
    "me k-alpha|",
    "ms k-alpha 1|b|",
    "ms k-alpha 1 ME|b|",
    "ms k-alpha 1 MR|b|",
    "ms k-alpha 1 MA|b|",
    "ms k-alpha 1 MP|b|",
    "ms k-alpha 1 MA N30|b|",
    "ms k-alpha 1 MS T1|b|",
    "ms k-alpha 1 C1|b|",
    "ms k-alpha 1 C1 I|b|",
    "ms k-alpha 1 E7|b|",
    "ms k-alpha 1 I T1 s c k|b|",
    "md k-alpha|",
    "md k-alpha I|",
    "md k-alpha x|",
    "md k-alpha I T1|",
    "md k-alpha C1|",
    "md k-alpha q|mn|",
    "ma k-number v|",
    "ma k-number MD D5 v|",
    "ma k-number N30 J7 v|",
    "ma k-number T1|",
    "stats|",
    "stats reset|",
    "stats items|",
    "stats slabs|",
    "stats sizes|",
    "stats settings|",
    "stats conns|",
    "stats detail dump|",
    "stats cachedump 1 0|",
    "lru_crawler metadump all|",
    "lru_crawler mgdump all|",
    "cache_memlimit 8|",
    "verbosity 1|",
    "shutdown|",
];

/// Figures that Ann's own looking moves; and what she holds with her share of the index, which is by how many
/// segments everybody has.
const MOVED: [&str; 9] = [
    "larder_bytes_held",
    "bytes_read",
    "bytes_written",
    "curr_connections",
    "total_connections",
    "auth_cmds",
    "cmd_meta",
    "cmd_get",
    "get_hits",
];

/// Opcodes of the binary protocol, with the extras that they need.
const BINARY: [(u8, &[u8]); 42] = [
    (0x00, &[]),
    (0x09, &[]),
    (0x0c, &[]),
    (0x0d, &[]),
    (0x1d, &[0, 0, 0, 1]),
    (0x1e, &[0, 0, 0, 1]),
    (0x23, &[0, 0, 0, 1]),
    (0x24, &[0, 0, 0, 1]),
    (0x1c, &[0, 0, 0, 1]),
    (0x01, &[0; 8]),
    (0x02, &[0; 8]),
    (0x03, &[0; 8]),
    (0x11, &[0; 8]),
    (0x12, &[0; 8]),
    (0x13, &[0; 8]),
    (0x0e, &[]),
    (0x0f, &[]),
    (0x19, &[]),
    (0x1a, &[]),
    (0x04, &[]),
    (0x14, &[]),
    (0x05, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0]),
    (0x05, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff]),
    (0x06, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0]),
    (0x15, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0]),
    (0x16, &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0]),
    (0x08, &[]),
    (0x08, &[0, 0, 0, 1]),
    (0x18, &[]),
    (0x10, &[]),
    (0x0a, &[]),
    (0x0b, &[]),
    (0x1b, &[0, 0, 0, 1]),
    (0x20, &[]),
    (0x21, &[]),
    (0x22, &[]),
    (0x07, &[]),
    (0x17, &[]),
    (0x3d, &[]),
    (0x3e, &[]),
    (0x40, &[]),
    (0xff, &[]),
];

/// Opcodes whose requests have a key; and those of them that have a value.
const WITH_KEY: [u8; 25] = [
    0x00, 0x09, 0x0c, 0x0d, 0x1d, 0x1e, 0x23, 0x24, 0x1c, 0x01, 0x02, 0x03, 0x11, 0x12, 0x13, 0x0e,
    0x0f, 0x19, 0x1a, 0x04, 0x14, 0x05, 0x06, 0x15, 0x16,
];
const WITH_VALUE: [u8; 10] = [0x01, 0x02, 0x03, 0x11, 0x12, 0x13, 0x0e, 0x0f, 0x19, 0x1a];

fn frame(opcode: u8, extras: &[u8], key: &str, value: &str) -> Vec<u8> {
    let body = u32::try_from(extras.len() + key.len() + value.len()).unwrap();
    let [keys, extra] = [key.len(), extras.len()].map(|len| u8::try_from(len).unwrap());
    let head = [&[0x80, opcode, 0, keys, extra, 0, 0, 0][..], &body.to_be_bytes(), &[0; 12]];
    [&head.concat(), extras, key.as_bytes(), value.as_bytes()].concat()
}

/// Ann has items, has counted, and Bob is another tenant with every capability.
fn two_tenants() -> Script {
    let users = vec![user("ann", 1, Capabilities::ALL), user("bob", 2, Capabilities::ALL)];
    let mut script = Script::of(users, "ann");
    script.run(
        "set k-alpha 5 1000 11|alpha-value|set k-number 0 0 4|4242| -> STORED|STORED|
         ms k-stale 11|stale-value|md k-stale I T500| -> HD|HD|
         set k-only-anns 0 0 1|x| -> STORED|
         get k-alpha nothing| -> VALUE k-alpha 5 11|alpha-value|END|
         mg k-stale| -> HD X W|",
    );
    script
}

/// A figure of Ann's.
fn figure(script: &mut Script, name: &str) -> usize {
    script.log_in("ann");
    let stats = ask(script, "stats|");
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
    line.unwrap().trim().parse().unwrap()
}

/// All that Ann can see: her items with everything that is known of them, and her figures.
fn all_of_ann(script: &mut Script) -> String {
    script.log_in("ann");
    let mut seen = String::new();
    for key in KEYS {
        // As if nobody had looked, so that looking is no change.
        seen += &ask(script, &format!("mg {key} u v t f c s l h|me {key}|"));
    }
    seen += &ask(script, "lru_crawler metadump all|");
    let figures = ask(script, "stats|");
    let own = |line: &&str| {
        let name = line.split(' ').nth(1).unwrap_or_default();
        !MOVED.contains(&name)
    };
    seen += &figures.split("\r\n").filter(own).collect::<Vec<_>>().join("\n");
    seen
}

fn ask(script: &mut Script, request: &str) -> String {
    let reply = script.ask(request.replace('|', "\r\n").as_bytes());
    String::from_utf8_lossy(&reply).into_owned()
}

/// Bob sends this on a connection of his own, and then finds out nothing of Ann's; and she sees no change.
#[track_caller]
fn is_isolated(script: &mut Script, before: &str, request: &[u8], what: &str, binary: bool) {
    script.log_in("bob");
    if binary {
        script.reconnect();
        script.ask(&frame(0x21, &[], "PLAIN", "\0bob\0secret"));
    }
    let reply = script.ask(request);
    let reply = String::from_utf8_lossy(&reply);
    for secret in SECRETS {
        // His own key comes back to him where the protocol says so.
        let own = String::from_utf8_lossy(request).contains(secret);
        assert!(own || !reply.contains(secret), "{what}: {reply}");
    }
    let after = all_of_ann(script);
    assert_eq!(before, after, "after {what}");
}

#[test]
fn no_text_or_meta_command_reaches_another_tenant() {
    let mut script = two_tenants();
    let before = all_of_ann(&mut script);
    for command in TEXT {
        let request = command.replace('|', "\r\n");
        is_isolated(&mut script, &before, request.as_bytes(), command, false);
    }
    // Three before, and three with each look.
    assert_eq!(figure(&mut script, "cmd_get"), 3 + 3 * (1 + TEXT.len()));
}

#[test]
fn no_binary_command_reaches_another_tenant() {
    let mut script = two_tenants();
    let before = all_of_ann(&mut script);
    for (opcode, extras) in BINARY {
        for key in KEYS {
            let key = if WITH_KEY.contains(&opcode) { key } else { "" };
            let value = if WITH_VALUE.contains(&opcode) { "b" } else { "" };
            let request = frame(opcode, extras, key, value);
            is_isolated(&mut script, &before, &request, &format!("{opcode:#04x}"), true);
        }
    }
}

/// What Bob has is his own, under the same keys.
#[test]
fn the_same_keys_are_others_in_another_tenant() {
    let mut script = two_tenants();
    let before = all_of_ann(&mut script);
    script.log_in("bob");
    script.run(
        "get k-alpha k-number k-stale| -> END|
         set k-alpha 1 0 1|b|incr k-alpha 1| -> STORED|CLIENT_ERROR cannot increment or decrement non-numeric value|
         add k-number 0 0 1|1|incr k-number 1| -> STORED|2|
         get k-alpha k-number| -> VALUE k-alpha 1 1|b|VALUE k-number 0 1|2|END|
         flush_all| -> OK|
         get k-alpha k-number| -> END|",
    );
    assert_eq!(all_of_ann(&mut script), before);
    // A flush that was planned flushes whoever planned it.
    script.log_in("bob");
    script.run("set k-alpha 0 0 1|b|flush_all 2| -> STORED|OK|");
    script.advance(3);
    script.run("get k-alpha| -> END|");
    script.log_in("ann");
    script.run("get k-alpha| -> VALUE k-alpha 5 11|alpha-value|END|");
}

/// A read-only credential's changes are refused in each protocol's own words, and counted.
#[test]
fn refusals_are_each_protocols_own_and_counted() {
    let users = vec![user("ann", 1, Capabilities::ALL), user("cy", 1, Capabilities::READ)];
    let mut script = Script::of(users, "ann");
    script.run("set k 0 0 1|x| -> STORED|");
    let denied = |script: &mut Script| figure(script, "larder_denied");
    script.log_in("cy");
    script.run(
        "set k 0 0 1|y| -> CLIENT_ERROR set not allowed|
         ms k 1|y| -> CLIENT_ERROR ms not allowed|
         flush_all| -> CLIENT_ERROR flush_all not allowed|",
    );
    assert_eq!(denied(&mut script), 3);
    script.reconnect();
    script.ask(&frame(0x21, &[], "PLAIN", "\0cy\0secret"));
    for (opcode, extras) in [(0x01, &[0_u8; 8][..]), (0x11, &[0; 8]), (0x04, &[]), (0x08, &[])] {
        let (key, value) = match opcode {
            0x08 => ("", ""),
            0x04 => ("k", ""),
            _ => ("k", "y"),
        };
        let reply = script.ask(&frame(opcode, extras, key, value));
        assert_eq!(reply[..2], [0x81, opcode], "{opcode:#04x}");
        assert_eq!(reply[6..8], [0, 0x20], "{opcode:#04x}: authentication error");
    }
    assert_eq!(denied(&mut script), 7);
    script.log_in("cy");
    script.run("get k| -> VALUE k 0 1|x|END|");
}
