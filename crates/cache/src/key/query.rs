//! Which parameters of a query are part of a key.

/// Which parameters count. Names are compared as backends read them, without their percent-encoding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum QueryParameters {
    /// The query as it is.
    #[default]
    All,
    /// Those with these names. What else a request has must mean nothing to the backend: it would get to choose what
    /// others are answered with.
    Only(Vec<String>),
    /// All but those with these names, of which the same is true.
    Except(Vec<String>),
    /// None at all.
    None,
}

impl QueryParameters {
    fn has(&self, name: &str) -> bool {
        let is_in = |names: &[String]| names.iter().any(|it| is_name(name, it));
        match self {
            Self::All => true,
            Self::Only(names) => is_in(names),
            Self::Except(names) => !is_in(names),
            Self::None => false,
        }
    }

    /// Adds what counts of `query` to `out`, as it is written.
    pub(super) fn write(&self, query: &str, sort: bool, out: &mut Vec<u8>) {
        let mut kept: Vec<&str> = query
            .split('&')
            .filter(|it| self.has(it.split('=').next().unwrap_or(it)))
            .collect();
        if sort {
            // Those of one name keep their order: it may say something.
            kept.sort_by_key(|it| it.split('=').next().unwrap_or(it));
        }
        out.extend_from_slice(kept.join("&").as_bytes());
    }
}

/// Whether `written` is `name` once it is decoded.
fn is_name(written: &str, name: &str) -> bool {
    let mut rest = written.as_bytes();
    let decoded = std::iter::from_fn(|| {
        let (byte, after) = rest.split_first()?;
        let escaped = (*byte == b'%').then(|| after.get(..2)).flatten();
        if let Some(value) = escaped.and_then(hexadecimal) {
            rest = after.get(2..)?;
            return Some(value);
        }
        rest = after;
        Some(if *byte == b'+' { b' ' } else { *byte })
    });
    decoded.eq(name.bytes())
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value * 16 + u8::try_from(digit).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(parameters: &QueryParameters, query: &str, sort: bool) -> String {
        let mut out = Vec::new();
        parameters.write(query, sort, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parameters_are_kept_and_dropped_by_their_decoded_names() {
        let only = QueryParameters::Only(vec!["id".to_owned(), "a b".to_owned()]);
        assert_eq!(
            written(&only, "x=1&id=2&%69d=3&a+b=4&a%20b&ID=5", false),
            "id=2&%69d=3&a+b=4&a%20b"
        );
        let except = QueryParameters::Except(vec!["utm".to_owned()]);
        assert_eq!(
            written(&except, "utm=1&id=2&u%74m&%zz=3&%", false),
            "id=2&%zz=3&%"
        );
    }

    #[test]
    fn sorting_keeps_the_order_of_those_with_one_name() {
        assert_eq!(
            written(&QueryParameters::All, "b=2&a=9&b=1&a=3", true),
            "a=9&a=3&b=2&b=1"
        );
    }
}
