//! A real nginx.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::folder::Folder;
use crate::port::free_port;
use crate::process::spawn;
use crate::{Issued, within};

/// Where Debian has it.
const NGINX: &str = "/usr/sbin/nginx";
const CURE: &str = "nginx is missing: apt-get install nginx-light";

/// A running nginx with one server on a port of its own; it goes with this value.
#[derive(Debug)]
pub struct Nginx {
    _child: Child,
    address: SocketAddr,
    _folder: Folder,
}

impl Nginx {
    /// Starts one that shows `issued` and has these lines in its `server` block.
    pub async fn showing(issued: &Issued, lines: &str) -> Self {
        let lines = format!("ssl_certificate cert.pem;\nssl_certificate_key cert.key;\n{lines}");
        Self::start("ssl", Some(issued), &lines).await
    }

    async fn start(listen: &str, issued: Option<&Issued>, lines: &str) -> Self {
        let folder = Folder::new();
        let write = |name: &str, content: &str| {
            std::fs::write(folder.path().join(name), content).expect("a file");
        };
        if let Some(issued) = issued {
            write("cert.pem", &issued.certificate);
            write("cert.key", &issued.key);
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        // One process, which ends with its parent's wish.
        write(
            "nginx.conf",
            &format!(
                "daemon off; master_process off; pid nginx.pid; error_log error.log;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{\n access_log off; client_body_temp_path body; proxy_temp_path proxy;\n\
                 fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
                 server {{ listen {address} {listen};\n{lines}\n}} }}\n"
            ),
        );
        let mut command = Command::new(NGINX);
        command
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = spawn(&mut command, CURE);
        within("nginx to start", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        Self {
            _child: child,
            address,
            _folder: folder,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
