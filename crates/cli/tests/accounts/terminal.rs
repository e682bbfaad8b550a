//! `larder stats` and `larder top`, ours and memcached's, where no terminal looks on.

use larder_peers::Memcached;

use crate::support::{Node, directory, larder, provision, refusal, run};

#[test]
fn stats_tell_of_one_tenant_and_of_several_servers_together() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let login = provision(&path, "shop");
    let mut connection = node.log_in(&login);
    for at in 0..10 {
        assert_eq!(connection.set(&format!("key-{at}"), "value"), "STORED");
    }
    connection.get("key-1");
    connection.get("nothing");
    let said = run(&path, ["stats"], &login.vars());
    assert_eq!(said.code, Some(0), "{said:?}");
    for words in ["hit rate", "50.0 %", "of 25 MiB"] {
        assert!(said.out.contains(words), "{words}: {}", said.out);
    }
    let said = run(&path, ["stats", "--format", "json"], &login.vars());
    let json: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(json[0]["stats"]["cmd_set"], 10);
    assert_eq!(json[0]["stats"]["curr_items"], 10);
    let said = run(&path, ["stats", "--watch"], &login.vars());
    assert!(said.out.contains("per second") && said.out.contains("items"), "{said:?}");

    // Who does not say who it is is told nothing.
    let told = refusal(&path, &format!("stats {}", node.address));
    assert!(told.contains("unauthenticated"), "{told}");
    assert!(told.contains("memcached://USER:PASSWORD@") && told.contains("MEMCACHIER_"), "{told}");
    let said = run(
        &path,
        ["stats", &node.address.to_string(), "--user", &login.user],
        &[("LARDER_PASSWORD", "a guess")],
    );
    assert!(said.code == Some(1) && said.err.contains(&login.user), "{said:?}");
    assert!(!said.err.contains("a guess"), "{said:?}");
    node.stop();
}

#[test]
fn stats_of_memcached_are_read_too() {
    let (_dir, path) = directory();
    let servers = [Memcached::plain(), Memcached::plain()];
    let [one, two] = servers.each_ref().map(|server| server.addr().to_string());
    let out = larder(&path, &format!("stats {one} {two}"));
    let heading = out.lines().next().unwrap();
    assert!(heading.contains(&one) && heading.contains(&two) && heading.ends_with(" all"), "{out}");
    assert!(
        out.lines().any(|line| line.starts_with("memory") && line.contains("of 64 MiB")),
        "{out}"
    );

    let sasl = Memcached::sasl("ann", "s3cret");
    let url = format!("memcached://ann:s3cret@{}/", sasl.addr());
    assert!(larder(&path, &format!("stats {url}")).contains("hit rate"));
    let told = refusal(&path, &format!("stats {}", sasl.addr()));
    assert!(told.contains("memcached://USER:PASSWORD@"), "{told}");
    // Credentials for a server that asks for none, as in development.
    let url = format!("memcached://ann:s3cret@{one}/");
    assert!(larder(&path, &format!("stats {url}")).contains("hit rate"));

    // One that is down is told of, and the others are shown.
    let said = run(&path, ["stats", &one, "127.0.0.1:1"], &[]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.contains("hit rate") && said.err.contains("127.0.0.1:1: cannot connect"),
        "{said:?}"
    );
}

#[test]
fn top_of_memcached_says_what_is_missing() {
    let (_dir, path) = directory();
    let server = Memcached::plain();
    let address = server.addr().to_string();
    let out = larder(&path, &format!("top {address}"));
    for words in [address.as_str(), "hit rate", "stats detail on", "Keys: no stats tell"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let mut connection = crate::support::Connection::open(server.addr());
    assert_eq!(connection.ask("stats detail on\r\n"), "OK");
    assert_eq!(connection.set("task:1", "x"), "STORED");
    connection.get("task:1");
    let out = larder(&path, &format!("top {address}"));
    let line = out.lines().find(|line| line.starts_with("task ")).unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        ["task", "1", "0", "1", "0", "100", "%"]
    );
}

#[test]
fn top_shows_tenants_and_the_prefixes_and_keys_of_the_busiest() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    provision(&path, "idle");
    let login = provision(&path, "shop");
    let mut connection = node.log_in(&login);
    for at in 0..200 {
        assert_eq!(connection.set(&format!("task-fragment:{at}"), "value"), "STORED");
        connection.get("task-list");
    }
    // What was asked for is looked into after it was answered.
    let out = crate::support::wait("prefixes and keys", || {
        let out = larder(&path, "top");
        let there = ["task-fragment:*", "task-list", "never set"].map(|words| out.contains(words));
        (there == [true; 3]).then_some(out)
    });
    for words in ["TENANT", "idle", "Prefixes of shop", "Keys of shop"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let other = larder(&path, "top --tenant idle");
    assert!(other.contains("idle has not been used yet"), "{other}");
    let told = refusal(&path, "top --tenant nobody");
    assert!(told.contains("nobody") || told.contains("404"), "{told}");
    let told = refusal(&path, &format!("top --console http://{}", node.console));
    assert!(told.contains("LARDER_TOKEN"), "{told}");
    let args = ["top", "--console", &format!("http://{}", node.console)];
    let said = run(&path, args, &[("LARDER_TOKEN", "lrd_wrong")]);
    assert!(said.code == Some(1) && said.err.contains("does not know this token"), "{said:?}");
    // A credential sees its own tenant.
    let said = run(&path, args, &login.vars());
    assert!(said.out.contains("Prefixes of shop") && !said.out.contains("idle"), "{said:?}");
    node.stop();
    let told = refusal(&path, "top");
    assert!(told.contains("no server of these accounts runs"), "{told}");
}
