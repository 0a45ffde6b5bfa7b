//! The tier in Redis, which several gateways share.
//!
//! One connection is for what is asked and written, another follows the log of purges. Nothing is read or written unless
//! the log is followed: what was purged elsewhere would not be known. When Redis fails or is slow both are given up until
//! others are made, so that an outage costs time once, and not every request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache::{Cache, RecordName};
use redis::{RedisResult, cmd};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::counts::{Answer, Write};
use super::log::{Log, Outbox};
use super::pending::Pending;
use crate::config::{CacheTierSettings, RedisServer};
use crate::redis_connection::{Connection, Connector};

/// Questions and writes that may wait for their answers.
const MOST_PENDING: usize = 1024;
/// How long it may take to find a server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a write may take.
const WRITE_PATIENCE: Duration = Duration::from_secs(1);
/// The first pause after a failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// The way to Redis.
#[derive(Debug)]
pub(super) struct Shared {
    server: RedisServer,
    prefix: String,
    timeout: Duration,
    largest: usize,
    /// None while the log is not followed.
    connection: Mutex<Option<Arc<Connection>>>,
    /// The connection has been given up, for this reason.
    lost: Notify,
    pending: Pending,
    log: Log,
    pub(super) outbox: Arc<Outbox>,
}

impl Shared {
    pub(super) fn new(server: RedisServer, settings: &CacheTierSettings) -> Self {
        Self {
            server,
            prefix: settings.redis_prefix.clone(),
            timeout: settings.redis_timeout,
            largest: usize::try_from(settings.redis_max_object_size).unwrap_or(usize::MAX),
            connection: Mutex::default(),
            lost: Notify::new(),
            pending: Pending::at_most(MOST_PENDING),
            log: Log::new(&settings.redis_prefix),
            outbox: Arc::new(Outbox::new()),
        }
    }

    /// Whether the log is followed.
    pub(super) fn is_connected(&self) -> bool {
        self.current().is_some()
    }

    pub(super) fn takes(&self, length: usize) -> bool {
        length <= self.largest
    }

    /// The record of this name; an error is what is counted of it.
    pub(super) async fn get(&self, name: RecordName) -> Result<Option<Vec<u8>>, Answer> {
        let connection = self.current().ok_or(Answer::Failed)?;
        let mut get = cmd("GETRANGE");
        // However large a value is that somebody else has put there, no more is taken than could be right.
        get.arg(self.key(name)).arg(0).arg(self.largest);
        let asked = connection.query::<Vec<u8>>(get);
        match self.bounded(&connection, self.timeout, asked).await? {
            record if record.is_empty() => Ok(None),
            record => Ok(Some(record)),
        }
    }

    /// Writes a record that is of use for so long.
    pub(super) async fn put(&self, name: RecordName, record: &[u8], keep: Duration) -> Write {
        let mut set = cmd("SET");
        let keep = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        set.arg(self.key(name)).arg(record).arg("PX").arg(keep);
        self.write(set).await
    }

    pub(super) async fn remove(&self, name: RecordName) {
        let mut delete = cmd("DEL");
        delete.arg(self.key(name));
        self.write(delete).await;
    }

    async fn write(&self, command: redis::Cmd) -> Write {
        let Some(connection) = self.current() else {
            return Write::Failed;
        };
        let written = connection.query::<redis::Value>(command);
        match self.bounded(&connection, WRITE_PATIENCE, written).await {
            Ok(_) => Write::Written,
            Err(_) => Write::Failed,
        }
    }

    async fn bounded<T>(
        &self,
        connection: &Arc<Connection>,
        patience: Duration,
        asked: impl Future<Output = RedisResult<T>>,
    ) -> Result<T, Answer> {
        let _pending = self.pending.begin().ok_or(Answer::TimedOut)?;
        let (answer, reason) = match timeout(patience, asked).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => (Answer::Failed, error.to_string()),
            Err(_) => (Answer::TimedOut, format!("no answer within {patience:?}")),
        };
        self.give_up(connection, &reason);
        Err(answer)
    }

    fn key(&self, name: RecordName) -> String {
        format!("{}:r:{name:032x}", self.prefix)
    }

    fn current(&self) -> Option<Arc<Connection>> {
        self.slot().clone()
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Connection>>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks no more over this connection, if others have not seen to that already.
    fn give_up(&self, failed: &Arc<Connection>, reason: &str) {
        let mut slot = self.slot();
        if slot.as_ref().is_some_and(|it| Arc::ptr_eq(it, failed)) {
            *slot = None;
            drop(slot);
            self.complain(reason);
            self.lost.notify_one();
        }
    }

    fn complain(&self, reason: &str) {
        tracing::warn!(
            server = %self.server,
            reason,
            "Redis cannot be asked; each gateway caches for itself, and purges are told to the others later"
        );
    }

    /// Keeps connections for as long as it is polled. It never ends by itself.
    pub(super) async fn keep(&self, cache: &Cache) {
        let mut pause = FIRST_PAUSE;
        let mut is_known = false;
        loop {
            match self.connect(cache).await {
                Ok((connection, follower)) => {
                    pause = FIRST_PAUSE;
                    is_known = false;
                    tracing::info!(server = %self.server, "cache is shared in Redis");
                    let connection = Arc::new(connection);
                    *self.slot() = Some(Arc::clone(&connection));
                    self.while_connected(&connection, &follower, cache).await;
                }
                // Once for each outage: it may last.
                Err(reason) if !is_known => {
                    is_known = true;
                    self.complain(&reason);
                }
                Err(_) => {}
            }
            // All gateways lose a server at once, and are not to come back at once.
            sleep(pause.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Two connections, and all that has been missed.
    async fn connect(&self, cache: &Cache) -> Result<(Connection, Connection), String> {
        let connected = timeout(CONNECT_TIMEOUT, async {
            let mut connector = Connector::new(&self.server)?;
            let connection = connector.connect(MOST_PENDING).await?;
            RedisResult::Ok((connection, connector.connect(1).await?))
        });
        let (connection, follower) = connected
            .await
            .map_err(|_| format!("no connection within {CONNECT_TIMEOUT:?}"))?
            .map_err(|error| error.to_string())?;
        self.log.catch_up(&follower, cache).await?;
        Ok((connection, follower))
    }

    /// Returns when either connection is of no use any more.
    async fn while_connected(
        &self,
        connection: &Arc<Connection>,
        follower: &Connection,
        cache: &Cache,
    ) {
        let reason = tokio::select! {
            () = self.lost.notified() => return,
            reason = self.log.follow(follower, cache) => reason,
            reason = self.log.publish(connection, &self.outbox) => reason,
        };
        self.give_up(connection, &reason);
        // It was this that has given it up: nobody else waits for the word.
        let _told = timeout(Duration::ZERO, self.lost.notified()).await;
    }
}
