//! All metrics there are: name, kind, labels, meaning. The documentation is made from this.

use std::fmt::Write as _;

/// What a metric is.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [Label],
    pub(super) help: &'static str,
}

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// A gauge that is always 1: its labels tell.
    Info,
}

/// A label, and the values that it may have.
#[derive(Debug)]
pub(super) struct Label {
    pub(super) name: &'static str,
    pub(super) values: Values,
}

/// Where a label's values come from.
#[derive(Debug)]
pub(super) enum Values {
    /// The configuration.
    Configured,
    /// These.
    Fixed(&'static [&'static str]),
    /// As it says.
    Said(&'static str),
}

const fn label(name: &'static str, values: Values) -> Label {
    Label { name, values }
}

const ROUTE: Label = label("route", Values::Configured);
const UPSTREAM: Label = label("upstream", Values::Configured);
const ENDPOINT: Label = label("endpoint", Values::Configured);
const ERROR_CODE: Label = label("code", Values::Said("those of [errors](errors.md)"));
const DIRECTION: Label = label("direction", Values::Fixed(&Direction::NAMES));

use crate::counters::{
    AUTH_KINDS, AUTH_RESULTS, Again, Attempted, CrossOrigin, Direction, Limited, LookedUp,
    Protocol, RELOAD_RESULTS,
};

/// Declares the metrics, and [`ALL`].
macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:expr),*] $help:literal;)*) => {
        $(pub(super) const $constant: Description = Description {
            name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help,
        };)*

        /// All of them.
        pub(super) const ALL: &[&Description] = &[$(&$constant),*];
    };
}

metrics! {
    REQUESTS = Counter "api_gateway_requests_total"
        [ROUTE, label("method", Values::Said("`GET`, `HEAD`, `POST`, `PUT`, `DELETE`, `CONNECT`, `OPTIONS`, `TRACE`, `PATCH`, or `other`")),
         label("code", Values::Said("the status; `other` for those beyond the first 64 pairs of method and status")),
         label("class", Values::Said("`1xx` to `5xx`, or `other`"))]
        "Requests that have been answered";
    REQUEST_DURATION = Histogram "api_gateway_request_duration_seconds" [ROUTE]
        "Time from a request's head to the end of its answer; of a WebSocket, to the answer's head";
    REQUEST_BYTES = Counter "api_gateway_request_body_bytes_total" [ROUTE]
        "Bytes of request bodies that were read";
    RESPONSE_BYTES = Counter "api_gateway_response_body_bytes_total" [ROUTE]
        "Bytes of answers' bodies that were sent";
    IN_FLIGHT = Gauge "api_gateway_requests_in_flight" [ROUTE]
        "Requests that are being answered, WebSockets apart";
    ERRORS = Counter "api_gateway_errors_total" [ROUTE, ERROR_CODE]
        "Requests that have failed";
    SHADOW_REFUSALS = Counter "api_gateway_shadow_refusals_total" [ROUTE, ERROR_CODE]
        "Requests that a policy which is tried out would have refused";
    RETRIES = Counter "api_gateway_requests_sent_again_total"
        [ROUTE, label("reason", Values::Fixed(&Again::NAMES))]
        "Requests that were sent once more: after a failure, beside a slow attempt, elsewhere, to a mirror";
    CONNECTIONS_OPEN = Gauge "api_gateway_connections_open"
        [label("protocol", Values::Fixed(&Protocol::NAMES))]
        "Client connections that are open, WebSockets included";
    CONNECTIONS = Counter "api_gateway_connections_total"
        [label("protocol", Values::Fixed(&Protocol::NAMES))]
        "Client connections that were opened; one that turns out to speak h2 counts as both";
    WEBSOCKETS_OPEN = Gauge "api_gateway_websockets_open" [ROUTE]
        "WebSockets that are open";
    WEBSOCKETS = Counter "api_gateway_websockets_total" [ROUTE]
        "WebSockets that were opened";
    WEBSOCKET_MESSAGES = Counter "api_gateway_websocket_messages_total" [ROUTE, DIRECTION]
        "Messages that have passed through WebSockets, as they pass";
    WEBSOCKET_BYTES = Counter "api_gateway_websocket_bytes_total" [ROUTE, DIRECTION]
        "Bytes that have passed through WebSockets, as they pass";
    RATE_LIMITS = Counter "api_gateway_rate_limit_decisions_total"
        [ROUTE, label("decision", Values::Fixed(&Limited::NAMES))]
        "What a route's rate limits have decided";
    RATE_LIMIT_STORE_FAILURES = Counter "api_gateway_rate_limit_store_failures_total"
        [label("reason", Values::Fixed(&["error", "timeout", "disconnected"]))]
        "Questions to Redis that got no answer";
    RATE_LIMIT_FALLBACK = Counter "api_gateway_rate_limit_fallback_total"
        [label("mode", Values::Fixed(&["local", "open", "closed"]))]
        "Decisions about limits that were made without Redis";
    AUTH = Counter "api_gateway_auth_results_total"
        [ROUTE, label("kind", Values::Fixed(&AUTH_KINDS)), label("result", Values::Fixed(&AUTH_RESULTS))]
        "What came of asking who a request is from, by the credentials that came furthest";
    CORS = Counter "api_gateway_cors_requests_total"
        [ROUTE, label("result", Values::Fixed(&CrossOrigin::NAMES))]
        "Requests of web pages, by whether the page may read the answer";
    CACHE_REQUESTS = Counter "api_gateway_cache_requests_total"
        [ROUTE, label("outcome", Values::Fixed(&["hit", "stale", "revalidated", "miss", "coalesced", "bypass"]))]
        "Requests of routes that are cached, by what the cache has done";
    CACHE_FAILED_VALIDATIONS = Counter "api_gateway_cache_failed_validations_total" [ROUTE]
        "Validations in the background, of what was served stale, that have failed";
    CACHE_EVICTED = Counter "api_gateway_cache_evicted_entries_total" []
        "URLs of which what was cached has gone for want of room: many, and `CACHE_SIZE` is too small";
    CACHE_EVICTED_BYTES = Counter "api_gateway_cache_evicted_bytes_total" []
        "Memory that they took";
    CACHE_TOO_LARGE = Counter "api_gateway_cache_too_large_total" []
        "Responses that were not cached because they were larger than `CACHE_MAX_OBJECT_SIZE`, the route's `maxObjectSize`, or half of the room of their share";
    CACHE_TIER_LOOKUPS = Counter "api_gateway_cache_tier_lookups_total"
        [label("tier", Values::Fixed(&["disk", "redis"])), label("result", Values::Fixed(&["hit", "miss", "unfit", "timeout", "error"]))]
        "Questions to a [tier](caching.md#on-disk-and-in-redis) behind the cache's memory; `unfit` is what was damaged, of another version, purged or for another request";
    CACHE_TIER_WRITES = Counter "api_gateway_cache_tier_writes_total"
        [label("tier", Values::Fixed(&["disk", "redis"])), label("result", Values::Fixed(&["written", "too-large", "dropped", "error"]))]
        "Responses that a tier was to keep; `dropped` is for want of room, on disk or in the queue";
    CACHE_REDIS_CONNECTED = Gauge "api_gateway_cache_redis_connected" []
        "1 while the cache is shared in Redis, and this gateway hears of purges";
    CACHE_ENTRIES = Gauge "api_gateway_cache_entries" []
        "URLs of which something is cached";
    CACHE_BYTES = Gauge "api_gateway_cache_bytes" []
        "Memory that what is cached takes";
    CACHE_CAPACITY = Gauge "api_gateway_cache_capacity_bytes" []
        "Memory that it may take";
    UPSTREAM_DURATION = Histogram "api_gateway_upstream_request_duration_seconds" [UPSTREAM]
        "Time from the beginning of an attempt to the answer's head, or to its failure";
    ATTEMPTS = Counter "api_gateway_upstream_attempts_total"
        [UPSTREAM, label("result", Values::Fixed(&Attempted::NAMES))]
        "Attempts to have a request answered, by what came of them";
    PICKS = Counter "api_gateway_endpoint_picks_total" [UPSTREAM, ENDPOINT]
        "Attempts that went to an endpoint";
    ENDPOINT_FAILURES = Counter "api_gateway_endpoint_failures_total" [UPSTREAM, ENDPOINT]
        "Attempts there that brought no answer";
    ENDPOINT_ADDRESSES = Gauge "api_gateway_endpoint_addresses" [UPSTREAM, ENDPOINT]
        "Addresses that an endpoint has come to";
    ENDPOINT_HEALTHY = Gauge "api_gateway_endpoint_healthy" [UPSTREAM, ENDPOINT]
        "Those of them that are neither ejected nor found unhealthy by checks";
    ENDPOINT_IN_FLIGHT = Gauge "api_gateway_endpoint_requests_in_flight" [UPSTREAM, ENDPOINT]
        "Requests that an endpoint is answering";
    BREAKER_STATE = Gauge "api_gateway_breaker_state"
        [ROUTE, UPSTREAM, ENDPOINT]
        "State of a circuit breaker: 0 closed, 1 half-open, 2 open. Of an endpoint's breakers, the worst. Labels that do not tell it from others are empty";
    BREAKER_TRANSITIONS = Counter "api_gateway_breaker_transitions_total"
        [ROUTE, UPSTREAM, ENDPOINT, label("to", Values::Fixed(&["closed", "half-open", "open"]))]
        "How often a circuit breaker has changed";
    POOL_OPEN = Gauge "api_gateway_upstream_connections_open" [UPSTREAM]
        "Connections to an upstream. Those to an address that several upstreams share are counted for each";
    POOL_IDLE = Gauge "api_gateway_upstream_connections_idle" [UPSTREAM]
        "Those of them that wait for a request";
    POOL_PENDING = Gauge "api_gateway_upstream_connections_pending" [UPSTREAM]
        "Requests that wait for a connection, where connections are limited";
    POOL_MADE = Counter "api_gateway_upstream_connections_made_total" [UPSTREAM]
        "Connections that were made";
    POOL_FAILED = Counter "api_gateway_upstream_connections_failed_total" [UPSTREAM]
        "Connections that could not be made";
    POOL_REUSED = Counter "api_gateway_upstream_connections_reused_total" [UPSTREAM]
        "Attempts over connections that were there";
    BACKEND_HANDSHAKES = Counter "api_gateway_upstream_tls_handshakes_total"
        [UPSTREAM, label("version", Values::Fixed(&["1.2", "1.3"])), label("resumed", Values::Fixed(&["false", "true"]))]
        "[TLS](tls.md#towards-backends) handshakes with its backends, by the version and whether a session was resumed; those that came to nothing are connections that could not be made";
    DNS_LOOKUPS = Counter "api_gateway_dns_lookups_total"
        [label("result", Values::Fixed(&LookedUp::NAMES))]
        "Look-ups of names";
    SPANS = Counter "api_gateway_spans_total"
        [label("outcome", Values::Fixed(&["exported", "queue_full", "export_failed"]))]
        "Spans of [traced](tracing.md#when-the-collector-does-not-keep-up) requests, by what has become of them";
    TLS_HANDSHAKES = Counter "api_gateway_tls_handshakes_total"
        [label("version", Values::Fixed(&["1.2", "1.3"])), label("resumed", Values::Fixed(&["false", "true"]))]
        "[TLS](tls.md) handshakes with clients, by the version and whether a session was resumed";
    TLS_HANDSHAKE_FAILURES = Counter "api_gateway_tls_handshake_failures_total"
        [label("reason", Values::Fixed(&["timeout", "closed", "not-tls", "client-certificate", "protocol"]))]
        "Those that came to nothing: the client was too slow; it went; it spoke something else; its certificate was missing or not good; the two had nothing in common, or one broke the rules";
    TLS_RELOADS = Counter "api_gateway_tls_reloads_total"
        [label("result", Values::Fixed(&["success", "failure"]))]
        "Changes of certificate files, and whether they could be used";
    CERTIFICATE_NOT_AFTER = Gauge "api_gateway_certificate_not_after_timestamp_seconds"
        [label("name", Values::Said("what it is for, like `example.com, *.example.com`")), label("file", Values::Said("where it comes from"))]
        "When a certificate of the gateway's own ends, or one of its chain that ends before it, since 1970";
    CONFIG_GENERATION = Gauge "api_gateway_config_generation" []
        "Number of the configuration that is served; the first is 1";
    CONFIG_RELOADS = Counter "api_gateway_config_reloads_total"
        [label("result", Values::Fixed(&RELOAD_RESULTS))]
        "Attempts to replace the configuration; `rollback` is one that was taken back for what became of requests";
    CONFIG_LAST_RELOAD_SUCCESS = Gauge "api_gateway_config_last_reload_success" []
        "1 if the last attempt to load a configuration has succeeded, or else 0";
    CONFIG_LAST_RELOAD = Gauge "api_gateway_config_last_reload_timestamp_seconds" []
        "When that was, since 1970";
    CONFIG_IN_MEMORY = Gauge "api_gateway_config_generations_in_memory" []
        "Configurations that are in memory, that which is served included";
    BUILD = Info "api_gateway_build_info" [label("version", Values::Said("that of the program"))]
        "The program";
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "Time that processors have spent";
    PROCESS_RESIDENT = Gauge "process_resident_memory_bytes" []
        "Memory that is resident";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" []
        "Memory that is mapped";
    PROCESS_OPEN_FDS = Gauge "process_open_fds" []
        "File descriptors that are open";
    PROCESS_MAX_FDS = Gauge "process_max_fds" []
        "File descriptors that may be open";
    PROCESS_THREADS = Gauge "process_threads" []
        "Threads";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "When the process has started, since 1970";
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// The table of `docs/metrics.md`.
pub fn reference() -> String {
    let mut text = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for Description {
        name,
        kind,
        labels,
        help,
    } in ALL
    {
        let labels: Vec<String> = labels.iter().map(Label::described).collect();
        // Writing to memory does not fail.
        let _written = writeln!(
            text,
            "| `{name}` | {} | {} | {help} |",
            kind.name(),
            labels.join("; ")
        );
    }
    text
}

impl Label {
    fn described(&self) -> String {
        let Self { name, values } = self;
        match values {
            Values::Configured => format!("`{name}`"),
            Values::Said(said) => format!("`{name}`: {said}"),
            Values::Fixed(values) => {
                let values: Vec<String> = values.iter().map(|it| format!("`{it}`")).collect();
                format!("`{name}`: {}", values.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caching::{Answer, Outcome, Write};
    use crate::middleware::rate_limit::{Failure, Fallback};
    use crate::tls;

    #[test]
    fn names_are_as_prometheus_wants_them() {
        for Description { name, kind, .. } in ALL {
            let ours = name.starts_with("api_gateway_") || name.starts_with("process_");
            let total = name.ends_with("_total");
            assert!(ours && total == (*kind == Kind::Counter), "{name}");
        }
        let mut names: Vec<_> = ALL.iter().map(|it| it.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn values_are_those_that_are_counted() {
        let fixed = |description: &Description| match &description.labels.last().unwrap().values {
            Values::Fixed(values) => values.to_vec(),
            _ => Vec::new(),
        };
        assert_eq!(fixed(&CACHE_REQUESTS), Outcome::ALL.map(Outcome::name));
        assert_eq!(
            fixed(&RATE_LIMIT_STORE_FAILURES),
            Failure::ALL.map(Failure::name)
        );
        assert_eq!(fixed(&CACHE_TIER_LOOKUPS), Answer::ALL.map(Answer::name));
        assert_eq!(fixed(&CACHE_TIER_WRITES), Write::ALL.map(Write::name));
        assert_eq!(
            fixed(&TLS_HANDSHAKE_FAILURES),
            tls::Failure::ALL.map(tls::Failure::name)
        );
        let versions = match &TLS_HANDSHAKES.labels[0].values {
            Values::Fixed(versions) => versions.to_vec(),
            _ => Vec::new(),
        };
        assert_eq!(versions, tls::Version::ALL.map(tls::Version::name));
        assert_eq!(
            fixed(&RATE_LIMIT_FALLBACK),
            Fallback::ALL.map(Fallback::name)
        );
    }
}
