//! Which dashboards there are, and what is on them.

use super::panel::{Dashboard, Panel, Variable};
use super::scope::Feature;

/// Requests a second, and the like.
const RATE: &str = "reqps";
const EVENTS: &str = "ops";
const PLAIN: &str = "short";

/// What a counter has gained a second, by some of its labels; `what` is the series.
fn rate(by: &str, what: &str) -> String {
    format!("sum by ({by}) (rate(api_gateway_{what}[$__rate_interval]))")
}

fn sum(by: &str, what: &str) -> String {
    format!("sum by ({by}) (api_gateway_{what})")
}

/// The median and two higher percentiles of a histogram.
fn latency(title: &'static str, histogram: &str) -> Panel {
    let quantile = |share: &str| format!("histogram_quantile({share}, {})", rate("le", histogram));
    Panel::new(title, "s")
        .query(quantile("0.5"), "p50")
        .query(quantile("0.95"), "p95")
        .query(quantile("0.99"), "p99")
}

pub(super) fn overview() -> Dashboard {
    let failing =
        "sum(rate(api_gateway_requests_total{class=\"5xx\"}[$__rate_interval])) or vector(0)";
    let all = "sum(rate(api_gateway_requests_total[$__rate_interval]))";
    Dashboard {
        uid: "api-gateway-overview",
        title: "API gateway: overview",
        variable: None,
        panels: vec![
            Panel::new("Requests", RATE).query(rate("route", "requests_total"), "{{route}}"),
            Panel::new("Requests by class", RATE)
                .query(rate("class", "requests_total"), "{{class}}"),
            Panel::new("Share of 5xx", "percentunit")
                .query(format!("({failing}) / {all}"), "5xx"),
            latency("Latency", "request_duration_seconds_bucket"),
            latency("Latency of upstreams", "upstream_request_duration_seconds_bucket"),
            Panel::new("Failures by code", EVENTS)
                .query(rate("code", "errors_total"), "{{code}}"),
            Panel::new("Requests in flight", PLAIN)
                .query(sum("route", "requests_in_flight"), "{{route}}"),
            Panel::new("Client connections", PLAIN)
                .query(sum("protocol", "connections_open"), "{{protocol}}"),
            Panel::new("WebSockets", PLAIN).query(sum("route", "websockets_open"), "{{route}}"),
            Panel::new("Bytes of bodies", "Bps")
                .query("sum(rate(api_gateway_request_body_bytes_total[$__rate_interval]))", "received")
                .query("sum(rate(api_gateway_response_body_bytes_total[$__rate_interval]))", "sent"),
            Panel::new("Endpoints that are not healthy", PLAIN).query(
                "sum by (upstream) (api_gateway_endpoint_addresses - api_gateway_endpoint_healthy)",
                "{{upstream}}",
            ),
            Panel::new("Breakers: 0 closed, 1 half-open, 2 open", PLAIN)
                .with(Feature::Breakers)
                .query(
                    "max by (route, upstream, endpoint) (api_gateway_breaker_state)",
                    "{{route}} {{upstream}} {{endpoint}}",
                ),
            Panel::new("Configuration", PLAIN)
                .query("api_gateway_config_generation", "generation on {{instance}}")
                .query("api_gateway_config_last_reload_success", "last reload good on {{instance}}"),
            Panel::new("Processor time", "percentunit").query(
                "rate(process_cpu_seconds_total[$__rate_interval]) and on (instance) api_gateway_build_info",
                "{{instance}}",
            ),
            Panel::new("Memory", "bytes").query(
                "process_resident_memory_bytes and on (instance) api_gateway_build_info",
                "{{instance}}",
            ),
            Panel::new("File descriptors", "percentunit").query(
                "process_open_fds / process_max_fds and on (instance) api_gateway_build_info",
                "{{instance}}",
            ),
        ],
    }
}

pub(super) fn route() -> Dashboard {
    let of = |metric: &str| format!("{metric}{{route=\"$route\"}}");
    Dashboard {
        uid: "api-gateway-route",
        title: "API gateway: one route",
        variable: Some(Variable::Route),
        panels: vec![
            Panel::new("Requests by status", RATE)
                .query(rate("code", &of("requests_total")), "{{code}}"),
            Panel::new("Requests by method", RATE)
                .query(rate("method", &of("requests_total")), "{{method}}"),
            latency("Latency", &of("request_duration_seconds_bucket")),
            Panel::new("In flight", PLAIN)
                .query(sum("route", &of("requests_in_flight")), "requests"),
            Panel::new("Failures by code", EVENTS)
                .query(rate("code", &of("errors_total")), "{{code}}"),
            Panel::new("Bytes of bodies", "Bps")
                .query(rate("route", &of("request_body_bytes_total")), "received")
                .query(rate("route", &of("response_body_bytes_total")), "sent"),
            Panel::new("WebSockets", PLAIN).query(sum("route", &of("websockets_open")), "open"),
            Panel::new("Messages of WebSockets", EVENTS).query(
                rate("direction", &of("websocket_messages_total")),
                "{{direction}}",
            ),
            Panel::new("Bytes of WebSockets", "Bps").query(
                rate("direction", &of("websocket_bytes_total")),
                "{{direction}}",
            ),
            Panel::new("Rate limits", EVENTS)
                .with(Feature::RateLimits)
                .query(
                    rate("decision", &of("rate_limit_decisions_total")),
                    "{{decision}}",
                ),
            Panel::new("Credentials", EVENTS).with(Feature::Auth).query(
                rate("kind, result", &of("auth_results_total")),
                "{{kind}}: {{result}}",
            ),
            Panel::new("Web pages of other origins", EVENTS)
                .with(Feature::Cors)
                .query(rate("result", &of("cors_requests_total")), "{{result}}"),
            Panel::new("Cache", EVENTS)
                .with(Feature::Cache)
                .query(rate("outcome", &of("cache_requests_total")), "{{outcome}}"),
            Panel::new("Sent again", EVENTS)
                .with(Feature::SentAgain)
                .query(
                    rate("reason", &of("requests_sent_again_total")),
                    "{{reason}}",
                ),
        ],
    }
}

pub(super) fn upstream() -> Dashboard {
    let of = |metric: &str| format!("{metric}{{upstream=\"$upstream\"}}");
    let one = |metric: &str| sum("upstream", &of(metric));
    Dashboard {
        uid: "api-gateway-upstream",
        title: "API gateway: one upstream",
        variable: Some(Variable::Upstream),
        panels: vec![
            Panel::new("Attempts by result", EVENTS)
                .query(rate("result", &of("upstream_attempts_total")), "{{result}}"),
            latency(
                "Time to the answer's head",
                &of("upstream_request_duration_seconds_bucket"),
            ),
            Panel::new("Attempts by endpoint", EVENTS).query(
                rate("endpoint", &of("endpoint_picks_total")),
                "{{endpoint}}",
            ),
            Panel::new("Attempts without an answer", EVENTS).query(
                rate("endpoint", &of("endpoint_failures_total")),
                "{{endpoint}}",
            ),
            Panel::new("Healthy addresses", PLAIN)
                .query(sum("endpoint", &of("endpoint_healthy")), "{{endpoint}}"),
            Panel::new("Requests in flight", PLAIN).query(
                sum("endpoint", &of("endpoint_requests_in_flight")),
                "{{endpoint}}",
            ),
            Panel::new("Connections", PLAIN)
                .query(one("upstream_connections_open"), "open")
                .query(one("upstream_connections_idle"), "idle"),
            Panel::new("Waiting for a connection", PLAIN)
                .with(Feature::ConnectionLimits)
                .query(one("upstream_connections_pending"), "requests"),
            Panel::new("Use of connections", EVENTS)
                .query(
                    rate("upstream", &of("upstream_connections_made_total")),
                    "made",
                )
                .query(
                    rate("upstream", &of("upstream_connections_failed_total")),
                    "failed",
                )
                .query(
                    rate("upstream", &of("upstream_connections_reused_total")),
                    "reused",
                ),
            Panel::new("Breakers: 0 closed, 1 half-open, 2 open", PLAIN)
                .with(Feature::Breakers)
                .query(
                    "max by (endpoint) (api_gateway_breaker_state{upstream=\"$upstream\"})",
                    "{{endpoint}}",
                ),
            Panel::new("Changes of breakers", EVENTS)
                .with(Feature::Breakers)
                .query(rate("to", &of("breaker_transitions_total")), "{{to}}"),
            Panel::new("Look-ups of names, of all upstreams", EVENTS)
                .with(Feature::Names)
                .query(rate("result", "dns_lookups_total"), "{{result}}"),
        ],
    }
}

pub(super) fn cache_and_limits() -> Dashboard {
    let from_cache = "sum by (route) (rate(api_gateway_cache_requests_total{outcome=~\"hit|stale|revalidated|coalesced\"}[$__rate_interval]))";
    let asked = rate("route", "cache_requests_total");
    Dashboard {
        uid: "api-gateway-cache-and-limits",
        title: "API gateway: cache and limits",
        variable: None,
        panels: vec![
            Panel::new("Share without the backend", "percentunit")
                .with(Feature::Cache)
                .query(format!("{from_cache} / {asked}"), "{{route}}"),
            Panel::new("What the cache does", EVENTS)
                .with(Feature::Cache)
                .query(rate("outcome", "cache_requests_total"), "{{outcome}}"),
            Panel::new("Memory of the cache", "bytes")
                .with(Feature::Cache)
                .query(
                    "sum by (instance) (api_gateway_cache_bytes)",
                    "used on {{instance}}",
                )
                .query(
                    "sum by (instance) (api_gateway_cache_capacity_bytes)",
                    "most on {{instance}}",
                ),
            Panel::new("URLs in the cache", PLAIN)
                .with(Feature::Cache)
                .query(
                    "sum by (instance) (api_gateway_cache_entries)",
                    "{{instance}}",
                ),
            Panel::new("Decisions of rate limits", EVENTS)
                .with(Feature::RateLimits)
                .query(
                    rate("decision", "rate_limit_decisions_total"),
                    "{{decision}}",
                ),
            Panel::new("Refused by rate limits", EVENTS)
                .with(Feature::RateLimits)
                .query(
                    rate("route", "rate_limit_decisions_total{decision=\"refused\"}"),
                    "{{route}}",
                ),
            Panel::new("Redis without an answer", EVENTS)
                .with(Feature::RateLimits)
                .query(
                    rate("reason", "rate_limit_store_failures_total"),
                    "{{reason}}",
                ),
            Panel::new("Decisions without Redis", EVENTS)
                .with(Feature::RateLimits)
                .query(rate("mode", "rate_limit_fallback_total"), "{{mode}}"),
            Panel::new("Credentials that were refused", EVENTS)
                .with(Feature::Auth)
                .query(
                    rate("route, result", "auth_results_total{result!=\"ok\"}"),
                    "{{route}}: {{result}}",
                ),
            Panel::new("Refused because of the origin", EVENTS)
                .with(Feature::Cors)
                .query(
                    rate("route", "cors_requests_total{result=~\".*refused\"}"),
                    "{{route}}",
                ),
            Panel::new("What policies that are tried out would refuse", EVENTS).query(
                rate("route, code", "shadow_refusals_total"),
                "{{route}}: {{code}}",
            ),
        ],
    }
}
