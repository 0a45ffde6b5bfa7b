//! Counts that several gateways share, in Redis.
//!
//! A worker has one connection, over which the questions of all its requests go at once. A request waits for its answer
//! for a bounded time. When Redis fails, or takes longer, the worker gives its connection up and does without Redis
//! until [`keep`] has made another, about a second later at the earliest: an outage costs time once, and not every
//! request.

mod calls;
mod health;
mod keeper;
mod script;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rate_limiter::Decision;
use tokio::sync::Notify;

use crate::redis_connection::Connection;
use script::Script;

pub(crate) use health::{Failure, Fallback, StoreHealth};
pub(crate) use keeper::keep;
pub(super) use script::{Ask, Intent};

/// Questions of one worker that wait for their answers. More than that come to wait only where Redis is slower than
/// they are asked: they are not sent, as if their time were over.
const MOST_PENDING: usize = 1024;

/// A worker's way to Redis.
#[derive(Debug)]
pub(crate) struct Store {
    /// None while there is no connection, or no trust in it.
    connection: RefCell<Option<Rc<Connection>>>,
    /// The connection has been given up.
    lost: Notify,
    pending: Cell<usize>,
    timeout: Duration,
    script: Script,
    health: Arc<StoreHealth>,
}

impl Store {
    /// Requests will wait for `timeout` at most.
    pub(crate) fn new(timeout: Duration, health: Arc<StoreHealth>) -> Self {
        Self {
            connection: RefCell::default(),
            lost: Notify::new(),
            pending: Cell::new(0),
            timeout,
            script: Script::new(),
            health,
        }
    }

    /// What has gone wrong, and what was done about it.
    pub(super) fn health(&self) -> &StoreHealth {
        &self.health
    }

    /// The decision about each of `asks`, whose places are those in the answer; none where Redis has made none.
    pub(super) async fn take(&self, asks: Vec<Ask<'_>>) -> Vec<Option<Decision>> {
        let mut decisions = vec![None; asks.len()];
        let connection = self.connection.borrow().clone();
        let Some(connection) = connection else {
            self.health.count(Failure::Disconnected);
            return decisions;
        };
        let calls = calls::divide(&connection, asks);
        let answers = join_all(calls.iter().map(|call| self.call(&connection, call))).await;
        for (call, answer) in calls.iter().zip(answers) {
            for (ask, decision) in call.iter().zip(answer) {
                decisions[ask.place] = Some(decision);
            }
        }
        decisions
    }

    /// One call of the script; nothing where it fails.
    async fn call(&self, connection: &Rc<Connection>, asks: &[Ask<'_>]) -> Vec<Decision> {
        let Some(_pending) = Pending::begin(&self.pending) else {
            self.health.count(Failure::TimedOut);
            return Vec::new();
        };
        let answer = calls::take(connection, &self.script, asks);
        let (failure, reason) = match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(decisions)) => return decisions,
            Ok(Err(error)) => (Failure::Error, error.to_string()),
            Err(_) => (
                Failure::TimedOut,
                format!("no answer within {:?}", self.timeout),
            ),
        };
        self.health.count(failure);
        if self.give_up(connection, &reason) {
            self.lost.notify_one();
        }
        Vec::new()
    }

    /// Asks no more over this connection. False where others have seen to that before.
    fn give_up(&self, failed: &Rc<Connection>, reason: &str) -> bool {
        let mut connection = self.connection.borrow_mut();
        // A new one may be there already.
        let is_current = connection
            .as_ref()
            .is_some_and(|current| Rc::ptr_eq(current, failed));
        if is_current {
            *connection = None;
            self.health.lost(reason);
        }
        is_current
    }

    fn put(&self, connection: Connection) -> Rc<Connection> {
        let connection = Rc::new(connection);
        *self.connection.borrow_mut() = Some(Rc::clone(&connection));
        self.health.found();
        connection
    }
}

/// A question that waits for its answer, for as long as this lives.
struct Pending<'a>(&'a Cell<usize>);

impl<'a> Pending<'a> {
    fn begin(pending: &'a Cell<usize>) -> Option<Self> {
        let before = pending.get();
        (before < MOST_PENDING).then(|| {
            pending.set(before + 1);
            Self(pending)
        })
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
