//! Traefik, from its wheel on PyPI.

use std::process::Command;

use super::Site;

pub(super) fn command(site: &Site) -> anyhow::Result<Command> {
    let routes = site.write(
        "routes.yml",
        &format!(
            r#"http:
  routers:
    all:
      rule: PathPrefix(`/`)
      service: backend
  services:
    backend:
      loadBalancer:
        servers:
          - url: "http://{}"
"#,
            site.backend
        ),
    )?;
    let text = format!(
        r#"entryPoints:
  web:
    address: "{}"
providers:
  file:
    filename: "{}"
serversTransport:
  maxIdleConnsPerHost: 512
log:
  level: ERROR
"#,
        site.listen,
        routes.display()
    );
    let file = site.write("traefik.yml", &text)?;
    let mut command = Command::new("traefik");
    command
        .arg(format!("--configFile={}", file.display()))
        .env("GOMAXPROCS", "1");
    Ok(command)
}
