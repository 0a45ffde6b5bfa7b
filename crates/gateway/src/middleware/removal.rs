//! Taking fields off a message.

use http::{HeaderMap, HeaderName};

/// Takes off the fields whose names are such. Where there is none, that is a look at each name.
pub(crate) fn remove(headers: &mut HeaderMap, is_such: impl Fn(&HeaderName) -> bool) {
    let names: Vec<_> = headers
        .keys()
        .filter(|name| is_such(name))
        .cloned()
        .collect();
    for name in names {
        headers.remove(name);
    }
}
