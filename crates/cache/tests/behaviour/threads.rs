//! Many threads, one cache.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use cache::{Cache, Manner, Purge, Settings};
use http::{HeaderMap, Method};

use crate::answer;
use crate::gateway::Gateway;

/// What is purged is never served again: a version that a purge has followed is not seen by a request after it.
#[test]
fn nobody_gets_what_was_purged_before_he_asked() {
    let cache = Cache::new(Settings {
        capacity: 1 << 20,
        largest_body: 1 << 16,
        ..Settings::default()
    });
    let version = AtomicU64::new(0);
    let purged = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..3 {
            let (cache, version, purged) = (cache.clone(), &version, &purged);
            scope.spawn(move || {
                let mut gateway = Gateway {
                    cache,
                    ..Gateway::default()
                };
                for round in 0..3_000 {
                    let path = format!("/{}", (round + thread) % 3);
                    let least = purged.load(Ordering::SeqCst);
                    let got =
                        gateway.send(&Method::GET, &path, &HeaderMap::new(), None, &mut |_| {
                            let now = version.load(Ordering::SeqCst).to_string();
                            Some(answer(
                                200,
                                &["cache-control: max-age=900", "cache-tag: t"],
                                &now,
                            ))
                        });
                    let got: u64 = String::from_utf8(got.body).unwrap().parse().unwrap();
                    assert!(got >= least, "{got} {least}");
                }
            });
        }
        scope.spawn(|| {
            for round in 1..300_u64 {
                version.store(round, Ordering::SeqCst);
                match round % 3 {
                    0 => cache.purge(&Purge::Tag("t"), Manner::Hard),
                    1 => cache.purge(&Purge::Everything, Manner::Hard),
                    _ => cache.purge(
                        &Purge::Prefix {
                            scheme: "http",
                            host: "a.example",
                            path_and_query: "/",
                        },
                        Manner::Hard,
                    ),
                }
                purged.store(round, Ordering::SeqCst);
                thread::sleep(Duration::from_micros(100));
            }
        });
    });
}
