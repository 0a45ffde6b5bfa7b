//! Which requests are recorded: decided when their heads have come, by the samplers that OpenTelemetry specifies.

use super::TraceContext;

/// `OTEL_TRACES_SAMPLER` with its argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampler {
    /// The caller's decision holds where there is one.
    parent_based: bool,
    /// The argument counts.
    by_ratio: bool,
    /// What is recorded else: traces whose ids are below this, out of 2^63.
    bound: u64,
}

impl Sampler {
    /// The names that are understood.
    pub(crate) const NAMES: [&str; 6] = [
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ];

    /// The sampler of this name, with all where it goes by ratio; none where there is no such sampler.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (parent_based, rest) = match name.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let (bound, by_ratio) = match rest {
            "always_on" => (ALL, false),
            "always_off" => (0, false),
            "traceidratio" => (ALL, true),
            _ => return None,
        };
        Some(Self {
            parent_based,
            by_ratio,
            bound,
        })
    }

    /// The same for this share of the traces, from 0 to 1, where it goes by that.
    #[must_use]
    pub fn with_ratio(self, ratio: f64) -> Self {
        let bound = if self.by_ratio {
            bound(ratio)
        } else {
            self.bound
        };
        Self { bound, ..self }
    }

    /// Whether a request of this trace is recorded. All who sample by ratio decide alike, by the same part of the id.
    pub(super) fn samples(self, context: TraceContext, has_parent: bool) -> bool {
        if self.parent_based && has_parent {
            return context.is_sampled();
        }
        (context.trace_id as u64) >> 1 < self.bound
    }
}

const ALL: u64 = 1 << 63;

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "the ratio is from 0 to 1, and powers of two are exact"
)]
fn bound(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * ALL as f64) as u64
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn parent(trace_id: &str, flags: &str) -> TraceContext {
        let field = format!("00-{trace_id}-b7ad6b7169203331-{flags}");
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", field.parse().unwrap());
        TraceContext::of(&headers).unwrap()
    }

    const LOW: &str = "ffffffffffffffff0000000000000001";
    const HIGH: &str = "0000000000000000ffffffffffffffff";

    #[test]
    fn a_parent_decides_where_it_is_asked() {
        for (name, sampled, unsampled) in [
            ("always_on", true, true),
            ("always_off", false, false),
            ("parentbased_always_on", true, false),
            ("parentbased_always_off", true, false),
            ("parentbased_traceidratio", true, false),
        ] {
            let sampler = Sampler::named(name).unwrap().with_ratio(0.5);
            assert_eq!(sampler.samples(parent(LOW, "01"), true), sampled, "{name}");
            assert_eq!(
                sampler.samples(parent(LOW, "00"), true),
                unsampled,
                "{name}"
            );
        }
    }

    #[test]
    fn a_ratio_is_of_the_ids() {
        for name in ["traceidratio", "parentbased_traceidratio"] {
            let sampler = Sampler::named(name).unwrap().with_ratio(0.5);
            assert!(sampler.samples(parent(LOW, "00"), false));
            assert!(!sampler.samples(parent(HIGH, "00"), false));
            let all = Sampler::named(name).unwrap();
            assert!(all.samples(parent(HIGH, "00"), false));
            let none = Sampler::named(name).unwrap().with_ratio(0.0);
            assert!(!none.samples(parent(LOW, "00"), false));
            let tenth = Sampler::named(name).unwrap().with_ratio(0.1);
            let count = (0..10_000).filter(|_| tenth.samples(TraceContext::root(), false));
            assert!((850..1150).contains(&count.count()));
        }
    }

    #[test]
    fn only_those_that_are_listed_are_understood() {
        for name in Sampler::NAMES {
            assert!(Sampler::named(name).is_some());
        }
        for name in ["", "jaeger_remote", "parentbased_", "parentbased_xray"] {
            assert_eq!(Sampler::named(name), None);
        }
    }
}
