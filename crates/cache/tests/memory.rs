//! What small responses take of the machine's memory, with the allocator that the gateway has.
#![allow(missing_docs, clippy::unwrap_used)]

use cache::{
    Cache, Extra, Key, KeyRecipe, Lookup, Policy, Request, Response, Settings, Target, Times,
    Timestamp,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
const ENTRIES: usize = 200_000;

struct Scene {
    cache: Cache,
    headers: HeaderMap,
    policy: Policy,
}

impl Scene {
    fn new(capacity: u64) -> Self {
        Self {
            cache: Cache::new(Settings {
                capacity,
                ..Settings::default()
            }),
            headers: HeaderMap::new(),
            policy: Policy::default(),
        }
    }

    /// Stores a body; what key, head and body come to.
    fn put(&self, number: usize, fields: &HeaderMap, body: &[u8]) -> usize {
        let path = format!("/v1/products/{number}");
        let target = Target {
            scheme: "https",
            host: "api.example.com",
            path: &path,
            query: None,
        };
        let request = Request {
            method: &Method::GET,
            target: &target,
            headers: &self.headers,
            has_credentials: false,
        };
        let mut key = Key::default();
        let extra = Extra {
            parts: &[("route", b"products")],
            content: None,
        };
        KeyRecipe::default().write(&target, &self.headers, &extra, &mut key);
        let Lookup::Miss(miss) = self.cache.lookup(&key, &request, &self.policy, NOW) else {
            panic!("{number} is there already");
        };
        let response = Response {
            status: StatusCode::OK,
            headers: fields,
            times: Times {
                requested: NOW,
                received: NOW,
            },
        };
        let admission = self
            .cache
            .admit(&key, &request, &self.policy, &response, miss.ticket())
            .unwrap();
        let mut fill = self.cache.fill(admission);
        fill.push(body).unwrap();
        let stored = fill.finish().unwrap();
        key.as_bytes().len() + stored.head().lines().len() + body.len()
    }
}

/// What an API answers, with 8 to 10 fields.
fn fields(number: usize, length: usize) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("date", "Mon, 21 Sep 2026 14:13:20 GMT"),
        ("content-type", "application/json; charset=utf-8"),
        ("cache-control", "public, max-age=600"),
        ("server", "nginx"),
        ("strict-transport-security", "max-age=31536000"),
        ("x-content-type-options", "nosniff"),
        ("x-request-cost", "3"),
        ("last-modified", "Sun, 20 Sep 2026 08:00:00 GMT"),
    ]
    .into_iter()
    .take(6 + number % 3)
    {
        fields.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    let tag = format!("\"{number:016x}\"");
    fields.insert("etag", HeaderValue::try_from(tag).unwrap());
    fields.insert("content-length", HeaderValue::from(length));
    fields
}

fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn small_responses_take_little_more_than_their_bytes() {
    let scene = Scene::new(8 << 30);
    let body = vec![b'x'; 500];
    // What is taken once, whatever is stored.
    scene.put(ENTRIES, &fields(0, 1), b"x");
    let before = resident();
    let mut bytes = 0;
    for number in 0..ENTRIES {
        // 400 on average, since an allocator has few sizes and one length alone might fit or not.
        let length = 300 + number.wrapping_mul(7_919) % 201;
        let fields = fields(number, length);
        bytes += scene.put(number, &fields, body.get(..length).unwrap());
    }
    let taken = resident() - before;
    let usage = scene.cache.usage();
    assert_eq!(usage.keys, ENTRIES + 1);
    #[allow(clippy::cast_precision_loss, reason = "a ratio")]
    let ratio = |one: usize, other: usize| one as f64 / other as f64;
    let taken_by_byte = ratio(taken, bytes);
    assert!(taken_by_byte < 1.3, "{taken_by_byte:.3} × their bytes");
    let accounted = ratio(usage.bytes.try_into().unwrap(), taken);
    assert!(
        (0.98..1.1).contains(&accounted),
        "accounted with {accounted:.3} × of what they take"
    );
}
