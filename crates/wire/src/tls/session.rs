//! Either side of a TLS connection, as `rustls` has them.

use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::UnbufferedStatus;

/// What has the keys. Boxed: they are large, and of different sizes.
pub(super) enum Session {
    /// The other side is a client.
    Server(Box<UnbufferedServerConnection>),
    /// The other side is a backend.
    Client(Box<UnbufferedClientConnection>),
}

impl Session {
    /// What both sides have.
    pub(super) fn common(&self) -> &CommonState {
        match self {
            Self::Server(session) => session,
            Self::Client(session) => session,
        }
    }
}

/// What takes records: one side or the other.
pub(super) trait Records {
    /// Which side it is.
    type Side;

    /// Has `rustls` look at what has come.
    fn process<'c, 'i>(&'c mut self, records: &'i mut [u8])
    -> UnbufferedStatus<'c, 'i, Self::Side>;
}

impl Records for UnbufferedServerConnection {
    type Side = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        records: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(records)
    }
}

impl Records for UnbufferedClientConnection {
    type Side = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        records: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Side> {
        self.process_tls_records(records)
    }
}
