//! Backends that do as they are told.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::message::{Message, read_message};
use crate::within;

/// A backend on a port of its own; it goes with this value.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    log: Arc<Log>,
    task: JoinHandle<()>,
}

/// What has happened to a backend.
#[derive(Debug, Default)]
struct Log {
    connections: AtomicUsize,
    requests: Mutex<Vec<Message>>,
    ended: AtomicUsize,
    changed: Notify,
}

/// One connection to a backend.
#[derive(Debug)]
pub struct Connection {
    /// For whatever the methods do not offer.
    pub stream: TcpStream,
    /// Its number, from 0.
    pub number: usize,
    buffer: Vec<u8>,
    log: Arc<Log>,
}

impl Backend {
    /// Runs `script` for each connection.
    pub async fn scripted<F>(script: impl Fn(Connection) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::scripted_at((Ipv4Addr::LOCALHOST, 0).into(), script).await
    }

    /// [`Self::scripted`], at an address of this machine; port 0 is any that is free.
    pub async fn scripted_at<F>(
        address: SocketAddr,
        script: impl Fn(Connection) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let log = Arc::new(Log::default());
        let shared = Arc::clone(&log);
        let task = tokio::spawn(async move {
            let mut running = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).expect("a socket");
                let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                shared.changed.notify_waiters();
                let connection = Connection {
                    stream,
                    number,
                    buffer: Vec::new(),
                    log: Arc::clone(&shared),
                };
                running.spawn(script(connection));
            }
        });
        Self { address, log, task }
    }

    /// Answers every request with these bytes.
    pub async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::scripted(move |mut connection| {
            let bytes = Arc::clone(&bytes);
            async move {
                while connection.request().await.is_some() {
                    connection.send(&bytes).await;
                }
            }
        })
        .await
    }

    /// Answers every request with 200 and `ok`.
    pub async fn ok() -> Self {
        Self::answering(*b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await
    }

    /// Answers every request with these bytes, and closes.
    pub async fn closing(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::scripted(move |mut connection| {
            let bytes = Arc::clone(&bytes);
            async move {
                if connection.request().await.is_some() {
                    connection.send(&bytes).await;
                }
            }
        })
        .await
    }

    /// Takes requests and never answers.
    pub async fn silent() -> Self {
        Self::scripted(|mut connection| async move {
            connection.request().await;
            connection.ended().await;
        })
        .await
    }

    /// An address that nobody listens on.
    pub async fn refused() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("an address")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// Requests so far, as they came.
    #[must_use]
    pub fn requests(&self) -> Vec<Message> {
        self.log.requests.lock().expect("a lock").clone()
    }

    /// The request that came last.
    #[must_use]
    pub fn last(&self) -> Message {
        self.requests().pop().expect("a request")
    }

    /// Waits until so many connections have come.
    pub async fn wait_for_connections(&self, count: usize) {
        self.wait("connections", || self.connections() >= count)
            .await;
    }

    /// Waits until so many requests have come.
    pub async fn wait_for_requests(&self, count: usize) {
        self.wait("requests", || self.requests().len() >= count)
            .await;
    }

    /// Waits until so many connections have been seen to end.
    pub async fn wait_for_ends(&self, count: usize) {
        self.wait("ends of connections", || {
            self.log.ended.load(Ordering::SeqCst) >= count
        })
        .await;
    }

    async fn wait(&self, what: &str, done: impl Fn() -> bool) {
        within(what, async {
            loop {
                let changed = self.log.changed.notified();
                if done() {
                    return;
                }
                // A change between the two lines is seen at the next look.
                let _ = tokio::time::timeout(Duration::from_millis(20), changed).await;
            }
        })
        .await;
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// The next request, which is recorded; none when the connection has ended.
    pub async fn request(&mut self) -> Option<Message> {
        let request = read_message(&mut self.stream, &mut self.buffer, false).await;
        match &request {
            Some(request) => self
                .log
                .requests
                .lock()
                .expect("a lock")
                .push(request.clone()),
            None => {
                self.log.ended.fetch_add(1, Ordering::SeqCst);
            }
        }
        self.log.changed.notify_waiters();
        request
    }

    /// The next request's head, with its empty line; the body is left.
    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Reads until `text` has come, and takes everything up to its end.
    pub async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = String::from_utf8_lossy(&self.buffer).find(text) {
                let taken: Vec<u8> = self.buffer.drain(..at + text.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            let read = within(text, self.stream.read_buf(&mut self.buffer))
                .await
                .unwrap_or(0);
            if read == 0 {
                return String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned();
            }
        }
    }

    /// What has been read and not been taken.
    pub fn buffered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Sends bytes. A peer that does not take them is found out by reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Notes that the other side has gone, which the script has seen for itself.
    pub fn gone(&self) {
        self.log.ended.fetch_add(1, Ordering::SeqCst);
        self.log.changed.notify_waiters();
    }

    /// Waits until the other side has ended the connection; what it sends before that is returned.
    pub async fn ended(&mut self) -> Vec<u8> {
        let _ = self.stream.read_to_end(&mut self.buffer).await;
        self.log.ended.fetch_add(1, Ordering::SeqCst);
        self.log.changed.notify_waiters();
        std::mem::take(&mut self.buffer)
    }

    /// Breaks the connection off.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }
}
