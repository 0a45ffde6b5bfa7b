//! What is asked over a connection.

use redis::{ErrorKind, RedisResult, ServerErrorKind};
use tokio::time::timeout;

use rate_limiter::Decision;

use super::script::{Ask, Script, decisions};
use crate::redis_connection::{CONNECT_TIMEOUT, Connection};

/// Tells a server of the script.
pub(super) async fn tell(connection: &Connection, script: &Script) -> RedisResult<()> {
    if connection.is_cluster() {
        // A node that is down or hangs does not keep us from the others; one that does not know the script is told of it
        // when it is asked.
        let told = connection.query::<redis::Value>(script.load());
        let _whether_all_know_it = timeout(CONNECT_TIMEOUT, told).await;
        return Ok(());
    }
    connection.query::<String>(script.load()).await.map(|_| ())
}

/// What can be asked in one call: everything of one server; in a cluster, of one client, whose keys lie together.
pub(super) fn divide<'a>(connection: &Connection, asks: Vec<Ask<'a>>) -> Vec<Vec<Ask<'a>>> {
    if !connection.is_cluster() {
        return vec![asks];
    }
    let mut calls: Vec<Vec<Ask<'a>>> = Vec::new();
    for ask in asks {
        match calls.iter_mut().find(|call| call[0].client == ask.client) {
            Some(call) => call.push(ask),
            None => calls.push(vec![ask]),
        }
    }
    calls
}

/// Runs the script.
pub(super) async fn take(
    connection: &Connection,
    script: &Script,
    asks: &[Ask<'_>],
) -> RedisResult<Vec<Decision>> {
    let mut answer: RedisResult<Vec<u64>> = connection.query(script.run(asks)).await;
    if answer
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
    {
        // It has been started anew, or told to forget.
        answer = connection.query(script.load_and_run(asks)).await;
    }
    decisions(&answer?, asks.len())
}
