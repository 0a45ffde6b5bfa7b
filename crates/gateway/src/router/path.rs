//! One spelling for every path.
//!
//! A path can be written in many ways, and a backend may understand a spelling that the router did not match: that is
//! how `/public/..%2fadmin` reaches what only `/admin` should. Every request path is therefore brought into one form
//! before anything looks at it, and that form is both what is matched and what is forwarded. What has no single
//! meaning is refused.
//!
//! | in the path | treatment |
//! |---|---|
//! | no `/` at the start | refused |
//! | `%` without two hexadecimal digits | refused |
//! | control bytes, raw or encoded (00–1F, 7F) | refused |
//! | `\`, `%5C`, `%2F` | refused: some backends take them for `/` |
//! | `#`, `?` | refused: they end a path |
//! | encoded letters, digits, `-`, `.`, `_`, `~` | decoded (RFC 3986 §6.2.2.2) |
//! | other escapes | kept, with upper-case digits (RFC 3986 §6.2.2.1); `%40` and the like match as `@` |
//! | bytes that a URI may not hold | percent-encoded |
//! | `.` and `..` segments | resolved (RFC 3986 §5.2.4); refused when they climb above the root |
//! | `..;x`, `.;x`, `;x`, also with `%3B` | refused: servlet containers cut the parameters off, then resolve |
//! | other segments with `;parameters` | forwarded as they are, matched without the parameters |
//! | `//` | merged into `/` |
//!
//! Escapes are decoded once: `%252e` means the three characters `%2e`, and stays as it is.

use std::borrow::Cow;

/// Why a path is refused. The texts hold nothing of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not start with a slash.
    #[error("The path does not start with a slash.")]
    NotAbsolute,
    /// A percent sign without two hexadecimal digits.
    #[error("The path holds a percent sign that is not followed by two hexadecimal digits.")]
    BadEscape,
    /// A control byte, raw or encoded.
    #[error("The path holds a control character.")]
    ControlCharacter,
    /// A backslash, or an encoded slash or backslash.
    #[error("The path holds a backslash or an encoded slash.")]
    HiddenSlash,
    /// `#` or `?`.
    #[error("The path holds a character that ends a path.")]
    Delimiter,
    /// More `..` than there are segments to leave.
    #[error("The path climbs above the root.")]
    AboveRoot,
    /// Parameters behind a dot segment, or behind nothing.
    #[error("The path holds parameters without a name before them.")]
    NamelessParameters,
}

/// The one form of `path`, borrowed when it is in it already.
///
/// ```
/// use api_gateway::router::path::normalise;
/// assert_eq!(normalise("/a/b").unwrap(), "/a/b");
/// assert_eq!(normalise("//a/./c/%2e%2e/%62").unwrap(), "/a/b");
/// assert!(normalise("/public/..%2fadmin").is_err());
/// ```
///
/// # Errors
/// When it has no single meaning; see the table above.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathError> {
    if !path.starts_with('/') {
        return Err(PathError::NotAbsolute);
    }
    if is_plain(path.as_bytes()) {
        return Ok(Cow::Borrowed(path));
    }
    resolve(&respell(path.as_bytes())?).map(Cow::Owned)
}

/// What a byte means in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Unreserved (RFC 3986 §2.3): the same whether encoded or not.
    Unreserved,
    /// `pchar` otherwise, or `/`.
    Plain,
    Percent,
    Control,
    Backslash,
    Delimiter,
    /// Not to stand in a URI unencoded.
    Foreign,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Foreign; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)]
        let class = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                Class::Unreserved
            }
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':'
            | b'@' | b'/' => Class::Plain,
            b'%' => Class::Percent,
            0..=0x1f | 0x7f => Class::Control,
            b'\\' => Class::Backslash,
            b'#' | b'?' => Class::Delimiter,
            _ => Class::Foreign,
        };
        classes[byte] = class;
        byte += 1;
    }
    classes
};

/// Whether the path is in its one form, as nearly all are: one pass, nothing copied.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    path.iter().all(|&byte| {
        let plain = matches!(CLASSES[usize::from(byte)], Class::Unreserved | Class::Plain)
            && !(previous == b'/' && matches!(byte, b'/' | b'.' | b';'));
        previous = byte;
        plain
    })
}

/// Every character in its one spelling.
fn respell(path: &[u8]) -> Result<String, PathError> {
    let mut spelled = String::with_capacity(path.len() + 16);
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match CLASSES[usize::from(byte)] {
            Class::Unreserved | Class::Plain => spelled.push(char::from(byte)),
            Class::Foreign => push_escape(&mut spelled, byte),
            Class::Control => return Err(PathError::ControlCharacter),
            Class::Backslash => return Err(PathError::HiddenSlash),
            Class::Delimiter => return Err(PathError::Delimiter),
            Class::Percent => {
                let (digits, after) = after.split_first_chunk::<2>().ok_or(PathError::BadEscape)?;
                rest = after;
                push_decoded(&mut spelled, decode(*digits)?)?;
            }
        }
    }
    Ok(spelled)
}

/// A character that stood percent-encoded.
fn push_decoded(spelled: &mut String, byte: u8) -> Result<(), PathError> {
    match CLASSES[usize::from(byte)] {
        Class::Unreserved => spelled.push(char::from(byte)),
        Class::Control => return Err(PathError::ControlCharacter),
        Class::Backslash => return Err(PathError::HiddenSlash),
        Class::Plain if byte == b'/' => return Err(PathError::HiddenSlash),
        Class::Plain | Class::Percent | Class::Delimiter | Class::Foreign => {
            push_escape(spelled, byte)
        }
    }
    Ok(())
}

fn decode(digits: [u8; 2]) -> Result<u8, PathError> {
    let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(PathError::BadEscape);
    let [high, low] = digits;
    u8::try_from(digit(high)? << 4 | digit(low)?).map_err(|_| PathError::BadEscape)
}

fn push_escape(spelled: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    spelled.push('%');
    spelled.push(char::from(DIGITS[usize::from(byte >> 4)]));
    spelled.push(char::from(DIGITS[usize::from(byte & 0xf)]));
}

/// Without dot segments and empty segments (RFC 3986 §5.2.4).
fn resolve(path: &str) -> Result<String, PathError> {
    let mut resolved = String::with_capacity(path.len());
    let mut ends_with_slash = true;
    for segment in path.split('/').skip(1) {
        ends_with_slash = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => {
                let parent = resolved.rfind('/').ok_or(PathError::AboveRoot)?;
                resolved.truncate(parent);
            }
            _ if matches!(&*name(segment), "" | "." | "..") => {
                return Err(PathError::NamelessParameters);
            }
            _ => {
                resolved.push('/');
                resolved.push_str(segment);
            }
        }
    }
    if ends_with_slash {
        resolved.push('/');
    }
    Ok(resolved)
}

/// What a segment is called when routes are matched: without its `;parameters`, which a backend may cut off before or
/// after decoding, and with the characters decoded that may stand in a segment unencoded. It is forwarded as it is.
pub(super) fn name(segment: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr2(b';', b'%', segment.as_bytes()) else {
        return Cow::Borrowed(segment);
    };
    let mut name = segment[..first].to_owned();
    let mut rest = &segment[first..];
    while let Some(character) = rest.chars().next() {
        let escape = rest
            .strip_prefix('%')
            .and_then(|digits| Some((digits.get(..2)?, digits.get(2..)?)));
        match escape {
            Some((digits, after)) => {
                let byte = u8::from_str_radix(digits, 16).unwrap_or(b'%');
                match CLASSES[usize::from(byte)] {
                    Class::Plain if byte == b';' => break,
                    Class::Plain => name.push(char::from(byte)),
                    _ => name.push_str(&rest[..3]),
                }
                rest = after;
            }
            None if character == ';' => break,
            None => {
                name.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    Cow::Owned(name)
}

/// All of `path` in the form in which it is matched; `path` is normalised.
pub(crate) fn names(path: &str) -> String {
    path.split('/').map(name).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
