//! Keeps a worker's connection to Redis, and makes it anew.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use super::{MOST_PENDING, Store, calls};
use crate::config::RedisServer;
use crate::redis_connection::{Connection, Connector};

/// How long it may take to find a server, all addresses that have to be asked together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idle connection is looked at, and how long the answer may take.
const LOOK: Duration = Duration::from_secs(5);
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// The first pause after a failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// A connection that has lasted for so long was a good one.
const STEADY: Duration = Duration::from_secs(10);

/// Keeps a connection for as long as it is polled. It never ends by itself.
pub(crate) async fn keep(store: Rc<Store>, server: RedisServer) {
    let mut pause = FIRST_PAUSE;
    loop {
        // In a task of its own, so that a fault of the client library's is only one more failure.
        let connected = spawn_local(connected(Rc::clone(&store), server.clone()));
        match connected.await {
            Ok(Ok(time)) if time >= STEADY => pause = FIRST_PAUSE,
            Ok(Ok(_)) => {}
            Ok(Err(reason)) => store.health.not_found(&reason),
            Err(fault) => store.health.not_found(&fault.to_string()),
        }
        // All workers of all gateways lose a server at once, and are not to come back at once.
        sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Makes a connection, and returns how long it has lasted, or why there is none.
async fn connected(store: Rc<Store>, server: RedisServer) -> Result<Duration, String> {
    let connection = timeout(CONNECT_TIMEOUT, async {
        let connection = Connector::new(&server)?.connect(MOST_PENDING).await?;
        calls::tell(&connection, &store.script).await?;
        redis::RedisResult::Ok(connection)
    })
    .await
    .map_err(|_| format!("no connection within {CONNECT_TIMEOUT:?}"))?
    .map_err(|error| error.to_string())?;
    let made = Instant::now();
    let connection = store.put(connection);
    until_lost(&store, &connection).await;
    Ok(made.elapsed())
}

/// Returns when requests have given the connection up, or it does not answer any more.
async fn until_lost(store: &Store, connection: &Rc<Connection>) {
    loop {
        tokio::select! {
            () = store.lost.notified() => return,
            () = sleep(LOOK) => {}
        }
        let reason = match timeout(LOOK_TIMEOUT, connection.ping()).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {LOOK_TIMEOUT:?}"),
        };
        if store.give_up(connection, &reason) {
            return;
        }
        // A request has been quicker, and its word is on its way.
    }
}
