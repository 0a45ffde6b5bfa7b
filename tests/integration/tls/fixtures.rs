//! Gateways with certificates, and clients with TLS.

use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use testkit::{Authority, Backend, GatewayBuilder, Issued, Message, read_message, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{everything_to, gateway};

/// Listens without and with TLS.
pub(super) const BOTH: &str = "http://127.0.0.1:0,https://127.0.0.1:0";

/// A gateway in front of `backend` that shows `issued`.
pub(super) fn showing(backend: &Backend, issued: &Issued) -> GatewayBuilder {
    gateway()
        .routes(&everything_to(&backend.url()))
        .file("cert.pem", &issued.certificate)
        .file("key.pem", &issued.key)
        .env("LISTEN", BOTH)
        .env("TLS_CERT", "cert.pem")
        .env("TLS_KEY", "key.pem")
}

/// How a client does its handshake.
#[derive(Clone)]
pub(super) struct Tls {
    roots: Arc<RootCertStore>,
    versions: &'static [&'static SupportedProtocolVersion],
    alpn: &'static [&'static str],
    identity: Option<Issued>,
}

pub(super) const ONLY_TLS_1_2: &[&SupportedProtocolVersion] = &[&TLS12];
pub(super) const ONLY_TLS_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

impl Tls {
    /// Trusts `authority`.
    pub(super) fn trusting(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
        roots.add(certificate).unwrap();
        Self {
            roots: Arc::new(roots),
            versions: rustls::ALL_VERSIONS,
            alpn: &[],
            identity: None,
        }
    }

    pub(super) fn versions(mut self, versions: &'static [&SupportedProtocolVersion]) -> Self {
        self.versions = versions;
        self
    }

    pub(super) fn alpn(mut self, alpn: &'static [&str]) -> Self {
        self.alpn = alpn;
        self
    }

    /// Shows a certificate.
    pub(super) fn showing(mut self, identity: &Issued) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// With a memory of sessions of its own.
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(Issued {
                certificate, key, ..
            }) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let chain = chain.collect::<Result<_, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(16);
        Arc::new(config)
    }

    /// A connection for `name`.
    pub(super) async fn connect(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> std::io::Result<TlsClient> {
        connect(self.config(), address, name).await
    }
}

/// A connection for `name`, by `config`.
pub(super) async fn connect(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<TlsClient> {
    let socket = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let stream = TlsConnector::from(config).connect(name, socket);
    Ok(TlsClient {
        stream: within("the handshake", stream).await?,
        buffer: Vec::new(),
    })
}

/// A connection with TLS.
pub(super) struct TlsClient {
    pub(super) stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl TlsClient {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(super) async fn response(&mut self) -> Message {
        let message = read_message(&mut self.stream, &mut self.buffer, false);
        within("a response", message).await.expect("a response")
    }

    /// A GET for `host`; `fields` are whole lines.
    pub(super) async fn get(&mut self, host: &str, target: &str, fields: &[&str]) -> Message {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"
        ))
        .await;
        self.response().await
    }

    /// Everything up to the end of the stream, or why it ends otherwise.
    pub(super) async fn rest(&mut self) -> std::io::Result<Vec<u8>> {
        within("the end", self.stream.read_to_end(&mut self.buffer)).await?;
        Ok(std::mem::take(&mut self.buffer))
    }

    /// The certificate that the gateway has shown.
    pub(super) fn shown(&self) -> CertificateDer<'static> {
        let (_, session) = self.stream.get_ref();
        session.peer_certificates().unwrap()[0].clone().into_owned()
    }
}

/// The DER form of what was issued.
pub(super) fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

/// Runs a program to its end.
pub(super) async fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null());
    within(program, command.kill_on_drop(true).output())
        .await
        .expect(program)
}
