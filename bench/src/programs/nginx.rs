//! nginx, from the distribution.

use std::fmt::Write as _;
use std::process::Command;

use super::{Setup, Site};

pub(super) fn command(site: &Site) -> anyhow::Result<Command> {
    let mut locations = String::new();
    for path in site.routes() {
        writeln!(
            locations,
            "    location {path} {{ proxy_pass http://backend; }}"
        )?;
    }
    let cache = if site.setup == Setup::Cached {
        format!(
            "proxy_cache_path {}/cache keys_zone=cache:10m; proxy_cache cache;",
            site.folder.display()
        )
    } else {
        String::new()
    };
    let Site {
        backend,
        listen,
        listen_http2,
        listen_tls,
        folder,
        ..
    } = site;
    let (certificate, key) = site.certificate()?;
    let (certificate, key) = (certificate.display(), key.display());
    let folder = folder.display();
    let text = format!(
        r"daemon off;
master_process on;
worker_processes 1;
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
events {{ worker_connections 9000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  client_max_body_size 0;
  proxy_http_version 1.1;
  proxy_request_buffering off;
  proxy_buffering on;
  proxy_max_temp_file_size 0;
  {cache}
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  proxy_set_header Connection $connection_upgrade;
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Host $proxy_host;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Forwarded-Proto $scheme;
  upstream backend {{ server {backend}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen {listen} backlog=4096;
    listen {listen_http2} http2 backlog=4096;
    listen {listen_tls} ssl http2 backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
{locations}  }}
}}
"
    );
    let file = site.write("nginx.conf", &text)?;
    let mut command = Command::new("nginx");
    command.arg("-c").arg(file).args(["-e", "stderr"]);
    Ok(command)
}
