//! The side towards backends.

mod connection;
mod response_body;
mod upload;

pub use connection::{
    Connection, Failure, FailureKind, Held, Home, OutgoingRequest, ResponsePolicy,
};
pub use response_body::ResponseBody;
