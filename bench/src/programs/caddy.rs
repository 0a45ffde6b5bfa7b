//! Caddy, from its wheel on PyPI.

use std::process::Command;

use super::Site;

pub(super) fn command(site: &Site) -> anyhow::Result<Command> {
    let text = format!(
        r"{{
  admin off
  auto_https off
  persist_config off
  servers {{
    protocols h1 h2c
  }}
}}
http://:{} {{
  bind {}
  reverse_proxy {} {{
    transport http {{
      keepalive_idle_conns_per_host 512
    }}
  }}
}}
",
        site.listen.port(),
        site.listen.ip(),
        site.backend
    );
    let file = site.write("Caddyfile", &text)?;
    let mut command = Command::new("caddy");
    command
        .args(["run", "--adapter", "caddyfile", "--config"])
        .arg(file)
        .env("GOMAXPROCS", "1")
        .env("HOME", &site.folder);
    Ok(command)
}
