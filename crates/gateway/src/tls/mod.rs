//! TLS towards clients: certificates, who they are shown to, who must show one; and towards backends ([`BackendTls`]).
//!
//! A [`Termination`] is what a listener needs for handshakes. Its certificates are a [`Store`] that all TLS listeners share:
//! read at the start, chosen by the name that a client asks for, read anew when a file changes. A file that cannot be read
//! then, or does not fit, changes nothing: what was there before is shown on. Handshakes and records are `wire`'s.

mod backend;
mod certificate;
mod client_auth;
mod client_identity;
mod counts;
mod error;
mod names;
mod reading;
mod session;
mod store;
mod termination;
mod watch;

pub(crate) use backend::{BackendRules, BackendTls, ToBackend, Trust};
pub(crate) use certificate::{Certificate, CertificateFiles};
pub(crate) use client_auth::{ClientAuth, Demand, Forwarding};
pub(crate) use client_identity::{CLIENT_CERT, CLIENT_CERT_CHAIN, ClientCertificate};
pub(crate) use counts::{Failure, TlsCounts, Version};
pub(crate) use error::TlsError;
pub(crate) use session::{Established, Session, establish};
pub(crate) use store::Store;
pub(crate) use termination::{Termination, TlsRules};
pub(crate) use watch::{Watched, doubts, keep_backend_fresh, keep_fresh};
