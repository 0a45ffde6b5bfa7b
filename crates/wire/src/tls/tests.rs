//! Our sides against `rustls`'s own, over real sockets.

use std::io::{IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::thread;

use bytes::BytesMut;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use tokio::net::TcpStream;

use super::*;
use crate::Io;

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

/// Does the handshake of one connection, and runs `client` in a thread against it.
pub(crate) async fn meet<T: Send + 'static>(
    client: impl FnOnce(StdStream, Arc<ClientConfig>) -> T + Send + 'static,
) -> (Result<TlsStream, HandshakeError>, thread::JoinHandle<T>) {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (server, config) = configs();
    let client = thread::spawn(move || client(StdStream::connect(address).unwrap(), config));
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = TcpStream::from_std(socket).unwrap();
    (accept(socket, server).await, client)
}

pub(crate) fn client(
    socket: StdStream,
    config: Arc<ClientConfig>,
) -> StreamOwned<ClientConnection, StdStream> {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), socket)
}

/// A connection whose socket takes nothing, and a client that reads nothing.
pub(crate) async fn full() -> (Io, StreamOwned<ClientConnection, StdStream>) {
    let (stream, peer) = meet(|socket, config| {
        let mut stream = client(socket, config);
        stream.write_all(b"x").unwrap();
        stream
    })
    .await;
    let stream = stream.unwrap();
    let socket = socket2::SockRef::from(stream.tcp());
    for size in [4096, 1] {
        while socket.send(&vec![0; size]).is_ok() {}
    }
    (Io::from(stream), peer.join().unwrap())
}

async fn read(io: &mut Io, buffer: &mut BytesMut) -> std::io::Result<usize> {
    std::future::poll_fn(|context| io.poll_read(context, buffer)).await
}

async fn write_all(io: &mut Io, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // Head and body, as a connection writes them.
        let (head, body) = bytes.split_at(bytes.len().min(100));
        let slices = [IoSlice::new(head), IoSlice::new(body)];
        let written = std::future::poll_fn(|context| io.poll_write_vectored(context, &slices));
        let written = written.await.unwrap();
        assert!(written > 0);
        bytes = &bytes[written..];
    }
    std::future::poll_fn(|context| io.poll_flush(context))
        .await
        .unwrap();
}

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 31 % 251) as u8).collect()
}

#[tokio::test]
async fn what_is_sent_arrives_in_both_directions_whatever_its_size() {
    for length in [1, 100, 16 * 1024, 16 * 1024 + 1, 100_000, 3_000_000] {
        let (stream, peer) = meet(move |socket, config| {
            let mut stream = client(socket, config);
            stream.write_all(&sample(length)).unwrap();
            let mut back = vec![0; length];
            stream.read_exact(&mut back).unwrap();
            back
        })
        .await;
        let mut io = Io::from(stream.unwrap());
        let mut received = Vec::new();
        while received.len() < length {
            // Less room than a record.
            let mut buffer = BytesMut::with_capacity(5000);
            assert!(read(&mut io, &mut buffer).await.unwrap() > 0);
            received.extend_from_slice(&buffer);
        }
        assert!(received == sample(length), "{length} bytes to us");
        write_all(&mut io, &received).await;
        assert!(
            peer.join().unwrap() == received,
            "{length} bytes to the client"
        );
    }
}

#[tokio::test]
async fn a_slow_reader_gets_everything() {
    let (stream, peer) = meet(|socket, config| {
        let mut stream = client(socket, config);
        stream.write_all(b"x").unwrap();
        let mut received = Vec::new();
        let mut part = [0; 7001];
        while received.len() < 8_000_000 {
            let count = stream.read(&mut part).unwrap();
            received.extend_from_slice(&part[..count]);
            if received.len() % 7 == 0 {
                thread::yield_now();
            }
        }
        received
    })
    .await;
    let mut io = Io::from(stream.unwrap());
    write_all(&mut io, &sample(8_000_000)).await;
    assert!(
        tokio::task::spawn_blocking(move || peer.join().unwrap())
            .await
            .unwrap()
            == sample(8_000_000)
    );
}

#[tokio::test]
async fn plaintext_that_is_left_over_is_ready_to_be_read() {
    let (stream, peer) = meet(|socket, config| {
        let mut stream = client(socket, config);
        stream.write_all(b"0123456789").unwrap();
        stream.flush().unwrap();
        stream
    })
    .await;
    let mut io = Io::from(stream.unwrap());
    let mut buffer = BytesMut::with_capacity(4);
    let room = buffer.capacity();
    read(&mut io, &mut buffer).await.unwrap();
    assert_eq!(buffer.len(), room.min(10));
    // The socket has nothing more, and never will.
    std::future::poll_fn(|context| io.poll_read_ready(context))
        .await
        .unwrap();
    let mut rest = BytesMut::with_capacity(100);
    if room < 10 {
        read(&mut io, &mut rest).await.unwrap();
    }
    assert_eq!([&buffer[..], &rest[..]].concat(), b"0123456789");
    drop(peer);
}

#[tokio::test]
async fn both_ends_of_a_stream_are_told() {
    let (stream, peer) = meet(|socket, config| {
        let mut stream = client(socket, config);
        stream.write_all(b"bye").unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        let mut all = Vec::new();
        // Without a close_notify this is an error: the rest may have been cut off.
        stream.read_to_end(&mut all).map(|_| all)
    })
    .await;
    let mut io = Io::from(stream.unwrap());
    let mut buffer = BytesMut::with_capacity(100);
    while read(&mut io, &mut buffer).await.unwrap() > 0 {}
    assert_eq!(&buffer[..], b"bye");
    write_all(&mut io, b"so long").await;
    std::future::poll_fn(|context| io.poll_shutdown(context))
        .await
        .unwrap();
    assert_eq!(peer.join().unwrap().unwrap(), b"so long");
}

#[tokio::test]
async fn a_connection_that_is_dropped_in_peace_says_so_and_one_that_is_reset_does_not() {
    for abrupt in [false, true] {
        let (stream, peer) = meet(|socket, config| {
            let mut stream = client(socket, config);
            stream.write_all(b"x").unwrap();
            stream.read_to_end(&mut Vec::new()).is_ok()
        })
        .await;
        let mut io = Io::from(stream.unwrap());
        read(&mut io, &mut BytesMut::with_capacity(100))
            .await
            .unwrap();
        if abrupt {
            io.reset_on_close();
        }
        drop(io);
        assert_eq!(peer.join().unwrap(), !abrupt);
    }
}

#[tokio::test]
async fn what_is_not_tls_is_told_apart_and_left_unread() {
    let (stream, _peer) = meet(|mut socket, _| {
        socket.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        socket
    })
    .await;
    let Err(HandshakeError::NotTls(socket)) = stream else {
        panic!("{stream:?}");
    };
    let mut first = [0; 3];
    socket.peek(&mut first).await.unwrap();
    assert_eq!(&first, b"GET");
}

#[tokio::test]
async fn garbage_and_a_client_that_goes_end_the_handshake() {
    let (stream, peer) = meet(|mut socket, _| {
        socket.write_all(&[22, 3, 1, 0, 4, 1, 0, 0, 0]).unwrap();
        let mut alert = Vec::new();
        socket.read_to_end(&mut alert).unwrap();
        alert
    })
    .await;
    assert!(matches!(stream, Err(HandshakeError::Tls(_))), "{stream:?}");
    drop(stream);
    // RFC 8446 §6: a fatal alert.
    assert_eq!(peer.join().unwrap().first(), Some(&21));

    let (stream, _peer) = meet(|mut socket, _| {
        socket.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        socket
    })
    .await;
    assert!(matches!(stream, Err(HandshakeError::Closed)), "{stream:?}");
}

#[tokio::test]
async fn bytes_that_were_tampered_with_are_an_error() {
    let (stream, peer) = meet(|socket, config| {
        let mut stream = client(socket, config);
        stream.write_all(b"x").unwrap();
        stream
            .sock
            .write_all(&[
                23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19,
                20,
            ])
            .unwrap();
        stream
    })
    .await;
    let mut io = Io::from(stream.unwrap());
    let mut buffer = BytesMut::with_capacity(100);
    let error = loop {
        match read(&mut io, &mut buffer).await {
            Ok(0) => panic!("the stream ended as if nothing had happened"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    drop(peer);
}

/// A client that ends its handshake by hand, so that it can send handshake messages in pieces.
#[tokio::test]
async fn a_message_that_comes_in_pieces_does_not_disturb_what_is_written_meanwhile() {
    let (stream, peer) = meet(|mut socket, _| {
        // A ClientHello that is longer than what comes of it, in two records.
        socket
            .write_all(&[22, 3, 1, 0, 8, 1, 0, 1, 0, 3, 3, 7, 7])
            .unwrap();
        socket.write_all(&[22, 3, 1, 0, 2, 7, 7]).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
        all
    })
    .await;
    assert!(matches!(stream, Err(HandshakeError::Closed)), "{stream:?}");
    assert_eq!(peer.join().unwrap(), b"");
}

/// A connection to `server`, which runs in a thread.
async fn reach<T: Send + 'static>(
    server: impl FnOnce(StreamOwned<ServerConnection, StdStream>) -> T + Send + 'static,
) -> (Result<TlsStream, HandshakeError>, thread::JoinHandle<T>) {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (config, client) = configs();
    let server = thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        server(StreamOwned::new(
            ServerConnection::new(config).unwrap(),
            socket,
        ))
    });
    let socket = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    (connect(socket, client, name).await, server)
}

#[tokio::test]
async fn what_is_sent_to_a_backend_arrives_in_both_directions_whatever_its_size() {
    for length in [1, 16 * 1024 + 1, 3_000_000] {
        let (stream, peer) = reach(move |mut stream| {
            let mut received = vec![0; length];
            stream.read_exact(&mut received).unwrap();
            stream.write_all(&received).unwrap();
            stream.conn.send_close_notify();
            stream.flush().unwrap();
        })
        .await;
        let mut io = Io::from(stream.unwrap());
        write_all(&mut io, &sample(length)).await;
        let mut received = BytesMut::new();
        loop {
            received.reserve(5000);
            if read(&mut io, &mut received).await.unwrap() == 0 {
                break;
            }
        }
        assert!(received == sample(length), "{length} bytes");
        peer.join().unwrap();
    }
}

#[tokio::test]
async fn an_end_that_a_backend_has_not_told_is_an_error() {
    let (stream, peer) = reach(|mut stream| {
        stream.write_all(b"half of it").unwrap();
        stream.sock.shutdown(Shutdown::Write).unwrap();
        stream
    })
    .await;
    let mut io = Io::from(stream.unwrap());
    let mut buffer = BytesMut::with_capacity(100);
    read(&mut io, &mut buffer).await.unwrap();
    assert_eq!(&buffer[..], b"half of it");
    let error = read(&mut io, &mut buffer).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    drop(peer);
}

#[tokio::test]
async fn an_idle_connection_is_stirred_by_bytes_and_by_its_end_and_not_by_keys_that_are_exchanged()
{
    type Stirring = fn(&mut StreamOwned<ServerConnection, StdStream>);
    let stirrings: [(Stirring, bool); 3] = [
        (|stream| stream.conn.refresh_traffic_keys().unwrap(), false),
        (|stream| stream.conn.writer().write_all(b"x").unwrap(), true),
        (|stream| stream.conn.send_close_notify(), true),
    ];
    for (index, (stir, stirs)) in stirrings.into_iter().enumerate() {
        let (stream, peer) = reach(move |mut stream| {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stir(&mut stream);
            stream.flush().unwrap();
            stream
        })
        .await;
        let mut io = Io::from(stream.unwrap());
        write_all(&mut io, b"x").await;
        let peer = tokio::task::spawn_blocking(move || peer.join().unwrap());
        let _peer = peer.await.unwrap();
        std::future::poll_fn(|context| io.poll_read_ready(context))
            .await
            .unwrap();
        assert_eq!(io.has_stirred(), stirs, "{index}");
    }
}

#[tokio::test]
async fn a_backend_that_speaks_something_else_ends_the_handshake() {
    let (stream, peer) = reach(|mut stream| {
        stream.sock.write_all(b"HTTP/1.1 400 \r\n\r\n").unwrap();
        stream
    })
    .await;
    assert!(matches!(stream, Err(HandshakeError::Tls(_))), "{stream:?}");
    drop(peer);
    let (stream, _) = reach(drop).await;
    assert!(
        matches!(stream, Err(HandshakeError::Closed | HandshakeError::Io(_))),
        "{stream:?}"
    );
}
