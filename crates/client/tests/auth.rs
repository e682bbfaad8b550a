//! Credentials: sent where wanted, never shown, never stored on a server that does not ask for them.

mod support;

use larder_client::{Client, Config, Credentials, Error, Protocol};
use support::{Fake, key};

fn with(mut config: Config, user: &str, password: &str) -> Client {
    let protocol = config.protocol;
    config = config.with_credentials(Credentials::new(user, password));
    config.protocol = protocol;
    Client::new(config).unwrap()
}

#[tokio::test]
async fn sasl_with_the_right_password() {
    let fake = Fake::with_account("app", "s3cret").await;
    let client = with(fake.config(Protocol::Binary), "app", "s3cret");
    client.set(&key("a"), "1", 5, 0).await.unwrap();
    assert_eq!(client.get(&key("a")).await.unwrap().unwrap().flags, 5);
    assert_eq!(fake.take_log(), ["sasl PLAIN", "set a", "get a"]);
}

#[tokio::test]
async fn sasl_with_a_wrong_password_names_the_user_and_not_the_password() {
    let fake = Fake::with_account("app", "s3cret").await;
    let client = with(fake.config(Protocol::Binary), "app", "hunter2");
    for _ in 0..2 {
        let error = client.get(&key("a")).await.unwrap_err();
        assert!(matches!(error, Error::Auth { .. }), "{error}");
        let message = format!("{error} {error:?} {client:?}");
        assert!(message.contains("app") && !message.contains("hunter2"), "{message}");
    }
    assert!(!client.health()[0].up, "it counts as a failure");
}

#[tokio::test]
async fn a_server_without_sasl_is_used_without() {
    let fake = Fake::start().await;
    let client = with(fake.config(Protocol::Binary), "app", "s3cret");
    client.set(&key("a"), "1", 0, 0).await.unwrap();
    assert_eq!(fake.take_log(), ["sasl PLAIN", "set a"]);
}

#[tokio::test]
async fn over_text_no_password_is_stored_on_a_server_that_does_not_ask() {
    for protocol in [Protocol::Text, Protocol::Meta] {
        let fake = Fake::start().await;
        let client = with(fake.config(protocol), "app", "s3cret");
        client.get(&key("a")).await.unwrap();
        assert_eq!(fake.take_log(), ["get larder-auth", "get a"]);
    }
}
