//! Where spans go, and of which requests there are any: the variables that OpenTelemetry specifies.

use std::collections::HashMap;
use std::fmt;

use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::source::Reader;
use crate::trace::{Collector, Sampler, Trust};

/// How requests are traced.
#[derive(Debug, Clone)]
pub struct TracingSettings {
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler: Sampler,
    /// `TRUST_TRACE_CONTEXT`.
    pub trust: Trust,
    /// `OTEL_EXPORTER_OTLP_*`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`; none where nothing is traced.
    pub(crate) collector: Option<Collector>,
}

/// Names and values; not for logs.
#[derive(Clone, Default)]
struct Pairs(Vec<(String, String)>);

impl fmt::Debug for Pairs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl TracingSettings {
    pub(super) fn read(read: &mut Reader<'_>) -> Self {
        let base = read.value("OTEL_EXPORTER_OTLP_ENDPOINT", base_url);
        let whole = read.value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url);
        let Pairs(headers) = read.value("OTEL_EXPORTER_OTLP_HEADERS", header_pairs);
        let service = read.value("OTEL_SERVICE_NAME", super::values::text);
        let Pairs(mut resource) = read.value("OTEL_RESOURCE_ATTRIBUTES", pairs);
        read.value("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let sampler = read.value("OTEL_TRACES_SAMPLER", sampler);
        let ratio = read.value("OTEL_TRACES_SAMPLER_ARG", ratio);
        let has_name = resource.iter().any(|(name, _)| name == SERVICE_NAME);
        if read.is_given("OTEL_SERVICE_NAME") || !has_name {
            resource.retain(|(name, _)| name != SERVICE_NAME);
            resource.push((SERVICE_NAME.to_owned(), service));
        }
        if !resource.iter().any(|(name, _)| name == SERVICE_VERSION) {
            let version = env!("CARGO_PKG_VERSION").to_owned();
            resource.push((SERVICE_VERSION.to_owned(), version));
        }
        Self {
            sampler: sampler.with_ratio(ratio),
            trust: read.value("TRUST_TRACE_CONTEXT", trust),
            collector: whole.or(base).map(|endpoint| Collector {
                endpoint,
                headers: headers.into_iter().collect::<HashMap<_, _>>(),
                resource,
            }),
        }
    }
}

const SERVICE_NAME: &str = "service.name";
const SERVICE_VERSION: &str = "service.version";

type Parsed<T> = Result<T, String>;

/// The URL that all signals have in common; traces are at a path below it.
fn base_url(text: &str) -> Parsed<Option<String>> {
    let base = url(text)?;
    Ok(base.map(|base| format!("{}/v1/traces", base.trim_end_matches('/'))))
}

/// Empty for none. Messages hold nothing of it where it may hold a password.
fn url(text: &str) -> Parsed<Option<String>> {
    if text.is_empty() {
        return Ok(None);
    }
    let url = Url::parse(text)
        .ok()
        .filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
        .ok_or("must be a URL such as http://localhost:4318")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "must not hold a user name or password; put them into OTEL_EXPORTER_OTLP_HEADERS"
                .to_owned(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not hold a query or a fragment".to_owned());
    }
    Ok(Some(text.to_owned()))
}

/// `name=value,name=value`; values may be percent-encoded.
fn pairs(text: &str) -> Parsed<Pairs> {
    const FORM: &str = "must be name=value, comma separated; write commas and percent signs in a value as %2C and %25";
    super::values::list(text)
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or(FORM)?;
            let value = percent_decode_str(value.trim()).decode_utf8();
            let value = value.map_err(|_| FORM)?.into_owned();
            match name.trim() {
                "" => Err(FORM.to_owned()),
                name => Ok((name.to_owned(), value)),
            }
        })
        .collect::<Result<_, _>>()
        .map(Pairs)
}

fn header_pairs(text: &str) -> Parsed<Pairs> {
    let Pairs(pairs) = pairs(text)?;
    for (name, value) in &pairs {
        if HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(value).is_err()
        {
            return Err("must hold names and values of header fields".to_owned());
        }
    }
    Ok(Pairs(pairs))
}

fn protocol(text: &str) -> Parsed<()> {
    match text {
        "http/protobuf" => Ok(()),
        _ => Err(
            "must be \"http/protobuf\"; collectors take it at port 4318 where they take gRPC at 4317"
                .to_owned(),
        ),
    }
}

fn sampler(text: &str) -> Parsed<Sampler> {
    let sampler = Sampler::named(text);
    sampler.ok_or_else(|| format!("must be one of {}", Sampler::NAMES.join(", ")))
}

fn ratio(text: &str) -> Parsed<f64> {
    let ratio = text
        .parse()
        .ok()
        .filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| "must be a number from 0 to 1, such as 0.05".to_owned())
}

fn trust(text: &str) -> Parsed<Trust> {
    match text {
        "all" => Ok(Trust::All),
        "proxies" => Ok(Trust::Proxies),
        "none" => Ok(Trust::None),
        _ => Err("must be \"all\", \"proxies\" or \"none\"".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_at_a_path_below_the_common_one() {
        for (given, endpoint) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("https://a/otlp/", "https://a/otlp/v1/traces"),
        ] {
            assert_eq!(base_url(given).unwrap().as_deref(), Some(endpoint));
        }
        let whole = url("http://a/spans").unwrap();
        assert_eq!(whole.as_deref(), Some("http://a/spans"));
    }

    #[test]
    fn other_urls_say_what_is_allowed() {
        for (given, part) in [
            ("collector:4318", "such as http://localhost:4318"),
            ("grpc://collector:4317", "such as http://localhost:4318"),
            ("http://me:hush@collector", "OTEL_EXPORTER_OTLP_HEADERS"),
            ("http://collector?key=hush", "a query"),
        ] {
            let error = url(given).unwrap_err();
            assert!(error.contains(part) && !error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn pairs_are_decoded() {
        let Pairs(read) = pairs("a=1, authorization=Basic%20aGk=").unwrap();
        let expected = [("a", "1"), ("authorization", "Basic aGk=")];
        assert_eq!(read, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        for text in ["a", "=1", "a=%ff"] {
            assert!(pairs(text).is_err(), "{text}");
        }
        assert!(header_pairs("a b=1").is_err());
        assert!(header_pairs("a=%0a").is_err());
    }
}
