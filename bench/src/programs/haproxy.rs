//! HAProxy, from the distribution.

use std::process::Command;

use super::Site;

pub(super) fn command(site: &Site) -> anyhow::Result<Command> {
    let Site {
        backend,
        listen,
        listen_http2,
        ..
    } = site;
    let text = format!(
        r"global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  option forwardfor
  http-reuse always
frontend f
  bind {listen}
  bind {listen_http2} proto h2
  default_backend b
backend b
  server s {backend} pool-max-conn 1024
"
    );
    let file = site.write("haproxy.cfg", &text)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}
