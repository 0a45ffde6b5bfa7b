//! How often a hit asks for memory.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use cache::{
    Cache, Extra, Key, KeyRecipe, Lookup, Policy, Request, Response, Settings, Target, Times,
    Timestamp,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// The system's allocator, which counts what the thread asks of it.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all that is asked for is asked of the system's allocator, in the same words.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: as the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = COUNT.get();
    let result = work();
    (COUNT.get() - before, result)
}

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
const TARGET: Target<'_> = Target {
    scheme: "https",
    host: "api.example.com",
    path: "/v1/products/42",
    query: Some("fields=all"),
};

fn request(headers: &HeaderMap) -> Request<'_> {
    Request {
        method: &Method::GET,
        target: &TARGET,
        headers,
        has_credentials: false,
    }
}

#[test]
fn a_hit_asks_for_next_to_no_memory() {
    let (cache, policy) = (Cache::new(Settings::default()), Policy::default());
    let mut headers = HeaderMap::new();
    for number in 0..12 {
        let name = HeaderName::try_from(format!("x-field-{number}")).unwrap();
        headers.insert(name, HeaderValue::from_static("value"));
    }
    let mut fields = HeaderMap::new();
    fields.insert("cache-control", HeaderValue::from_static("max-age=60"));
    for number in 0..8 {
        let name = HeaderName::try_from(format!("x-answer-{number}")).unwrap();
        fields.insert(name, HeaderValue::from_static("a value of usual length"));
    }
    let mut key = Key::default();
    let recipe = KeyRecipe::default();
    let extra = Extra {
        parts: &[("route", b"products")],
        content: None,
    };
    recipe.write(&TARGET, &headers, &extra, &mut key);
    let Lookup::Miss(miss) = cache.lookup(&key, &request(&headers), &policy, NOW) else {
        panic!("it is empty");
    };
    let response = Response {
        status: StatusCode::OK,
        headers: &fields,
        times: Times {
            requested: NOW,
            received: NOW,
        },
    };
    let admission = cache
        .admit(&key, &request(&headers), &policy, &response, miss.ticket())
        .unwrap();
    let mut fill = cache.fill(admission);
    fill.push(&[b'x'; 400]).unwrap();
    fill.finish().unwrap();

    for round in 0..3 {
        let (count, lookup) = allocations(|| {
            recipe.write(&TARGET, &headers, &extra, &mut key);
            cache.lookup(&key, &request(&headers), &policy, NOW)
        });
        assert_eq!(count, 0, "to find it");
        let Lookup::Hit(hit) = lookup else {
            panic!("{lookup:?}");
        };
        let (count, response) = allocations(|| hit.response());
        assert_eq!(response.headers().len(), 12);
        // What keeps the memory of what is stored, a map of two pieces, and the age. Names are remembered from the second
        // time.
        if round > 0 {
            assert!(count <= 5, "{count} to answer");
        }
        let (count, body) = allocations(|| response.into_body().next().unwrap());
        assert_eq!((count, body.len()), (0, 400));
    }
}
