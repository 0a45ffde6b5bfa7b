//! Backends that speak TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig};
use testkit::{Authority, Backend, Issued};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// Ends TLS in front of a backend; it goes with this value.
pub(super) struct Front {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

/// A handshake that has come to something.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// The name that was asked for.
    pub(super) name: Option<String>,
    pub(super) resumed: bool,
    /// What the client has shown.
    pub(super) client: Option<CertificateDer<'static>>,
}

impl Front {
    /// Shows `issued`.
    pub(super) async fn showing(backend: &Backend, issued: &Issued) -> Self {
        Self::new(backend, issued, None).await
    }

    /// Asks for certificates of `clients`, too.
    pub(super) async fn asking(backend: &Backend, issued: &Issued, clients: &Authority) -> Self {
        Self::new(backend, issued, Some(clients)).await
    }

    async fn new(backend: &Backend, issued: &Issued, clients: Option<&Authority>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(config(issued, clients));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (noted, backend) = (Arc::clone(&seen), backend.address());
        let task = tokio::spawn(async move {
            let mut running = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                let (acceptor, noted) = (acceptor.clone(), Arc::clone(&noted));
                running.spawn(async move {
                    let Ok(mut stream) = acceptor.accept(socket).await else {
                        return;
                    };
                    let (_, session) = stream.get_ref();
                    let client = session.peer_certificates();
                    noted.lock().unwrap().push(Seen {
                        name: session.server_name().map(str::to_owned),
                        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
                        client: client.map(|chain| chain[0].clone().into_owned()),
                    });
                    let mut plain = TcpStream::connect(backend).await.unwrap();
                    // Either side may go.
                    let _ = copy_bidirectional(&mut stream, &mut plain).await;
                });
            }
        });
        Self {
            address,
            seen,
            task,
        }
    }

    /// A URL with this host.
    pub(super) fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn config(issued: &Issued, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = match clients {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let certificate = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
            roots.add(certificate).unwrap();
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap()
        }
    };
    let chain = CertificateDer::pem_slice_iter(issued.certificate.as_bytes());
    let chain = chain.collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
