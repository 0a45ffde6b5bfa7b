//! Settings: from flags, the environment and a `.env` file.

mod document;
mod listening;
mod redis;
mod source;
mod table;
mod tracing;
mod values;

pub use document::{env_example, reference};
pub use listening::{ListenAddress, Listening};
pub use redis::{RedisServer, Topology};
pub use source::{SettingError, Sources};
pub use table::{SETTINGS, Setting};
pub use tracing::TracingSettings;
pub(crate) use values::log_filter;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use load_balancer::Locality;

use crate::middleware::client_address::TrustedProxies;
use crate::middleware::compression::Compression;
use crate::middleware::cors::Cors;
use crate::middleware::rate_limit::RateLimitFields;
use crate::middleware::underscores::UnderscoreHeaders;
use crate::upstream::Target;
use source::Reader;

/// All settings, validated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What all of them were made of.
    pub(crate) sources: Arc<Sources>,
    /// `HOST`: the address to listen on.
    pub host: IpAddr,
    /// `PORT`; 0 for any free one.
    pub port: u16,
    /// `LISTEN`, `TLS_*`: where else to listen, and how.
    pub listening: Listening,
    /// `ADMIN_ADDR`: where health is told; none when off.
    pub admin_addr: Option<SocketAddr>,
    /// `ADMIN_TOKEN`.
    pub admin_token: AdminToken,
    /// `WORKERS`: threads that serve requests, at least 1.
    pub workers: usize,
    /// `MAX_CONNECTIONS`: client connections at once; none to derive it from the descriptor limit.
    pub max_connections: Option<usize>,
    /// `BACKEND_URLS`, else `BACKEND_URL`: where routes without a target go. Never empty.
    pub backends: Vec<Target>,
    /// `ROUTES_CONFIG_PATH`.
    pub routes_config_path: PathBuf,
    /// Whether the user named that file, so that its absence is an error.
    pub routes_config_path_is_given: bool,
    /// `WATCH_CONFIG`, `STATE_DIR`, `START_FROM_LAST_GOOD`, `ROLLBACK_*`.
    pub reload: ReloadSettings,
    /// `JWT_*`.
    pub jwt: JwtSettings,
    /// `ALLOWED_ORIGINS`: the CORS policy of routes that have none of their own.
    pub cors: Option<Arc<Cors>>,
    /// `RATE_LIMIT_FIELDS`.
    pub rate_limit_fields: RateLimitFields,
    /// `RATE_LIMIT_KEYS`: clients that are counted at once.
    pub rate_limit_keys: usize,
    /// `REDIS_*`.
    pub redis: RedisSettings,
    /// `TRUSTED_PROXIES`, `TRUSTED_PROXY_HOPS`: whose word on other addresses is taken.
    pub trusted_proxies: TrustedProxies,
    /// `UNDERSCORE_HEADERS`.
    pub underscore_headers: UnderscoreHeaders,
    /// `SECURITY_HEADERS`.
    pub security_headers: bool,
    /// `ENABLE_COMPRESSION`.
    pub enable_compression: bool,
    /// `COMPRESSION_MIN_SIZE`.
    pub compression: Compression,
    /// `ZONE`, `REGION`: where the gateway is.
    pub locality: Option<Locality>,
    /// `CONSUMERS_FILE`.
    pub consumers_file: Option<PathBuf>,
    /// `API_KEY_SECRET`.
    pub api_key_secret: Option<Secret>,
    /// `ENABLE_METRICS`.
    pub enable_metrics: bool,
    /// `ENABLE_CACHING`.
    pub enable_caching: bool,
    /// `CACHE_TTL`.
    pub cache_ttl: Duration,
    /// `CACHE_SIZE`, bytes.
    pub cache_size: u64,
    /// `CACHE_MAX_OBJECT_SIZE`, bytes.
    pub cache_max_object_size: u64,
    /// `CACHE_DISK_*`, `CACHE_REDIS_*`: what is behind the memory.
    pub cache_tiers: CacheTierSettings,
    /// `ACCESS_LOG`.
    pub access_log: AccessLog,
    /// `ACCESS_LOG_FORMAT`.
    pub access_log_format: AccessLogFormat,
    /// `LOG_LEVEL`: a filter of the `tracing` kind.
    pub log_level: String,
    /// `LOG_FORMAT`.
    pub log_format: LogFormat,
    /// `MAX_*`: sizes of a request.
    pub limits: Limits,
    /// `*_TIMEOUT`.
    pub timeouts: Timeouts,
    /// `UPSTREAM_*`.
    pub upstream_pool: UpstreamPool,
    /// `DNS_*`.
    pub dns: DnsSettings,
    /// `OTEL_*`, `TRUST_TRACE_CONTEXT`.
    pub tracing: TracingSettings,
}

/// What whoever changes something over the admin listener must show.
#[derive(Debug, Clone)]
pub enum AdminToken {
    /// One that is made at each start, for commands on the same machine to find.
    Generated,
    /// This one.
    Given(Secret),
    /// Nothing.
    Off,
}

/// How tokens are checked.
#[derive(Debug, Clone)]
pub struct JwtSettings {
    /// `JWT_SECRET`.
    pub secret: Secret,
    /// `JWT_ISSUER`.
    pub issuer: String,
    /// `JWT_SIGNING_KEY`: a file.
    pub signing_key: Option<PathBuf>,
    /// `JWT_EXPIRATION`.
    pub expiration: Duration,
    /// `JWT_LEEWAY`.
    pub leeway: Duration,
}

/// How routes are replaced while they are served.
#[derive(Debug, Clone)]
pub struct ReloadSettings {
    /// `WATCH_CONFIG`.
    pub watch: bool,
    /// `STATE_DIR`: where applied routes files are kept; none where they are not.
    pub state_dir: Option<PathBuf>,
    /// `START_FROM_LAST_GOOD`.
    pub start_from_last_good: bool,
    /// `ROLLBACK_*`: none where nothing is taken back.
    pub rollback: Option<RollbackSettings>,
}

/// When a change of the routes is taken back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RollbackSettings {
    /// `ROLLBACK_WINDOW`: how long requests are watched, before and after.
    pub window: Duration,
    /// `ROLLBACK_THRESHOLD`: by how much the share of failed requests must grow, 0 to 1.
    pub threshold: f64,
    /// `ROLLBACK_MIN_REQUESTS`.
    pub min_requests: u64,
}

/// Where rate limits of several gateways are counted.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// `REDIS_URL`; none where each gateway counts for itself.
    pub server: Option<RedisServer>,
    /// `REDIS_TIMEOUT`: how long a request waits for it at most.
    pub timeout: Duration,
}

/// Where what is cached is kept besides the memory.
#[derive(Debug, Clone)]
pub struct CacheTierSettings {
    /// `CACHE_DISK_PATH`: a folder; none where nothing survives a restart.
    pub disk_path: Option<PathBuf>,
    /// `CACHE_DISK_SIZE`, bytes.
    pub disk_size: u64,
    /// `CACHE_REDIS_URL`; none where each gateway has a cache of its own.
    pub redis: Option<RedisServer>,
    /// `CACHE_REDIS_PREFIX`.
    pub redis_prefix: String,
    /// `CACHE_REDIS_TIMEOUT`: how long a request waits for it at most.
    pub redis_timeout: Duration,
    /// `CACHE_REDIS_MAX_OBJECT_SIZE`, bytes.
    pub redis_max_object_size: u64,
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Where access log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of a file.
    File(PathBuf),
}

/// What access log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLogFormat {
    /// Text at a terminal, JSON elsewhere.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// What diagnostics on standard error look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How large a request may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// `MAX_HEAD_SIZE`, bytes.
    pub max_head_size: usize,
    /// `MAX_HEADERS`, fields.
    pub max_headers: usize,
    /// `MAX_TARGET_SIZE`, bytes.
    pub max_target_size: usize,
    /// `MAX_HTTP2_STREAMS`, per connection.
    pub max_http2_streams: u32,
    /// `MAX_REQUEST_BODY_SIZE`, bytes; [`u64::MAX`] for any.
    pub max_request_body_size: u64,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// `HEAD_TIMEOUT`.
    pub head: Duration,
    /// `REQUEST_BODY_IDLE_TIMEOUT`.
    pub request_body_idle: Duration,
    /// `RESPONSE_BODY_IDLE_TIMEOUT`.
    pub response_body_idle: Duration,
    /// `WEBSOCKET_IDLE_TIMEOUT`.
    pub websocket_idle: Duration,
    /// `KEEP_ALIVE_TIMEOUT`.
    pub keep_alive: Duration,
    /// `CONNECT_TIMEOUT`.
    pub connect: Duration,
    /// `REQUEST_TIMEOUT`.
    pub request: Duration,
    /// `SHUTDOWN_TIMEOUT`.
    pub shutdown: Duration,
    /// `DRAIN_TIMEOUT`.
    pub drain: Duration,
}

/// How idle connections to backends are kept.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamPool {
    /// `UPSTREAM_IDLE_TIMEOUT`.
    pub idle_timeout: Duration,
    /// `UPSTREAM_MAX_LIFETIME`.
    pub max_lifetime: Duration,
    /// `UPSTREAM_MAX_IDLE`, per endpoint and worker.
    pub max_idle: usize,
}

/// Who is asked for the addresses of backends.
#[derive(Debug, Clone)]
pub struct DnsSettings {
    /// `DNS_SERVERS`, in the order in which they are asked; the system's where there are none.
    pub servers: Vec<SocketAddr>,
    /// `DNS_TIMEOUT`: how long one server is waited for.
    pub timeout: Duration,
}

impl JwtSettings {
    /// Whether tokens are signed with nothing but the documented default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.signing_key.is_none() && self.secret.is_default()
    }
}

impl Secret {
    /// The text itself; not for logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is the documented default, which everybody knows.
    #[must_use]
    pub fn is_default(&self) -> bool {
        SETTINGS
            .iter()
            .any(|setting| setting.variable == "JWT_SECRET" && setting.default == self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl Settings {
    /// Reads and checks all settings.
    ///
    /// # Errors
    /// Every value that is not allowed.
    pub fn read(sources: &Sources) -> Result<Self, Vec<SettingError>> {
        use values as v;
        let mut read = Reader::new(sources);
        let host = read.value("HOST", v::ip_address);
        let port = read.value("PORT", v::port);
        let settings = Self {
            sources: Arc::new(sources.clone()),
            host,
            port,
            listening: Listening::read(&mut read, SocketAddr::new(host, port)),
            admin_addr: read.value("ADMIN_ADDR", v::address_or_off),
            admin_token: read.value("ADMIN_TOKEN", v::admin_token),
            workers: read.value("WORKERS", v::workers),
            max_connections: read.value("MAX_CONNECTIONS", v::count_or_auto),
            backends: read.backends(),
            routes_config_path: read.value("ROUTES_CONFIG_PATH", v::path),
            routes_config_path_is_given: read.is_given("ROUTES_CONFIG_PATH"),
            reload: ReloadSettings {
                watch: read.value("WATCH_CONFIG", v::switch),
                state_dir: read.value("STATE_DIR", v::optional_path),
                start_from_last_good: read.value("START_FROM_LAST_GOOD", v::switch),
                rollback: read.rollback(),
            },
            jwt: JwtSettings {
                secret: Secret(read.value("JWT_SECRET", v::text)),
                issuer: read.value("JWT_ISSUER", v::text),
                signing_key: read.value("JWT_SIGNING_KEY", v::optional_path),
                expiration: read.value("JWT_EXPIRATION", v::long_duration),
                leeway: read.value("JWT_LEEWAY", v::leeway),
            },
            cors: read.cors(),
            rate_limit_fields: read.value("RATE_LIMIT_FIELDS", v::rate_limit_fields),
            rate_limit_keys: read.value("RATE_LIMIT_KEYS", v::key_count),
            redis: RedisSettings {
                server: read.value("REDIS_URL", v::redis_server),
                timeout: read.value("REDIS_TIMEOUT", v::duration),
            },
            trusted_proxies: read.trusted_proxies(),
            underscore_headers: read.value("UNDERSCORE_HEADERS", v::underscore_headers),
            security_headers: read.value("SECURITY_HEADERS", v::switch),
            enable_compression: read.value("ENABLE_COMPRESSION", v::switch),
            compression: Compression {
                min_size: read.value("COMPRESSION_MIN_SIZE", v::least_size),
            },
            locality: read.locality(),
            consumers_file: read.value("CONSUMERS_FILE", v::optional_path),
            api_key_secret: read.value("API_KEY_SECRET", v::optional_text).map(Secret),
            enable_metrics: read.value("ENABLE_METRICS", v::switch),
            enable_caching: read.value("ENABLE_CACHING", v::switch),
            cache_ttl: read.value("CACHE_TTL", v::long_duration_or_zero),
            cache_size: read.value("CACHE_SIZE", v::cache_size),
            cache_max_object_size: read.value("CACHE_MAX_OBJECT_SIZE", v::object_size),
            cache_tiers: CacheTierSettings {
                disk_path: read.value("CACHE_DISK_PATH", v::disk_cache),
                disk_size: read.value("CACHE_DISK_SIZE", v::disk_cache_size),
                redis: read.value("CACHE_REDIS_URL", v::redis_server),
                redis_prefix: read.value("CACHE_REDIS_PREFIX", v::key_prefix),
                redis_timeout: read.value("CACHE_REDIS_TIMEOUT", v::duration),
                redis_max_object_size: read
                    .value("CACHE_REDIS_MAX_OBJECT_SIZE", v::shared_object_size),
            },
            access_log: read.value("ACCESS_LOG", v::access_log),
            access_log_format: read.value("ACCESS_LOG_FORMAT", v::access_log_format),
            log_level: read.value("LOG_LEVEL", v::log_filter),
            log_format: read.value("LOG_FORMAT", v::log_format),
            limits: Limits {
                max_head_size: read.value("MAX_HEAD_SIZE", v::size),
                max_headers: read.value("MAX_HEADERS", v::field_count),
                max_target_size: read.value("MAX_TARGET_SIZE", v::size),
                max_http2_streams: read.value("MAX_HTTP2_STREAMS", v::stream_count),
                max_request_body_size: read.value("MAX_REQUEST_BODY_SIZE", v::body_size),
            },
            timeouts: Timeouts {
                head: read.value("HEAD_TIMEOUT", v::duration),
                request_body_idle: read.value("REQUEST_BODY_IDLE_TIMEOUT", v::duration),
                response_body_idle: read.value("RESPONSE_BODY_IDLE_TIMEOUT", v::duration),
                websocket_idle: read.value("WEBSOCKET_IDLE_TIMEOUT", v::duration),
                keep_alive: read.value("KEEP_ALIVE_TIMEOUT", v::duration),
                connect: read.value("CONNECT_TIMEOUT", v::duration),
                request: read.value("REQUEST_TIMEOUT", v::duration),
                shutdown: read.value("SHUTDOWN_TIMEOUT", v::duration_or_zero),
                drain: read.value("DRAIN_TIMEOUT", v::duration_or_zero),
            },
            upstream_pool: UpstreamPool {
                idle_timeout: read.value("UPSTREAM_IDLE_TIMEOUT", v::duration),
                max_lifetime: read.value("UPSTREAM_MAX_LIFETIME", v::duration),
                max_idle: read.value("UPSTREAM_MAX_IDLE", v::idle_count),
            },
            dns: DnsSettings {
                servers: read.value("DNS_SERVERS", v::dns_servers),
                timeout: read.value("DNS_TIMEOUT", v::dns_timeout),
            },
            tracing: TracingSettings::read(&mut read),
        };
        read.finish(settings)
    }
}

#[cfg(test)]
mod tests;
