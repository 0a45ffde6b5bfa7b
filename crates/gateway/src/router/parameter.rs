//! Where a pattern's parameters stand in paths, so that their values are found without a look-up by name.

use std::borrow::Cow;

use super::path;
use super::pattern::{PathPattern, Segment};

/// Where the value of a parameter stands in paths that match its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterPlace {
    /// The number of its segment, from 0.
    segment: usize,
    extent: Extent,
}

/// How much of the path a value takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// One segment.
    Segment,
    /// All from there on.
    Rest,
}

impl PathPattern {
    /// The names of the parameters, in their order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }

    /// The place of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<ParameterPlace> {
        let segment = self
            .segments
            .iter()
            .position(|segment| segment.name() == Some(name))?;
        let extent = match self.segments[segment] {
            Segment::Rest(_) => Extent::Rest,
            Segment::Parameter(_) | Segment::Literal(_) => Extent::Segment,
        };
        Some(ParameterPlace { segment, extent })
    }
}

impl ParameterPlace {
    /// The parameter's value in `path`, which is normalised and matches. It has the form in which paths are matched:
    /// without `;parameters`, which would be a way to give one thing many names.
    #[must_use]
    pub fn value<'a>(&self, path: &'a str) -> Cow<'a, str> {
        // The first slash is before the first segment.
        let mut segments = path.splitn(self.segment + 2, '/').skip(1);
        let from_there = segments.nth(self.segment).unwrap_or_default();
        match self.extent {
            Extent::Segment => {
                let end = memchr::memchr(b'/', from_there.as_bytes());
                path::name(&from_there[..end.unwrap_or(from_there.len())])
            }
            Extent::Rest if memchr::memchr2(b';', b'%', from_there.as_bytes()).is_none() => {
                Cow::Borrowed(from_there)
            }
            Extent::Rest => Cow::Owned(path::names(from_there)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(pattern: &str, name: &str, path: &str) -> String {
        let place = PathPattern::parse(pattern)
            .unwrap()
            .parameter(name)
            .expect(name);
        place.value(path).into_owned()
    }

    #[test]
    fn a_parameter_is_one_segment_and_the_rest_is_all_that_follows() {
        let pattern = "/tenants/:tenant/items/*rest";
        let path = "/tenants/acme/items/a/b/";
        assert_eq!(value(pattern, "tenant", path), "acme");
        assert_eq!(value(pattern, "rest", path), "a/b/");
        assert_eq!(value("/:a/:b", "a", "/1/2"), "1");
        assert_eq!(value("/:a/:b", "b", "/1/2"), "2");
        assert_eq!(value("/*all", "all", "/"), "");
        assert_eq!(value("/files/*rest", "rest", "/files"), "");
    }

    #[test]
    fn values_have_one_spelling() {
        assert_eq!(value("/:a/x", "a", "/acme;v=1/x"), "acme");
        assert_eq!(value("/:a", "a", "/b%40c"), "b@c");
        assert_eq!(value("/*rest", "rest", "/a;1/b;2"), "a/b");
    }

    #[test]
    fn only_parameters_of_the_pattern_have_a_place() {
        let pattern = PathPattern::parse("/tenants/{tenant}/{*rest}").unwrap();
        assert_eq!(pattern.parameter("tenants"), None);
        let names: Vec<&str> = pattern.parameters().collect();
        assert_eq!(names, ["tenant", "rest"]);
    }
}
