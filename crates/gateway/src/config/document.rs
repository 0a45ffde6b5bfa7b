//! A JSON text whose every value knows its place.

use jsonc_parser::ast::{NullKeyword, ObjectProp, Value};
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::Finding;

/// Strict JSON (RFC 8259).
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// A parsed file.
#[derive(Debug)]
pub(in crate::config) struct Document<'a> {
    file: &'a str,
    text: &'a str,
    root: Value<'a>,
    /// Where each line starts.
    lines: Vec<usize>,
}

/// A step from a value to one inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Document<'a> {
    /// Parses `text`, which is called `file` in findings.
    pub(in crate::config) fn parse(file: &'a str, text: &'a str) -> Result<Self, Finding> {
        let mut lines = vec![0];
        lines.extend(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        // Until it is parsed.
        let root = Value::NullKeyword(NullKeyword {
            range: Range::new(0, 0),
        });
        let mut document = Self {
            file,
            text,
            root,
            lines,
        };
        if text.starts_with('\u{feff}') {
            return Err(document.finding(
                0,
                "the file starts with a byte order mark; save it as UTF-8 without one",
            ));
        }
        match parse_to_ast(text, &CollectOptions::default(), &STRICT) {
            Ok(parsed) => match parsed.value {
                Some(root) => document.root = root,
                None => {
                    return Err(
                        document.finding(0, "the file is empty; there must be a JSON object in it")
                    );
                }
            },
            Err(error) => {
                return Err(document.finding(
                    error.range().start,
                    &format!("not valid JSON: {}", error.kind()),
                ));
            }
        }
        Ok(document)
    }

    pub(in crate::config) fn root(&self) -> &Value<'a> {
        &self.root
    }

    pub(in crate::config) fn text(&self) -> &'a str {
        self.text
    }

    /// A finding about the byte at `offset`.
    pub(in crate::config) fn finding(&self, offset: usize, message: &str) -> Finding {
        Finding {
            file: self.file.to_owned(),
            position: Some(self.position(offset)),
            message: message.to_owned(),
        }
    }

    /// A finding about the value at `path`, or the innermost one around it where there is none.
    pub(in crate::config) fn about(&self, path: &[Step<'_>], message: &str) -> Finding {
        self.finding(self.offset(path), message)
    }

    /// Line and column of a byte, from 1; columns count characters.
    pub(in crate::config) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= offset).max(1);
        let before = self
            .text
            .get(self.lines[line - 1]..offset)
            .unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// Where the value at `path` starts; of the innermost value around it where there is none.
    pub(in crate::config) fn offset(&self, path: &[Step<'_>]) -> usize {
        let mut value = &self.root;
        for step in path {
            let inner = match (value, step) {
                (Value::Object(object), Step::Key(key)) => object
                    .properties
                    .iter()
                    .find(|property| name(property) == *key)
                    .map(|property| &property.value),
                (Value::Array(array), Step::Index(index)) => array.elements.get(*index),
                _ => None,
            };
            match inner {
                Some(inner) => value = inner,
                None => break,
            }
        }
        value.start()
    }
}

/// A property's name, with its escapes resolved.
pub(in crate::config) fn name<'p>(property: &'p ObjectProp<'_>) -> &'p str {
    property.name.as_str()
}
