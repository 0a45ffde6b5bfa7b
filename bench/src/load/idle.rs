//! Connections that have had their answer and stay.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Programs tidy up after a request; they are given this time for it.
const SETTLE: Duration = Duration::from_secs(2);

/// Opens `count` connections to `target`, sends `request` on each, reads its answer, and calls `probe` while all of
/// them are open and idle.
pub(crate) fn hold(
    target: SocketAddr,
    request: &[u8],
    count: usize,
    probe: &mut dyn FnMut() -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut connections = Vec::with_capacity(count);
    let mut buffer = [0; 4096];
    for _ in 0..count {
        let mut stream = TcpStream::connect(target)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(request)?;
        let read = stream.read(&mut buffer)?;
        anyhow::ensure!(
            buffer[..read].starts_with(b"HTTP/1.1 200"),
            "the answer is {}",
            String::from_utf8_lossy(&buffer[..read])
        );
        connections.push(stream);
    }
    std::thread::sleep(SETTLE);
    probe()?;
    Ok(())
}
