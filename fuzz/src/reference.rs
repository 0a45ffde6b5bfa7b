//! A reader of HTTP/1 messages that is strict, plain and slow: RFC 9112, rule by rule.

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    Fixed(u64),
    Chunked,
    UntilClose,
}

/// A head.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// Method, target and version; or version, status and reason.
    pub(crate) start: [&'a [u8]; 3],
    pub(crate) fields: Vec<(&'a [u8], &'a [u8])>,
    /// Bytes that it takes up, with its empty line.
    pub(crate) size: usize,
}

/// RFC 9112 §3: `method SP request-target SP HTTP-version CRLF *( field-line CRLF ) CRLF`, after any empty lines.
pub(crate) fn request(bytes: &[u8]) -> Option<Head<'_>> {
    let mut at = 0;
    while bytes[at..].starts_with(b"\r\n") {
        at += 2;
    }
    let (line, after) = line(bytes, at)?;
    let mut words = line.split(|&byte| byte == b' ');
    let start = [words.next()?, words.next()?, words.next()?];
    let [method, target, version] = start;
    let well_formed = words.next().is_none()
        && is_token(method)
        && !target.is_empty()
        && target.iter().all(|&byte| byte > b' ' && byte != 0x7f)
        && is_version(version);
    well_formed.then_some(())?;
    with_fields(bytes, after, start)
}

/// RFC 9112 §4: `HTTP-version SP status-code SP [ reason-phrase ] CRLF`; the second space is often forgotten.
pub(crate) fn response(bytes: &[u8]) -> Option<Head<'_>> {
    let (line, after) = line(bytes, 0)?;
    let (version, rest) = line.split_at_checked(8)?;
    let status = rest.get(1..4)?;
    let reason = match rest.get(4..)? {
        b"" => b"",
        reason => reason.strip_prefix(b" ")?,
    };
    let well_formed = is_version(version)
        && rest.first() == Some(&b' ')
        && status.iter().all(u8::is_ascii_digit)
        && is_text(reason);
    well_formed.then_some(())?;
    with_fields(bytes, after, [version, status, reason])
}

/// RFC 9112 §6.3; of what it leaves open, the strict choice.
pub(crate) fn length(head: &Head<'_>, version: &[u8], absent: Length) -> Option<Length> {
    let of = |name: &[u8]| -> Vec<&[u8]> {
        let named = head
            .fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| *value).collect()
    };
    match (&of(b"content-length")[..], &of(b"transfer-encoding")[..]) {
        ([], []) => Some(absent),
        ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            std::str::from_utf8(length)
                .ok()?
                .parse()
                .ok()
                .map(Length::Fixed)
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && version == b"HTTP/1.1" => {
            Some(Length::Chunked)
        }
        _ => None,
    }
}

/// RFC 9112 §7.1: the data of a chunked body, and the bytes that it takes up on the wire.
pub(crate) fn chunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let (size_line, after) = line(bytes, at)?;
        let digits = size_line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let size = std::str::from_utf8(&size_line[..digits]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        is_text(&size_line[digits..]).then_some(())?;
        if size == 0 {
            let trailers = with_fields(bytes, after, [b"", b"", b""])?;
            return Some((data, trailers.size));
        }
        data.extend_from_slice(bytes.get(after..after.checked_add(size)?)?);
        at = after + size;
        bytes[at..].starts_with(b"\r\n").then_some(())?;
        at += 2;
    }
}

/// RFC 9112 §5: `field-name ":" OWS field-value OWS`, no folding, until the empty line.
fn with_fields<'a>(bytes: &'a [u8], mut at: usize, start: [&'a [u8]; 3]) -> Option<Head<'a>> {
    let mut fields = Vec::new();
    loop {
        let (line, after) = line(bytes, at)?;
        at = after;
        if line.is_empty() {
            return Some(Head {
                start,
                fields,
                size: at,
            });
        }
        let colon = line.iter().position(|&byte| byte == b':')?;
        let value = trim(&line[colon + 1..]);
        (is_token(&line[..colon]) && is_text(value)).then_some(())?;
        fields.push((&line[..colon], value));
    }
}

/// The line that begins at `at`, and where the next one begins. Only CR LF ends a line, and neither CR nor LF stands
/// elsewhere.
fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = rest
        .iter()
        .position(|&byte| byte == b'\r' || byte == b'\n')?;
    rest[end..]
        .starts_with(b"\r\n")
        .then_some((&rest[..end], at + end + 2))
}

/// RFC 9110 §5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

/// RFC 9110 §5.5: visible characters, spaces, tabs and bytes beyond ASCII.
fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

fn is_version(bytes: &[u8]) -> bool {
    bytes == b"HTTP/1.1" || bytes == b"HTTP/1.0"
}

fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = bytes
        .iter()
        .position(|byte| !blank(byte))
        .unwrap_or(bytes.len());
    let end = bytes
        .iter()
        .rposition(|byte| !blank(byte))
        .map_or(start, |last| last + 1);
    &bytes[start..end]
}
