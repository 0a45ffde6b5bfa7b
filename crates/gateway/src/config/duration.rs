//! Times as people write them.

use std::time::Duration;

/// The time that `text` names: seconds such as `30` or `0.5`, or with units such as `500ms`, `5m`, `1h 30m`.
/// None when it names none, a negative one, or more than can be counted.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => humantime::parse_duration(text).ok(),
    }
}
