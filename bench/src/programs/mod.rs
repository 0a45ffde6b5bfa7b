//! The programs that are measured, and how each is set up for the same work.

mod caddy;
mod envoy;
mod floor;
mod gateway;
mod haproxy;
mod nginx;
mod traefik;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::ValueEnum;

use crate::process::{MEASURED_CPU, Process};

/// A program that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    /// The blind TCP forwarder.
    Floor,
    Gateway,
    Nginx,
    Haproxy,
    Envoy,
    Traefik,
    Caddy,
}

/// What a program is set up to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    /// One route; nothing switched on.
    Bare,
    /// Twenty routes, a token to verify, an access log in a file, and all the rest of the chain that there is.
    Full,
    /// The same, and answers are cached; of nginx the cache alone.
    Cached,
    /// Ten thousand routes; nothing switched on.
    ManyRoutes,
}

/// How many routes [`Setup::ManyRoutes`] has.
pub(crate) const MANY: usize = 10_000;
/// How many routes [`Setup::Full`] has.
pub(crate) const SOME: usize = 20;

/// Where things are for a program that is to be started.
#[derive(Debug)]
struct Site {
    setup: Setup,
    backend: SocketAddr,
    /// Where it is to listen for HTTP/1.1.
    listen: SocketAddr,
    /// Where it is to listen for HTTP/2, if it needs another port for it.
    listen_http2: SocketAddr,
    /// Where it is to listen for TLS, if it can.
    listen_tls: SocketAddr,
    /// For its configuration and logs.
    folder: PathBuf,
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) program: Program,
    pub(crate) process: Process,
    /// Where it takes HTTP/1.1.
    pub(crate) address: SocketAddr,
    /// Where it takes HTTP/2 with prior knowledge.
    pub(crate) http2: SocketAddr,
    /// Where it takes TLS, if it is set up for that.
    pub(crate) tls: SocketAddr,
}

impl Program {
    /// Its name in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Gateway => "api-gateway",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Traefik => "Traefik",
            Self::Caddy => "Caddy",
        }
    }

    /// What it says of its version; an error when it cannot be had.
    pub(crate) fn version(self, gateway: &Path) -> anyhow::Result<String> {
        let (program, argument) = match self {
            Self::Floor => return Ok(String::new()),
            Self::Gateway => (gateway.display().to_string(), "--version"),
            Self::Nginx => ("nginx".to_owned(), "-v"),
            Self::Haproxy => ("haproxy".to_owned(), "-v"),
            Self::Envoy => ("envoy".to_owned(), "--version"),
            Self::Traefik => ("traefik".to_owned(), "version"),
            Self::Caddy => ("caddy".to_owned(), "version"),
        };
        let output = Command::new(&program)
            .arg(argument)
            .output()
            .with_context(|| format!("{program} cannot be run"))?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok(version_number(&text).unwrap_or_default())
    }

    /// Starts it in front of `backend`, on the measured CPU.
    pub(crate) fn start(
        self,
        setup: Setup,
        backend: SocketAddr,
        gateway: &Path,
        folder: &Path,
    ) -> anyhow::Result<Running> {
        let folder = fs::canonicalize(folder)?.join(self.name());
        fs::create_dir_all(&folder)?;
        let site = Site {
            setup,
            backend,
            listen: free_address()?,
            listen_http2: free_address()?,
            listen_tls: free_address()?,
            folder,
        };
        let command = match self {
            Self::Floor => floor::command(&site)?,
            Self::Gateway => gateway::command(&site, gateway)?,
            Self::Nginx => nginx::command(&site)?,
            Self::Haproxy => haproxy::command(&site)?,
            Self::Envoy => envoy::command(&site)?,
            Self::Traefik => traefik::command(&site)?,
            Self::Caddy => caddy::command(&site)?,
        };
        let log = site.folder.join("output.log");
        let mut process = Process::start(&command, MEASURED_CPU, &log)?;
        process
            .wait_for(site.listen, &log)
            .with_context(|| self.name())?;
        let separate = matches!(self, Self::Nginx | Self::Haproxy);
        Ok(Running {
            program: self,
            process,
            address: site.listen,
            tls: site.listen_tls,
            http2: if separate {
                site.listen_http2
            } else {
                site.listen
            },
        })
    }
}

impl Site {
    /// Writes a configuration file and returns its path.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }

    /// A certificate with an ECDSA key, and the key, made for this run.
    fn certificate(&self) -> anyhow::Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (self.folder.join("tls.pem"), self.folder.join("tls.key"));
        let output = Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-subj", "/CN=bench.test", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .context("openssl is needed")?;
        ensure!(output.status.success(), "openssl failed: {output:?}");
        Ok((certificate, key))
    }

    /// The paths of the routes, of which requests use the last.
    fn routes(&self) -> Vec<String> {
        let count = match self.setup {
            Setup::Bare => return vec!["/".to_owned()],
            Setup::Full | Setup::Cached => SOME,
            Setup::ManyRoutes => MANY,
        };
        (0..count).map(|index| route(index, count)).collect()
    }
}

/// The path of one of `count` routes; the last has the name that requests use.
fn route(index: usize, count: usize) -> String {
    if index + 1 == count {
        "/api/users/".to_owned()
    } else {
        format!("/api/service-{index}/")
    }
}

/// An address on loopback that nobody listens on.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The first thing in `text` that looks like a version.
fn version_number(text: &str) -> Option<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || ".-+~".contains(c)))
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .map(|word| {
            word.split(['-', '+', '~'])
                .next()
                .unwrap_or(word)
                .to_owned()
        })
}
