//! Which route a request gets, and why no other.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Walk, told};
use crate::config::Snapshot;
use crate::handler::find_route;
use crate::router::{Criteria, Matcher, Precedence, Standing};

/// Routes that are told of; others fit less.
pub(super) const MOST: usize = 1000;

/// A route, and why it has the request or has not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConsideredRoute {
    pub(crate) name: Box<str>,
    pub(crate) path: String,
    /// Whether it gets the request.
    pub(crate) chosen: bool,
    /// Whether its host and path fit.
    pub(crate) near: bool,
    pub(crate) why: String,
}

/// All routes, as they stand to a request.
pub(super) fn considered(snapshot: &Snapshot, criteria: &Criteria<'_>) -> Vec<ConsideredRoute> {
    let all = snapshot.router.consider(criteria);
    // Those that nearly have it come first, whatever there is of others.
    let (near, far): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|it| !matches!(it.standing, Standing::Host | Standing::Path));
    let considered = near.into_iter().chain(far).take(MOST).map(|it| {
        let matched = snapshot.router.route(it.route);
        ConsideredRoute {
            name: snapshot.routes[it.route].name.clone(),
            path: matched.path.to_string(),
            chosen: it.standing == Standing::Chosen,
            near: !matches!(it.standing, Standing::Host | Standing::Path),
            why: why(it.standing),
        }
    });
    considered.collect()
}

fn why(standing: Standing<'_>) -> String {
    match standing {
        Standing::Chosen => "is the most specific that fits".to_owned(),
        Standing::LessSpecific(by) => format!(
            "fits, and another is more specific by its {}",
            match by {
                Precedence::Host => "host",
                Precedence::Path => "path",
                Precedence::Method => "method",
                Precedence::Matchers => "header and query matchers",
            }
        ),
        Standing::Host => "is for other hosts".to_owned(),
        Standing::Path => "is for other paths".to_owned(),
        Standing::Method => "is for other methods".to_owned(),
        Standing::Unsatisfied(Matcher::Header(header)) => {
            format!("needs the field {} to be {}", header.name, header.value)
        }
        Standing::Unsatisfied(Matcher::Query(query)) => {
            format!(
                "needs the query parameter {} to be {}",
                query.name, query.value
            )
        }
    }
}

impl Walk<'_> {
    /// The route of the request; a refusal is noted.
    pub(super) fn find(&mut self, criteria: &Criteria<'_>) -> Option<usize> {
        let found = find_route(&self.gateway.snapshot.router, criteria);
        if let Err(refusal) = &found {
            self.say("route", told(refusal), &[]);
            self.refuse("route", refusal);
        }
        found.ok()
    }
}
