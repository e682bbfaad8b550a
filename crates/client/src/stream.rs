//! One byte stream to a server: TCP, Unix socket, or TLS over TCP.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::addr::Endpoint;
use crate::config::{ConfigError, TlsConfig};

/// An open stream.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects. `tls` applies to TCP only: a Unix socket does not leave the machine.
    pub(crate) async fn connect(endpoint: &Endpoint, tls: Option<&Tls>) -> io::Result<Self> {
        let (host, port) = match endpoint {
            Endpoint::Unix(path) => return UnixStream::connect(path).await.map(Self::Unix),
            Endpoint::Tcp { host, port } => (host.as_str(), *port),
        };
        let tcp = TcpStream::connect((host, port)).await?;
        // Requests are written whole; waiting to fill a packet would only delay them.
        tcp.set_nodelay(true)?;
        // A connection is only closed when idle or given up. What it has not delivered by then must
        // not arrive later: a set, retransmitted after its key was deleted, would bring a stale value
        // back.
        tcp.set_zero_linger()?;
        let Some(tls) = tls else {
            return Ok(Self::Tcp(tcp));
        };
        let name = match &tls.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(io::Error::other)?,
        };
        let stream = TlsConnector::from(Arc::clone(&tls.config)).connect(name, tcp).await?;
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Whether an idle stream is of no more use: closed by the peer, or holding bytes that nobody
    /// asked for. Not known for TLS, where the peer may send tickets at any time.
    pub(crate) fn is_stale(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
            Self::Tls(_) => return false,
        };
        !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// TLS settings made ready: shared by all connections of a client.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// Reads the CA file, if one is given. The crypto provider is passed explicitly: a library must
    /// not choose one for the whole process.
    pub(crate) fn new(settings: &TlsConfig) -> Result<Self, ConfigError> {
        let name_error = |value: &str, reason: String| ConfigError::Tls {
            setting: "tls_name",
            value: value.to_owned(),
            reason,
        };
        let server_name = settings
            .server_name
            .as_ref()
            .map(|name| {
                ServerName::try_from(name.clone())
                    .map_err(|reason| name_error(name, reason.to_string()))
            })
            .transpose()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|reason| name_error("", reason.to_string()))?
            .with_root_certificates(roots(settings.ca_file.as_deref())?)
            .with_no_client_auth();
        Ok(Self { config: Arc::new(config), server_name })
    }
}

/// The authorities in a PEM file, or the public ones.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    let error = |reason: String| ConfigError::Tls {
        setting: "tls_ca",
        value: path.display().to_string(),
        reason,
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|reason| error(reason.to_string()))?;
    for certificate in certificates {
        roots.add(certificate).map_err(|reason| error(reason.to_string()))?;
    }
    if roots.is_empty() {
        return Err(error("the file holds no PEM certificate".to_owned()));
    }
    Ok(roots)
}
