//! What the cache does, seen from outside.
#![allow(missing_docs, clippy::unwrap_used)]

mod bounds;
mod checklist;
mod fills;
mod forms;
mod gateway;
mod invalidation;
mod model;
mod purges;
mod revalidation;
mod shares;
mod sharing;
mod threads;
mod tiers;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use gateway::{Answer, Gateway, Sent};

/// Fields, from `name: value`.
fn fields(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value.trim()).unwrap(),
        );
    }
    headers
}

fn answer(status: u16, lines: &[&str], body: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: fields(lines),
        body: body.into(),
        ..Answer::default()
    }
}

impl Gateway {
    /// A `GET` that the backend would answer so; what the client gets, and what the backend has seen.
    fn get(&mut self, path: &str, lines: &[&str], backend: &Answer) -> (Answer, Option<Sent>) {
        self.request("GET", path, lines, backend)
    }

    fn request(
        &mut self,
        method: &str,
        path: &str,
        lines: &[&str],
        backend: &Answer,
    ) -> (Answer, Option<Sent>) {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut seen = None;
        let answer = self.send(&method, path, &fields(lines), None, &mut |sent| {
            seen = Some(sent.clone());
            Some(backend.clone())
        });
        (answer, seen)
    }

    /// Whether a plain `GET` is answered from the cache.
    fn has(&mut self, path: &str) -> bool {
        let nothing = answer(500, &["cache-control: no-store"], "");
        self.get(path, &[], &nothing).0.cached
    }
}
