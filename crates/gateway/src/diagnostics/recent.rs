//! What has been told last that was not as it should be, for whoever asks the admin API what is wrong.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::Mutex;
use std::time::SystemTime;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use utoipa::ToSchema;

/// So many are kept.
const KEPT: usize = 100;
/// So much of each is kept, in bytes.
const LONGEST: usize = 1024;

static EVENTS: Mutex<VecDeque<RecentEvent>> = Mutex::new(VecDeque::new());

/// A warning or an error of the gateway itself.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct RecentEvent {
    /// In UTC (RFC 3339).
    time: String,
    /// `WARN` or `ERROR`.
    level: &'static str,
    /// As in the diagnostics, with its values.
    message: String,
}

/// The last warnings and errors, the newest first.
pub(crate) fn recent_events() -> Vec<RecentEvent> {
    let events = EVENTS.lock();
    events.map_or_else(
        |_| Vec::new(),
        |events| events.iter().rev().cloned().collect(),
    )
}

/// Keeps what the filter lets through.
pub(super) struct Recent;

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        if level > Level::WARN {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        // Workers tell things, too, and wait for nobody: when two do so at once, one of them is not kept.
        let Ok(mut events) = EVENTS.try_lock() else {
            return;
        };
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(RecentEvent {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            level: level.as_str(),
            message: text.0,
        });
    }
}

/// The message, and then the values.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let Self(text) = self;
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" if text.is_empty() => write!(text, "{value:?}"),
            "message" => {
                let message = format!("{value:?} ");
                text.insert_str(0, &message);
                Ok(())
            }
            name if text.is_empty() => write!(text, "{name}={value:?}"),
            name => write!(text, " {name}={value:?}"),
        };
        let end = text.floor_char_boundary(LONGEST);
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn warnings_are_kept_with_their_values_and_no_more_than_the_last() {
        let subscriber = tracing_subscriber::registry().with(Recent);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("all is well");
            for number in 0..2 * KEPT {
                tracing::warn!(number, name = %"a", "no answer");
            }
            tracing::error!("{}", "ü".repeat(LONGEST));
        });
        let events = recent_events();
        assert_eq!(events.len(), KEPT);
        assert_eq!(events[0].level, "ERROR");
        assert_eq!(events[0].message.len(), LONGEST);
        assert_eq!(events[1].message, "no answer number=199 name=a");
        assert_eq!(events[1].level, "WARN");
    }
}
