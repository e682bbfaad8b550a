//! `larder up`: the whole story, twice.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use larder_peers::{Memcached, Program, Running};

use crate::support::{Connection, LARDER, Login, banner, directory, http, larder};

/// On free ports, unless `vars` say otherwise.
fn start(dir: &Path, vars: &[(&str, &str)]) -> Running {
    let free = [
        ("LARDER_LISTEN", "127.0.0.1:0"),
        ("LARDER_CONSOLE", "127.0.0.1:0"),
        ("LARDER_MEMORY", "128m"),
        ("PORT", "0"),
        ("TASKLIST_LISTEN", "127.0.0.1"),
    ];
    let free = free.iter().filter(|(name, _)| !vars.iter().any(|(other, _)| other == name));
    Program::new(LARDER).directory(dir).envs(free.copied()).envs(vars.iter().copied()).start()
}

struct Story {
    running: Running,
    tasks: SocketAddr,
    console: SocketAddr,
    login: Login,
}

impl Story {
    fn begin(dir: &Path) -> Story {
        let running = start(dir, &[]);
        let tasks = banner(&running, "Task list  http://");
        let console = banner(&running, "Console    http://");
        crate::support::wait("end of the banner", || {
            running.output().contains("Ctrl-C").then_some(())
        });
        let output = running.output();
        let value = |name: &str| {
            let (_, rest) = output.split_once(&format!("  MEMCACHIER_{name}=")).unwrap();
            rest.lines().next().unwrap().to_owned()
        };
        let login = Login {
            server: value("SERVERS"),
            user: value("USERNAME"),
            password: value("PASSWORD"),
        };
        Story { running, tasks, console, login }
    }

    fn end(mut self) {
        self.running.signal("INT");
        assert!(self.running.ends().success(), "{}", self.running.output());
        assert!(
            self.running.output().ends_with("\nStopping.\nStopped.\n"),
            "{}",
            self.running.output()
        );
    }
}

#[test]
fn a_second_start_keeps_the_state() {
    let (_dir, path) = directory();
    let story = Story::begin(&path);
    let output = story.running.output();
    assert!(output.contains(&format!("http://{}/sign-in/", story.console)), "{output}");
    let (status, body) = http(story.tasks, "GET", "/", "");
    assert_eq!(status, 200, "{body}");
    // The variables are those of the tenant that the task list uses.
    let mut connection = Connection::open(story.login.server.as_str());
    assert_eq!(connection.log_in(&story.login.user, &story.login.password), "STORED");
    assert_eq!(connection.set("mine", "1"), "STORED");
    let file = path.join("larder-data/demo.env");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let tenants = larder(&path, "tenants");
    assert!(tenants.contains("demo ") && tenants.contains("25 MiB"), "{tenants}");
    let (user, password) = (story.login.user.clone(), story.login.password.clone());
    story.end();

    let again = Story::begin(&path);
    assert_eq!((&again.login.user, &again.login.password), (&user, &password));
    // Nobody has signed in yet, so there is a link again.
    assert!(again.running.output().contains("/sign-in/"), "{}", again.running.output());
    assert_eq!(larder(&path, "tenants"), tenants);
    again.end();

    // A password that got lost is replaced.
    std::fs::remove_file(&file).unwrap();
    let third = Story::begin(&path);
    assert_ne!(third.login.user, user);
    let mut connection = Connection::open(third.login.server.as_str());
    assert_eq!(connection.log_in(&third.login.user, &third.login.password), "STORED");
    third.end();
}

#[test]
fn a_busy_port_is_named_with_the_variable_that_moves_it() {
    let (_dir, path) = directory();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (name, value) in [
        ("PORT", address.port().to_string()),
        ("LARDER_LISTEN", address.to_string()),
        ("LARDER_CONSOLE", address.to_string()),
    ] {
        let mut running = start(&path, &[(name, &value)]);
        assert_eq!(running.ends().code(), Some(1));
        let told = running.output();
        assert!(told.contains(&address.to_string()) && told.contains(name), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[test]
fn servers_in_the_environment_are_used_and_none_is_started() {
    let (_dir, path) = directory();
    let server = Memcached::plain();
    let mut running = start(&path, &[("MEMCACHIER_SERVERS", &server.addr().to_string())]);
    let tasks = banner(&running, "Task list  http://");
    assert_eq!(http(tasks, "GET", "/", "").0, 200);
    let output = running.output();
    assert!(output.contains(&server.addr().to_string()), "{output}");
    assert!(output.contains("no cache server and no console are started"), "{output}");
    assert!(!output.contains("Console    "), "{output}");
    running.signal("TERM");
    assert!(running.ends().success(), "{}", running.output());
    assert!(!path.join("larder-data/accounts.db").exists());
}

#[test]
fn everything_is_in_the_directory_that_is_asked_for() {
    let (_dir, path) = directory();
    let mut running = start(&path, &[("LARDER_DATA", "here")]);
    banner(&running, "Task list  http://");
    running.signal("INT");
    assert!(running.ends().success(), "{}", running.output());
    for file in ["accounts.db", "demo.env", "tasklist.db"] {
        assert!(path.join("here").join(file).exists(), "{file}");
    }
    assert!(!path.join("larder-data").exists());
}
