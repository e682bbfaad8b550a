//! Several servers that share their accounts in PostgreSQL, and what they do without it.

use larder_peers::Postgres;

use crate::support::{Connection, Login, Node, directory, larder, provision, refusal, run, wait};

#[test]
fn two_servers_share_their_accounts() {
    let database = Postgres::start();
    let url = database.create_database("accounts");
    let (_dir, path) = directory();
    let at = format!("--database-url {url}");
    let one = Node::start(&path, &format!("{at} --data one"));
    let two = Node::start(&path, &format!("{at} --data two"));
    assert!(!one.running.output().contains("larder-test"), "{}", one.running.output());
    let login = provision(&path, &format!("shop {at}"));
    let both: Vec<_> = login.server.split(',').collect();
    let mut expected = [one.address.to_string(), two.address.to_string()];
    let mut found: Vec<_> = both.iter().map(ToString::to_string).collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    for node in [&one, &two] {
        assert_eq!(node.log_in(&login).set("a", "1"), "STORED");
    }
    // A flush of the account reaches both.
    larder(&path, &format!("flush shop --yes {at}"));
    for node in [&one, &two] {
        assert_eq!(node.log_in(&login).get("a"), None);
    }
    let worker = larder(&path, &format!("credentials create shop --format json {at}"));
    let worker = Login::of(&worker);
    let mut open = [one.log_in(&worker), two.log_in(&worker)];
    larder(&path, &format!("credentials revoke shop {} --yes {at}", worker.user));
    for connection in &mut open {
        assert_eq!(connection.line(), "", "it is closed");
    }
    let nodes = one.api("/api/v1/nodes", &token(&path, &url));
    assert_eq!(nodes["nodes"].as_array().unwrap().len(), 2);
    one.stop();
    // A server that has stopped is not waited for, and not advertised.
    let blog = provision(&path, &format!("blog {at}"));
    assert_eq!(blog.server, two.address.to_string());
    two.stop();
}

/// An operator's token, as the header of a request.
fn token(dir: &std::path::Path, url: &str) -> String {
    use larder_control::{Accounts, AccountsUrl, Actor, Principal};
    let _ = dir;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let accounts = Accounts::open(&AccountsUrl::parse(url).unwrap()).await.unwrap();
        let by = Actor { who: "a test".to_owned(), from: "cli".to_owned() };
        let of = Principal::Operator { name: "operator".to_owned() };
        let token = accounts.create_token(&by, &of, "a test", None).await.unwrap().value;
        accounts.close().await;
        format!("Bearer {token}")
    })
}

#[test]
fn servers_go_on_and_start_without_the_database() {
    let mut database = Postgres::start();
    let at = format!("--database-url {}", database.create_database("accounts"));
    let (_dir, path) = directory();
    let node = Node::start(&path, &at);
    let login = provision(&path, &format!("shop {at}"));
    let mut connection = node.log_in(&login);
    database.kill();
    assert_eq!(connection.set("a", "1"), "STORED");
    assert_eq!(node.log_in(&login).get("a").as_deref(), Some("1"));
    let told = refusal(&path, &format!("provision blog {at}"));
    assert!(told.contains("127.0.0.1") && !told.contains("larder-test"), "{told}");
    node.stop();

    // It knows whom it knew, and says that the rest is not known.
    let node = Node::start(&path, &at);
    let output = node.running.output();
    assert!(output.contains("Users are those of the last start"), "{output}");
    assert!(!output.contains("larder-test"), "{output}");
    assert_eq!(node.log_in(&login).set("a", "1"), "STORED");
    node.stop();

    // One that never knew anybody cannot start.
    let mut stranger = Node::spawn(&path, &format!("{at} --data stranger"));
    assert_eq!(stranger.ends().code(), Some(1));
    assert!(!stranger.output().contains("larder-test"), "{}", stranger.output());
}

#[test]
fn the_database_may_be_a_variable_which_others_cannot_see() {
    let database = Postgres::start();
    let url = database.create_database("accounts");
    let (_dir, path) = directory();
    let vars = [("LARDER_DATABASE_URL", url.as_str())];
    let said = run(&path, ["provision", "shop", "--format", "json"], &vars);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!path.join("larder-data").exists());
    let said = run(&path, ["tenants"], &vars);
    assert!(said.out.contains("shop"), "{said:?}");
}

#[test]
fn a_change_that_one_server_has_not_heard_of_names_it() {
    let database = Postgres::start();
    let url = database.create_database("accounts");
    let (_dir, path) = directory();
    let at = format!("--database-url {url}");
    let node = Node::start(&path, &at);
    node.running.signal("STOP");
    let args = format!("provision shop {at} --format json");
    let said = run(&path, args.split_whitespace(), &[]);
    node.running.signal("CONT");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.err.contains(&node.address.to_string()), "{said:?}");
    let login = Login::of(&said.out);
    wait("news", || {
        let mut connection = Connection::open(node.address);
        (connection.log_in(&login.user, &login.password) == "STORED").then_some(())
    });
    node.stop();
}
