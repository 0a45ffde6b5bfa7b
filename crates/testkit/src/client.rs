//! A client that sends exactly the bytes it is given.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::message::{Message, read_message};
use crate::within;

/// A connection to the gateway.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = within("connecting", TcpStream::connect(address))
            .await
            .expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends bytes as they are. A peer that does not take them is found out by reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within("sending", self.stream.write_all(bytes.as_ref())).await;
    }

    /// Sends a request without a body; `fields` are whole lines.
    pub async fn request(&mut self, method: &str, target: &str, fields: &[&str]) {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: gateway.test\r\n{fields}\r\n"
        ))
        .await;
    }

    /// The next response.
    pub async fn response(&mut self) -> Message {
        within(
            "a response",
            read_message(&mut self.stream, &mut self.buffer, false),
        )
        .await
        .expect("a response")
    }

    /// The next response, to a HEAD.
    pub async fn response_to_head(&mut self) -> Message {
        within(
            "a response",
            read_message(&mut self.stream, &mut self.buffer, true),
        )
        .await
        .expect("a response")
    }

    /// A GET and its response.
    pub async fn get(&mut self, target: &str) -> Message {
        self.request("GET", target, &[]).await;
        self.response().await
    }

    /// The next bytes, however many come at once; none at the end.
    pub async fn bytes(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            let _ = within("bytes", self.stream.read_buf(&mut self.buffer)).await;
        }
        std::mem::take(&mut self.buffer)
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
            assert!(
                read > 0,
                "ended before {text:?}: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// Everything up to the end of the stream; a reset is an end, too.
    pub async fn rest(&mut self) -> Vec<u8> {
        let _ = within("the end", self.stream.read_to_end(&mut self.buffer)).await;
        std::mem::take(&mut self.buffer)
    }

    /// Whether nothing comes for a while: to be used only where nothing must come.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.stream.read_buf(&mut self.buffer))
            .await
            .is_err()
    }

    /// Ends the sending side.
    pub async fn end(&mut self) {
        self.stream.shutdown().await.expect("a connection");
    }

    /// Breaks the connection off.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("a socket");
    }

    /// The stream itself, for clients that speak another protocol from here on.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        assert!(self.buffer.is_empty(), "bytes are left");
        self.stream
    }
}
