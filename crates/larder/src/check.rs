//! The tutorials' check by hand, "set foo, get foo, see bar", for programs: says what is wrong.

use larder_client::{Client, Command, Key, Reply, StoreMode, StoreOutcome};

use crate::cache::Cache;
use crate::error::CheckError;

/// One step of [`Cache::check`] that went well, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked(pub String);

impl Cache {
    /// Sets a value, gets it back and deletes it, on every server the cache has; unlike every
    /// other operation it says why something did not work.
    ///
    /// # Errors
    /// The first thing that did not work.
    pub async fn check(&self) -> Result<Vec<Checked>, CheckError> {
        match self.backend().client() {
            Some(client) => check_servers(client).await,
            None => self.check_in_process().await,
        }
    }

    async fn check_in_process(&self) -> Result<Vec<Checked>, CheckError> {
        let key = format!("larder.check.{}", crate::random_hex::<8>());
        self.set(&key, "bar", crate::Ttl::secs(60)).await;
        let found = self.get::<String>(&key).await;
        self.delete(&key).await;
        match found.as_deref() {
            Some("bar") => Ok(vec![Checked("set and got a value back".to_owned())]),
            other => Err(CheckError::NotFound { key, found: format!("{other:?}") }),
        }
    }
}

/// Keys are tried until each server has had one: the ring decides which it gets.
async fn check_servers(client: &Client) -> Result<Vec<Checked>, CheckError> {
    let mut waiting: Vec<_> = client.health().into_iter().map(|server| server.addr).collect();
    let mut checked = Vec::new();
    for attempt in 0..10_000_u32 {
        if waiting.is_empty() {
            break;
        }
        let name = format!("larder.check.{}.{attempt}", crate::random_hex::<8>());
        let key = Key::new(&name).expect("hex and dots fit the wire");
        let addr = client.server_of(&key).clone();
        if let Some(index) = waiting.iter().position(|waits| *waits == addr) {
            waiting.swap_remove(index);
            check_server(client, key, name).await?;
            checked.push(Checked(format!("{addr}: set and got a value back")));
        }
    }
    Ok(checked)
}

async fn check_server(client: &Client, key: Key, name: String) -> Result<(), CheckError> {
    let value = bytes::Bytes::from_static(b"bar");
    let store = Command::Store {
        mode: StoreMode::Set,
        key: key.clone(),
        value: value.clone(),
        flags: 0,
        exptime: 60,
    };
    let get = Command::Get { key: key.clone() };
    let mut replies = Vec::new();
    for reply in client.batch(vec![store, get]).await.replies {
        replies.push(reply?);
    }
    let found = replies.pop();
    if let Some(Reply::Store(outcome)) = replies.pop()
        && !matches!(outcome, StoreOutcome::Stored { .. })
    {
        return Err(CheckError::NotFound { key: name, found: format!("{outcome:?} to the set") });
    }
    let item = match found {
        Some(Reply::Item(Some(item))) if item.value == value => item,
        other => {
            return Err(CheckError::NotFound { key: name, found: format!("{other:?}") });
        }
    };
    if item.cas == 0 {
        return Err(CheckError::NoCas(client.server_of(&key).clone()));
    }
    client.batch(vec![Command::Delete { key }]).await.replies.pop().transpose()?;
    Ok(())
}
