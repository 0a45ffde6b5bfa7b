//! Load balancing as pure state machines: which endpoint a request goes to, and which endpoints are to be left alone.
//!
//! There are no sockets and no clock in here, and no source of randomness: time is passed in as a [`Duration`] since
//! any fixed point, chance as a number. Picking takes no lock and allocates nothing: some 30 to 40 ns from the pick to
//! the end of a request, whatever the number of endpoints (but for [`Policy::LeastConnections`]). Where several threads
//! send to the same endpoints, their caches pass the counts of requests in flight back and forth, and that is 50 to
//! 250 ns, the more the fewer the endpoints.
//!
//! # The model
//! An upstream has [`Endpoint`]s. What they are is configured: identity, weight, priority, place. What is known of
//! them, requests in flight, latency, health, is in their [`Load`]s, which the caller keeps for as long as an endpoint
//! exists, and shares between all threads and with each new configuration: so nothing of it is lost by a reload.
//!
//! A [`Picker`] answers where a request goes. It is immutable, made of settings and endpoints, and replaced when
//! either changes, or when the endpoints' availability does; whoever makes it does so off the way of requests. A
//! [`Pick`] starts an [`InFlight`], which is told of the answer and dropped at the end.
//!
//! ```text
//! control plane                                                    each request
//! ─────────────                                                    ────────────
//! Health::record ────────┐                                         Picker::pick ──► Pick
//! Detector::tick ──────► Load ◄──────── InFlight ◄──────────────── Pick::start
//!    │ availability        ▲                │ answered ─► Streak     │
//!    ▼                     └────────────────┴─► Detector::judge      ▼
//! Picker::refresh ─► a new Picker, for all threads                 drop
//! ```
//!
//! # How an endpoint is picked
//! 1. The endpoint that the client is to **stay with**, if it is available.
//! 2. Else one **group** of endpoints is drawn. There is one for each priority level, and as many as three of each
//!    level by nearness: own zone, own region, elsewhere. Their shares follow from how many endpoints are available,
//!    as in Envoy: traffic spills over to the next level when the one before is not whole any more, and leaves the
//!    zone as far as that has less than its share. When too few endpoints are available everywhere, health is
//!    ignored: **panic**.
//! 3. Of the group, the [`Policy`] proposes an endpoint, by weight. What has been **tried** by this request or has
//!    become unavailable is turned down; what is **starting slowly** is turned down by lot.
//! 4. If none is left in the group, any other endpoint is picked, available ones first: a pick fails only if all have
//!    been tried or have the weight 0.
//!
//! # Which endpoints are available
//! Those that neither active checks ([`health`]) nor outlier detection ([`outlier`]) have anything against. A new
//! endpoint is available until something is known. The last available one is never ejected.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use load_balancer::outlier::{self, Detector};
//! use load_balancer::{Endpoint, Load, Outcome, Picker, Policy, Request, Settings, identity};
//!
//! // When the configuration is read. Loads that are there already are used again.
//! let mut now = Duration::from_secs(1_000);
//! let endpoints: Vec<Endpoint> = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]
//!     .into_iter()
//!     .map(|address| Endpoint::new(identity(address), Arc::new(Load::new(now))))
//!     .collect();
//! let loads: Vec<Arc<Load>> = endpoints.iter().map(|it| Arc::clone(&it.load)).collect();
//! let detector = Detector::new(outlier::Settings::default(), loads, now);
//! let settings = Settings { policy: Policy::PeakEwma, ..Settings::default() };
//! let mut picker = Picker::new(settings, endpoints);
//!
//! // For each request: the second endpoint fails, and the request is sent to another.
//! for random in 0..100 {
//!     let mut tried = Vec::new();
//!     loop {
//!         let request = Request { tried: &tried, now, random, ..Request::default() };
//!         let pick = picker.pick(&request).expect("three endpoints, two attempts");
//!         let mut in_flight = pick.start(now);
//!         now += Duration::from_millis(10);
//!         let outcome = if pick.index == 1 { Outcome::GatewayFailure } else { Outcome::Success };
//!         let streak = in_flight.answered(outcome, now);
//!         // Rarely anything: five failures in a row eject the endpoint.
//!         if let Some(event) = detector.judge(in_flight.load(), streak, now) {
//!             println!("{event:?}");
//!         }
//!         if outcome == Outcome::Success {
//!             break;
//!         }
//!         tried.push(pick.endpoint().id);
//!     }
//! }
//!
//! // Once a second, and when something has happened.
//! detector.tick(now);
//! if picker.is_stale() {
//!     picker = picker.refresh();
//! }
//! # assert!(picker.endpoints().iter().all(|it| it.load.in_flight() == 0));
//! ```
//!
//! [`Duration`]: std::time::Duration

pub mod health;
pub mod outlier;

mod ewma;
mod in_flight;
mod load;
mod picker;
mod plan;
mod pool;
mod random;
mod sampler;
mod settings;
mod stripes;
mod table;
mod weighted_round_robin;

pub use in_flight::{InFlight, Outcome, Streak};
pub use load::Load;
pub use picker::{Pick, Picker, Request};
pub use random::identity;
pub use settings::{Endpoint, HashTable, Locality, Policy, Settings, SlowStart};
pub use weighted_round_robin::{MAX_ROUND, WeightedRoundRobin, WeightsError};
