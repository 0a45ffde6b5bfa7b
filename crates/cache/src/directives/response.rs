//! What a response says about its being cached.

use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName};

use super::syntax::{Argument, Directive, directives, is_closed, members};
use super::targeted;

/// The directives of a response that applies to this cache: those of the first targeted field that is there and
/// valid, or else those of `Cache-Control`.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct ResponseDirectives {
    pub(crate) max_age: Option<Seconds>,
    pub(crate) s_maxage: Option<Seconds>,
    pub(crate) stale_while_revalidate: Option<Seconds>,
    pub(crate) stale_if_error: Option<Seconds>,
    pub(crate) no_cache: Scope,
    pub(crate) private: Scope,
    pub(crate) no_store: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) proxy_revalidate: bool,
    pub(crate) must_understand: bool,
    pub(crate) immutable: bool,
    /// They come from a targeted field: `Expires` is not looked at then (RFC 9213 §2.2).
    pub(crate) targeted: bool,
    /// What a directive says could not be read where it may have forbidden something.
    pub(crate) unclear: bool,
}

/// The argument of a directive that counts seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seconds {
    Valid(u32),
    /// Not a number, or several that differ: what it was to limit is taken to be over (RFC 9111 §4.2.1).
    Invalid,
}

/// What `no-cache` or `private` applies to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// It is not there.
    #[default]
    Nothing,
    /// Only to these fields of the response, in lower case.
    Fields(Vec<Box<str>>),
    Everything,
}

/// Greater numbers mean this (RFC 9111 §1.2.2): 68 years.
const LONGEST: u32 = 1 << 31;

impl Seconds {
    pub(crate) fn valid(self) -> u32 {
        match self {
            Self::Valid(seconds) => seconds,
            Self::Invalid => 0,
        }
    }

    pub(crate) fn parse(digits: &[u8]) -> Self {
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Self::Invalid;
        }
        Self::Valid(digits.iter().fold(0_u32, |seconds, digit| {
            let next = u64::from(seconds) * 10 + u64::from(digit - b'0');
            u32::try_from(next).unwrap_or(LONGEST).min(LONGEST)
        }))
    }

    pub(crate) fn of(argument: &Argument<'_>) -> Self {
        match argument {
            Argument::Some(text) => Self::parse(text),
            Argument::None | Argument::Malformed => Self::Invalid,
        }
    }

    /// Adds what another directive of the same name says.
    fn join(slot: &mut Option<Self>, other: Self) {
        *slot = Some(match *slot {
            Some(first) if first != other => Self::Invalid,
            _ => other,
        });
    }
}

impl ResponseDirectives {
    pub(crate) fn read(headers: &HeaderMap, targets: &[HeaderName]) -> Self {
        targets
            .iter()
            .find_map(|target| targeted::read(headers, target))
            .unwrap_or_else(|| Self::from_cache_control(headers))
    }

    fn from_cache_control(headers: &HeaderMap) -> Self {
        let mut read = Self::default();
        let lines = headers.get_all(CACHE_CONTROL);
        for directive in directives(lines.iter()) {
            read.add(&directive);
        }
        // A string that is not closed may have swallowed anything.
        read.unclear |= lines.iter().any(|line| !is_closed(line.as_bytes()));
        read
    }

    /// What restricts counts whatever its argument is, what permits only if it has none.
    fn add(&mut self, directive: &Directive<'_>) {
        let plain = directive.argument == Argument::None;
        match directive {
            it if it.is("no-store") => self.no_store = true,
            it if it.is("no-cache") => self.no_cache.add(&it.argument),
            it if it.is("private") => self.private.add(&it.argument),
            it if it.is("must-revalidate") => self.must_revalidate = true,
            it if it.is("proxy-revalidate") => self.proxy_revalidate = true,
            it if it.is("public") => self.public |= plain,
            it if it.is("must-understand") => self.must_understand |= plain,
            it if it.is("immutable") => self.immutable |= plain,
            it => match self.counted(it.name) {
                Some(slot) => Seconds::join(slot, Seconds::of(&it.argument)),
                None if it.argument == Argument::Malformed => self.unclear = true,
                None => {}
            },
        }
    }

    fn counted(&mut self, name: &[u8]) -> Option<&mut Option<Seconds>> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name {
            _ if is("max-age") => Some(&mut self.max_age),
            _ if is("s-maxage") => Some(&mut self.s_maxage),
            _ if is("stale-while-revalidate") => Some(&mut self.stale_while_revalidate),
            _ if is("stale-if-error") => Some(&mut self.stale_if_error),
            _ => None,
        }
    }

    /// A directive of a targeted field, or `None` if its argument has not the type that it is to have.
    pub(super) fn add_typed(&mut self, name: &str, value: &sfv::BareItem) -> Option<()> {
        if let Some(slot) = self.counted(name.as_bytes()) {
            let seconds = i64::from(value.as_integer()?);
            let seconds = u32::try_from(seconds.max(0)).unwrap_or(LONGEST);
            *slot = Some(Seconds::Valid(seconds.min(LONGEST)));
            return Some(());
        }
        let scope = match name {
            "no-cache" => &mut self.no_cache,
            "private" => &mut self.private,
            _ => return self.add_flag(name, value),
        };
        if let Some(fields) = value.as_string() {
            scope.add_fields(fields.as_str().as_bytes());
        } else if value.as_boolean()? {
            *scope = Scope::Everything;
        }
        Some(())
    }

    fn add_flag(&mut self, name: &str, value: &sfv::BareItem) -> Option<()> {
        let flag = match name {
            "no-store" => &mut self.no_store,
            "public" => &mut self.public,
            "must-revalidate" => &mut self.must_revalidate,
            "proxy-revalidate" => &mut self.proxy_revalidate,
            "must-understand" => &mut self.must_understand,
            "immutable" => &mut self.immutable,
            // Nothing is known of its type.
            _ => return Some(()),
        };
        *flag = value.as_boolean()?;
        Some(())
    }

    /// Whether a stale response must not be served, whoever allows it (RFC 9111 §4.2.4, §5.2.2.10).
    pub(crate) fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some()
    }

    /// Whether freshness is said in seconds.
    pub(crate) fn seconds_fresh(&self) -> Option<u32> {
        self.s_maxage.or(self.max_age).map(Seconds::valid)
    }

    /// Fields that must not be stored (RFC 9111 §5.2.2.4, §5.2.2.7).
    pub(crate) fn is_withheld(&self, field: &str) -> bool {
        [&self.no_cache, &self.private].into_iter().any(
            |scope| matches!(scope, Scope::Fields(names) if names.iter().any(|it| **it == *field)),
        )
    }
}

impl Scope {
    fn add(&mut self, argument: &Argument<'_>) {
        match argument {
            Argument::Some(fields) => self.add_fields(fields),
            Argument::None | Argument::Malformed => *self = Self::Everything,
        }
    }

    fn add_fields(&mut self, fields: &[u8]) {
        let names: Option<Vec<Box<str>>> = members(fields)
            .map(|name| {
                let name = HeaderName::from_bytes(name).ok()?;
                Some(name.as_str().into())
            })
            .collect();
        match (names, &mut *self) {
            (_, Self::Everything) => {}
            (Some(names), Self::Fields(all)) if !names.is_empty() => all.extend(names),
            (Some(names), Self::Nothing) if !names.is_empty() => *self = Self::Fields(names),
            // Not names, or none: the caution that was asked for is taken of all.
            _ => *self = Self::Everything,
        }
    }
}
