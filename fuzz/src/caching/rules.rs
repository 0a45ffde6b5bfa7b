//! What a shared cache may do, by RFC 9111, RFC 9213 and RFC 9110 §13 and §14. Where they leave a choice, all that is
//! allowed is.

use http::HeaderMap;

use super::grammar::{
    Directive, Part, date, delta_seconds, directive, entity_tag, is_token, list, range,
};
use super::structured::{Value, dictionary};

/// The year in which the test takes place.
const YEAR: u64 = 2026;

/// All lines of a field as one value (RFC 9110 §5.3).
pub(super) fn combined(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(|it| it.as_bytes())
        .collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

/// The directives of `Cache-Control`; a name that is restrictive counts even where its argument is none. None where
/// nobody can say what it says.
fn cache_control(headers: &HeaderMap) -> Option<Vec<Directive>> {
    let value = combined(headers, "cache-control").unwrap_or_default();
    let read = |member: &[u8]| {
        directive(member).unwrap_or_else(|| {
            let end = member.iter().position(|it| !is_token(&[*it]));
            let name = member[..end.unwrap_or(member.len())].to_ascii_lowercase();
            (
                String::from_utf8_lossy(&name).into_owned(),
                Some(b"?".to_vec()),
            )
        })
    };
    Some(list(&value, true)?.into_iter().map(read).collect())
}

/// What a response says of its being cached.
pub(super) struct Says {
    directives: Vec<Directive>,
    targeted: bool,
}

impl Says {
    /// None where nobody can say what it says.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if let Some(directives) = Self::targeted(headers) {
            return Some(Self {
                directives,
                targeted: true,
            });
        }
        Some(Self {
            directives: cache_control(headers)?,
            targeted: false,
        })
    }

    /// RFC 9213 §2.2: what is empty or no dictionary is not there, nor is one with a value of the wrong type.
    fn targeted(headers: &HeaderMap) -> Option<Vec<Directive>> {
        let members = dictionary(&combined(headers, "cdn-cache-control")?)?;
        let mut directives = Vec::new();
        for (name, value) in &members {
            let counts = [
                "max-age",
                "s-maxage",
                "stale-while-revalidate",
                "stale-if-error",
            ];
            let flags = [
                "no-store",
                "public",
                "must-revalidate",
                "proxy-revalidate",
                "must-understand",
                "immutable",
            ];
            let argument = match value {
                Value::Integer(number) if counts.contains(&&**name) => {
                    Some(number.max(&0).to_string().into_bytes())
                }
                Value::Text(text) if ["no-cache", "private"].contains(&&**name) => {
                    Some(text.clone().into_bytes())
                }
                Value::Boolean(true) if !counts.contains(&&**name) => None,
                Value::Boolean(false) if !counts.contains(&&**name) => continue,
                _ if counts.contains(&&**name) || flags.contains(&&**name) => return None,
                _ if ["no-cache", "private"].contains(&&**name) => return None,
                _ => continue,
            };
            directives.push((name.clone(), argument));
        }
        (!members.is_empty()).then_some(directives)
    }

    fn get(&self, name: &str) -> Option<&Option<Vec<u8>>> {
        self.directives
            .iter()
            .find(|(it, _)| it == name)
            .map(|(_, argument)| argument)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether it applies to all of the response: with a list of fields it does not (RFC 9111 §5.2.2.4, §5.2.2.7).
    fn has_whole(&self, name: &str) -> bool {
        let of = self.directives.iter().filter(|(it, _)| it == name);
        let names = |argument: &[u8]| {
            let members = list(argument, true).unwrap_or_default();
            !members.is_empty() && members.iter().all(|it| is_token(it))
        };
        of.into_iter()
            .any(|(_, argument)| argument.as_deref().is_none_or(|it| !names(it)))
    }

    /// The first that is said counts; what is no number is no time.
    fn seconds(&self, name: &str) -> Option<u64> {
        let argument = self.get(name)?;
        Some(argument.as_deref().and_then(delta_seconds).unwrap_or(0))
    }

    /// RFC 9111 §4.2.1 and §4.2.2.
    fn lifetime(&self, headers: &HeaderMap, now: u64) -> u64 {
        if let Some(seconds) = self.seconds("s-maxage").or_else(|| self.seconds("max-age")) {
            return seconds;
        }
        let time = |name: &str| date(headers.get(name)?.as_bytes(), YEAR);
        let sent = time("date").unwrap_or(now);
        if !self.targeted && headers.contains_key("expires") {
            return time("expires").unwrap_or(0).saturating_sub(sent);
        }
        let age = time("last-modified").map_or(0, |modified| sent.saturating_sub(modified));
        (age / 10).min(86_400)
    }
}

/// RFC 9111 §4.2.3.
fn age(headers: &HeaderMap, now: u64, wait: u64) -> u64 {
    let apparent = headers
        .get("date")
        .and_then(|it| date(it.as_bytes(), YEAR))
        .map_or(0, |sent| now.saturating_sub(sent));
    let told = headers.get("age").map(|it| it.as_bytes());
    let first = told.map(|it| it.split(|byte| *byte == b',').next().unwrap_or_default());
    let told = first.and_then(|it| delta_seconds(super::grammar::without_ows(it)));
    apparent.max(told.unwrap_or(0)) + wait
}

/// RFC 9111 §3, for an answer of 200 to a `GET`.
pub(super) fn may_store(request: &HeaderMap, response: &HeaderMap) -> bool {
    let Some(says) = Says::of(response) else {
        return false;
    };
    // What nobody can read of a request is no wish.
    let asked = cache_control(request).unwrap_or_default();
    let forbidden = says.has("no-store") && !says.has("must-understand");
    let for_others = ["public", "must-revalidate", "s-maxage"]
        .iter()
        .any(|it| says.has(it));
    let is_wanted = !asked.iter().any(|(name, _)| name == "no-store");
    is_wanted
        && !forbidden
        && !says.has_whole("private")
        && (for_others || !request.contains_key("authorization"))
}

/// RFC 9111 §4: whether what was stored at `now` may answer `request` after `wait` seconds, without the backend.
pub(super) fn may_reuse(
    first: &HeaderMap,
    request: &HeaderMap,
    response: &HeaderMap,
    now: u64,
    wait: u64,
) -> bool {
    let Some(says) = Says::of(response) else {
        return false;
    };
    let asked = cache_control(request).unwrap_or_default();
    let of = |name: &str| {
        asked
            .iter()
            .find(|(it, _)| it == name)
            .map(|(_, argument)| argument)
    };
    let seconds = |name: &str| delta_seconds(of(name)?.as_deref()?);
    let (age, lifetime) = (age(response, now, wait), says.lifetime(response, now));
    let pragma = combined(request, "pragma").unwrap_or_default();
    let is_pragma = |it: &[u8]| it.eq_ignore_ascii_case(b"no-cache");
    let wants_new = of("no-cache").is_some()
        || (!request.contains_key("cache-control")
            && list(&pragma, true)
                .unwrap_or_default()
                .into_iter()
                .any(is_pragma));
    let young =
        seconds("max-age").is_none_or(|it| age <= it) || (says.has("immutable") && age < lifetime);
    let lasting = seconds("min-fresh").is_none_or(|it| lifetime.saturating_sub(age) >= it);
    let forbids_stale = ["must-revalidate", "proxy-revalidate", "s-maxage"]
        .iter()
        .any(|it| says.has(it));
    let takes_stale = of("max-stale").is_some_and(|argument| {
        let most = argument.as_deref().map_or(Some(u64::MAX), delta_seconds);
        most.is_some_and(|most| age.saturating_sub(lifetime) <= most)
    });
    varies_alike(first, request, response)
        && !wants_new
        && !says.has_whole("no-cache")
        && young
        && lasting
        && (age < lifetime || (takes_stale && !forbids_stale))
}

/// RFC 9111 §4.1: the fields that are named are the same, but for what no field's meaning depends on.
fn varies_alike(first: &HeaderMap, second: &HeaderMap, response: &HeaderMap) -> bool {
    let value = combined(response, "vary").unwrap_or_default();
    let Some(names) = list(&value, false) else {
        return false;
    };
    names.into_iter().all(|name| {
        let Ok(text) = std::str::from_utf8(name) else {
            return false;
        };
        let coarse = |headers: &HeaderMap| {
            let mut text = combined(headers, text)?.to_ascii_lowercase();
            text.retain(|it| !matches!(it, b' ' | b'\t'));
            let members = text.split(|it| *it == b',').map(|member| {
                let text = String::from_utf8_lossy(member).into_owned();
                let full = [";q=1", ";q=1.0", ";q=1.00", ";q=1.000"];
                let full = full
                    .iter()
                    .find_map(|it| text.strip_suffix(it))
                    .map(str::to_owned);
                full.unwrap_or(text)
            });
            let mut members: Vec<String> = members.filter(|it| !it.is_empty()).collect();
            members.sort();
            members.dedup();
            Some(members)
        };
        is_token(name) && name != b"*" && coarse(first) == coarse(second)
    })
}

/// RFC 9110 §13.1.2 and §13.1.3: whether the client has the response. None where its condition is none.
pub(super) fn is_not_modified(request: &HeaderMap, response: &HeaderMap) -> Option<bool> {
    let Some(value) = combined(request, "if-none-match") else {
        let Some(since) = request.get("if-modified-since") else {
            return Some(false);
        };
        let modified = response
            .get("last-modified")
            .or_else(|| response.get("date"))?;
        let modified = date(modified.as_bytes(), YEAR)?;
        return Some(date(since.as_bytes(), YEAR).is_some_and(|since| modified <= since));
    };
    if value == b"*" {
        return Some(true);
    }
    let stored = response.get("etag").map(|it| entity_tag(it.as_bytes()));
    let tags = list(&value, false)?.into_iter().map(entity_tag);
    let tags: Vec<_> = tags.collect::<Option<_>>()?;
    Some(match stored {
        None => false,
        Some(stored) => {
            let stored = stored?;
            tags.iter().any(|tag| tag.1 == stored.1)
        }
    })
}

/// RFC 9110 §13.1.5 and §14.2: the part that the client gets, if it gets one.
pub(super) fn part(request: &HeaderMap, response: &HeaderMap, length: u64) -> Option<Part> {
    let part = range(request.get("range")?.as_bytes(), length)?;
    let Some(condition) = request.get("if-range") else {
        return Some(part);
    };
    let field = |name: &str| response.get(name).map(|it| it.as_bytes());
    let holds = match entity_tag(condition.as_bytes()) {
        Some((weak, _)) => !weak && field("etag") == Some(condition.as_bytes()),
        // RFC 9110 §8.8.2.2: a date is strong if the response is from a later second.
        None => {
            let at = |it: &[u8]| date(it, YEAR);
            let modified = field("last-modified")
                .filter(|it| *it == condition.as_bytes())
                .and_then(at);
            let sent = field("date").map(at);
            modified.is_some_and(|modified| {
                sent.is_none_or(|sent| sent.is_some_and(|sent| modified < sent))
            })
        }
    };
    holds.then_some(part)
}
