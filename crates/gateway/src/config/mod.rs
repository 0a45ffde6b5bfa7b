//! Stand-in.
#![allow(missing_docs)]
mod snapshot;
pub use snapshot::{Route, Snapshot};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
#[derive(Debug)]
pub struct Secret(pub String);
impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}
#[derive(Debug)]
pub struct Jwt {
    pub secret: Secret,
    pub issuer: String,
}
#[derive(Debug)]
pub struct Limits {
    pub max_head_size: usize,
    pub max_headers: usize,
    pub max_target_size: usize,
}
#[derive(Debug)]
pub struct Timeouts {
    pub head: Duration,
    pub request_body_idle: Duration,
    pub response_body_idle: Duration,
    pub websocket_idle: Duration,
    pub keep_alive: Duration,
    pub connect: Duration,
    pub request: Duration,
    pub shutdown: Duration,
}
#[derive(Debug)]
pub struct Pool {
    pub idle_timeout: Duration,
    pub max_lifetime: Duration,
    pub max_idle: usize,
}
#[derive(Debug, PartialEq, Eq)]
pub enum AccessLog {
    Off,
    Stdout,
    File(PathBuf),
}
#[derive(Debug, Clone, Copy)]
pub enum AccessLogFormat {
    Auto,
    Json,
    Text,
}
#[derive(Debug)]
pub struct Settings {
    pub host: IpAddr,
    pub port: u16,
    pub admin_addr: Option<SocketAddr>,
    pub workers: usize,
    pub jwt: Jwt,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub upstream_pool: Pool,
    pub trusted_proxies: Vec<ipnet::IpNet>,
    pub access_log: AccessLog,
    pub access_log_format: AccessLogFormat,
    pub max_connections: Option<usize>,
}
