//! A shared HTTP cache (RFC 9111): its rules as pure functions, and a store in memory.
//!
//! There are no sockets in here, no tasks and no clock: heads and bytes are handed in, and the time with them; what is
//! to wait, waits by a [`Waker`]. Any number of threads share a [`Cache`].
//!
//! # The model
//! A [`Key`] says what a request is for: scheme, host, path and query, and what an operator adds. Under a key there are
//! **variants**: responses that were selected by different fields of requests (`Vary`). A variant is a [`Stored`]: a
//! head as lines that are ready to send, a body in pieces that all answers share, and what is needed to tell its age.
//! It is never changed; what a 304 makes of it is stored anew.
//!
//! A [`Policy`] is what an operator says about one route. It never allows what a response forbids.
//!
//! ```text
//!                         Cache::lookup
//!      ┌──────────┬──────────────┼────────────────────────┬──────────────┐
//!     Hit       Stale           Miss                    Bypass      OnlyIfCached
//!      │          │ validators   │ Ticket::join           │             504
//!      │          ├──────────────┤                        │
//!      │          ▼              ▼                        ▼
//!      │       Leader or Alone   Follower              backend ─► answered_unsafe, answered_head
//!      │          │ backend        │ poll
//!      │    ┌─────┴────┐           ├─► Arriving, chunk by chunk
//!      │   304       other         ├─► Stored, a Hit
//!      │    │ freshen  │ admit     └─► Alone
//!      ▼    ▼          ▼
//!   Hit::response     Fill ─ push, push, finish ─► stored
//! ```
//!
//! 1. **[`Cache::lookup`]** says what is to be done. Of a response that may be served stale, while it is validated or
//!    if that fails, [`Stale`] says so.
//! 2. **[`Ticket::join`]** makes one request of many: the [`Leader`] goes to the backend, [`Follower`]s wait for its
//!    head and read its body as it arrives. Whatever there is that cannot be shared sets all of them free at once.
//! 3. **[`Cache::admit`]** says whether an answer may be stored, and if not, why; **[`Cache::freshen`]** takes a 304.
//! 4. A **[`Fill`]** takes the body, and stores the response when it is whole and as long as it said.
//! 5. **[`Hit::response`]** is what the client gets: all of it, a part, 304 or 416, with its `Age`.
//! 6. **[`Cache::answered_unsafe`]** is told of every answer to a method that may change something.
//!
//! What outlives the memory is not in here: [`Cache::with_tiers`] tells whoever keeps it of what is stored and purged,
//! [`Cache::encode`] and [`Cache::decode`] make bytes of responses and back, and [`Cache::recall`] takes in what was kept.
//!
//! [`CacheStatus`] is what is said of it to whoever wants to know (RFC 9211).
//!
//! # What is bounded
//! What is stored, by bytes, with all that is needed to find it; the bodies that are arriving; variants of a key, tags
//! of a response, requests that wait. Purges leave numbers in tables of a fixed size, of 1 MiB, or 8 MiB with tiers
//! ([`Cache::purge`]); they may take something with them that they are not about, and never leave anything that they are.
//!
//! # What it costs
//! A hit is some 200 ns on a machine that is shared: key, look-up and decision, without an allocation if the key's memory is
//! used again. It is 260 if `Accept-Encoding` has to be compared, and 375 where two threads want the same key all the time. A
//! map of ten fields takes 550 ns and five allocations more, none of them for the body. A small entry takes 208 bytes besides
//! key, fields and body: 64 of its own, 60 in the table and the queue, the rest where an allocator has no size that fits.
//!
//! # Example
//! ```
//! use cache::{Cache, Extra, KeyRecipe, Lookup, Policy, Request, Response, Settings, Target, Timestamp, Times};
//! use http::{HeaderMap, HeaderValue, Method, StatusCode};
//!
//! let cache = Cache::new(Settings::default());
//! let (recipe, policy) = (KeyRecipe::default(), Policy::default());
//!
//! // A request comes, and nothing is stored.
//! let now = Timestamp::from_secs(1_790_000_000);
//! let target = Target { scheme: "https", host: "a.example", path: "/", query: None };
//! let headers = HeaderMap::new();
//! let request = Request { method: &Method::GET, target: &target, headers: &headers, has_credentials: false };
//! let key = recipe.key(&target, &headers, &Extra::default());
//! let Lookup::Miss(miss) = cache.lookup(&key, &request, &policy, now) else { unreachable!() };
//! assert_eq!(miss.why().cache_status().to_value("gw"), "gw; fwd=uri-miss");
//!
//! // The backend answers.
//! let mut fields = HeaderMap::new();
//! fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
//! let times = Times { requested: now, received: now };
//! let response = Response { status: StatusCode::OK, headers: &fields, times };
//! let admission = cache.admit(&key, &request, &policy, &response, miss.ticket())?;
//! let mut fill = cache.fill(admission);
//! fill.push(b"Hello, ")?;
//! fill.push(b"world!")?;
//! fill.finish()?;
//!
//! // Others are answered from the cache.
//! let later = Timestamp::from_secs(1_790_000_010);
//! let Lookup::Hit(hit) = cache.lookup(&key, &request, &policy, later) else { unreachable!() };
//! let response = hit.response();
//! assert_eq!(response.headers()["age"], "10");
//! assert_eq!(response.into_body().next().unwrap(), "Hello, world!");
//! assert_eq!(hit.cache_status().to_value("gw"), "gw; hit; ttl=50");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Waker`]: std::task::Waker

mod admit;
mod beyond;
mod body;
mod cache;
mod conditional;
mod directives;
mod encoding;
mod fill;
mod forms;
mod freshness;
mod head;
mod hit;
mod invalidate;
mod key;
mod lookup;
mod names;
mod policy;
mod purge_record;
mod range;
mod request;
mod settings;
mod status;
mod store;
mod stored;
mod tags;
mod time;
mod update;
mod vary;
mod verdict;

pub use admit::{Refusal, Response};
pub use beyond::{Beyond, PurgeOrigin, Recalled};
pub use body::Content;
pub use cache::{Cache, is_failure};
pub use conditional::Validators;
pub use encoding::{Decoded, Encoded, RecordName, Unreadable, record_name};
pub use fill::{Abandoned, Admission, Chunk, Fill, Followed, Follower, Joined, Leader};
pub use forms::Forms;
pub use freshness::Times;
pub use head::{Head, HeadRef};
pub use hit::Hit;
pub use invalidate::invalidates;
pub use key::{Extra, Key, KeyRecipe, QueryParameters, Target};
pub use lookup::{Failure, Lookup, Miss, Stale, Ticket};
pub use policy::Policy;
pub use purge_record::PurgeRecord;
pub use request::Request;
pub use settings::Settings;
pub use status::{CACHE_STATUS, CacheStatus, Forward};
pub use store::{Epochs, Manner, Usage};
pub use stored::Stored;
pub use time::Timestamp;
pub use update::{Freshened, Purge};
