//! Rules in the Common Expression Language: `require` of a route.
//!
//! An expression says yes or no to a request. It sees `claims`, `method`, `path` (in its one form) and `headers` (by
//! lower-case name, the values of one name joined by commas). It has no loops but those over what is in a claim, and few
//! in one another, so that it always ends soon. Whatever is not `true` is a no, and so is an error: a claim that is not there.

mod check;

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::extractors::This;
use cel::objects::Key;
use cel::{Context, Env, Program, Value};
use http::request;
use regex::Regex;

use self::check::check;
use super::identity::Identity;
use crate::router::path::names;

/// The standard functions, once for all rules.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
/// Patterns that are kept; rules may make them up from claims.
const MOST_PATTERNS: usize = 256;

thread_local! {
    /// Patterns and what they compile to; none for what is no pattern.
    static PATTERNS: RefCell<HashMap<String, Option<Regex>>> = RefCell::default();
}

/// A rule, compiled.
pub(crate) struct Rule {
    text: Box<str>,
    program: Program,
    /// The fields are gathered only for rules that look at them.
    needs_headers: bool,
    needs_matches: bool,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Rule {
    /// Compiles `text`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.trim_ascii().is_empty() {
            return Err("is not an expression: it is empty".to_owned());
        }
        // The parser is generated from a grammar, and not all of its paths are known to end in a result.
        let program = catch_unwind(AssertUnwindSafe(|| ENVIRONMENT.compile(text)))
            .map_err(|_| "is not an expression".to_owned())?
            .map_err(|errors| match errors.errors.first() {
                Some(error) => format!("is not an expression: {}", error.msg),
                None => "is not an expression".to_owned(),
            })?;
        check(program.expression())?;
        let needs_headers = program.references().has_variable("headers");
        let needs_matches = program.references().has_function("matches");
        Ok(Self {
            text: text.into(),
            program,
            needs_headers,
            needs_matches,
        })
    }

    /// Whether the rule says yes.
    pub(crate) fn allows(&self, identity: &Identity, head: &request::Parts, path: &str) -> bool {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_from_value("claims", identity.for_rules().clone());
        context.add_variable_from_value("method", head.method.as_str());
        // Without parameters (RFC 3986 §3.3), as routes are matched: a rule and a route must not see two paths.
        context.add_variable_from_value("path", names(path));
        if self.needs_headers {
            context.add_variable_from_value("headers", headers(head));
        }
        if self.needs_matches && context.add_function("matches", matches).is_err() {
            return false;
        }
        matches!(self.program.execute(&context), Ok(Value::Bool(true)))
    }
}

/// `text.matches(pattern)`. A pattern takes up to milliseconds to be compiled, so each is compiled once in a thread.
fn matches(
    This(text): This<Arc<String>>,
    pattern: Arc<String>,
) -> Result<bool, cel::ExecutionError> {
    PATTERNS.with_borrow_mut(|patterns| {
        if !patterns.contains_key(pattern.as_str()) {
            if patterns.len() >= MOST_PATTERNS {
                patterns.clear();
            }
            let compiled = Regex::new(&pattern).ok();
            patterns.insert(pattern.as_str().to_owned(), compiled);
        }
        patterns
            .get(pattern.as_str())
            .and_then(Option::as_ref)
            .map(|regex| regex.is_match(&text))
            .ok_or_else(|| cel::ExecutionError::function_error("matches", "not a pattern"))
    })
}

/// JSON as rules read it.
pub(super) fn object(members: &serde_json::Map<String, serde_json::Value>) -> Value {
    let members = members
        .iter()
        .map(|(name, member)| (key(name), value(member)));
    map(members.collect())
}

fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => number.as_i64().map_or_else(
            || Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            Value::Int,
        ),
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(value).collect())),
        Json::Object(members) => object(members),
    }
}

fn headers(head: &request::Parts) -> Value {
    let mut fields: HashMap<Key, Value> = HashMap::with_capacity(head.headers.keys_len());
    for name in head.headers.keys() {
        let values: Vec<_> = head
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        fields.insert(key(name.as_str()), values.join(", ").into());
    }
    map(fields)
}

fn key(name: &str) -> Key {
    Key::String(Arc::new(name.to_owned()))
}

fn map(members: HashMap<Key, Value>) -> Value {
    Value::Map(cel::objects::Map {
        map: Arc::new(members),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::claims::Claims;
    use super::*;

    fn allows(rule: &str) -> bool {
        let claims = json!({
            "sub": "anna", "age": 42, "score": 1.5, "admin": true, "groups": ["staff", "board"],
            "address": {"country": "KR"}, "nothing": null,
        });
        let claims = Claims::parse(claims.to_string().as_bytes()).unwrap();
        let identity = Identity::new("test", claims, &"roles".into());
        let request = http::Request::builder()
            .method("POST")
            .header("X-Tenant", "one")
            .header("Accept", "a")
            .header("Accept", "b")
            .body(());
        let (head, ()) = request.unwrap().into_parts();
        Rule::parse(rule)
            .unwrap()
            .allows(&identity, &head, "/users/anna")
    }

    #[test]
    fn a_rule_sees_claims_method_path_and_headers() {
        for rule in [
            "claims.sub == 'anna' && claims.admin",
            "'staff' in claims.groups && claims.age >= 18 && claims.score < 2.0",
            "claims.groups.exists(g, g.startsWith('boa'))",
            "claims.address.country in ['KR', 'JP']",
            "claims['sub'] == 'anna' && claims.nothing == null",
            "has(claims.sub) && !has(claims.other)",
            "method == 'POST' && path == '/users/' + claims.sub",
            "path.matches('^/users/[a-z]+$')",
            "headers['x-tenant'] == 'one' && headers.accept == 'a, b'",
            "size(claims.groups) == 2 && claims.groups.size() == 2",
            "claims.groups.exists_one(g, g == 'staff') && claims.groups.all(g, size(g) == 5)",
            "claims.groups.exists(a, claims.groups.exists(b, a != b))",
            "claims.groups.filter(g, g != 'board').map(g, g + '!') == ['staff!']",
            "method == 'GET' ? claims.admin : claims.age > 40",
            "bool('true') && int('4') == 4 && string(claims.age) == '42' && !bool(string(false))",
            "matches(path, 'users') && claims.sub.contains('nn') && dyn(claims.admin)",
            "claims.?email.orValue('none') == 'none' && !claims.?email.hasValue()",
            "claims.?sub.value() == 'anna' && claims.groups.exists(path, path == 'staff')",
            "{'anna': 1}[claims.sub] == 1 && claims.groups[0] == 'staff'",
        ] {
            assert!(allows(rule), "{rule}");
        }
    }

    #[test]
    fn a_rule_sees_the_path_that_routes_are_matched_by() {
        let (head, ()) = http::Request::new(()).into_parts();
        let claims = Claims::parse(b"{}").unwrap();
        let identity = Identity::new("test", claims, &"roles".into());
        let rule = Rule::parse("path != '/t/a/secret'").unwrap();
        for path in ["/t/a/secret", "/t/a/secret;x=1", "/t/a;q/secret"] {
            assert!(!rule.allows(&identity, &head, path), "{path}");
        }
        assert!(rule.allows(&identity, &head, "/t/a/other;x=1"));
    }

    #[test]
    fn patterns_are_compiled_once_and_a_bounded_number_is_kept() {
        for number in 0..MOST_PATTERNS + 10 {
            let text = Arc::new(number.to_string());
            assert_eq!(matches(This(Arc::clone(&text)), text), Ok(true));
        }
        assert!(matches(This(Arc::default()), Arc::new("(".to_owned())).is_err());
        let kept = PATTERNS.with_borrow(HashMap::len);
        assert!((1..=MOST_PATTERNS).contains(&kept), "{kept}");
    }

    #[test]
    fn all_but_true_is_a_no() {
        for rule in [
            "false",
            "claims.sub == 'bert'",
            "claims.other == 'x'",
            "claims.sub",
            "claims.age > 'x'",
            "headers['x-other'] == ''",
            "1 / 0 == 1",
        ] {
            assert!(!allows(rule), "{rule}");
        }
    }

    #[test]
    fn a_mistake_in_a_rule_is_found_before_it_is_needed() {
        for (rule, message) in [
            ("claims.sub ==", "is not an expression"),
            ("", "is not an expression"),
            ("((((", "is not an expression"),
            ("claims.groups.exists(g, h == 'a')", "speaks of \"h\""),
            (
                "claim.sub == 'a'",
                "speaks of \"claim\"; there are claims, method, path, headers",
            ),
            ("clams(path)", "calls \"clams\"; there are bool,"),
            ("path.lowerAscii() == '/a'", "calls \"lowerAscii\""),
            (
                "path.startsWith()",
                "calls \"startsWith\" with 0 arguments; it takes 1",
            ),
            (
                "startsWith(path, '/a')",
                "calls \"startsWith\" with nothing before it",
            ),
            ("path.int() == 1", "calls \"int\" with something before it"),
            (
                "path.matches('[')",
                "has a pattern that is none, \"[\": unclosed",
            ),
            (
                "claims.groups.exists(g, g.matches('('))",
                "has a pattern that is none",
            ),
            (
                "headers['X-Tenant'] == 'one'",
                "asks for the field \"X-Tenant\"",
            ),
            ("1", "is never true"),
            ("'text'", "is never true"),
            ("1 + 1", "is never true"),
            ("path", "is never true"),
            ("method == 'GET' ? 'yes' : 'no'", "is never true"),
            ("claims.groups.map(g, g)", "is never true"),
            ("size(claims.groups)", "is never true"),
            ("claims.admin && 'yes'", "joins by && or ||"),
            ("!path", "joins by && or ||"),
            ("path ? true : false", "asks by ?"),
            (
                "claims.a.exists(a, claims.b.exists(b, claims.c.exists(c, a == b && b == c)))",
                "has more than 2 loops in one another",
            ),
        ] {
            let error = Rule::parse(rule).unwrap_err();
            assert!(error.starts_with(message), "{rule}: {error}");
        }
    }
}
