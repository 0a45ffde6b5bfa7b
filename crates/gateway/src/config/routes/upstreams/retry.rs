//! Whether sending requests again makes sense, and what it means.

use std::time::Duration;

use circuit_breaker::Backoff;

use super::written::{Condition, Retry as Written};
use crate::config::document::Step;
use crate::config::routes::check::Check;
use crate::config::routes::written::Size;
use crate::config::size;
use crate::proxy::Retry;
use crate::upstream::Statuses;

const KEY: Step<'static> = Step::Key("retry");
const ATTEMPTS: u32 = 2;
const MOST_KEPT: u64 = 64 * 1024;

impl Check<'_> {
    pub(in crate::config::routes) fn retry(&mut self, written: &Written) -> Retry {
        let mut retry = Retry {
            attempts: written.attempts.unwrap_or(ATTEMPTS),
            on_connect: false,
            on_reset: false,
            on_timeout: false,
            on_statuses: Statuses::default(),
            try_timeout: written.try_timeout.map(Duration::from_secs_f64),
            non_idempotent: written.non_idempotent,
            max_body_size: self.kept_body(written.max_body_size.as_ref()),
            backoff: Backoff::default(),
        };
        let Some(conditions) = &written.on else {
            (retry.on_connect, retry.on_reset) = (true, true);
            for status in ["502", "503", "504"] {
                // Constants.
                let _ = retry.on_statuses.add(status);
            }
            return retry;
        };
        for (index, condition) in conditions.iter().enumerate() {
            let text = match condition {
                Condition::Code(code) => code.to_string(),
                Condition::Name(name) => name.clone(),
            };
            match text.as_str() {
                "connect" => retry.on_connect = true,
                "reset" => retry.on_reset = true,
                "timeout" => retry.on_timeout = true,
                status => {
                    if let Err(error) = retry.on_statuses.add(status) {
                        let message = format!(
                            "\"{text}\" must be \"connect\", \"reset\" or \"timeout\", or {error}"
                        );
                        let message = message.replace("or must be", "or");
                        self.say(&[KEY, Step::Key("on"), Step::Index(index)], &message);
                    }
                }
            }
        }
        if retry.on_timeout && retry.try_timeout.is_none() {
            let message = "\"timeout\" needs \"tryTimeout\": without it one attempt may take all the time there is";
            self.say(&[KEY, Step::Key("on")], message);
        }
        retry
    }

    fn kept_body(&mut self, written: Option<&Size>) -> u64 {
        const LARGEST: u64 = 16 * 1024 * 1024;
        let size = match written {
            None => Some(MOST_KEPT),
            Some(Size::Bytes(bytes)) => Some(*bytes),
            Some(Size::Text(text)) => size::parse(text),
        };
        size.filter(|size| *size <= LARGEST).unwrap_or_else(|| {
            let at = [KEY, Step::Key("maxBodySize")];
            self.say(
                &at,
                "must be a size of at most 16MiB, such as 65536 or \"64KiB\"",
            );
            MOST_KEPT
        })
    }
}
