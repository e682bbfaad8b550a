//! A request costs no allocation, once the buffers of its worker are as large as they need to be.

use larder_server::testing::Bench;
use larder_server::{ProtocolPin, Settings};
use larder_store::Clock;
use larder_tenancy::{Directory, SharedDirectory};

#[test]
fn requests_allocate_nothing() {
    let settings = Settings { clock: Clock::manual(1_700_000_000_000), ..Settings::new(64 << 20) };
    let mut bench = Bench::new(settings, SharedDirectory::new(Directory::open())).unwrap();
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let mut binary = bench.wire(ProtocolPin::Negotiated);
    let mut replies = Vec::with_capacity(1 << 20);
    let value = "v".repeat(100);
    // The store's lists of segments grow to what they need.
    for _ in 0..2000 {
        bench.send_into(
            &mut wire,
            format!("set k 0 0 100\r\n{value}\r\n").repeat(50).as_bytes(),
            &mut replies,
        );
    }
    let get_binary = [&[0x80, 0, 0, 1][..], &[0; 4], &[0, 0, 0, 1], &[0; 12], b"k"].concat();
    for (name, request) in [
        ("set", format!("set k 0 0 100\r\n{value}\r\n")),
        ("set with a TTL", format!("set t 0 100 100\r\n{value}\r\n")),
        ("get", "get k\r\n".to_owned()),
        ("gets", "gets k\r\n".to_owned()),
        ("multi-get", format!("get {}\r\n", ["k"; 100].join(" "))),
        ("a miss", "get nothing\r\n".to_owned()),
        ("touch", "touch t 100\r\n".to_owned()),
        ("gat", "gat 100 t\r\n".to_owned()),
        ("meta get", "mg k v f t s\r\n".to_owned()),
        ("meta set", format!("ms k 100 T100\r\n{value}\r\n")),
        ("delete", "delete nothing\r\n".to_owned()),
        ("nonsense", "nonsense\r\n".to_owned()),
        ("binary get", String::new()),
    ] {
        let (wire, request) = match request.is_empty() {
            true => (&mut binary, get_binary.clone()),
            false => (&mut wire, request.into_bytes()),
        };
        let pipeline = request.repeat(50);
        // The buffers grow to what they need.
        bench.send_into(wire, &pipeline, &mut replies);
        bench.send_into(wire, &pipeline, &mut replies);
        let counted = allocation_counter::measure(|| {
            bench.send_into(wire, &pipeline, &mut replies);
        });
        assert!(!replies.is_empty());
        assert_eq!(counted.count_total, 0, "{name}");
    }
}
