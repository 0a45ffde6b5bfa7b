//! A Node server that closes connections after five idle seconds, as Node does by default, and tells which POSTs it has
//! carried out.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const SERVER: &str = r#"
const seen = new Map();
let twice = 0;
const server = require('http').createServer((request, response) => {
  if (request.url === '/report') {
    return response.end(JSON.stringify({ executed: seen.size, twice }));
  }
  request.resume().on('end', () => {
    const id = request.headers['x-id'];
    if (seen.has(id)) twice += 1;
    seen.set(id, true);
    response.setHeader('Content-Length', 2);
    response.end('ok');
  });
});
server.keepAliveTimeout = 5000;
// Newer versions close a second later than they say; this one does as it says.
if ('keepAliveTimeoutBuffer' in server) server.keepAliveTimeoutBuffer = 0;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"#;

/// The server; it goes with this value.
pub(crate) struct Node {
    pub(crate) port: u16,
    _child: Child,
}

impl Node {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut child = Command::new("node")
            .args(["-e", SERVER])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node is needed: apt-get install nodejs")?;
        let output = child.stdout.take().context("standard output")?;
        let mut lines = BufReader::new(output).lines();
        let line = tokio::time::timeout(Duration::from_secs(10), lines.next_line()).await??;
        Ok(Self {
            port: line.context("a port")?.parse()?,
            _child: child,
        })
    }
}
