//! Traces: what backends are told of them, and what a real collector gets to know.

use std::time::Duration;

use serde_json::json;
use testkit::{Backend, Collector, Gateway, GatewayBuilder, Span};

use crate::upstreams::answering;
use crate::{everything_to, gateway};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{CALLER}-{flags}")
}

/// A gateway that records everything, and tells `collector`.
fn traced(collector: &Collector) -> GatewayBuilder {
    gateway()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url())
        .env("OTEL_TRACES_SAMPLER", "parentbased_always_on")
}

/// A collector, a backend, and a gateway between the two.
async fn all_traced() -> (Collector, Backend, Gateway) {
    let (collector, backend) = (Collector::start().await, Backend::ok().await);
    let routes = everything_to(&backend.url());
    let gateway = traced(&collector).routes(&routes).start().await;
    (collector, backend, gateway)
}

async fn get(gateway: &Gateway, target: &str, fields: &[&str]) -> u16 {
    let mut client = gateway.client().await;
    client.request("GET", target, fields).await;
    client.response().await.status()
}

/// The parts of a `traceparent`: trace, span, flags.
fn parts(field: &str) -> (String, String, String) {
    let parts: Vec<_> = field.split('-').map(str::to_owned).collect();
    match &parts[..] {
        [version, trace, span, flags] if version == "00" => {
            (trace.clone(), span.clone(), flags.clone())
        }
        _ => panic!("{field}"),
    }
}

fn of_kind<'a>(spans: &'a [Span], kind: &str) -> Vec<&'a Span> {
    let kind = format!("SPAN_KIND_{kind}");
    spans.iter().filter(|span| span.kind == kind).collect()
}

#[tokio::test]
async fn a_trace_goes_on_through_the_gateway_to_the_backend_and_to_a_collector() {
    let collector = Collector::start().await;
    let backend = Backend::ok().await;
    let gateway = traced(&collector)
        .env("OTEL_SERVICE_NAME", "edge")
        .env(
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        )
        .routes(&json!({ "routes": [
            { "path": "/users/:id", "name": "users", "targetURL": backend.url() },
        ] }))
        .start()
        .await;
    let (parent, state) = (traceparent("03"), "tracestate: rojo=00f067aa0ba902b7");
    assert_eq!(
        get(&gateway, "/users/7?token=secret", &[&parent, state]).await,
        200
    );

    let spans = collector.spans(2).await;
    let (server, client) = (of_kind(&spans, "SERVER")[0], of_kind(&spans, "CLIENT")[0]);
    assert_eq!((&*server.trace_id, &*server.parent_id), (TRACE, CALLER));
    assert_eq!(
        (&client.trace_id, &client.parent_id),
        (&server.trace_id, &server.id)
    );
    assert_eq!(server.name, "GET /users/{id}");
    for (attribute, value) in [
        ("http.request.method", "Str(GET)"),
        ("http.route", "Str(/users/{id})"),
        ("url.path", "Str(/users/7)"),
        ("url.scheme", "Str(http)"),
        ("server.address", "Str(gateway.test)"),
        ("client.address", "Str(127.0.0.1)"),
        ("network.protocol.version", "Str(1.1)"),
        ("http.response.status_code", "Int(200)"),
        ("api_gateway.route", "Str(users)"),
        ("error.type", ""),
    ] {
        assert_eq!(server.told(attribute), value, "{attribute}: {server:?}");
    }
    let url = format!("Str({}/users/7)", backend.url());
    for (attribute, value) in [
        ("http.request.method", "Str(GET)"),
        ("url.full", &*url),
        ("server.address", "Str(127.0.0.1)"),
        ("network.peer.address", "Str(127.0.0.1)"),
        ("http.response.status_code", "Int(200)"),
        ("api_gateway.purpose", "Str(attempt)"),
    ] {
        assert_eq!(client.told(attribute), value, "{attribute}: {client:?}");
    }
    assert!(client.nanoseconds > 0 && client.nanoseconds <= server.nanoseconds);
    assert_eq!(server.resource["service.name"], "Str(edge)");
    assert_eq!(server.resource["deployment.environment.name"], "Str(test)");
    assert!(!format!("{spans:?}").contains("secret"));

    let told = &backend.requests()[0];
    let (trace, span, flags) = parts(told.field("traceparent").unwrap());
    assert_eq!((&*trace, &*span, &*flags), (TRACE, &*client.id, "03"));
    assert_eq!(told.fields("tracestate"), ["rojo=00f067aa0ba902b7"]);
    let line = &gateway.log(1).await[0];
    assert_eq!(
        (line["traceId"].as_str(), line["spanId"].as_str()),
        (Some(TRACE), Some(&*server.id))
    );
}

#[tokio::test]
async fn a_new_trace_begins_where_none_or_a_malformed_one_has_come() {
    let (collector, backend, gateway) = all_traced().await;
    let twice = traceparent("01");
    let upper = traceparent("01").replace(TRACE, &TRACE.to_uppercase());
    let zero = traceparent("01").replace(TRACE, &"0".repeat(32));
    let cases: [&[&str]; 4] = [&[], &[&upper], &[&zero], &[&twice, &twice]];
    for fields in cases {
        let fields = [fields, &["tracestate: rojo=1"]].concat();
        assert_eq!(get(&gateway, "/", &fields).await, 200);
    }
    let spans = collector.spans(8).await;
    let servers = of_kind(&spans, "SERVER");
    for told in backend.requests() {
        assert_eq!(told.fields("tracestate"), [""; 0]);
        assert_eq!(told.fields("traceparent").len(), 1);
        let (trace, _, flags) = parts(told.field("traceparent").unwrap());
        assert_eq!(flags, "03", "sampled, and random");
        let server = servers.iter().find(|span| span.trace_id == trace);
        assert_eq!(server.expect("a span").parent_id, "");
    }
    let traces: std::collections::HashSet<_> = servers.iter().map(|span| &span.trace_id).collect();
    assert_eq!(traces.len(), 4);
}

#[tokio::test]
async fn a_malformed_state_ends_at_the_gateway_and_the_trace_goes_on() {
    let (_collector, backend, gateway) = all_traced().await;
    get(&gateway, "/", &[&traceparent("01"), "tracestate: no list"]).await;
    let told = &backend.requests()[0];
    assert_eq!(parts(told.field("traceparent").unwrap()).0, TRACE);
    assert_eq!(told.field("tracestate"), None);
}

#[tokio::test]
async fn what_the_caller_does_not_record_is_not_recorded_and_goes_on_as_it_is() {
    let (collector, backend, gateway) = all_traced().await;
    get(&gateway, "/unsampled", &[&traceparent("00")]).await;
    get(&gateway, "/sampled", &[&traceparent("01")]).await;
    let spans = collector.spans(2).await;
    assert!(
        spans
            .iter()
            .all(|span| !span.told("url.full").contains("/unsampled"))
    );
    assert_eq!(
        of_kind(&spans, "SERVER")[0].told("url.path"),
        "Str(/sampled)"
    );
    let told = &backend.requests()[0];
    let field = format!("00-{TRACE}-{CALLER}-00");
    assert_eq!(told.fields("traceparent"), [&*field]);
    assert_eq!(gateway.log(2).await[0]["spanId"], CALLER);
}

#[tokio::test]
async fn a_ratio_samples_that_share_of_new_traces() {
    let collector = Collector::start().await;
    let backend = Backend::ok().await;
    let gateway = traced(&collector)
        .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .env("OTEL_TRACES_SAMPLER_ARG", "0.5")
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    let mut client = gateway.client().await;
    for _ in 0..200 {
        assert_eq!(client.get("/").await.status(), 200);
    }
    let told: Vec<_> = backend.requests();
    let flags = told
        .iter()
        .map(|told| parts(told.field("traceparent").unwrap()).2);
    let sampled = flags.filter(|flags| flags == "03").count();
    assert!((60..140).contains(&sampled), "{sampled}");
    collector.spans(2 * sampled).await;
}

#[tokio::test]
async fn each_attempt_has_a_span_and_an_id_of_its_own() {
    let collector = Collector::start().await;
    let failing = answering("503 Service Unavailable", "").await;
    let good = answering("200 OK", "good").await;
    let mirror = Backend::ok().await;
    let gateway = traced(&collector)
        .routes(&json!({
            "upstreams": {
                "main": { "endpoints": [failing.url()] },
                "mirror": { "endpoints": [mirror.url()] },
            },
            "routes": [{
                "path": "/*path", "upstream": "main", "mirror": { "upstream": "mirror" },
                "retry": { "attempts": 1, "on": ["503"] },
            }, { "path": "/good", "targetURL": good.url() }],
        }))
        .start()
        .await;
    assert_eq!(get(&gateway, "/", &[]).await, 503);
    let spans = collector.spans(4).await;
    let server = of_kind(&spans, "SERVER")[0];
    let calls = of_kind(&spans, "CLIENT");
    assert!(calls.iter().all(|call| call.parent_id == server.id));
    assert_eq!(server.status, "STATUS_CODE_ERROR");
    assert_eq!(server.told("error.type"), "Str(503)");
    assert_eq!(server.told("api_gateway.retries"), "Int(1)");
    let of = |purpose: &str| -> Vec<&Span> {
        let purpose = format!("Str({purpose})");
        let mut calls = calls.clone();
        calls.retain(|call| call.told("api_gateway.purpose") == purpose);
        calls.sort_by_key(|call| call.told("http.request.resend_count").to_owned());
        calls
    };
    let [first, second] = of("attempt")[..] else {
        panic!("{calls:?}");
    };
    assert_eq!(first.told("http.request.resend_count"), "");
    assert_eq!(second.told("http.request.resend_count"), "Int(1)");
    for attempt in [first, second] {
        assert_eq!(attempt.status, "STATUS_CODE_ERROR");
        assert_eq!(attempt.told("error.type"), "Str(503)");
    }
    let ids = |backend: &Backend| -> Vec<String> {
        let requests = backend.requests();
        let fields = requests
            .iter()
            .map(|told| told.field("traceparent").unwrap());
        fields.map(|field| parts(field).1).collect()
    };
    assert_eq!(ids(&failing), [first.id.clone(), second.id.clone()]);
    assert_eq!(ids(&mirror), [of("mirror")[0].id.clone()]);
}

#[tokio::test]
async fn a_hedge_a_failure_and_what_is_abandoned_are_told() {
    let collector = Collector::start().await;
    let slow = Backend::silent().await;
    let quick = answering("200 OK", "quick").await;
    let gateway = traced(&collector)
        .routes(&json!({
            "upstreams": { "main": { "endpoints": [
                { "url": slow.url() }, { "url": quick.url(), "priority": 1 },
            ] } },
            "routes": [
                { "path": "/hedged", "upstream": "main", "hedge": { "after": 0.05 } },
                { "path": "/down", "targetURL": "http://127.0.0.1:1" },
            ],
        }))
        .start()
        .await;
    assert_eq!(get(&gateway, "/down", &[]).await, 502);
    let spans = collector.spans(2).await;
    for span in &spans {
        assert_eq!(span.told("error.type"), "Str(upstream-unreachable)");
        assert_eq!(span.status, "STATUS_CODE_ERROR");
    }
    let mut hedged = 0;
    while hedged == 0 {
        assert_eq!(get(&gateway, "/hedged", &[]).await, 200);
        let count = collector.spans_so_far().len();
        let spans = collector.spans(count + 2).await;
        let purpose = |span: &&Span| span.told("api_gateway.purpose") == "Str(hedge)";
        hedged = spans.iter().filter(purpose).count();
    }
    let spans = collector.spans(5).await;
    let abandoned = |span: &Span| span.told("error.type") == "Str(abandoned)";
    assert!(spans.iter().any(abandoned), "{spans:?}");
}

#[tokio::test]
async fn the_service_that_decides_is_in_the_trace() {
    let collector = Collector::start().await;
    let service = Backend::ok().await;
    let backend = Backend::ok().await;
    let gateway = traced(&collector)
        .routes(&json!({ "routes": [{
            "path": "/*path", "targetURL": backend.url(), "requireAuth": true,
            "auth": { "accept": ["forward"], "forward": { "url": format!("{}/decide", service.url()) } },
        }] }))
        .start()
        .await;
    assert_eq!(get(&gateway, "/", &[&traceparent("01")]).await, 200);
    let spans = collector.spans(3).await;
    let server = of_kind(&spans, "SERVER")[0];
    let purpose = |span: &&Span| span.told("api_gateway.purpose") == "Str(auth)";
    let asked = spans.iter().find(purpose).expect("a span");
    assert_eq!(asked.parent_id, server.id);
    let (trace, span, _) = parts(service.requests()[0].field("traceparent").unwrap());
    assert_eq!((trace, span), (TRACE.to_owned(), asked.id.clone()));
}

#[tokio::test]
async fn a_hit_has_one_span_and_a_miss_two() {
    let collector = Collector::start().await;
    let backend = Backend::answering(
        *b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = traced(&collector)
        .routes(&json!({ "routes": [
            { "path": "/*path", "targetURL": backend.url(), "cacheable": true },
        ] }))
        .start()
        .await;
    for _ in 0..2 {
        assert_eq!(get(&gateway, "/", &[]).await, 200);
    }
    let spans = collector.spans(3).await;
    let servers = of_kind(&spans, "SERVER");
    let mut outcomes: Vec<_> = servers
        .iter()
        .map(|span| span.told("api_gateway.cache"))
        .collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["Str(hit)", "Str(miss)"]);
    let miss = servers
        .iter()
        .find(|span| span.told("api_gateway.cache") == "Str(miss)");
    assert_eq!(of_kind(&spans, "CLIENT")[0].parent_id, miss.unwrap().id);
}

#[tokio::test]
async fn a_stranger_starts_a_new_trace_that_is_linked_to_his_where_strangers_are_not_trusted() {
    let collector = Collector::start().await;
    let backend = Backend::ok().await;
    let gateway = traced(&collector)
        .env("TRUST_TRACE_CONTEXT", "proxies")
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    get(&gateway, "/", &[&traceparent("01"), "tracestate: rojo=1"]).await;
    let spans = collector.spans(2).await;
    let server = of_kind(&spans, "SERVER")[0];
    assert_ne!(server.trace_id, TRACE);
    assert_eq!(
        (&*server.parent_id, &server.links[..]),
        ("", &[TRACE.to_owned()][..])
    );
    let told = &backend.requests()[0];
    assert_eq!(parts(told.field("traceparent").unwrap()).0, server.trace_id);
    assert_eq!(told.field("tracestate"), None);

    let trusting = traced(&collector)
        .env("TRUST_TRACE_CONTEXT", "proxies")
        .env("TRUSTED_PROXIES", "127.0.0.1")
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    get(&trusting, "/", &[&traceparent("01")]).await;
    let spans = collector.spans(4).await;
    assert!(spans.iter().any(|span| span.parent_id == CALLER));
}

#[tokio::test]
async fn without_a_collector_traces_pass_as_they_are_and_are_logged() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    get(&gateway, "/", &[&traceparent("01"), "tracestate: rojo=1"]).await;
    get(&gateway, "/", &[]).await;
    let [with, without] = &backend.requests()[..] else {
        panic!("two requests");
    };
    assert_eq!(
        with.field("traceparent"),
        Some(&*format!("00-{TRACE}-{CALLER}-01"))
    );
    assert_eq!(with.field("tracestate"), Some("rojo=1"));
    assert_eq!(without.field("traceparent"), None);
    let log = gateway.log(2).await;
    assert_eq!(log[0]["traceId"], TRACE);
    assert_eq!(log[1].get("traceId"), None);
}

#[tokio::test]
async fn credentials_go_to_the_collector_and_nowhere_else() {
    let collector = Backend::answering(*b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let backend = Backend::ok().await;
    let gateway = gateway()
        .env("LOG_LEVEL", "trace")
        .env(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            format!("{}/spans", collector.url()),
        )
        .env(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "Authorization=Bearer%20hush-hush",
        )
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    get(&gateway, "/", &[]).await;
    collector.wait_for_requests(1).await;
    let request = &collector.requests()[0];
    assert_eq!(request.target(), "/spans");
    assert_eq!(
        request.field("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(request.field("authorization"), Some("Bearer hush-hush"));
    assert!(!gateway.diagnostics().concat().contains("hush-hush"));
}

#[tokio::test]
async fn requests_feel_nothing_of_a_collector_that_hangs_or_is_gone_and_what_is_lost_is_counted() {
    let backend = Backend::ok().await;
    let hanging = Backend::silent().await;
    let gateway = gateway()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", hanging.url())
        .env("ACCESS_LOG", "off")
        .env("SHUTDOWN_TIMEOUT", "0")
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    let overflowed = r#"api_gateway_spans_total{outcome="queue_full"}"#;
    let mut client = gateway.client().await;
    while gateway.metric(overflowed).await == 0 {
        for _ in 0..500 {
            assert_eq!(client.get("/").await.status(), 200);
        }
    }

    let gone = crate::gateway()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    for _ in 0..10 {
        assert_eq!(get(&gone, "/", &[]).await, 200);
    }
    gone.wait_for_diagnostics(1, "spans are not exported").await;
    let failed = r#"api_gateway_spans_total{outcome="export_failed"}"#;
    testkit::within("spans to be lost", async {
        while gone.metric(failed).await < 20 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let warnings = gone
        .diagnostics()
        .concat()
        .matches("spans are not exported")
        .count();
    assert_eq!(warnings, 1);
}

#[tokio::test]
async fn the_last_spans_are_exported_before_the_program_ends() {
    let collector = Collector::start().await;
    let backend = Backend::ok().await;
    let mut gateway = traced(&collector)
        .routes(&everything_to(&backend.url()))
        .start()
        .await;
    assert_eq!(get(&gateway, "/", &[]).await, 200);
    gateway.signal("TERM").await;
    assert!(gateway.exit().await.success());
    collector.spans(2).await;
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    for (variable, value, part) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "localhost:4318",
            "must be a URL",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
        (
            "OTEL_TRACES_SAMPLER",
            "jaeger_remote",
            "parentbased_traceidratio",
        ),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "from 0 to 1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hush", "name=value"),
        ("TRUST_TRACE_CONTEXT", "some", "proxies"),
    ] {
        let (status, _, complaint) = gateway()
            .argument("check")
            .env(variable, value)
            .finish()
            .await;
        assert!(!status.success() && complaint.contains(part), "{complaint}");
        assert!(
            complaint.contains(variable) && !complaint.contains("=\"hush"),
            "{complaint}"
        );
    }
}
