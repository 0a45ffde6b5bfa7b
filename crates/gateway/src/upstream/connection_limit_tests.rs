use std::sync::atomic::AtomicBool;

use futures_util::FutureExt;
use tokio::net::{TcpListener, TcpStream};
use wire::Io;

use super::*;

fn limit(most: usize, most_pending: usize) -> Arc<ConnectionLimit> {
    Arc::new(ConnectionLimit::new(most, most_pending))
}

fn place(limit: &Arc<ConnectionLimit>) -> Place {
    match limit.ask(0) {
        Ok(Asked::Place(place)) => place,
        other => panic!("{other:?}"),
    }
}

fn waiting(limit: &Arc<ConnectionLimit>, pool: usize) -> Waiting {
    match limit.ask(pool) {
        Ok(Asked::Waiting(waiting)) => waiting,
        other => panic!("{other:?}"),
    }
}

/// What has been granted already.
fn granted(waiting: &mut Waiting) -> Option<Granted> {
    (&mut waiting.granted).now_or_never().map(Result::unwrap)
}

/// A connection that holds `place`.
async fn connection(place: Place) -> Connection {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
    Connection::new(Io::new(stream.unwrap())).holding(Some(Arc::new(place)))
}

#[test]
fn who_comes_first_is_served_first() {
    let limit = limit(2, 10);
    let (one, two) = (place(&limit), place(&limit));
    let mut waits: Vec<_> = (0..3).map(|_| waiting(&limit, 0)).collect();
    assert!(granted(&mut waits[0]).is_none());
    drop(one);
    let first = granted(&mut waits[0]);
    assert!(matches!(first, Some(Granted::Place(_))));
    assert!(granted(&mut waits[1]).is_none());
    drop(first);
    assert!(granted(&mut waits[1]).is_some());
    // That place was dropped at once, and has gone on.
    assert!(granted(&mut waits[2]).is_some());
    drop(two);
    let (_all, _of_them) = (place(&limit), place(&limit));
    assert_eq!(limit.try_take().unwrap_err(), Full);
}

#[test]
fn no_more_wait_than_may_but_for_those_to_whom_idle_connections_give_way() {
    let limit = limit(1, 1);
    let held = place(&limit);
    let first = waiting(&limit, 0);
    assert_eq!(limit.ask(0).unwrap_err(), Full);
    let idle = Idling::new(&limit);
    let second = waiting(&limit, 0);
    assert_eq!(limit.ask(0).unwrap_err(), Full);
    drop((idle, second));
    assert_eq!(limit.ask(0).unwrap_err(), Full);
    drop(first);
    assert!(!limit.is_wanted());
    drop(held);
    place(&limit);
}

#[test]
fn the_place_of_who_has_left_goes_to_the_next() {
    let limit = limit(1, 10);
    let held = place(&limit);
    let (before, after) = (waiting(&limit, 0), waiting(&limit, 0));
    let mut last = waiting(&limit, 0);
    drop(before);
    drop(held);
    // Granted, and not taken.
    drop(after);
    assert!(matches!(granted(&mut last), Some(Granted::Place(_))));
    assert!(!limit.is_wanted());
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_he_may() {
    let limit = limit(1, 10);
    let held = place(&limit);
    let due = Instant::now() + Duration::from_secs(5);
    assert!(waiting(&limit, 0).granted(due).await.is_err());
    assert_eq!(Instant::now(), due);
    drop(held);
    place(&limit);
}

#[tokio::test]
async fn a_connection_is_handed_on_to_the_first_who_can_use_it() {
    let limit = limit(1, 10);
    let home = connection(place(&limit)).await;
    let (mut other, mut same) = (waiting(&limit, 1), waiting(&limit, 0));
    assert!(limit.rest(home, 0).is_none());
    let Some(Granted::Connection(home)) = granted(&mut same) else {
        panic!("not handed on");
    };
    assert!(granted(&mut other).is_none());
    // Nobody can use it any more: it is closed, and its place goes to the front.
    assert!(limit.rest(home, 0).is_none());
    let Some(Granted::Place(place)) = granted(&mut other) else {
        panic!("no place");
    };
    let (home, idling) = limit.rest(connection(place).await, 1).unwrap();
    assert_eq!(limit.idle.load(Ordering::SeqCst), 1);
    drop((home, idling));
    assert_eq!(limit.idle.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_front_is_not_passed_over_for_long() {
    let limit = limit(1, 100);
    let mut home = connection(place(&limit)).await;
    tokio::time::pause();
    let gone = waiting(&limit, 1);
    let mut front = waiting(&limit, 1);
    let mut others: VecDeque<_> = (0..50).map(|_| waiting(&limit, 0)).collect();
    let mut pass_over = |home| {
        assert!(limit.rest(home, 0).is_none());
        let mut other = others.pop_front().unwrap();
        match granted(&mut other) {
            Some(Granted::Connection(connection)) => Some(connection),
            _ => None,
        }
    };
    home = pass_over(home).unwrap();
    tokio::time::advance(PASSED_OVER).await;
    // Another front, another time.
    drop(gone);
    for _ in 0..20 {
        home = pass_over(home).unwrap();
    }
    tokio::time::advance(PASSED_OVER / 2).await;
    home = pass_over(home).unwrap();
    tokio::time::advance(PASSED_OVER / 2).await;
    assert!(pass_over(home).is_none());
    assert!(matches!(granted(&mut front), Some(Granted::Place(_))));
}

#[tokio::test]
async fn who_waits_while_connections_are_idle_is_heard() {
    let limit = limit(1, 10);
    let mut wanted = limit.wanted();
    let home = connection(place(&limit)).await;
    let unheard = waiting(&limit, 1);
    assert!(!wanted.has_changed().unwrap());
    drop(unheard);
    let (home, idling) = limit.rest(home, 0).unwrap();
    let mut waits = waiting(&limit, 1);
    wanted.changed().await.unwrap();
    drop((home, idling));
    assert!(matches!(granted(&mut waits), Some(Granted::Place(_))));
}

/// Tasks on several threads take places, rest for a while as idle connections do, leave while they wait, and give up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn places_are_neither_lost_nor_doubled_whoever_comes_and_goes() {
    const MOST: usize = 3;
    let limit = limit(MOST, 8);
    let taken = Arc::new(AtomicUsize::new(0));
    let too_many = Arc::new(AtomicBool::new(false));
    let tasks = (0..16).map(|task| {
        let (limit, taken, too_many) = (
            Arc::clone(&limit),
            Arc::clone(&taken),
            Arc::clone(&too_many),
        );
        tokio::spawn(async move {
            for _ in 0..500 {
                let place = match limit.ask(task % 4) {
                    Ok(Asked::Place(place)) => place,
                    Ok(Asked::Waiting(waiting)) => {
                        let due = Instant::now() + Duration::from_micros(fastrand::u64(..400));
                        match waiting.granted(due).await {
                            Ok(Granted::Place(place)) => place,
                            Ok(Granted::Connection(_)) | Err(Full) => continue,
                        }
                    }
                    Err(Full) => {
                        tokio::task::yield_now().await;
                        continue;
                    }
                };
                if taken.fetch_add(1, Ordering::SeqCst) >= MOST {
                    too_many.store(true, Ordering::SeqCst);
                }
                tokio::task::yield_now().await;
                taken.fetch_sub(1, Ordering::SeqCst);
                drop(place);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert!(!too_many.load(Ordering::SeqCst));
    assert!(!limit.is_wanted());
    let places = limit.lock();
    assert_eq!((places.taken, places.queue.len()), (0, 0));
    assert!(places.queue.of_pools.is_empty());
}
