//! What would become of a request, without sending it: which route it gets and why, what each step of the chain says to
//! it, and what its backend would see.
//!
//! It asks the same parts as the [handler](crate::handler), in the same order; nothing is counted, stored or sent. With a
//! configuration alone it tells what that says, in a running gateway also how things stand there.
//!
//! ```text
//! question.rs   the request that is asked about
//! routing.rs    which route, and why no other
//! steps.rs      the chain
//! sending.rs    cache, breaker, endpoint, and what is sent
//! text.rs       for people
//! ```

mod question;
mod routing;
mod sending;
mod steps;
mod text;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use cache::{Cache, Timestamp};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::auth::{Identity, Subject};
use crate::config::{Settings, Snapshot};
use crate::error::Refusal;
use crate::handler::{Announced, announced, receive};
use crate::middleware::cors::Preflight;
use crate::proxy::ClientSide;
use crate::router::{Criteria, path};
pub(crate) use question::{Asked, Question};
pub(crate) use routing::ConsideredRoute;

/// What would become of a request.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explanation {
    pub(crate) method: String,
    /// In its one form; as it came where it has none.
    pub(crate) path: String,
    /// The client's address, as limits and logs see it.
    #[schema(value_type = String)]
    pub(crate) client: IpAddr,
    /// The name of the route that gets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<Box<str>>,
    /// All routes, the more specific ones first, at most [`routing::MOST`].
    pub(crate) considered: Vec<ConsideredRoute>,
    /// What the steps of the chain say, in their order.
    pub(crate) steps: Vec<Step>,
    /// What the gateway answers itself; none where the request goes to a backend or another service answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refused: Option<Refused>,
    /// The head that the backend gets, by lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) backend_request: Vec<String>,
}

/// One step of the chain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Step {
    /// What it is called in a routes file, or nearly so.
    pub(crate) step: &'static str,
    /// What it says to the request.
    pub(crate) says: String,
    /// How it is set.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub(crate) settings: Map<String, Value>,
}

/// A request that does not pass.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refused {
    /// The step that says so.
    pub(crate) step: &'static str,
    pub(crate) status: u16,
    /// As in `docs/errors.md`.
    pub(crate) code: &'static str,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gateway<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) snapshot: &'a Arc<Snapshot>,
    /// What is cached, and what time it is there; none where no gateway runs, or nothing is cached.
    pub(crate) cache: Option<(&'a Cache, Timestamp)>,
    /// Whether what is counted and seen is that of a running gateway.
    pub(crate) is_running: bool,
}

/// A request on its way through the steps.
struct Walk<'a> {
    gateway: Gateway<'a>,
    head: &'a http::request::Parts,
    path: &'a str,
    address: IpAddr,
    side: &'a ClientSide,
    identity: Option<Arc<Identity>>,
    now: Instant,
    steps: Vec<Step>,
    refused: Option<Refused>,
}

/// Says what would become of a request.
pub(crate) async fn explain(gateway: Gateway<'_>, question: Question) -> Explanation {
    let Gateway {
        settings, snapshot, ..
    } = gateway;
    let local = SocketAddr::new(settings.host, settings.port);
    let trusted = settings.trusted_proxies.trust(question.from);
    let side = ClientSide::new(question.from, local, trusted);
    let mut head = question.head;
    let (address, acceptable) = receive(settings, &side, &mut head);
    let normalised = path::normalise(head.uri.path());
    let path = normalised.as_deref().unwrap_or(head.uri.path()).to_owned();
    let mut walk = Walk {
        gateway,
        head: &head,
        path: &path,
        address,
        side: &side,
        identity: None,
        now: Instant::now(),
        steps: Vec::new(),
        refused: None,
    };
    let acceptable = acceptable.and(normalised.map(drop).map_err(|error| {
        Refusal::from(crate::error::ErrorCode::InvalidPath).with_detail(error.to_string())
    }));
    let (mut considered, mut route, mut backend_request) = (Vec::new(), None, Vec::new());
    match acceptable {
        Err(refusal) => walk.refuse("request", &refusal),
        Ok(()) => {
            let criteria = Criteria::of(&head, &path);
            let preflight = Preflight::of(&head);
            let asked = preflight.as_ref();
            let asked = asked.map(|preflight| announced(snapshot, preflight, &criteria));
            let found = match (&preflight, asked) {
                (
                    Some(preflight),
                    Some(Announced {
                        route,
                        answer: Some(answer),
                    }),
                ) => {
                    considered = routing::considered(snapshot, &preflight.announced(&criteria));
                    walk.preflight(route, &answer);
                    route
                }
                _ => {
                    considered = routing::considered(snapshot, &criteria);
                    let found = walk.find(&criteria);
                    if let Some(index) = found {
                        backend_request = walk.pass(index).await;
                    }
                    found
                }
            };
            route = found.map(|index| snapshot.routes[index].name.clone());
        }
    }
    let Walk { steps, refused, .. } = walk;
    Explanation {
        method: head.method.to_string(),
        path,
        client: address,
        route,
        considered,
        steps,
        refused,
        backend_request,
    }
}

impl Walk<'_> {
    /// The request as limits and balancing see it.
    fn subject(&self) -> Subject<'_> {
        Subject {
            head: self.head,
            path: self.path,
            client: self.address,
            identity: self.identity.as_deref(),
        }
    }

    fn say(&mut self, step: &'static str, says: impl Into<String>, settings: &[(&str, Value)]) {
        self.steps.push(Step {
            step,
            says: says.into(),
            settings: settings
                .iter()
                .filter(|(_, value)| {
                    !(value.is_null() || value.as_array().is_some_and(Vec::is_empty))
                })
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        });
    }

    /// The first refusal is the answer.
    fn refuse(&mut self, step: &'static str, refusal: &Refusal) {
        self.refused.get_or_insert(Refused {
            step,
            status: refusal.code.status(),
            code: refusal.code.code(),
        });
    }
}

/// What a refusal says, with the field of its answer that says more.
fn told(refusal: &Refusal) -> String {
    let code = refusal.code;
    let status = StatusCode::from_u16(code.status()).unwrap_or_default();
    let field = refusal.field().and_then(|(name, value)| {
        let value = value.to_str().ok()?;
        Some(format!(" ({name}: {value})"))
    });
    format!(
        "refused: {} {}{}",
        status.as_u16(),
        code.code(),
        field.unwrap_or_default()
    )
}
