//! A blind TCP forwarder: reads on one side, writes on the other. What it costs, no proxy can avoid.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX);
const BUFFER: usize = 64 * 1024;

/// A client's connection and the backend's, and what could not be written yet in each direction.
struct Pair {
    client: TcpStream,
    backend: TcpStream,
    up: Vec<u8>,
    down: Vec<u8>,
}

#[derive(PartialEq, Eq)]
enum Pumped {
    /// Nothing more to read, or to write, for now.
    Waiting,
    /// The reading side has ended.
    Ended,
}

/// Forwards every connection to `listen` over a new one to `backend`, until it is killed.
pub(crate) fn run(listen: SocketAddr, backend: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(listen)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut pairs, mut free) = (Vec::<Option<Pair>>::new(), Vec::new());
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; BUFFER]);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let index = free.pop().unwrap_or_else(|| {
                        pairs.push(None);
                        pairs.len() - 1
                    });
                    pairs[index] = Some(open(client, backend, index, &poll)?);
                }
                continue;
            }
            let index = event.token().0 / 2;
            let Some(pair) = pairs.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            if !pair.pump(&mut buffer, event.is_read_closed()) {
                pairs[index] = None;
                free.push(index);
            }
        }
    }
}

fn open(client: TcpStream, backend: SocketAddr, index: usize, poll: &Poll) -> io::Result<Pair> {
    let backend = std::net::TcpStream::connect(backend)?;
    backend.set_nonblocking(true)?;
    let mut pair = Pair {
        client,
        backend: TcpStream::from_std(backend),
        up: Vec::new(),
        down: Vec::new(),
    };
    let both = Interest::READABLE | Interest::WRITABLE;
    for (stream, token) in [
        (&mut pair.client, Token(index * 2)),
        (&mut pair.backend, Token(index * 2 + 1)),
    ] {
        stream.set_nodelay(true)?;
        poll.registry().register(stream, token, both)?;
    }
    Ok(pair)
}

impl Pair {
    /// Moves what can be moved; `ended` says that one side has said its last. Whether the pair lives on.
    fn pump(&mut self, buffer: &mut [u8], ended: bool) -> bool {
        let Self {
            client,
            backend,
            up,
            down,
        } = self;
        let up = pump(client, backend, up, buffer, ended);
        let down = pump(backend, client, down, buffer, ended);
        matches!((up, down), (Ok(Pumped::Waiting), Ok(Pumped::Waiting)))
    }
}

fn pump(
    from: &mut TcpStream,
    to: &mut TcpStream,
    pending: &mut Vec<u8>,
    buffer: &mut [u8],
    ended: bool,
) -> io::Result<Pumped> {
    loop {
        if !pending.is_empty() {
            match to.write(pending) {
                Ok(written) => drop(pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Pumped::Waiting);
                }
                Err(error) => return Err(error),
            }
            continue;
        }
        let read = match from.read(buffer) {
            Ok(0) => return Ok(Pumped::Ended),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Pumped::Waiting),
            Err(error) => return Err(error),
        };
        let written = match to.write(&buffer[..read]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        pending.extend_from_slice(&buffer[written..read]);
        // A short read has emptied the socket, unless its end is behind it: of that there is no second event.
        if read < buffer.len() && pending.is_empty() && !ended {
            return Ok(Pumped::Waiting);
        }
    }
}
