//! Many threads, one cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use cache::{Cache, Chunk, Follower, Manner, Purge, Settings};
use http::{HeaderMap, Method};

use crate::answer;
use crate::fills::begun;
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

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// All chunks that a follower gets, on a thread of its own.
fn read(mut follower: Follower) -> Option<Vec<u8>> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut body = Vec::new();
    loop {
        match follower.poll_chunk(&mut Context::from_waker(&waker)) {
            Poll::Ready(Chunk::Data(chunk)) => body.extend_from_slice(&chunk),
            Poll::Ready(Chunk::Trailers(trailers)) => panic!("{trailers:?}"),
            Poll::Ready(Chunk::End) => return Some(body),
            Poll::Ready(Chunk::Broken) => return None,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn all_who_read_along_get_the_whole_body_or_know_that_they_have_not() {
    let gateway = Gateway::default();
    let body: Vec<u8> = (0..500_000_u32).map(|it| (it % 241) as u8).collect();
    for breaks_off in [false, true] {
        for round in 0..20 {
            let mut fill = begun(&gateway, &["cache-control: max-age=9"]);
            let readers: Vec<_> = (0..6)
                .map(|_| {
                    let follower = fill.follow().unwrap();
                    thread::spawn(|| read(follower))
                })
                .collect();
            for chunk in body.chunks(1_000 + round * 777) {
                fill.push(chunk).unwrap();
            }
            if breaks_off {
                drop(fill);
            } else {
                fill.finish().unwrap();
            }
            let expected = (!breaks_off).then_some(&body);
            for reader in readers {
                assert_eq!(reader.join().unwrap().as_ref(), expected);
            }
        }
    }
}
