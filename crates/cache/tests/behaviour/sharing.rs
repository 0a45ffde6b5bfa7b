//! Several requests for the same thing, one way to the backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use cache::{
    Admission, Chunk, Failure, Fill, Followed, Follower, Joined, KeyRecipe, Leader, Lookup,
    Request, Response, Ticket, Times,
};
use http::{HeaderMap, Method, StatusCode};

use crate::gateway::Gateway;
use crate::{answer, fields};

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A gateway, and what the tests do with one path of it.
struct Scene {
    gateway: Gateway,
    wakes: Arc<Counter>,
}

impl Scene {
    fn new() -> Self {
        Self {
            gateway: Gateway::default(),
            wakes: Arc::default(),
        }
    }

    fn with<T>(&self, headers: &HeaderMap, act: impl FnOnce(&Request<'_>, &cache::Key) -> T) -> T {
        let target = Gateway::target("/");
        let request = Request {
            method: &Method::GET,
            target: &target,
            headers,
            has_credentials: false,
        };
        let key = KeyRecipe::default().key(&target, headers, &cache::Extra::default());
        act(&request, &key)
    }

    fn ticket(&self, lines: &[&str]) -> Ticket {
        let Gateway {
            cache, policy, now, ..
        } = &self.gateway;
        self.with(&fields(lines), |request, key| {
            match cache.lookup(key, request, policy, *now) {
                Lookup::Miss(miss) => miss.ticket().clone(),
                Lookup::Stale(stale) => stale.ticket().clone(),
                other => panic!("{other:?}"),
            }
        })
    }

    fn join(&self, lines: &[&str]) -> Joined {
        self.ticket(lines)
            .join(&self.gateway.cache, self.gateway.now)
    }

    fn leader(&self) -> Leader {
        match self.join(&[]) {
            Joined::Leader(leader) => leader,
            other => panic!("{other:?}"),
        }
    }

    fn follower(&self) -> Follower {
        match self.join(&[]) {
            Joined::Follower(follower) => follower,
            other => panic!("{other:?}"),
        }
    }

    fn admission(&self, request: &[&str], response: &[&str]) -> Admission {
        let ticket = self.ticket(request);
        let headers = fields(response);
        let now = self.gateway.now;
        let response = Response {
            status: StatusCode::OK,
            headers: &headers,
            times: Times {
                requested: now,
                received: now,
            },
        };
        self.with(&fields(request), |request, key| {
            self.gateway
                .cache
                .admit(key, request, &self.gateway.policy, &response, &ticket)
                .unwrap()
        })
    }

    fn fill(&self, leader: Leader, response: &[&str]) -> Fill {
        leader.fill(self.admission(&[], response))
    }

    fn poll(&self, follower: &mut Follower, lines: &[&str]) -> Poll<Followed> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        let mut context = Context::from_waker(&waker);
        let Gateway { policy, now, .. } = &self.gateway;
        self.with(&fields(lines), |request, _| {
            follower.poll(&mut context, request, policy, *now)
        })
    }

    fn chunk(&self, follower: &mut Follower) -> Poll<Chunk> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        follower.poll_chunk(&mut Context::from_waker(&waker))
    }

    fn woken(&self) -> usize {
        self.wakes.0.swap(0, Ordering::Relaxed)
    }
}

const FRESH: [&str; 1] = ["cache-control: max-age=9"];

fn data(bytes: &'static [u8]) -> Poll<Chunk> {
    Poll::Ready(Chunk::Data(bytes.into()))
}

#[test]
fn followers_read_the_body_as_it_arrives() {
    let scene = Scene::new();
    let leader = scene.leader();
    let mut early = scene.follower();
    assert!(scene.poll(&mut early, &[]).is_pending());
    let mut fill = scene.fill(leader, &FRESH);
    assert_eq!(scene.woken(), 1);
    let Poll::Ready(Followed::Arriving { status, headers }) = scene.poll(&mut early, &[]) else {
        panic!()
    };
    assert_eq!(status, 200);
    assert_eq!(headers["age"], "0");
    assert!(scene.chunk(&mut early).is_pending());
    fill.push(b"01").unwrap();
    assert_eq!(scene.woken(), 1);
    assert_eq!(scene.chunk(&mut early), data(b"01"));
    let mut late = scene.follower();
    assert!(matches!(
        scene.poll(&mut late, &[]),
        Poll::Ready(Followed::Arriving { .. })
    ));
    assert_eq!(scene.chunk(&mut late), data(b"01"));
    fill.push(b"23").unwrap();
    assert_eq!(scene.chunk(&mut early), data(b"23"));
    assert!(fill.has_followers());
    fill.finish().unwrap();
    assert_eq!(scene.chunk(&mut early), Poll::Ready(Chunk::End));
    assert_eq!(scene.chunk(&mut late), data(b"23"));
    assert_eq!(scene.chunk(&mut late), Poll::Ready(Chunk::End));
}

#[test]
fn a_follower_that_comes_to_a_whole_response_is_answered_from_it() {
    let scene = Scene::new();
    let leader = scene.leader();
    let mut follower = scene.follower();
    let mut fill = scene.fill(leader, &FRESH);
    fill.push(b"0123").unwrap();
    fill.finish().unwrap();
    let Poll::Ready(Followed::Stored(hit)) = scene.poll(&mut follower, &[]) else {
        panic!()
    };
    assert_eq!(hit.content().next().unwrap(), b"0123"[..]);
}

#[test]
fn followers_are_all_free_at_once_when_there_is_nothing_to_share() {
    for end in [
        (|_: &Scene, leader: Leader| drop(leader)) as fn(&Scene, Leader),
        |scene, leader| leader.refused(scene.gateway.now),
        // Stale as it comes, and therefore for one request only.
        |scene, leader| drop(scene.fill(leader, &["etag: \"a\""])),
    ] {
        let scene = Scene::new();
        let leader = scene.leader();
        let mut followers: Vec<_> = (0..5).map(|_| scene.follower()).collect();
        for follower in &mut followers {
            assert!(scene.poll(follower, &[]).is_pending());
        }
        end(&scene, leader);
        assert!(scene.woken() >= 5);
        for follower in &mut followers {
            assert!(matches!(
                scene.poll(follower, &[]),
                Poll::Ready(Followed::Alone)
            ));
        }
    }
}

#[test]
fn followers_are_told_that_the_backend_has_failed() {
    let scene = Scene::new();
    let leader = scene.leader();
    let mut follower = scene.follower();
    assert!(scene.poll(&mut follower, &[]).is_pending());
    leader.failed(Failure::Disconnected);
    assert_eq!(scene.woken(), 1);
    assert!(matches!(
        scene.poll(&mut follower, &[]),
        Poll::Ready(Followed::Failed(Failure::Disconnected))
    ));
    assert!(matches!(scene.join(&[]), Joined::Leader(_)));
}

/// Has a follower go to the backend where it is due.
fn relieve(scene: &Scene, follower: Follower) -> Result<Leader, Follower> {
    let (cache, now) = (&scene.gateway.cache, scene.gateway.now);
    let ticket = scene.ticket(&[]);
    ticket.relieve(cache, follower, Duration::from_secs(5), now)
}

#[test]
fn of_those_who_wait_for_long_one_goes_at_a_time() {
    let mut scene = Scene::new();
    let first = scene.leader();
    let (one, other) = (scene.follower(), scene.follower());
    let mut waiting = scene.follower();
    scene.gateway.wait(4);
    let one = relieve(&scene, one).expect_err("it is not due");
    scene.gateway.wait(1);
    let second = relieve(&scene, one).expect("it is due");
    let other = relieve(&scene, other).expect_err("another has gone");
    assert!(matches!(scene.join(&[]), Joined::Follower(_)));
    // One that fails leaves them to the next.
    first.failed(Failure::Error);
    assert!(scene.poll(&mut waiting, &[]).is_pending());
    scene.gateway.wait(5);
    let third = relieve(&scene, other).expect("it is due again");
    let mut fill = scene.fill(third, &["cache-control: max-age=9"]);
    fill.push(b"third").unwrap();
    assert!(matches!(
        scene.poll(&mut waiting, &[]),
        Poll::Ready(Followed::Arriving { .. })
    ));
    // What comes later is stored, and nobody reads along.
    let mut late = scene.fill(second, &["cache-control: max-age=9"]);
    late.push(b"second").unwrap();
    fill.finish().unwrap();
    assert!(!late.has_followers());
    late.finish().unwrap();
    assert_eq!(
        scene.chunk(&mut waiting),
        Poll::Ready(Chunk::Data("third".into()))
    );
    assert_eq!(scene.chunk(&mut waiting), Poll::Ready(Chunk::End));
    let hit = scene.gateway.get("/", &[], &answer(500, &[], ""));
    assert_eq!(hit.0.body, b"second");
}

#[test]
fn the_last_of_several_that_fails_sets_all_free_and_one_that_cannot_be_shared_at_once() {
    for refused in [false, true] {
        let mut scene = Scene::new();
        let first = scene.leader();
        let (one, mut waiting) = (scene.follower(), scene.follower());
        scene.gateway.wait(5);
        let second = relieve(&scene, one).expect("it is due");
        if refused {
            second.refused(scene.gateway.now);
            assert!(matches!(
                scene.poll(&mut waiting, &[]),
                Poll::Ready(Followed::Alone)
            ));
            first.failed(Failure::Error);
            continue;
        }
        drop(first);
        assert!(scene.poll(&mut waiting, &[]).is_pending());
        second.failed(Failure::Disconnected);
        assert!(matches!(
            scene.poll(&mut waiting, &[]),
            Poll::Ready(Followed::Failed(Failure::Disconnected))
        ));
        assert!(matches!(scene.join(&[]), Joined::Leader(_)));
    }
}

#[test]
fn trailers_are_for_those_who_read_along() {
    let scene = Scene::new();
    let leader = scene.leader();
    let mut follower = scene.follower();
    let mut fill = scene.fill(leader, &["cache-control: max-age=9"]);
    let mut own = fill.follow().unwrap();
    fill.push(b"body").unwrap();
    fill.trailers(fields(&["checksum: 1"]));
    assert!(matches!(
        scene.poll(&mut follower, &[]),
        Poll::Ready(Followed::Arriving { .. })
    ));
    fill.finish().unwrap();
    for reader in [&mut own, &mut follower] {
        assert_eq!(scene.chunk(reader), Poll::Ready(Chunk::Data("body".into())));
        assert_eq!(
            scene.chunk(reader),
            Poll::Ready(Chunk::Trailers(fields(&["checksum: 1"])))
        );
        assert_eq!(scene.chunk(reader), Poll::Ready(Chunk::End));
    }
}

#[test]
fn nobody_waits_for_the_next_after_one_was_refused() {
    let mut scene = Scene::new();
    scene.leader().refused(scene.gateway.now);
    assert!(matches!(scene.join(&[]), Joined::Alone));
    scene.gateway.wait(5);
    assert!(matches!(scene.join(&[]), Joined::Leader(_)));
}

#[test]
fn an_answer_for_others_is_not_shared() {
    let scene = Scene::new();
    let leader = scene.leader();
    let mut other = match scene.join(&["foo: 1"]) {
        Joined::Follower(follower) => follower,
        joined => panic!("{joined:?}"),
    };
    let mut same = scene.follower();
    let mut fill = scene.fill(leader, &["cache-control: max-age=9", "vary: foo"]);
    assert!(matches!(
        scene.poll(&mut other, &["foo: 1"]),
        Poll::Ready(Followed::Alone)
    ));
    assert!(matches!(
        scene.poll(&mut same, &[]),
        Poll::Ready(Followed::Arriving { .. })
    ));
    fill.push(b"x").unwrap();
    fill.finish().unwrap();
    // Now it is known what answers vary by, and others do not wait for each other.
    let one = scene.join(&["foo: 1"]);
    let two = scene.join(&["foo: 2"]);
    assert!(matches!((one, two), (Joined::Leader(_), Joined::Leader(_))));
}

#[test]
fn a_body_that_breaks_off_breaks_off_for_all() {
    let scene = Scene::new();
    let leader = scene.leader();
    let (mut reading, mut waiting) = (scene.follower(), scene.follower());
    let mut fill = scene.fill(leader, &["cache-control: max-age=9", "content-length: 9"]);
    fill.push(b"01").unwrap();
    assert!(scene.poll(&mut reading, &[]).is_ready());
    assert_eq!(scene.chunk(&mut reading), data(b"01"));
    drop(fill);
    assert_eq!(scene.chunk(&mut reading), Poll::Ready(Chunk::Broken));
    // One that has sent nothing yet can still go by itself.
    assert!(matches!(
        scene.poll(&mut waiting, &[]),
        Poll::Ready(Followed::Alone)
    ));
    assert!(matches!(scene.join(&[]), Joined::Leader(_)));
}

#[test]
fn a_body_of_another_length_than_it_said_breaks_off() {
    let scene = Scene::new();
    let leader = scene.leader();
    let mut follower = scene.follower();
    let mut fill = scene.fill(leader, &["cache-control: max-age=9", "content-length: 3"]);
    assert!(scene.poll(&mut follower, &[]).is_ready());
    fill.push(b"01").unwrap();
    assert_eq!(scene.chunk(&mut follower), data(b"01"));
    fill.finish().unwrap_err();
    assert_eq!(scene.chunk(&mut follower), Poll::Ready(Chunk::Broken));
}

#[test]
fn what_is_too_large_to_store_still_reaches_those_who_keep_up() {
    let scene = Scene::new();
    let leader = scene.leader();
    let (mut quick, mut slow) = (scene.follower(), scene.follower());
    let mut fill = scene.fill(leader, &FRESH);
    assert!(scene.poll(&mut quick, &[]).is_ready());
    assert!(scene.poll(&mut slow, &[]).is_ready());
    let mut read = 0;
    let mut given_up = false;
    for _ in 0..100 {
        given_up |= fill.push(&[7; 100_000]).is_err();
        assert!(fill.is_needed());
        while let Poll::Ready(Chunk::Data(chunk)) = scene.chunk(&mut quick) {
            read += chunk.len();
        }
    }
    assert!(given_up);
    assert!(fill.follow().is_none(), "the beginning is gone");
    assert!(
        matches!(scene.join(&[]), Joined::Leader(_)),
        "nobody joins it any more"
    );
    fill.finish().unwrap_err();
    assert_eq!(read, 100 * 100_000);
    assert_eq!(scene.chunk(&mut quick), Poll::Ready(Chunk::End));
    let mut slow_read = 0;
    let end = loop {
        match scene.chunk(&mut slow) {
            Poll::Ready(Chunk::Data(chunk)) => slow_read += chunk.len(),
            end => break end,
        }
    };
    assert_eq!(end, Poll::Ready(Chunk::Broken), "after {slow_read}");
}

#[test]
fn nothing_is_needed_when_it_is_not_stored_and_nobody_follows() {
    let scene = Scene::new();
    let leader = scene.leader();
    let mut follower = scene.follower();
    let mut fill = scene.fill(leader, &FRESH);
    for _ in 0..2 {
        let _ = fill.push(&vec![0; 600_000]);
        while let Poll::Ready(Chunk::Data(_)) = scene.chunk(&mut follower) {}
    }
    fill.push(b"x").unwrap_err();
    assert!(fill.is_needed());
    drop(follower);
    assert!(!fill.is_needed());
}

#[test]
fn what_was_validated_answers_all_who_waited() {
    let mut scene = Scene::new();
    let mut fill = scene.fill(scene.leader(), &["cache-control: max-age=9", "etag: \"a\""]);
    fill.push(b"x").unwrap();
    fill.finish().unwrap();
    scene.gateway.wait(10);
    let leader = scene.leader();
    let mut follower = scene.follower();
    let ticket = scene.ticket(&[]);
    let headers = fields(&["etag: \"a\""]);
    let response = Response {
        status: StatusCode::NOT_MODIFIED,
        headers: &headers,
        times: Times {
            requested: scene.gateway.now,
            received: scene.gateway.now,
        },
    };
    let gateway = &scene.gateway;
    scene.with(&fields(&[]), |request, key| {
        let lookup = gateway
            .cache
            .lookup(key, request, &gateway.policy, gateway.now);
        let Lookup::Stale(stale) = lookup else {
            panic!("{lookup:?}")
        };
        let freshened = gateway.cache.freshen(
            key,
            request,
            stale.stored(),
            &gateway.policy,
            &response,
            &ticket,
        );
        match freshened {
            cache::Freshened::Updated(stored) => leader.found(&stored),
            other @ cache::Freshened::Mismatch => panic!("{other:?}"),
        }
    });
    assert!(matches!(
        scene.poll(&mut follower, &[]),
        Poll::Ready(Followed::Stored(_))
    ));
}

#[test]
fn requests_that_want_something_of_their_own_wait_for_nobody() {
    let scene = Scene::new();
    let _leader = scene.leader();
    for line in [
        "range: bytes=0-1",
        "if-none-match: \"a\"",
        "if-modified-since: x",
        "authorization: x",
    ] {
        assert!(matches!(scene.join(&[line]), Joined::Alone), "{line}");
    }
}

#[test]
fn nobody_joins_what_was_asked_before_an_unsafe_request_or_a_purge() {
    for purge in [true, false] {
        let scene = Scene::new();
        let leader = scene.leader();
        let gateway = &scene.gateway;
        if purge {
            gateway
                .cache
                .purge(&cache::Purge::Everything, cache::Manner::Hard);
        } else {
            gateway.cache.answered_unsafe(
                &gateway.recipe,
                &Method::PUT,
                &Gateway::target("/"),
                StatusCode::OK,
                &fields(&[]),
            );
        }
        let second = scene.leader();
        drop(leader);
        let mut follower = scene.follower();
        assert!(scene.poll(&mut follower, &[]).is_pending());
        drop(second);
        assert!(scene.poll(&mut follower, &[]).is_ready());
    }
}

#[test]
fn waiting_has_a_bound() {
    let mut scene = Scene::new();
    scene.gateway.cache = cache::Cache::new(cache::Settings {
        most_followers: 2,
        most_flights: 16,
        ..cache::Settings::default()
    });
    let _leader = scene.leader();
    let (_one, two) = (scene.follower(), scene.follower());
    assert!(matches!(scene.join(&[]), Joined::Alone));
    drop(two);
    let _three = scene.follower();
}
