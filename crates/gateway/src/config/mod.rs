//! From what users write to what requests see.
//!
//! Settings and routes file go through the same three stages: **written** (as given), **validated** (all errors found,
//! each with its place), **compiled** ([`Snapshot`]). `check`, `routes`, `run` and `demo` run the same code, so what
//! one accepts the others serve.

mod consumers;
mod document;
mod duration;
mod finding;
mod history;
mod listeners;
mod live;
mod load;
mod memory;
mod network;
mod reference;
mod routes;
mod schema;
mod settings;
mod size;
mod snapshot;
mod source_files;
mod structure;
mod summary;

pub use consumers::consumers_schema;
pub(crate) use duration::parse as parse_duration;
pub use finding::{ConfigErrors, Finding};
pub(crate) use history::{History, Kept, hash as history_hash};
pub(crate) use listeners::{Listener, ListenerTls};
pub use listeners::{Listeners, listeners, listeners_schema};
pub(crate) use live::{Carried, Live, Local, LocalRoute, Ongoing, View, Waiting};
pub use load::{Loaded, load};
pub(crate) use load::{RoutesSource, load_again, load_first, token_issuer};
pub use reference::routes_reference;
pub use routes::schema;
pub(crate) use settings::log_filter;
pub use settings::{
    AccessLog, AccessLogFormat, AdminToken, CacheTierSettings, DnsSettings, JwtSettings, Limits,
    ListenAddress, Listening, LogFormat, RedisServer, RedisSettings, ReloadSettings,
    RollbackSettings, SETTINGS, Secret, Setting, SettingError, Settings, Sources, Timeouts,
    Topology, TracingSettings, UpstreamPool, env_example, reference,
};
pub use snapshot::{Destination, Policy, Route, Shadowed, Snapshot};
pub(crate) use snapshot::{Fallback, FixedAnswer};
pub(crate) use source_files::Fingerprint;
pub(crate) use summary::{LimitSummary, RouteSummary, limit_summaries, summaries};
