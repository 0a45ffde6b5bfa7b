//! TLS towards clients, and towards backends.

mod backends;
mod bad_input;
mod certificates;
mod client_certificates;
mod fixtures;
mod front;
mod handover;
mod http;
mod mistakes;
mod proxy_protocol;
mod redirects;
mod resumption;
mod telling;
