//! The chunked transfer coding (RFC 9112 §7.1), decoded strictly. Pure: no I/O.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::body::BodyError;

/// A size line holds at most this many bytes, extensions included. They are read over and not forwarded
/// (RFC 9112 §7.1.1 allows it).
const LONGEST_SIZE_LINE: usize = 4 * 1024;
/// The trailer section holds at most this many bytes and fields.
const LARGEST_TRAILERS: usize = 16 * 1024;
const MOST_TRAILERS: usize = 64;
/// More digits than fit into 60 bits can only be an attack on somebody's arithmetic.
const MOST_SIZE_DIGITS: usize = 15;

/// Decodes one chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkedDecoder {
    /// A size line comes next.
    Size,
    /// This many bytes of the chunk are still to come.
    Data(u64),
    /// The CR LF after a chunk's data comes next.
    DataEnd,
    /// The trailer section comes next.
    Trailers,
    /// The body is over.
    Done,
}

/// What the decoder found at the front of the buffer.
#[derive(Debug)]
pub enum Piece {
    /// Bytes of the body.
    Data(Bytes),
    /// The trailer section; the body is over.
    Trailers(HeaderMap),
    /// The body is over, without trailers.
    End,
}

impl ChunkedDecoder {
    /// Takes the next piece off `buffer`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are no chunked body, or a size line or the trailers are too long. Nothing that follows can be
    /// trusted then.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, BodyError> {
        loop {
            match *self {
                Self::Size => {
                    let Some(size) = take_size(buffer)? else {
                        return Ok(None);
                    };
                    *self = if size == 0 {
                        Self::Trailers
                    } else {
                        Self::Data(size)
                    };
                }
                Self::Data(left) => {
                    if buffer.is_empty() {
                        return Ok(None);
                    }
                    let length =
                        usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
                    let left = left - length as u64;
                    *self = if left == 0 {
                        Self::DataEnd
                    } else {
                        Self::Data(left)
                    };
                    return Ok(Some(Piece::Data(buffer.split_to(length).freeze())));
                }
                Self::DataEnd => {
                    if !take_line_end(buffer)? {
                        return Ok(None);
                    }
                    *self = Self::Size;
                }
                Self::Trailers => {
                    let Some(trailers) = take_trailers(buffer)? else {
                        return Ok(None);
                    };
                    *self = Self::Done;
                    return Ok(Some(if trailers.is_empty() {
                        Piece::End
                    } else {
                        Piece::Trailers(trailers)
                    }));
                }
                Self::Done => return Ok(Some(Piece::End)),
            }
        }
    }

    /// How many bytes are known to be on their way.
    pub(crate) fn expected(self) -> u64 {
        if let Self::Data(left) = self { left } else { 0 }
    }
}

/// `chunk-size [ chunk-ext ] CRLF`.
fn take_size(buffer: &mut BytesMut) -> Result<Option<u64>, BodyError> {
    let Some(end) = memchr::memchr(b'\n', buffer) else {
        if buffer.len() > LONGEST_SIZE_LINE {
            return Err(BodyError::Malformed("a chunk's size line is too long"));
        }
        // A CR at the end may be half of the line's end; anything wrong before it is refused at once.
        check_size_line(buffer.strip_suffix(b"\r").unwrap_or(buffer), Line::Partial)?;
        return Ok(None);
    };
    if end > LONGEST_SIZE_LINE {
        return Err(BodyError::Malformed("a chunk's size line is too long"));
    }
    let Some(line) = buffer[..end].strip_suffix(b"\r") else {
        return Err(BodyError::Malformed(
            "a chunk's size line does not end with CR LF",
        ));
    };
    let size =
        check_size_line(line, Line::Whole)?.ok_or(BodyError::Malformed("a chunk has no size"))?;
    buffer.advance(end + 1);
    Ok(Some(size))
}

/// How much of a size line is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Whole,
    Partial,
}

/// The size at the start of a line; `None` when not even a digit has come.
fn check_size_line(line: &[u8], extent: Line) -> Result<Option<u64>, BodyError> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    if digits > MOST_SIZE_DIGITS {
        return Err(BodyError::Malformed("a chunk's size is too large"));
    }
    let (size, extensions) = line.split_at(digits);
    // Control bytes, a lone CR above all, would end the line for a lenient reader.
    let clean = extensions
        .iter()
        .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    let well_formed = match extent {
        Line::Whole => are_extensions(extensions),
        Line::Partial => digits > 0 || extensions.is_empty(),
    };
    if !clean || !well_formed {
        return Err(BodyError::Malformed(
            "a chunk's size line is not a hexadecimal number with well-formed extensions",
        ));
    }
    let size = size
        .iter()
        .fold(0, |size, &digit| size << 4 | hex_value(digit));
    Ok((digits > 0).then_some(size))
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )` (RFC 9112 §7.1.1).
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(after) = rest.trim_ascii_start().strip_prefix(b";") else {
            return false;
        };
        let Some(after) = skip_token(after.trim_ascii_start()) else {
            return false;
        };
        rest = match after.trim_ascii_start().strip_prefix(b"=") {
            None => after,
            Some(value) => match skip_value(value.trim_ascii_start()) {
                Some(after) => after,
                None => return false,
            },
        };
    }
    true
}

/// What follows the token at the start of `text`.
fn skip_token(text: &[u8]) -> Option<&[u8]> {
    let length = text
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
        .count();
    (length > 0).then(|| &text[length..])
}

/// What follows the token or quoted string at the start of `text`.
fn skip_value(text: &[u8]) -> Option<&[u8]> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        return skip_token(text);
    };
    let mut escaped = false;
    let end = quoted.iter().position(|&byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some(&quoted[end + 1..])
}

fn hex_value(digit: u8) -> u64 {
    u64::from(match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    })
}

/// Whether the CR LF after a chunk's data was there; `false` when more bytes are needed.
fn take_line_end(buffer: &mut BytesMut) -> Result<bool, BodyError> {
    const WRONG_LENGTH: BodyError = BodyError::Malformed("a chunk is longer than its size");
    match buffer.first_chunk::<2>() {
        Some(b"\r\n") => {
            buffer.advance(2);
            Ok(true)
        }
        Some(_) => Err(WRONG_LENGTH),
        None if buffer.is_empty() || buffer.first() == Some(&b'\r') => Ok(false),
        None => Err(WRONG_LENGTH),
    }
}

/// `trailer-section CRLF`.
fn take_trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, BodyError> {
    const TOO_LARGE: BodyError = BodyError::Malformed("the trailer section is too large");
    const MALFORMED: BodyError = BodyError::Malformed("the trailer section is malformed");
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") else {
        return if buffer.len() > LARGEST_TRAILERS {
            Err(TOO_LARGE)
        } else {
            Ok(None)
        };
    };
    if end > LARGEST_TRAILERS {
        return Err(TOO_LARGE);
    }
    let section = buffer.split_to(end + 4).freeze();
    let bare = memchr::memchr_iter(b'\n', &section).any(|at| at == 0 || section[at - 1] != b'\r');
    let mut fields = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    let fields = match httparse::parse_headers(&section, &mut fields) {
        Ok(httparse::Status::Complete((_, fields))) if !bare => fields,
        Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
        _ => return Err(MALFORMED),
    };
    let mut trailers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| MALFORMED)?;
        let value = HeaderValue::from_maybe_shared(section.slice_ref(field.value))
            .map_err(|_| MALFORMED)?;
        match fate(&name) {
            Fate::Kept => {
                trailers.append(name, value);
            }
            Fate::Dropped => {}
            Fate::Refused => {
                return Err(BodyError::Malformed(
                    "the trailer section holds a field that frames or routes the message",
                ));
            }
        }
    }
    Ok(Some(trailers))
}

/// What becomes of a trailer field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// It may not come this late, and does no harm when it is left out (RFC 9110 §6.5.1).
    Dropped,
    /// Whoever merges it into the head would read another message.
    Refused,
}

fn fate(name: &HeaderName) -> Fate {
    use http::header as h;
    const DROPPED: [HeaderName; 11] = [
        h::AUTHORIZATION,
        h::CONNECTION,
        h::CONTENT_ENCODING,
        h::CONTENT_RANGE,
        h::CONTENT_TYPE,
        h::COOKIE,
        h::EXPECT,
        h::SET_COOKIE,
        h::TE,
        h::TRAILER,
        h::UPGRADE,
    ];
    if [h::TRANSFER_ENCODING, h::CONTENT_LENGTH, h::HOST].contains(name) {
        Fate::Refused
    } else if DROPPED.contains(name) {
        Fate::Dropped
    } else {
        Fate::Kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in slices of `step` bytes; the decoded body, its trailers, and what is left over.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, HeaderMap, usize), BodyError> {
        let (mut decoder, mut buffer, mut body) =
            (ChunkedDecoder::Size, BytesMut::new(), Vec::new());
        let mut rest = input;
        loop {
            match decoder.decode(&mut buffer)? {
                Some(Piece::Data(data)) => body.extend_from_slice(&data),
                Some(Piece::Trailers(trailers)) => {
                    return Ok((body, trailers, buffer.len() + rest.len()));
                }
                Some(Piece::End) => return Ok((body, HeaderMap::new(), buffer.len() + rest.len())),
                None if rest.is_empty() => return Err(BodyError::Truncated),
                None => {
                    let (now, later) = rest.split_at(step.min(rest.len()));
                    buffer.extend_from_slice(now);
                    rest = later;
                }
            }
        }
    }

    #[test]
    fn chunks_are_joined_however_they_are_sliced() {
        let input = b"5\r\nhello\r\n00A;name=\"a b\"\r\n0123456789\r\n0\r\n\r\nGET";
        for step in 1..input.len() {
            let (body, trailers, left) = decode(input, step).unwrap();
            assert_eq!(body, b"hello0123456789");
            assert!(trailers.is_empty());
            assert_eq!(left, 3);
        }
    }

    #[test]
    fn trailers_are_kept() {
        let (_, trailers, _) = decode(b"0\r\nDigest: x\r\nGrpc-Status: 0\r\n\r\n", 3).unwrap();
        assert_eq!(trailers["digest"], "x");
        assert_eq!(trailers["grpc-status"], "0");
    }

    #[test]
    fn trailers_that_come_too_late_are_left_out() {
        let (_, trailers, _) = decode(b"0\r\nContent-Type: a/b\r\nVary: *\r\n\r\n", 5).unwrap();
        assert_eq!(trailers.len(), 1);
        assert_eq!(trailers["vary"], "*");
    }

    #[test]
    fn sizes_that_two_readers_could_take_differently_are_refused() {
        for input in [
            "+5\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5_0\r\nhello\r\n0\r\n\r\n",
            "\r\nhello\r\n0\r\n\r\n",
            ";a\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5;\r\nhello\r\n0\r\n\r\n",
            "5;a=\r\nhello\r\n0\r\n\r\n",
            "5;a=\"b\r\nhello\r\n0\r\n\r\n",
            "5;a=\"b\\\"\r\nhello\r\n0\r\n\r\n",
            "5;a b\r\nhello\r\n0\r\n\r\n",
            "5\rhello\r\n0\r\n\r\n",
            "5;a\rb\r\nhello\r\n0\r\n\r\n",
            "5;\n\r\nhello\r\n0\r\n\r\n",
            "10000000000000000\r\nhello\r\n0\r\n\r\n",
            "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "0\r\nA: b\nC: d\r\n\r\n",
            "0\r\n folded\r\n\r\n",
            "0\r\nContent-Length: 3\r\n\r\n",
            "0\r\nHost: a\r\n\r\n",
            "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            for step in [1, 2, input.len()] {
                assert!(
                    matches!(decode(input.as_bytes(), step), Err(BodyError::Malformed(_))),
                    "{input:?} by {step}"
                );
            }
        }
    }

    #[test]
    fn white_space_before_an_extension_is_tolerated() {
        assert_eq!(
            decode(b"5 ; a; b=c\r\nhello\r\n0\r\n\r\n", 1).unwrap().0,
            b"hello"
        );
    }

    #[test]
    fn endless_size_lines_and_trailers_are_cut_short() {
        let line = [b"5;".as_slice(), &[b'a'; 2 * LONGEST_SIZE_LINE]].concat();
        assert!(matches!(decode(&line, 100), Err(BodyError::Malformed(_))));
        let trailer = [b"0\r\nA: ".as_slice(), &[b'a'; 2 * LARGEST_TRAILERS]].concat();
        assert!(matches!(
            decode(&trailer, 1000),
            Err(BodyError::Malformed(_))
        ));
    }

    #[test]
    fn a_body_that_ends_early_is_not_complete() {
        for input in [
            "",
            "5",
            "5\r\n",
            "5\r\nhel",
            "5\r\nhello",
            "5\r\nhello\r\n",
            "5\r\nhello\r\n0\r\n",
        ] {
            assert!(
                matches!(decode(input.as_bytes(), 1), Err(BodyError::Truncated)),
                "{input:?}"
            );
        }
    }
}
