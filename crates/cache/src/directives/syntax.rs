//! The syntax of `Cache-Control` (RFC 9111 §5.2): a list of names, each with or without an argument.

use std::borrow::Cow;

use http::HeaderValue;

/// One directive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Directive<'a> {
    /// As written; names are compared without regard to case.
    pub(crate) name: &'a [u8],
    pub(crate) argument: Argument<'a>,
}

/// What follows a directive's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    /// Nothing.
    None,
    /// A token or what a quoted string holds: recipients accept either (RFC 9111 §5.2).
    Some(Cow<'a, [u8]>),
    /// Neither.
    Malformed,
}

impl Directive<'_> {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// All directives of a field, however many lines it has.
pub(crate) fn directives<'a>(
    lines: impl Iterator<Item = &'a HeaderValue>,
) -> impl Iterator<Item = Directive<'a>> {
    lines.flat_map(|line| members(line.as_bytes())).map(parse)
}

/// The members of a comma-separated list, without the whitespace around them. Empty ones are left out, as they are to
/// be ignored (RFC 9110 §5.6.1.2). A comma in a quoted string separates nothing; a string that is not closed takes in
/// the rest of the line.
pub(crate) fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        loop {
            let line = rest?;
            let end = end_of_member(line);
            rest = line.get(end + 1..);
            let member = line.get(..end).unwrap_or(line).trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
    })
}

fn end_of_member(line: &[u8]) -> usize {
    let mut quotes = Quotes::default();
    let end = line
        .iter()
        .position(|byte| !quotes.holds(*byte) && *byte == b',');
    end.unwrap_or(line.len())
}

/// Whether all quoted strings of a line are closed.
pub(crate) fn is_closed(line: &[u8]) -> bool {
    let mut quotes = Quotes::default();
    for byte in line {
        quotes.holds(*byte);
    }
    !quotes.quoted
}

/// Where quoted strings begin and end (RFC 9110 §5.6.4).
#[derive(Default)]
struct Quotes {
    quoted: bool,
    escaped: bool,
}

impl Quotes {
    /// Whether the next byte is in a quoted string, or ends it.
    fn holds(&mut self, byte: u8) -> bool {
        let held = self.quoted;
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.quoted => self.escaped = true,
            b'"' => self.quoted = !self.quoted,
            _ => {}
        }
        held
    }
}

fn parse(member: &[u8]) -> Directive<'_> {
    let end = member
        .iter()
        .position(|it| !is_token(*it))
        .unwrap_or(member.len());
    let (name, rest) = member.split_at(end);
    let argument = match rest.split_first() {
        None => Argument::None,
        // Nothing may stand before or after the sign.
        Some((b'=', argument)) => parse_argument(argument),
        Some(_) => Argument::Malformed,
    };
    Directive { name, argument }
}

fn parse_argument(argument: &[u8]) -> Argument<'_> {
    if argument.first() == Some(&b'"') {
        return unquote(argument).map_or(Argument::Malformed, Argument::Some);
    }
    if argument.is_empty() || !argument.iter().all(|it| is_token(*it)) {
        return Argument::Malformed;
    }
    Argument::Some(Cow::Borrowed(argument))
}

/// What a quoted string holds, if `value` is one and nothing else (RFC 9110 §5.6.4).
fn unquote(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr2(b'"', b'\\', inner).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    let mut text = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return None,
            b'\\' => text.push(*bytes.next()?),
            _ => text.push(*byte),
        }
    }
    Some(Cow::Owned(text))
}

/// Whether a token may hold `byte` (RFC 9110 §5.6.2).
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Vec<(String, String)> {
        let line = HeaderValue::from_str(line).unwrap();
        directives([&line].into_iter())
            .map(|it| {
                let argument = match it.argument {
                    Argument::None => "-".to_owned(),
                    Argument::Some(text) => String::from_utf8(text.into_owned()).unwrap(),
                    Argument::Malformed => "?".to_owned(),
                };
                (String::from_utf8(it.name.to_vec()).unwrap(), argument)
            })
            .collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, argument)| ((*name).to_owned(), (*argument).to_owned()))
            .collect()
    }

    #[test]
    fn tokens_and_quoted_strings_are_arguments() {
        assert_eq!(
            read(r#"no-store, max-age=5 , ,a="b, \"c\"",d="""#),
            pairs(&[
                ("no-store", "-"),
                ("max-age", "5"),
                ("a", "b, \"c\""),
                ("d", "")
            ])
        );
    }

    #[test]
    fn anything_else_is_malformed_and_spoils_nothing_but_itself() {
        assert_eq!(
            read(r#"max-age =5, max-age= 5, x=, y="a"b, z=a"b", w"#),
            pairs(&[
                ("max-age", "?"),
                ("max-age", "?"),
                ("x", "?"),
                ("y", "?"),
                ("z", "?"),
                ("w", "-")
            ])
        );
        assert_eq!(
            read(r#"a="b, no-store"#),
            pairs(&[("a", "?")]),
            "not closed"
        );
    }

    proptest! {
        #[test]
        fn what_follows_the_grammar_is_read_as_it_was_meant(
            meant in prop::collection::vec(("[a-zA-Z][a-z0-9-]{0,12}", prop::option::of("[ -~]{0,12}")), 0..8)
        ) {
            let line: Vec<String> = meant.iter().map(|(name, argument)| match argument {
                None => name.clone(),
                Some(text) if !text.is_empty() && text.bytes().all(is_token) => format!("{name}={text}"),
                Some(text) => format!("{name}=\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"")),
            }).collect();
            let expected: Vec<_> = meant.into_iter().map(|(name, argument)| (name, argument.unwrap_or_else(|| "-".to_owned()))).collect();
            prop_assert_eq!(read(&line.join(" ,, ")), expected);
        }

        #[test]
        fn any_line_is_read_to_its_end(line in "[\"\\\\,=a-z 0-9-]{0,40}") {
            let members: Vec<_> = members(line.as_bytes()).map(<[u8]>::len).collect();
            prop_assert!(members.iter().sum::<usize>() <= line.len());
            let _ = read(&line);
        }
    }
}
