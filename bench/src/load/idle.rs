//! Connections that have had their answer and stay.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Programs tidy up after a request; they are given this time for it.
const SETTLE: Duration = Duration::from_secs(2);

/// Opens connections to `target`, one after the other, sends `request` on each and reads its answer. Calls `probe` when
/// as many as each of `counts` says are open and idle; the counts grow.
pub(crate) fn hold(
    target: SocketAddr,
    request: &[u8],
    counts: &[usize],
    mut probe: impl FnMut() -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut connections = Vec::new();
    for &count in counts {
        while connections.len() < count {
            connections.push(open(target, request)?);
        }
        std::thread::sleep(SETTLE);
        probe()?;
    }
    Ok(())
}

fn open(target: SocketAddr, request: &[u8]) -> anyhow::Result<TcpStream> {
    let mut buffer = [0; 4096];
    let mut stream = TcpStream::connect(target)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request)?;
    let read = stream.read(&mut buffer)?;
    anyhow::ensure!(
        buffer[..read].starts_with(b"HTTP/1.1 200"),
        "the answer is {}",
        String::from_utf8_lossy(&buffer[..read])
    );
    Ok(stream)
}
