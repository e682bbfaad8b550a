//! A road to a server on which a message can be held up: what a client has given up on may still
//! be carried out, and late.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Passes on what clients and the server send each other.
pub struct Road {
    pub addr: SocketAddr,
    trap: Arc<Mutex<Option<Trap>>>,
}

struct Trap {
    caught: oneshot::Sender<()>,
    release: oneshot::Receiver<()>,
    delivered: oneshot::Sender<()>,
}

/// One message that is held up.
pub struct Held {
    caught: Option<oneshot::Receiver<()>>,
    release: Option<oneshot::Sender<()>>,
    delivered: Option<oneshot::Receiver<()>>,
}

impl Road {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let (addr, trap) = (listener.local_addr().expect("its address"), Arc::default());
        let traps = Arc::clone(&trap);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, Arc::clone(&traps)));
            }
        });
        Self { addr, trap }
    }

    /// Holds up the next message to the server.
    pub fn hold_next(&self) -> Held {
        let (caught, wait_caught) = oneshot::channel();
        let (release, wait_release) = oneshot::channel();
        let (delivered, wait_delivered) = oneshot::channel();
        let trap = Trap { caught, release: wait_release, delivered };
        assert!(self.trap.lock().unwrap().replace(trap).is_none());
        Held { caught: Some(wait_caught), release: Some(release), delivered: Some(wait_delivered) }
    }
}

impl Held {
    /// Waits until the message is on the road.
    pub async fn caught(&mut self) {
        self.caught.take().expect("asked once").await.expect("the road is there");
    }

    /// Lets it go on, and waits until the server has answered it.
    pub async fn deliver(mut self) {
        let _ = self.release.take().expect("released once").send(());
        self.delivered.take().expect("asked once").await.expect("the server answers");
    }
}

async fn carry(client: TcpStream, server: SocketAddr, traps: Arc<Mutex<Option<Trap>>>) {
    let server = TcpStream::connect(server).await.expect("the server listens");
    let (mut from, mut back) = client.into_split();
    let (mut answers, mut to) = server.into_split();
    let (answered, mut wait_answered) = tokio::sync::watch::channel(0_usize);
    tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n @ 1..) = answers.read(&mut buffer).await {
            answered.send_modify(|count| *count += 1);
            // A client that has given up hears nothing.
            let _ = back.write_all(&buffer[..n]).await;
        }
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let trap = traps.lock().unwrap().take();
        let Some(trap) = trap else {
            to.write_all(&buffer[..n]).await.expect("the server reads");
            continue;
        };
        trap.caught.send(()).expect("the test waits");
        let _ = trap.release.await;
        wait_answered.mark_unchanged();
        to.write_all(&buffer[..n]).await.expect("the server reads");
        wait_answered.changed().await.expect("the server answers");
        let _ = trap.delivered.send(());
    }
}
