//! When an endpoint is an outlier, and what follows.

use std::time::Duration;

/// When an endpoint is an outlier, and what follows. The defaults are Envoy's, where gateway failures in a row are
/// enforced as well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Failures in a row that eject, of any kind. 0: none do; by default 5.
    pub consecutive_server_errors: u32,
    /// Gateway failures in a row that eject. 0: none do; by default 5.
    pub consecutive_gateway_failures: u32,
    /// How a success rate ejects. None: it does not.
    pub success_rate: Option<SuccessRate>,
    /// Over which success rates are taken, and after which an ejection is forgiven; by default 10 s.
    pub interval: Duration,
    /// How long the first ejection takes; each further one in a row so much longer. By default 30 s.
    pub base_ejection_time: Duration,
    /// The longest ejection, if the first is not longer; by default 300 s.
    pub max_ejection_time: Duration,
    /// Percent of the endpoints that may be ejected at a time, up to 100; by default 10. One may be, however few they
    /// are, if another one is available. 0: none.
    pub max_ejection_percent: u32,
}

/// How a success rate ejects an endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessRate {
    /// Endpoints with enough requests that there must be for a comparison; by default 5.
    pub minimum_hosts: usize,
    /// Requests in an interval that are enough; by default 100.
    pub request_volume: u32,
    /// How many standard deviations below the mean is too low; by default 1.9.
    pub stdev_factor: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive_server_errors: 5,
            consecutive_gateway_failures: 5,
            success_rate: Some(SuccessRate::default()),
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 10,
        }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self {
            minimum_hosts: 5,
            request_volume: 100,
            stdev_factor: 1.9,
        }
    }
}
