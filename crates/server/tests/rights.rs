//! What a credential allows, and that tenants do not see each other: every command of text and meta.

mod script;

use larder_tenancy::{Capabilities, Credential};
use script::{Script, user};

/// Every command that writes an item, and what it is called in a refusal.
const WRITES: [(&str, &str); 16] = [
    ("set a 0 0 1|w|", "set"),
    ("add a 0 0 1|w|", "add"),
    ("replace a 0 0 1|w|", "replace"),
    ("append a 0 0 1|w|", "append"),
    ("prepend a 0 0 1|w|", "prepend"),
    ("cas a 0 0 1 1|w|", "cas"),
    ("incr a 1|", "incr"),
    ("decr a 1|", "decr"),
    ("touch a -1|", "touch"),
    ("delete a|", "delete"),
    ("gat -1 a|", "gat"),
    ("gats -1 a|", "gats"),
    ("ms a 1 q|w|", "ms"),
    ("md a q|", "md"),
    ("ma a N0 q|", "ma"),
    ("mg a T-1|", "mg"),
];

/// Every command that reads an item.
const READS: [(&str, &str); 4] =
    [("get a|", "get"), ("gets b a|", "gets"), ("mg a v|", "mg"), ("me a|", "me")];

/// Every command to the server.
const ADMIN: [(&str, &str); 7] = [
    ("verbosity 2|", "verbosity"),
    ("cache_memlimit 16|", "cache_memlimit"),
    ("shutdown|", "shutdown"),
    ("slabs automove 1|", "slabs"),
    ("lru mode flat|", "lru"),
    ("watch|", "watch"),
    ("refresh_certs|", "refresh_certs"),
];

#[track_caller]
fn refuses(script: &mut Script, commands: &[(&str, &str)]) {
    for (command, name) in commands {
        script.run(&format!("{command}mn| -> CLIENT_ERROR {name} not allowed|MN|"));
    }
}

#[test]
fn who_may_only_read_changes_nothing() {
    let users = vec![user("writer", 0, Capabilities::ALL), user("reader", 0, Capabilities::READ)];
    let mut script = Script::of(users, "writer");
    script.run("set a 5 100 1|7| -> STORED|");
    script.log_in("reader");
    refuses(&mut script, &WRITES);
    refuses(&mut script, &ADMIN);
    refuses(&mut script, &[("flush_all|", "flush_all"), ("mg b N30|", "mg")]);
    let large = "w".repeat(100_000);
    script.run(&format!("set a 0 0 100000|{large}|mn| -> CLIENT_ERROR set not allowed|MN|"));
    script.run(&format!("ms a 100000 q|{large}|mn| -> CLIENT_ERROR ms not allowed|MN|"));
    script.run("set a 0 0 1 noreply|w|flush_all noreply|delete a noreply|mn| -> MN|");
    script.run("mg a v f t| -> VA 1 f5 t100|7|\nget a| -> VALUE a 5 1|7|END|");
    script.run("version| -> VERSION 1.6.45|\nmn| -> MN|");
}

#[test]
fn who_may_only_write_reads_nothing() {
    let mut script = Script::of(vec![user("writer", 0, Capabilities::WRITE)], "writer");
    script.run("set a 0 0 1|7| -> STORED|");
    refuses(&mut script, &READS);
    refuses(&mut script, &[("gat 0 a|", "gat"), ("mg a T0|", "mg"), ("mg a N0|", "mg")]);
    script.run("incr a 1| -> 8|\ndelete a| -> DELETED|");
}

#[test]
fn who_has_a_prefix_touches_no_other_key() {
    let ann = Credential {
        key_prefix: Some(b"ann:".as_slice().into()),
        ..user("ann", 0, Capabilities::ALL)
    };
    let mut script = Script::of(vec![ann, user("root", 0, Capabilities::ALL)], "root");
    script.run("set a 5 100 1|7| -> STORED|");
    script.log_in("ann");
    refuses(&mut script, &WRITES);
    refuses(&mut script, &READS);
    refuses(&mut script, &[("get ann:a a|", "get"), ("gat 0 ann:a a|", "gat")]);
    // Not at the end of a line that is answered piece by piece either.
    let many = " ann:x".repeat(5000);
    script.run(&format!("get{many}|gat 0{many}| -> END|END|"));
    refuses(&mut script, &[(&format!("get{many} a|"), "get")]);
    // The key that is meant, not how it is sent: YQ== is `a`, YW5uOmI= is `ann:b`.
    refuses(&mut script, &[("mg YQ== b|", "mg"), ("ms YQ== 1 b|w|", "ms")]);
    script.run("ms YW5uOmI= 1 b|x|get ann:b ann:| -> HD|VALUE ann:b 0 1|x|END|");
    script.run("set ann:a 0 0 1|x|get ann:a| -> STORED|VALUE ann:a 0 1|x|END|");
    script.log_in("root");
    script.run("mg a v f t| -> VA 1 f5 t100|7|");
}

#[test]
fn tenants_do_not_see_each_other() {
    let users = vec![user("ann", 1, Capabilities::ALL), user("bob", 2, Capabilities::ALL)];
    let mut script = Script::of(users, "ann");
    script.run("set a 5 100 1|7| -> STORED|");
    for (command, _) in
        WRITES.iter().chain(&READS).chain(&[("flush_all|", ""), ("flush_all 1|", "")])
    {
        script.log_in("bob");
        let reply = script.ask(command.replace('|', "\r\n").as_bytes());
        assert!(!reply.contains(&b'7'), "{command}: {:?}", reply.escape_ascii().to_string());
        script.log_in("ann");
        script.run("mg a v f t| -> VA 1 f5 t100|7|");
    }
    script.advance(2);
    script.run("get a| -> VALUE a 5 1|7|END|");
}

/// What concerns the node is for nobody who shares it with other tenants.
#[test]
fn a_tenant_does_not_govern_the_node() {
    let users = vec![user("ann", 1, Capabilities::ALL), user("bob", 2, Capabilities::ALL)];
    let mut script = Script::of(users, "ann");
    refuses(&mut script, &ADMIN);
    script.run("flush_all| -> OK|\nlru_crawler crawl all| -> OK|\nstats foo| -> ERROR|");
}
