//! The fields by which a cache decides, against a second reader of them that is written from their grammar.

mod grammar;
mod rules;
mod structured;

use std::time::Duration;

use cache::{
    Cache, Extra, Hit, Key, KeyRecipe, Lookup, Manner, Policy, Purge, Request, Response, Settings,
    Target, Times, Timestamp,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use grammar::Part;

/// In September of 2026.
const NOW: u64 = 1_790_000_000;
const BODY: &[u8] = b"0123456789";
const TARGET: Target<'static> = Target {
    scheme: "https",
    host: "a.example",
    path: "/",
    query: None,
};

/// Fields of a response, of the request that it answers, and of another one, with an empty line between them; the first
/// byte says how many seconds lie between the two. What we answer from the cache the reference must allow, and the
/// client must get the same status and the same part.
pub fn cache_fields(data: &[u8]) {
    let Some((wait, data)) = data.split_first() else {
        return;
    };
    let wait = u64::from(*wait);
    let [response, first, second] = sections(data);
    let scene = Scene::new();
    let Some(hit) = scene.stored_and_asked(&response, &first, &second, wait) else {
        must_be_useful(&response, &first, &second, wait);
        return;
    };
    assert!(rules::may_store(&first, &response), "must not be stored");
    assert!(
        rules::may_reuse(&first, &second, &response, NOW, wait),
        "must not be reused"
    );
    must_be_the_same(&hit, &second, &response);
    scene.must_be_purged(&response, &second, wait);
}

/// The fields of up to three messages; lines that are no fields are left out.
fn sections(data: &[u8]) -> [HeaderMap; 3] {
    let mut sections = [const { None }; 3].map(|none: Option<HeaderMap>| none.unwrap_or_default());
    let mut at = 0;
    for line in data.split(|byte| *byte == b'\n') {
        if line.is_empty() {
            at += 1;
        }
        let Some(headers) = sections.get_mut(at) else {
            break;
        };
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(grammar::without_ows(&line[colon + 1..]));
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    sections
}

struct Scene {
    cache: Cache,
    key: Key,
    policy: Policy,
}

impl Scene {
    fn new() -> Self {
        let settings = Settings {
            capacity: 1 << 20,
            largest_body: 1 << 10,
            ..Settings::default()
        };
        Self {
            cache: Cache::new(settings),
            key: KeyRecipe::default().key(&TARGET, &HeaderMap::new(), &Extra::default()),
            policy: Policy::default(),
        }
    }

    fn look(&self, headers: &HeaderMap, wait: u64) -> Lookup {
        let now = Timestamp::from_secs(NOW).after(Duration::from_secs(wait));
        self.cache
            .lookup(&self.key, &request(headers), &self.policy, now)
    }

    /// Stores the response to the first request, and asks for the second.
    fn stored_and_asked(
        &self,
        response: &HeaderMap,
        first: &HeaderMap,
        second: &HeaderMap,
        wait: u64,
    ) -> Option<Hit> {
        let Lookup::Miss(miss) = self.look(first, 0) else {
            return None;
        };
        let now = Timestamp::from_secs(NOW);
        let response = Response {
            status: StatusCode::OK,
            headers: response,
            times: Times {
                requested: now,
                received: now,
            },
        };
        let (key, policy) = (&self.key, &self.policy);
        let admission = self
            .cache
            .admit(key, &request(first), policy, &response, miss.ticket());
        let mut fill = self.cache.fill(admission.ok()?);
        fill.push(BODY).ok()?;
        fill.finish().ok()?;
        match self.look(second, wait) {
            Lookup::Hit(hit) => Some(hit),
            _ => None,
        }
    }

    /// What is stored goes by each of its tags.
    fn must_be_purged(&self, response: &HeaderMap, request: &HeaderMap, wait: u64) {
        let by_comma = rules::combined(response, "cache-tag").unwrap_or_default();
        let by_comma = grammar::list(&by_comma, true).unwrap_or_default();
        let by_space = response.get_all("surrogate-key").iter();
        let by_space =
            by_space.flat_map(|it| it.as_bytes().split(|it| *it == b' ' || *it == b'\t'));
        let mut tags = by_comma
            .into_iter()
            .chain(by_space.filter(|it| !it.is_empty()));
        let Some(tag) = tags.find_map(|it| std::str::from_utf8(it).ok()) else {
            return;
        };
        self.cache.purge(&Purge::Tag(tag), Manner::Hard);
        let looked = self.look(request, wait);
        assert!(!matches!(looked, Lookup::Hit(_)), "not purged by {tag}");
    }
}

fn request(headers: &HeaderMap) -> Request<'_> {
    Request {
        method: &Method::GET,
        target: &TARGET,
        headers,
        has_credentials: false,
    }
}

/// Status and part are those that the reference finds.
fn must_be_the_same(hit: &Hit, request: &HeaderMap, response: &HeaderMap) {
    let not_modified = rules::is_not_modified(request, response);
    let is_304 = hit.status() == StatusCode::NOT_MODIFIED;
    assert!(not_modified.is_none_or(|it| it == is_304), "304");
    if is_304 {
        return;
    }
    let answer = hit.response();
    let length = BODY.len() as u64;
    match rules::part(request, response, length) {
        Some(Part::Bytes(start, end)) => {
            assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
            let told = format!("bytes {start}-{}/{length}", end - 1);
            assert_eq!(answer.headers()["content-range"], told);
            let body = answer.into_body().collect::<Vec<_>>().concat();
            let bounds = [start, end].map(|it| usize::try_from(it).expect("a small number"));
            assert_eq!(body, BODY[bounds[0]..bounds[1]]);
        }
        Some(Part::Unsatisfiable) => assert_eq!(answer.status(), StatusCode::RANGE_NOT_SATISFIABLE),
        None => {
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.into_body().collect::<Vec<_>>().concat(), BODY);
        }
    }
}

/// A response that says nothing but a time in which it is fresh is reused, if nobody says anything else.
fn must_be_useful(response: &HeaderMap, first: &HeaderMap, second: &HeaderMap, wait: u64) {
    let says_time = |value: &HeaderValue| {
        let directive = grammar::directive(value.as_bytes());
        let (name, argument) = directive?;
        let seconds = grammar::delta_seconds(&argument?)?;
        (name == "max-age" && seconds > wait).then_some(())
    };
    let only = response.len() == 1 && first.is_empty() && second.is_empty();
    let says = response.get("cache-control").and_then(says_time);
    assert!(!(only && says.is_some()), "is not reused");
}
