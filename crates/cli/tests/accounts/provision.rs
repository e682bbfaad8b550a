//! `larder provision` and `larder tenants`: before, with and after a server.

use std::process::Command;

use larder_peers::Program;

use crate::support::{Connection, LARDER, Login, Node, directory, larder, provision, refusal, run};

#[test]
fn a_cache_is_there_before_any_server_and_the_server_knows_it() {
    let (_dir, path) = directory();
    let login = provision(&path, "shop");
    assert_eq!(login.server, "127.0.0.1:11211");
    assert!((6..=8).contains(&login.user.len()) && login.password.len() == 32, "{login:?}");
    let node = Node::start(&path, "");
    let mut connection = node.log_in(&login);
    assert_eq!(connection.set("a", "1"), "STORED");
    assert_eq!(connection.get("a").as_deref(), Some("1"));
    node.stop();
}

#[test]
fn a_running_server_lets_the_user_in_when_the_command_returns() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    assert!(node.running.output().contains("none yet"), "{}", node.running.output());
    for name in ["one", "two", "three"] {
        let login = provision(&path, name);
        assert_eq!(login.server, node.address.to_string());
        let mut connection = node.log_in(&login);
        assert_eq!(connection.set("who", name), "STORED");
        // What another has cached is not there.
        assert_eq!(connection.get("who").as_deref(), Some(name));
    }
    node.stop();
}

#[test]
fn a_server_is_found_where_it_says() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "--advertise cache.example.com:11211 --advertise [::1]:7");
    assert_eq!(provision(&path, "shop").server, "cache.example.com:11211,[::1]:7");
    let elsewhere = provision(&path, "blog --servers mc1:1,mc2");
    assert_eq!(elsewhere.server, "mc1:1,mc2");
    node.stop();
    // It may be back soon.
    assert_eq!(provision(&path, "later").server, "cache.example.com:11211,[::1]:7");
}

#[test]
fn a_shell_and_a_program_use_what_is_printed() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    // A check gives a server 250 ms, which a machine that is busy may take.
    let check = format!("until {LARDER} check; do sleep 1; done");
    let script = format!(
        "set -eu; eval \"$({LARDER} provision shop)\"; {check}; \
         test \"$MEMCACHE_PASSWORD\" = \"$MEMCACHIER_PASSWORD\"; \
         unset MEMCACHIER_SERVERS MEMCACHIER_USERNAME MEMCACHIER_PASSWORD \
               MEMCACHE_SERVERS MEMCACHE_USERNAME MEMCACHE_PASSWORD; \
         {check}"
    );
    let program = Program::new("/bin/sh").directory(&path).args(["-c", &script]);
    let (status, output) = program.run();
    assert!(status.success(), "{output}");
    let ok = format!("ok  {}", node.address);
    assert_eq!(output.matches(&ok).count(), 2, "{output}");
    // Without quotes around it, a shell splits what was printed, and it is the same.
    let unquoted = format!("set -eu; eval $({LARDER} provision blog); {check}");
    let (status, output) = Program::new("/bin/sh").directory(&path).args(["-c", &unquoted]).run();
    assert!(status.success() && output.contains(&ok), "{output}");
    node.stop();
}

#[test]
fn nothing_but_the_format_is_on_standard_output() {
    let (_dir, path) = directory();
    for (name, format, first) in [
        ("a", "env", "export MEMCACHIER_SERVERS="),
        ("b", "json", "{"),
        ("c", "heroku", "heroku config:set MEMCACHIER_SERVERS="),
        ("d", "django", "# "),
        ("e", "flask", "# "),
        ("f", "node", "// "),
        ("g", "rust", "// "),
    ] {
        let out = larder(&path, &format!("provision {name} --format {format}"));
        assert!(out.starts_with(first), "{out}");
        let Some(password) = out.split(|c: char| !c.is_ascii_hexdigit()).find(|w| w.len() == 32)
        else {
            panic!("no password in {out}");
        };
        // It is nowhere else: not in the accounts, and not in what is printed later.
        let all = larder(&path, "tenants list") + &larder(&path, &format!("tenants show {name}"));
        assert!(!all.contains(password));
        for file in std::fs::read_dir(path.join("larder-data")).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(32).any(|window| window == password.as_bytes()));
        }
    }
    for (language, interpreter) in [("d2 --format django", "python3"), ("f2 --format node", "node")]
    {
        let snippet = larder(&path, &format!("provision {language}"));
        let snippet = snippet
            .replace("const memjs = require('memjs');", "const memjs = {Client: {create() {}}};");
        let flag = if interpreter == "node" { "-e" } else { "-c" };
        let status = Command::new(interpreter).args([flag, &snippet]).status().unwrap();
        assert!(status.success(), "{snippet}");
    }
}

#[test]
fn a_name_is_taken_once_and_the_refusal_helps() {
    let (_dir, path) = directory();
    let login = provision(&path, "shop");
    let told = refusal(&path, "provision shop");
    assert!(told.contains("there is a tenant \"shop\" already"), "{told}");
    for hint in ["larder tenants show shop --format env", "larder credentials rotate shop"] {
        assert!(told.contains(hint), "{told}");
        larder(&path, hint.strip_prefix("larder ").unwrap());
    }
    let shown = larder(&path, "tenants show shop --format env");
    assert!(!shown.contains(&login.password) && !shown.contains("PASSWORD"), "{shown}");
}

#[test]
fn what_cannot_be_is_named_with_what_would_be_right() {
    let (_dir, path) = directory();
    for (line, words) in [
        ("provision Shop", "1 to 63 of a-z"),
        ("provision -- -x", "1 to 63 of a-z"),
        ("provision shop --memory 0", "64m or 1g"),
        ("provision shop --memory 25x", "64m or 1g"),
        ("provision shop --memory 10m --floor 20m", "--floor"),
        ("provision shop --label team", "NAME=VALUE"),
        ("provision shop --servers host:port", "--servers"),
        ("provision shop --format yaml", "heroku"),
        ("provision shop --database-url mysql://x/y", "postgres://"),
        ("tenants", "larder provision NAME makes the first"),
        ("tenants show shop", "larder provision NAME makes the first"),
        ("credentials list shop", "larder provision NAME makes the first"),
        ("sign-in", "larder provision NAME makes the first"),
    ] {
        let told = refusal(&path, line);
        assert!(told.contains(words), "{line}: {told}");
    }
    assert!(!path.join("larder-data").exists(), "looking made something");
    provision(&path, "shop");
    for (line, words) in [
        ("tenants show blog", "larder tenants lists"),
        ("tenants resize shop", "--memory"),
        ("tenants resize shop --memory 10m --floor 20m", "--floor"),
        ("tenants label shop team", "NAME=VALUE"),
        ("tenants remove shop", "--yes"),
        ("tenants flush shop", "--yes"),
        ("tenants show shop --format yaml", "want table, json, env"),
        ("credentials list blog", "larder tenants lists"),
        ("credentials revoke shop nobody --yes", "no credential \"nobody\""),
        ("credentials change shop nobody", "nothing to change"),
        ("credentials create shop --can read,fly", "\"fly\""),
        ("credentials create shop --expires 30", "30s, 5m or 2h"),
        ("sign-in", "--console-url"),
        ("flush", "larder tenants lists them"),
    ] {
        let told = refusal(&path, line);
        assert!(told.contains(words), "{line}: {told}");
    }
}

#[test]
fn memory_is_promised_once() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "--memory 64m");
    provision(&path, "half --memory 32m");
    let told = refusal(&path, "provision more --memory 33m");
    assert!(told.contains("no room for 33 MiB: 32 MiB of the 64 MiB"), "{told}");
    provision(&path, "borrower --memory 64m --floor 1m");
    let told = refusal(&path, "tenants resize half --memory 64m");
    assert!(told.contains("no room for"), "{told}");
    larder(&path, "tenants resize half --memory 64m --floor 8m");
    provision(&path, "more --memory 33m");
    node.stop();
    // A server too small for what is promised does not start, and says what would do.
    let mut small = Node::spawn(&path, "--memory 16m");
    assert_eq!(small.ends().code(), Some(1));
    let told = small.output();
    assert!(told.contains("--memory: 16 MiB are less than the 42 MiB"), "{told}");
    assert!(told.contains("larder tenants resize"), "{told}");
    // It bounds nothing that is promised later, for it never ran.
    provision(&path, "last --memory 22m");
}

#[test]
fn tenants_are_listed_changed_flushed_and_removed() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let login = provision(&path, "shop --label team=search --label tier=1");
    let list = larder(&path, "tenants");
    assert!(list.starts_with("TENANT ") && list.contains("team=search tier=1"), "{list}");
    larder(&path, "tenants label shop tier= team=ads");
    larder(&path, "tenants resize shop --memory 30m --floor 5m");
    let json: serde_json::Value =
        serde_json::from_str(&larder(&path, "tenants show shop --format json")).unwrap();
    assert_eq!(json["labels"], serde_json::json!({ "team": "ads" }));
    assert_eq!(
        (json["floor_bytes"].as_u64(), json["ceiling_bytes"].as_u64()),
        (Some(5 << 20), Some(30 << 20))
    );
    assert_eq!(json["servers"][0], node.address.to_string());

    let mut connection = node.log_in(&login);
    assert_eq!(connection.set("a", "1"), "STORED");
    larder(&path, "flush shop --yes");
    assert_eq!(connection.get("a"), None, "the same connection goes on");
    assert_eq!(connection.set("a", "1"), "STORED");
    // The same through the protocol, by whoever the environment says.
    let said = run(&path, ["flush", "--yes"], &login.vars());
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(connection.get("a"), None);

    larder(&path, "tenants remove shop --yes");
    assert_eq!(connection.ask("get a\r\n"), "", "its connections are closed");
    let refused = Connection::open(node.address).log_in(&login.user, &login.password);
    assert!(refused.starts_with("CLIENT_ERROR"), "{refused}");
    // The name is free again, and what was cached under it is not there.
    let again = provision(&path, "shop");
    assert_ne!(again.user, login.user);
    assert_eq!(node.log_in(&again).get("a"), None);
    node.stop();
}

#[test]
fn the_place_of_accounts_may_be_a_variable() {
    let (_dir, path) = directory();
    let vars = [("LARDER_DATA", "elsewhere")];
    let said = run(&path, ["provision", "shop", "--format", "json"], &vars);
    assert_eq!(said.code, Some(0), "{said:?}");
    Login::of(&said.out);
    assert!(path.join("elsewhere/accounts.db").exists());
    for line in ["tenants --data elsewhere", "tenants --data elsewhere list"] {
        assert!(larder(&path, line).contains("shop"));
    }
    let told = refusal(&path, "tenants --data elsewhere --format json show shop");
    assert!(told.contains("--format stands after"), "{told}");
    let told = run(&path, ["tenants", "--data", "nowhere"], &vars);
    assert!(told.err.contains("there are no accounts in nowhere"), "{told:?}");
}
