//! What a route says of CORS.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use super::check::Check;
use super::written::{Cors as Written, CorsPolicy};
use crate::config::document::Step;
use crate::config::{Policy, Settings, Shadowed};
use crate::middleware::cors::Cors;
use crate::middleware::origins::Origins;

const KEY: Step<'static> = Step::Key("cors");

impl Check<'_> {
    /// The policy of a route: its own, or the general one.
    pub(super) fn cors(
        &mut self,
        written: Option<&Written>,
        shadowed: Shadowed,
        settings: &Settings,
    ) -> Option<Arc<Cors>> {
        let policy = self.enforced_cors(written, settings)?;
        if !shadowed.contains(Policy::Cors) {
            return Some(policy);
        }
        if policy.credentials {
            self.say(
                &[KEY, Step::Key("credentials")],
                "credentials cannot be allowed while \"cors\" is in \"shadow\", which allows any origin",
            );
        }
        Some(Arc::new(Cors {
            shadow: true,
            ..(*policy).clone()
        }))
    }

    fn enforced_cors(
        &mut self,
        written: Option<&Written>,
        settings: &Settings,
    ) -> Option<Arc<Cors>> {
        match written {
            None => settings.cors.clone(),
            Some(Written::Switch(false)) => None,
            Some(Written::Switch(true)) => {
                if settings.cors.is_none() {
                    self.say(
                        &[KEY],
                        "ALLOWED_ORIGINS is \"off\"; say which \"origins\" are allowed here",
                    );
                }
                settings.cors.as_deref().cloned().map(|general| {
                    Arc::new(Cors {
                        yields: false,
                        ..general
                    })
                })
            }
            Some(Written::Policy(policy)) => self.cors_policy(policy, settings).map(Arc::new),
        }
    }

    fn cors_policy(&mut self, policy: &CorsPolicy, settings: &Settings) -> Option<Cors> {
        let origins = match (&policy.origins, &settings.cors) {
            (Some(written), _) => self.origins(written),
            (None, Some(general)) => general.origins.clone(),
            (None, None) => {
                self.say(
                    &[KEY],
                    "\"origins\" is missing, and ALLOWED_ORIGINS is \"off\"",
                );
                return None;
            }
        };
        if policy.credentials && origins.are_any() {
            self.say(
                &[KEY, Step::Key("credentials")],
                "credentials cannot be allowed to any origin; list those that are trusted in \"origins\"",
            );
        }
        let is_method = |text: &str| {
            Method::from_bytes(text.as_bytes()).is_ok() && text == text.to_ascii_uppercase()
        };
        let is_field = |text: &str| HeaderName::from_bytes(text.as_bytes()).is_ok();
        let list = |check: &mut Self,
                    key,
                    items: &Option<Vec<String>>,
                    fits: &dyn Fn(&str) -> bool,
                    what| {
            items
                .as_ref()
                .and_then(|items| check.token_list(key, items, fits, what))
        };
        Some(Cors {
            origins,
            methods: list(
                self,
                "methods",
                &policy.methods,
                &is_method,
                "a method in capitals",
            ),
            headers: list(
                self,
                "headers",
                &policy.headers,
                &is_field,
                "the name of a header field",
            ),
            exposed_headers: list(
                self,
                "exposedHeaders",
                &policy.exposed_headers,
                &is_field,
                "the name of a header field",
            ),
            credentials: policy.credentials,
            max_age: policy.max_age.map(HeaderValue::from),
            private_network: policy.private_network,
            shadow: false,
            yields: false,
        })
    }

    fn origins(&mut self, written: &[String]) -> Origins {
        let mut patterns = Vec::new();
        for (index, text) in written.iter().enumerate() {
            match text.parse() {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => self.say(
                    &[KEY, Step::Key("origins"), Step::Index(index)],
                    &format!("\"{text}\" {error}"),
                ),
            }
        }
        Origins::new(patterns)
    }

    /// The items as one field value.
    fn token_list(
        &mut self,
        key: &'static str,
        items: &[String],
        fits: &dyn Fn(&str) -> bool,
        what: &str,
    ) -> Option<HeaderValue> {
        for (index, item) in items.iter().enumerate().filter(|(_, item)| !fits(item)) {
            self.say(
                &[KEY, Step::Key(key), Step::Index(index)],
                &format!("\"{item}\" is not {what}"),
            );
        }
        HeaderValue::from_str(&items.join(", ")).ok()
    }
}
