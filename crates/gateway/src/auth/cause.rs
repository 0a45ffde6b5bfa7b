//! Why something has failed, at the bottom of it.

use std::error::Error;

/// The innermost reason: of "error sending request" nobody learns that the connection was refused.
pub(super) fn innermost(error: &dyn Error) -> &dyn Error {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}
