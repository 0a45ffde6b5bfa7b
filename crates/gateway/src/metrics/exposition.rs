//! The text that Prometheus reads: format 0.0.4, or OpenMetrics 1.0.0 for those who ask for it.
//!
//! Our own, because `prometheus-client` writes OpenMetrics only, and exemplars only of its own histograms, which are
//! behind a lock that requests would share.

use std::fmt::{Display, Write};

use super::catalogue::{Description, Kind};
use crate::counters::{BOUNDS, Totals};

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Version 0.0.4.
    Prometheus,
    /// Version 1.0.0, with exemplars.
    OpenMetrics,
}

/// A text with metrics that grows.
#[derive(Debug)]
pub(super) struct Exposition {
    format: Format,
    text: String,
}

/// The series of one metric. Its description is written before the first of them.
pub(super) struct Family<'a> {
    exposition: &'a mut Exposition,
    description: &'static Description,
    begun: bool,
}

/// A series' labels: as many values as the metric's description has names.
type Values<'a> = &'a [&'a str];

impl Format {
    /// What a client prefers that sends this `Accept` (RFC 9110 §12.5.1).
    pub(crate) fn preferred(accept: Option<&str>) -> Self {
        let best = |media: &[&str]| {
            let ranges = accept.unwrap_or_default().split(',');
            let weights = ranges.filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next()?.to_ascii_lowercase();
                media.contains(&&*name).then_some(())?;
                let weight = parts.find_map(|part| part.strip_prefix("q="));
                weight.map_or(Some(1.0), |weight| weight.parse().ok())
            });
            weights.fold(0.0, f64::max)
        };
        if best(&["application/openmetrics-text"]) > best(&["text/plain", "text/*"]) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Exposition {
    pub(super) const fn new(format: Format) -> Self {
        Self {
            format,
            text: String::new(),
        }
    }

    pub(super) const fn family(&mut self, description: &'static Description) -> Family<'_> {
        Family {
            exposition: self,
            description,
            begun: false,
        }
    }

    /// A metric without labels.
    pub(super) fn single(&mut self, description: &'static Description, value: impl Display) {
        self.family(description).add(&[], value);
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn write(&mut self, part: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _written = self.text.write_fmt(part);
    }
}

impl Family<'_> {
    /// A series with a value.
    pub(super) fn add(&mut self, values: Values<'_>, value: impl Display) {
        self.begin();
        self.name("", values, None);
        self.exposition.write(format_args!(" {value}\n"));
    }

    /// A series that is a histogram.
    pub(super) fn add_histogram(&mut self, values: Values<'_>, totals: &Totals) {
        self.begin();
        let bounds = BOUNDS.iter().map(|&bound| seconds(bound).to_string());
        let bounds = bounds.chain(["+Inf".to_owned()]);
        let mut count = 0;
        for (bucket, bound) in bounds.enumerate() {
            count += totals.buckets.get(bucket).copied().unwrap_or(0);
            self.name("_bucket", values, Some(&bound));
            self.exposition.write(format_args!(" {count}"));
            let exemplar = totals.exemplars.get(bucket).and_then(Option::as_ref);
            if let (Format::OpenMetrics, Some(seen)) = (self.exposition.format, exemplar) {
                let (trace, duration, at) = (seen.trace, seen.duration, seen.at);
                self.exposition.write(format_args!(
                    " # {{trace_id=\"{trace}\"}} {} {:.3}",
                    duration.as_secs_f64(),
                    at.as_secs_f64()
                ));
            }
            self.exposition.text.push('\n');
        }
        self.name("_sum", values, None);
        let sum = totals.sum.as_secs_f64();
        self.exposition.write(format_args!(" {sum}\n"));
        self.name("_count", values, None);
        self.exposition.write(format_args!(" {count}\n"));
    }

    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let Description {
            name, kind, help, ..
        } = self.description;
        // OpenMetrics has suffixes at the samples only.
        let (name, kind) = match (self.exposition.format, kind) {
            (Format::OpenMetrics, Kind::Counter) => {
                (name.strip_suffix("_total").unwrap_or(name), "counter")
            }
            (Format::OpenMetrics, Kind::Info) => {
                (name.strip_suffix("_info").unwrap_or(name), "info")
            }
            (Format::Prometheus, Kind::Info) => (*name, "gauge"),
            (_, kind) => (*name, kind.name()),
        };
        let text = format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        self.exposition.write(text);
    }

    /// The series' name and labels.
    fn name(&mut self, suffix: &str, values: Values<'_>, bound: Option<&str>) {
        let Self {
            exposition,
            description,
            ..
        } = self;
        exposition.text.push_str(description.name);
        exposition.text.push_str(suffix);
        let labels = description.labels.iter().map(|label| label.name);
        let labels = labels.zip(values.iter().copied());
        let mut before = '{';
        for (name, value) in labels.chain(bound.map(|bound| ("le", bound))) {
            exposition.text.push(before);
            before = ',';
            exposition.text.push_str(name);
            exposition.text.push_str("=\"");
            for character in value.chars() {
                match character {
                    '\\' => exposition.text.push_str("\\\\"),
                    '"' => exposition.text.push_str("\\\""),
                    '\n' => exposition.text.push_str("\\n"),
                    other => exposition.text.push(other),
                }
            }
            exposition.text.push('"');
        }
        if before == ',' {
            exposition.text.push('}');
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "bounds are far below 2^53 nanoseconds"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::super::catalogue as names;
    use super::*;
    use crate::counters::TraceId;
    use crate::counters::histogram::Histogram;
    use std::time::Duration;

    #[test]
    fn open_metrics_is_for_those_who_prefer_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (None, Format::Prometheus),
            (Some("*/*"), Format::Prometheus),
            (Some("text/plain"), Format::Prometheus),
            (Some(prometheus), Format::OpenMetrics),
            (Some("application/openmetrics-text"), Format::OpenMetrics),
            (
                Some("application/openmetrics-text;q=0.1, text/plain"),
                Format::Prometheus,
            ),
            (Some("application/openmetrics-text;q=0"), Format::Prometheus),
        ] {
            assert_eq!(Format::preferred(accept), format, "{accept:?}");
        }
    }

    fn written(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        exposition.family(&names::RETRIES);
        let mut family = exposition.family(&names::ERRORS);
        family.add(&["a \"b\"\\\n", "forbidden"], 3);
        let histogram = Histogram::default();
        let trace = TraceId::new(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c).unwrap();
        histogram.observe_traced(Duration::from_secs(20), trace);
        let totals = Totals::of([&histogram].into_iter());
        let mut family = exposition.family(&names::REQUEST_DURATION);
        family.add_histogram(&["users"], &totals);
        exposition.finish()
    }

    #[test]
    fn both_formats_are_as_their_readers_want_them() {
        let (plain, open) = (written(Format::Prometheus), written(Format::OpenMetrics));
        let series =
            "api_gateway_errors_total{route=\"a \\\"b\\\"\\\\\\n\",code=\"forbidden\"} 3\n";
        assert!(plain.contains("# TYPE api_gateway_errors_total counter\n"));
        assert!(open.contains("# TYPE api_gateway_errors counter\n"));
        assert!(plain.contains(series) && open.contains(series), "{plain}");
        let bucket = "api_gateway_request_duration_seconds_bucket{route=\"users\",le=\"+Inf\"} 1";
        assert!(plain.contains(&format!("{bucket}\n")), "{plain}");
        let exemplar = " # {trace_id=\"0af7651916cd43dd8448eb211c80319c\"} 20 ";
        assert!(open.contains(&format!("{bucket}{exemplar}")), "{open}");
        assert!(plain.contains("le=\"0.005\"") && plain.contains("_sum{route=\"users\"} 20\n"));
        assert!(!plain.contains("EOF") && open.ends_with("\n# EOF\n"));
        // What has no series is not described either.
        assert!(!plain.contains("sent_again"), "{plain}");
    }
}
