//! Directives for some caches only: `CDN-Cache-Control` and fields like it (RFC 9213).

use http::{HeaderMap, HeaderName};
use sfv::{Dictionary, ListEntry, Parser};

use super::ResponseDirectives;

/// What `field` says, if it is there, is not empty, and is a dictionary whose known members have the right types. Else
/// it is as if it were not there (RFC 9213 §2.2): whether a value of the wrong type would have been a restriction
/// cannot be known, and `Cache-Control` is the safer guess.
pub(super) fn read(headers: &HeaderMap, field: &HeaderName) -> Option<ResponseDirectives> {
    let lines: Vec<&[u8]> = headers
        .get_all(field)
        .iter()
        .map(http::HeaderValue::as_bytes)
        .collect();
    if lines.is_empty() {
        return None;
    }
    let value = lines.join(&b", "[..]);
    let dictionary = Parser::new(&value).parse::<Dictionary>().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut read = ResponseDirectives {
        targeted: true,
        ..ResponseDirectives::default()
    };
    for (name, value) in &dictionary {
        match value {
            ListEntry::Item(item) => read.add_typed(name.as_str(), &item.bare_item)?,
            ListEntry::InnerList(_) => {
                // No known directive is a list.
                read.add_typed(name.as_str(), &sfv::BareItem::ByteSequence(Vec::new()))?;
            }
        }
    }
    Some(read)
}
