//! Credentials that change while their connections are open.

mod support;

use larder_server::Settings;
use larder_tenancy::{
    Capabilities, Credential, Digest, Directory, Node, Salt, Tenant, TenantId, TenantLimits,
    TenantName,
};
use support::{Running, hit, set, settings, start_with};

fn credential(user: &str, password: &str, tenant: u32, capabilities: Capabilities) -> Credential {
    Credential {
        username: user.as_bytes().into(),
        digest: Digest::sha256(Salt::random().unwrap(), password.as_bytes()),
        tenant: TenantId::new(tenant),
        capabilities,
        key_prefix: None,
        expires: None,
    }
}

fn directory(version: u64, credentials: Vec<Credential>) -> Directory {
    let other = Tenant {
        id: TenantId::new(1),
        name: TenantName::new("other").unwrap(),
        limits: TenantLimits::NONE,
        flushes: 0,
    };
    Directory::new(version, [Tenant::shared(), other], credentials, None).unwrap()
}

fn start(credentials: Vec<Credential>) -> Running {
    start_with(Settings { workers: 2, ..settings() }, directory(1, credentials), |tcp| vec![tcp])
}

const LOGIN: &[u8] = b"set a 0 0 10\r\nann secret\r\n";

#[test]
fn a_revoked_credential_closes_its_connections_the_idle_ones_too() {
    let ann = || credential("ann", "secret", 0, Capabilities::ALL);
    let bob = credential("bob", "secret", 0, Capabilities::ALL);
    let kept = ann();
    let server = start(vec![kept.clone(), bob]);
    let mut ann = server.connect();
    ann.ask(LOGIN, b"STORED\r\n");
    let mut bob = server.connect();
    bob.ask(b"set a 0 0 10\r\nbob secret\r\n", b"STORED\r\n");
    bob.ask(b"mn\r\n", b"MN\r\n");
    server.directory.publish(directory(2, vec![kept])).unwrap();
    assert_eq!(bob.rest(), b"");
    ann.ask(b"mn\r\n", b"MN\r\n");
}

#[test]
fn a_credential_that_is_moved_sees_its_new_tenant() {
    let ann = credential("ann", "secret", 0, Capabilities::ALL);
    let server = start(vec![ann.clone()]);
    let mut client = server.connect();
    client.ask(LOGIN, b"STORED\r\n");
    client.ask(&set("k", b"first"), b"STORED\r\n");
    let moved = Credential { tenant: TenantId::new(1), ..ann.clone() };
    server.directory.publish(directory(2, vec![moved])).unwrap();
    client.ask(b"get k\r\n", b"END\r\n");
    server.directory.publish(directory(3, vec![ann])).unwrap();
    client.ask(b"get k\r\n", &[hit("k", b"first"), b"END\r\n".to_vec()].concat());
}

/// What was begun for one tenant must not end in another.
#[test]
fn a_credential_that_is_moved_in_the_middle_of_a_value_is_closed() {
    let ann = credential("ann", "secret", 0, Capabilities::ALL);
    let server = start(vec![ann.clone()]);
    let mut client = server.connect();
    client.ask(LOGIN, b"STORED\r\n");
    let request = set("k", &support::value("k", 50_000));
    client.send(&request[..40_000]);
    support::eventually("it has begun", || server.handle.figures(None).bytes_read >= 40_000);
    let moved = Credential { tenant: TenantId::new(1), ..ann };
    server.directory.publish(directory(2, vec![moved])).unwrap();
    assert_eq!(client.rest(), b"");
    let mut client = server.connect();
    client.ask(LOGIN, b"STORED\r\n");
    client.ask(b"get k\r\n", b"END\r\n");
}

#[test]
fn a_capability_that_is_taken_away_is_gone_at_once() {
    let ann = credential("ann", "secret", 0, Capabilities::ALL);
    let server = start(vec![ann.clone()]);
    let mut client = server.connect();
    client.ask(LOGIN, b"STORED\r\n");
    client.ask(&set("k", b"v"), b"STORED\r\n");
    let reader = Credential { capabilities: Capabilities::READ, ..ann };
    server.directory.publish(directory(2, vec![reader])).unwrap();
    client.send(&set("k", b"w"));
    assert!(client.line().starts_with("CLIENT_ERROR"));
    client.ask(b"get k\r\n", &[hit("k", b"v"), b"END\r\n".to_vec()].concat());
}

#[test]
fn connections_are_counted_with_the_tenant_they_are_of() {
    let ann = credential("ann", "secret", 1, Capabilities::ALL);
    let server = start(vec![ann]);
    let of = |tenant| server.handle.figures(Some(TenantId::new(tenant))).connections;
    let mut client = server.connect();
    client.ask(LOGIN, b"STORED\r\n");
    assert_eq!((of(0), of(1)), (0, 1));
    drop(client);
    support::eventually("it is gone", || of(1) == 0);
    assert_eq!(server.handle.figures(None).connections, 0);
    let figures = server.handle.figures(Some(TenantId::new(1)));
    assert_eq!(figures.total_connections, 1);
}
