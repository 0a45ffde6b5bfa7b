//! What happens to every request before and after its route does its work; one file each.

pub(crate) mod access_log;
pub(crate) mod client_address;
pub(crate) mod compression;
pub(crate) mod cors;
pub(crate) mod ip_rules;
pub(crate) mod origins;
pub(crate) mod panics;
pub(crate) mod rate_limit;
pub(crate) mod removal;
pub(crate) mod request_id;
pub(crate) mod security_headers;
pub(crate) mod size_limit;
pub(crate) mod underscores;
pub(crate) mod vary;
