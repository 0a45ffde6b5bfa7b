//! Cache directives, as they are written and as they are meant.

mod request;
mod response;
pub(crate) mod syntax;
mod targeted;

#[cfg(test)]
mod tests;

pub(crate) use request::RequestDirectives;
pub(crate) use response::{ResponseDirectives, Scope};
