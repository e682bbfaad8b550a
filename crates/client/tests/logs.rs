//! What is logged: a breaker's opening and closing once each, never a line per request, never a
//! password.

mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};

use larder_client::{Client, Credentials, Protocol};
use support::{Fake, Fault, RETRY, key, pass};

/// Collects what is logged on this thread.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_change_is_logged_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let fake = Fake::start().await;
    let config = fake.config(Protocol::Binary).with_credentials(Credentials::new("app", "hunter2"));
    let client = Client::new(config).unwrap();
    client.get(&key("a")).await.unwrap();
    fake.fault(Fault::Freeze);
    for _ in 0..2 {
        fake.unanswered(client.get(&key("a"))).await.unwrap_err();
    }
    for _ in 0..18 {
        client.get(&key("a")).await.unwrap_err();
    }
    fake.fault(Fault::None);
    pass(RETRY).await;
    for _ in 0..20 {
        client.get(&key("a")).await.unwrap();
    }
    client.owe_delete(&key("a"));
    fake.fault(Fault::RefuseDelete);
    for _ in 0..5 {
        client.get(&key("a")).await.unwrap_err();
    }
    let lines: Vec<String> =
        log.lines().into_iter().filter(|line| line.contains("larder_client")).collect();
    let expected = [
        ("INFO", "asks for no credentials"),
        ("WARN", "left alone after failures"),
        ("INFO", "in use again"),
        ("WARN", "refuses owed deletes"),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (level, text)) in lines.iter().zip(expected) {
        assert!(line.contains(level) && line.contains(text), "{line}");
        assert!(line.contains("127.0.0.1:") && !line.contains("hunter2"), "{line}");
    }
}
