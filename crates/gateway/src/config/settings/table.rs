//! The one list of settings: flags, help, `.env.example` and the reference are made from it.

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Its environment variable; the flag is the same in lower case with hyphens.
    pub variable: &'static str,
    /// The value where none is given; empty for none.
    pub default: &'static str,
    /// What it means, units and range.
    pub help: &'static str,
    /// Under which heading it stands.
    pub group: &'static str,
    /// Its value is not shown.
    pub secret: bool,
}

impl Setting {
    /// The long flag, without its hyphens.
    #[must_use]
    pub fn flag(&self) -> String {
        self.variable.to_ascii_lowercase().replace('_', "-")
    }
}

const fn setting(
    group: &'static str,
    variable: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting {
        variable,
        default,
        help,
        group,
        secret: false,
    }
}

const LISTENING: &str = "Listening";
const TLS: &str = "TLS";
const ROUTING: &str = "Routing";
const SECURITY: &str = "Security";
const REDIS: &str = "Redis";
const CACHING: &str = "Caching";
const COMPRESSION: &str = "Compression";
const LOGGING: &str = "Logging";
const TRACING: &str = "Tracing";
const LIMITS: &str = "Limits";
const TIMEOUTS: &str = "Time-outs";
const UPSTREAM: &str = "Connections to backends";
const NAMES: &str = "Names of backends";

/// All settings, in the order of the documentation.
pub const SETTINGS: &[Setting] = &[
    setting(
        LISTENING,
        "PORT",
        "8080",
        "Port to listen on, 0 to 65535; 0 takes any free one",
    ),
    setting(
        LISTENING,
        "HOST",
        "::",
        "Address to listen on; \"::\" is all addresses, IPv4 and IPv6",
    ),
    setting(
        LISTENING,
        "LISTEN",
        "",
        "Addresses to listen on in place of HOST and PORT, comma separated, with and without TLS: http://[::]:8080,https://[::]:8443",
    ),
    setting(
        LISTENING,
        "LISTENERS_FILE",
        "",
        "File of listeners and certificates, in place of HOST, PORT, LISTEN, TLS_*, HTTPS_REDIRECT and PROXY_PROTOCOL",
    ),
    setting(
        LISTENING,
        "PROXY_PROTOCOL",
        "false",
        "Connections from TRUSTED_PROXIES begin with a PROXY protocol header, version 1 or 2, which tells the client's address",
    ),
    setting(
        LISTENING,
        "ADMIN_ADDR",
        "127.0.0.1:9901",
        "Address of the admin listener (/healthz, /readyz, /metrics and more), or \"off\"",
    ),
    Setting {
        variable: "ADMIN_TOKEN",
        default: "auto",
        help: "What whoever asks the admin listener for more than health and metrics must show as a bearer token: at least 16 characters; \"auto\" is a new one at each start, which commands on this machine find; or \"off\"",
        group: LISTENING,
        secret: true,
    },
    setting(
        LISTENING,
        "ENABLE_METRICS",
        "true",
        "Whether there is /metrics, for Prometheus",
    ),
    setting(
        LISTENING,
        "WORKERS",
        "auto",
        "Threads that serve requests, 1 to 1024; \"auto\" is one per CPU that the process may use",
    ),
    setting(
        LISTENING,
        "MAX_CONNECTIONS",
        "auto",
        "Client connections at once; more wait. \"auto\" is what the file descriptor limit allows",
    ),
    setting(
        LISTENING,
        "SHUTDOWN_TIMEOUT",
        "30",
        "How long open requests may take to end after SIGTERM or SIGINT; 0 to 24h",
    ),
    setting(
        TLS,
        "TLS_CERT",
        "",
        "Certificates of the https:// addresses in LISTEN, comma separated files (PEM, with what leads to their authority); which one a client is shown is decided by the names in them, and the first is for all others; read anew when they change",
    ),
    setting(
        TLS,
        "TLS_KEY",
        "",
        "Their private keys, in the same order (PEM)",
    ),
    setting(
        TLS,
        "TLS_CLIENT_CA",
        "",
        "File of the authorities (PEM) whose certificates clients must show on https:// addresses; LISTENERS_FILE knows more of this",
    ),
    setting(
        TLS,
        "HTTPS_REDIRECT",
        "false",
        "Requests to http:// addresses are answered with a redirect (308) to the first https:// address's port",
    ),
    setting(
        ROUTING,
        "ROUTES_CONFIG_PATH",
        "configs/routes.json",
        "The routes file",
    ),
    setting(
        ROUTING,
        "WATCH_CONFIG",
        "true",
        "Whether a change of the routes file, or of a file that it needs, is applied at once; without, SIGHUP has it applied",
    ),
    setting(
        ROUTING,
        "STATE_DIR",
        "",
        "Folder in which routes files that have been applied are kept, the last 20; none are without one",
    ),
    setting(
        ROUTING,
        "START_FROM_LAST_GOOD",
        "false",
        "Whether a start with a broken routes file serves the last one that is kept in STATE_DIR, in place of failing",
    ),
    setting(
        ROUTING,
        "ROLLBACK_WINDOW",
        "off",
        "How long requests are watched after a change of the routes: when answers of 5xx become more frequent, it is taken back; up to 24h, or \"off\"",
    ),
    setting(
        ROUTING,
        "ROLLBACK_THRESHOLD",
        "10",
        "By how many percent of the requests answers of 5xx must become more frequent for that, 1 to 100",
    ),
    setting(
        ROUTING,
        "ROLLBACK_MIN_REQUESTS",
        "100",
        "How many requests there must have been for that, 1 to 1000000",
    ),
    setting(
        ROUTING,
        "BACKEND_URL",
        "http://localhost:8081",
        "Where routes without a target go",
    ),
    setting(
        ROUTING,
        "BACKEND_URLS",
        "",
        "Several of them, comma separated; replaces BACKEND_URL",
    ),
    Setting {
        variable: "JWT_SECRET",
        default: "your-secret-key",
        help: "Key that signs and verifies the gateway's own tokens (HS256); the default is public, set your own",
        group: SECURITY,
        secret: true,
    },
    setting(
        SECURITY,
        "JWT_SIGNING_KEY",
        "",
        "File with a private key (PEM, PKCS #8) that signs the gateway's own tokens in place of JWT_SECRET",
    ),
    setting(
        SECURITY,
        "JWT_ISSUER",
        "api-gateway",
        "Issuer that the gateway's own tokens name",
    ),
    setting(
        SECURITY,
        "JWT_EXPIRATION",
        "3600",
        "Lifetime of issued tokens, seconds",
    ),
    setting(
        SECURITY,
        "JWT_LEEWAY",
        "60",
        "How far clocks may be apart where a token's times are checked, 0 to 1h; an issuer's \"leeway\" replaces it",
    ),
    setting(
        SECURITY,
        "CONSUMERS_FILE",
        "",
        "File of those who have API keys and passwords",
    ),
    Setting {
        variable: "API_KEY_SECRET",
        default: "",
        help: "Key of the hashes of API keys in CONSUMERS_FILE",
        group: SECURITY,
        secret: true,
    },
    setting(
        SECURITY,
        "ALLOWED_ORIGINS",
        "*",
        "Origins whose web pages may use the gateway (CORS), comma separated: https://app.example.com, https://*.example.com, null, or * for all; \"off\" leaves CORS to the backends",
    ),
    setting(
        SECURITY,
        "RATE_LIMIT_FIELDS",
        "standard",
        "What tells clients of their rate limits: \"standard\" is RateLimit and RateLimit-Policy, \"all\" is X-RateLimit-* too, \"off\" is none; Retry-After stays",
    ),
    setting(
        SECURITY,
        "RATE_LIMIT_KEYS",
        "1000000",
        "Clients whose requests are counted at once, 1000 to 100000000; up to 112 bytes each",
    ),
    setting(
        SECURITY,
        "TRUSTED_PROXIES",
        "",
        "Addresses or networks (CIDR), comma separated, whose X-Forwarded-* fields are believed; nobody by default",
    ),
    setting(
        SECURITY,
        "TRUSTED_PROXY_HOPS",
        "0",
        "Number of proxies in front of the gateway, 0 to 100, where their addresses are not known: the client is the one so many places from the right in X-Forwarded-For; not together with TRUSTED_PROXIES",
    ),
    setting(
        SECURITY,
        "UNDERSCORE_HEADERS",
        "drop",
        "Fields with an underscore in their name, which many backends take for a hyphen: \"drop\" them, \"keep\" them, or \"reject\" the request",
    ),
    setting(
        SECURITY,
        "SECURITY_HEADERS",
        "false",
        "Answers tell browsers to be careful (Strict-Transport-Security, X-Content-Type-Options and others); a route's \"securityHeaders\" replaces it",
    ),
    Setting {
        variable: "REDIS_URL",
        default: "",
        help: "Where several gateways count their rate limits together: redis://[user:password@]host:port[/db], redis+cluster://host:port,host:port, or redis+sentinel://[user:password@]host:port,host:port/master-name[/db]; without one each gateway counts for itself",
        group: REDIS,
        secret: true,
    },
    setting(
        REDIS,
        "REDIS_TIMEOUT",
        "20ms",
        "How long a request waits for Redis at most, 1ms to 24h; then a limit's \"onError\" holds",
    ),
    setting(
        CACHING,
        "ENABLE_CACHING",
        "true",
        "Whether routes that are \"cacheable\" are cached",
    ),
    setting(
        CACHING,
        "CACHE_TTL",
        "300",
        "How long a response is fresh that does not say so itself, seconds; 0 caches only those that do; a route's \"ttl\" replaces it",
    ),
    setting(
        CACHING,
        "CACHE_SIZE",
        "64MiB",
        "Memory for what is cached, 1MiB to 1024GiB, or a share such as 25% of what the machine or the cgroup has; what is arriving may take a quarter of it more",
    ),
    setting(
        CACHING,
        "CACHE_MAX_OBJECT_SIZE",
        "8MiB",
        "The largest body that is cached, 1KiB to 1GiB, less where CACHE_SIZE has no room for some of them; a route's \"maxObjectSize\" may be less",
    ),
    setting(
        CACHING,
        "CACHE_DISK_PATH",
        "",
        "Folder in which what is cached is kept as well, so that it is there after a restart; one gateway's own",
    ),
    setting(
        CACHING,
        "CACHE_DISK_SIZE",
        "1GiB",
        "How much it may take there, 128MiB to 65536GiB",
    ),
    Setting {
        variable: "CACHE_REDIS_URL",
        default: "",
        help: "Redis or Valkey in which several gateways share what is cached, and tell each other of purges; of the same forms as REDIS_URL",
        group: CACHING,
        secret: true,
    },
    setting(
        CACHING,
        "CACHE_REDIS_PREFIX",
        "api-gateway",
        "What the names of keys begin with there; gateways with other routes are to have another",
    ),
    setting(
        CACHING,
        "CACHE_REDIS_TIMEOUT",
        "50ms",
        "How long a request that is not in memory waits for it at most, 1ms to 24h",
    ),
    setting(
        CACHING,
        "CACHE_REDIS_MAX_OBJECT_SIZE",
        "1MiB",
        "The largest response that is shared, head and all, 1KiB to 64MiB",
    ),
    setting(
        COMPRESSION,
        "ENABLE_COMPRESSION",
        "false",
        "Answers are compressed where their clients understand that; a route's \"compress\" replaces it",
    ),
    setting(
        COMPRESSION,
        "COMPRESSION_MIN_SIZE",
        "1KiB",
        "Answers that are known to be smaller are not compressed; up to 16MiB",
    ),
    setting(
        LOGGING,
        "ACCESS_LOG",
        "stdout",
        "Where a line per request goes: \"stdout\", \"off\" or a file",
    ),
    setting(
        LOGGING,
        "ACCESS_LOG_FORMAT",
        "auto",
        "\"json\", \"text\", or \"auto\": text at a terminal, else json",
    ),
    setting(
        LOGGING,
        "LOG_LEVEL",
        "info",
        "Diagnostics on standard error: error, warn, info, debug, trace, or a filter such as \"info,wire=debug\"",
    ),
    setting(
        LOGGING,
        "LOG_FORMAT",
        "text",
        "Form of the diagnostics: \"text\" or \"json\"",
    ),
    setting(
        TRACING,
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "URL of a collector that takes spans by OTLP over HTTP, such as http://localhost:4318; nothing is traced without one",
    ),
    setting(
        TRACING,
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "",
        "The same with its path, such as http://localhost:4318/v1/traces; replaces OTEL_EXPORTER_OTLP_ENDPOINT",
    ),
    Setting {
        variable: "OTEL_EXPORTER_OTLP_HEADERS",
        default: "",
        help: "Header fields for the collector, such as credentials: name=value, comma separated, values percent-encoded",
        group: TRACING,
        secret: true,
    },
    setting(
        TRACING,
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/protobuf",
        "How spans are sent; nothing else is there yet",
    ),
    setting(
        TRACING,
        "OTEL_SERVICE_NAME",
        "api-gateway",
        "What traces call the gateway",
    ),
    setting(
        TRACING,
        "OTEL_RESOURCE_ATTRIBUTES",
        "",
        "More about the gateway, for all of its spans: name=value, comma separated, values percent-encoded",
    ),
    setting(
        TRACING,
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "Which requests are recorded: always_on, always_off, traceidratio, or, where the caller's decision holds, parentbased_always_on, parentbased_always_off, parentbased_traceidratio",
    ),
    setting(
        TRACING,
        "OTEL_TRACES_SAMPLER_ARG",
        "1.0",
        "The share of traces that a ratio records, 0 to 1",
    ),
    setting(
        TRACING,
        "TRUST_TRACE_CONTEXT",
        "all",
        "Whose traces go on here: \"all\" clients', those of trusted \"proxies\", or \"none\"; others' requests start a new one",
    ),
    setting(
        LIMITS,
        "MAX_HEAD_SIZE",
        "64KiB",
        "Size of a request's head, and of a response's; 1KiB to 16MiB",
    ),
    setting(
        LIMITS,
        "MAX_HEADERS",
        "100",
        "Number of header fields in either, 1 to 10000",
    ),
    setting(
        LIMITS,
        "MAX_TARGET_SIZE",
        "8KiB",
        "Size of a request's target; 1KiB to 16MiB",
    ),
    setting(
        LIMITS,
        "MAX_HTTP2_STREAMS",
        "100",
        "Number of HTTP/2 requests that may be open at once on a client's connection, 1 to 10000",
    ),
    setting(
        LIMITS,
        "MAX_REQUEST_BODY_SIZE",
        "10MiB",
        "Size of a request's body, or \"off\" for any; a route's \"maxBodySize\" replaces it",
    ),
    setting(
        TIMEOUTS,
        "REQUEST_TIMEOUT",
        "30",
        "From a request's head to its response's; a route's \"timeout\" replaces it",
    ),
    setting(TIMEOUTS, "CONNECT_TIMEOUT", "5", "Connecting to a backend"),
    setting(
        TIMEOUTS,
        "HEAD_TIMEOUT",
        "10",
        "From the first byte of a request's head to its last; also for a TLS handshake and a PROXY protocol header",
    ),
    setting(
        TIMEOUTS,
        "REQUEST_BODY_IDLE_TIMEOUT",
        "30",
        "Longest pause in a request's body",
    ),
    setting(
        TIMEOUTS,
        "RESPONSE_BODY_IDLE_TIMEOUT",
        "300",
        "Longest pause in a response's body; event streams have WEBSOCKET_IDLE_TIMEOUT",
    ),
    setting(
        TIMEOUTS,
        "WEBSOCKET_IDLE_TIMEOUT",
        "3600",
        "Longest silence of a WebSocket, both ways, and of an event stream",
    ),
    setting(
        TIMEOUTS,
        "DRAIN_TIMEOUT",
        "30",
        "How long WebSockets and answers under way may go on when their route has been removed; 0 to 24h",
    ),
    setting(
        TIMEOUTS,
        "KEEP_ALIVE_TIMEOUT",
        "60",
        "Longest pause between two requests on a client connection",
    ),
    setting(
        UPSTREAM,
        "ZONE",
        "",
        "The zone that the gateway is in: endpoints in the same zone are preferred",
    ),
    setting(
        UPSTREAM,
        "REGION",
        "",
        "The region that the gateway is in: endpoints in the same region are preferred",
    ),
    setting(
        UPSTREAM,
        "UPSTREAM_IDLE_TIMEOUT",
        "60",
        "How long an idle connection is kept; a backend's own Keep-Alive timeout goes before it",
    ),
    setting(
        UPSTREAM,
        "UPSTREAM_MAX_LIFETIME",
        "3600",
        "Age at which a connection is not used again",
    ),
    setting(
        UPSTREAM,
        "UPSTREAM_MAX_IDLE",
        "256",
        "Idle connections kept per backend and worker, 0 to 100000",
    ),
    setting(
        NAMES,
        "DNS_SERVERS",
        "",
        "DNS servers in place of the system's, comma separated, the first that answers is asked: 10.0.0.53, 10.0.0.54:5353, [2001:db8::53]:53; the system's search list and hosts file are used all the same",
    ),
    setting(
        NAMES,
        "DNS_TIMEOUT",
        "2",
        "How long an answer of a DNS server is waited for before the next one is asked, 1ms to 10s",
    ),
];
