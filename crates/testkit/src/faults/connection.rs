//! One connection to a faulty backend.

use std::fs::File;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::server::Now;
use super::{Fault, Health, REQUEST_ID};
use crate::message::{Message, read_message};

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(86_400);

/// What becomes of a connection after a request.
#[derive(Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    Close,
    Reset,
    /// Nothing more is sent; it ends when the other side ends it.
    Stall,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    now: watch::Receiver<Now>,
    journal: Rc<File>,
}

/// Serves requests, each as the backend behaves when it comes.
pub(super) async fn serve(stream: TcpStream, now: watch::Receiver<Now>, journal: Rc<File>) {
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        stream,
        buffer: Vec::new(),
        now,
        journal,
    };
    connection.run().await;
}

impl Connection {
    async fn run(&mut self) {
        while self.await_request().await {
            let now = *self.now.borrow();
            if now.fault == Fault::ResetOnAccept {
                return self.reset();
            }
            let Some(request) = read_message(&mut self.stream, &mut self.buffer, false).await
            else {
                return;
            };
            match self.answer(&request, now).await {
                Then::GoOn => {}
                Then::Close => return,
                Then::Reset => return self.reset(),
                Then::Stall => {
                    let _ = self.stream.read_to_end(&mut Vec::new()).await;
                    return;
                }
            }
        }
    }

    /// Whether a request begins; else the connection is over, or has been idle for too long.
    async fn await_request(&mut self) -> bool {
        while self.buffer.is_empty() {
            let now = *self.now.borrow_and_update();
            let idle = match (now.draining, now.fault) {
                (Some(grace), _) => grace,
                (None, Fault::IdleClose(time)) => time,
                (None, _) => FOR_EVER,
            };
            tokio::select! {
                read = self.stream.read_buf(&mut self.buffer) => {
                    if !matches!(read, Ok(1..)) {
                        return false;
                    }
                }
                () = tokio::time::sleep(idle) => return false,
                _ = self.now.changed() => {}
            }
        }
        true
    }

    async fn answer(&mut self, request: &Message, now: Now) -> Then {
        if request.target() == "/health" {
            match (now.health, now.draining) {
                (Health::Up, _) => return self.send_status(request, 200).await,
                (Health::Down, _) | (_, Some(_)) => return self.send_status(request, 503).await,
                (Health::AsItIs, None) => {}
            }
        } else {
            self.execute(request);
        }
        let slowness = match now.fault {
            Fault::Slow(factor) => factor,
            _ => 1.0,
        };
        let latency = now.latency.draw().mul_f64(slowness);
        // The timer's steps are milliseconds: no latency must not become one.
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match now.fault {
            // Whatever came before a refusal or a reset that has begun since.
            Fault::Nothing
            | Fault::Refuse
            | Fault::ResetOnAccept
            | Fault::IdleClose(_)
            | Fault::Slow(_) => self.send_status(request, 200).await,
            Fault::Status(status, probability) if fastrand::f64() < probability => {
                self.send_status(request, status).await
            }
            Fault::Status(..) => self.send_status(request, 200).await,
            Fault::CloseAfterAnswer => {
                self.send_status(request, 200).await;
                Then::Close
            }
            Fault::ResetAfterRequest => Then::Reset,
            Fault::StallBeforeHead => Then::Stall,
            Fault::StallInHead => {
                self.send("HTTP/1.1 200 OK\r\nContent-Le", Then::Stall)
                    .await
            }
            Fault::StallInBody => self.send_half(Then::Stall).await,
            Fault::Garbage => {
                self.send("\u{7}SSH-2.0-garbage\r\n\r\n\0\0\0", Then::Close)
                    .await
            }
            Fault::LengthTooLarge => self.send_half(Then::Close).await,
            Fault::LengthTooSmall => {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                let more = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
                self.send(&format!("{answer}{more}"), Then::GoOn).await
            }
        }
    }

    fn execute(&self, request: &Message) {
        let id = request.field(REQUEST_ID).unwrap_or("-");
        (&*self.journal)
            .write_all(format!("{id}\n").as_bytes())
            .expect("the journal");
    }

    async fn send_half(&mut self, then: Then) -> Then {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf";
        self.send(half, then).await
    }

    async fn send_status(&mut self, request: &Message, status: u16) -> Then {
        // What holds now, not what held when the request came: SIGTERM may have come in between.
        let draining = self.now.borrow().draining.is_some();
        let asked_to = request
            .field("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let (close, then) = if draining || asked_to {
            ("Connection: close\r\n", Then::Close)
        } else {
            ("", Then::GoOn)
        };
        let port = self.stream.local_addr().map_or(0, |address| address.port());
        let body = match (request.start.starts_with("HEAD "), status) {
            (true, _) => "",
            (false, 200) => "ok",
            (false, _) => "no",
        };
        let answer = format!(
            "HTTP/1.1 {status} Told So\r\nContent-Length: 2\r\nX-Backend: {port}\r\n{close}\r\n{body}"
        );
        self.send(&answer, then).await
    }

    async fn send(&mut self, text: &str, then: Then) -> Then {
        match self.stream.write_all(text.as_bytes()).await {
            Ok(()) => then,
            Err(_) => Then::Close,
        }
    }

    fn reset(&self) {
        // Without lingering, a close is a reset.
        let _ = self.stream.set_zero_linger();
    }
}
