//! A master, its replica, and a sentinel that puts the one in the other's place.

use super::{Redis, free_port};
use crate::folder::Folder;

/// What the sentinel calls the master.
const NAME: &str = "main";

/// Both servers and the sentinel.
#[derive(Debug)]
pub struct RedisWithSentinel {
    /// The first master.
    pub master: Redis,
    /// Its replica, which follows it.
    pub replica: Redis,
    sentinel: Redis,
}

impl RedisWithSentinel {
    /// Starts all three, and waits until the sentinel knows both servers.
    pub async fn start() -> Self {
        let master = Redis::with_arguments(&["--repl-diskless-sync-delay", "0"]).await;
        let port = master.port().to_string();
        let replica = Redis::with_arguments(&["--replicaof", "127.0.0.1", &port]).await;
        let is_up = |answer: &str| answer.contains("master_link_status:up");
        replica.wait_for(&["INFO", "replication"], is_up).await;
        let sentinel = sentinel(master.port()).await;
        let knows = |answer: &str| answer.contains(&replica.port().to_string());
        sentinel
            .wait_for(&["SENTINEL", "REPLICAS", NAME], knows)
            .await;
        Self {
            master,
            replica,
            sentinel,
        }
    }

    /// Where the master is told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/{NAME}", self.sentinel.port())
    }
}

async fn sentinel(master: u16) -> Redis {
    let (port, folder) = (free_port(), Folder::new());
    // A sentinel writes what it learns into its file.
    let file = folder.path().join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {master} 1\n\
         sentinel down-after-milliseconds {NAME} 300\nsentinel failover-timeout {NAME} 2000\n"
    );
    std::fs::write(&file, text).expect("a file");
    let arguments = vec![file.display().to_string(), "--sentinel".to_owned()];
    Redis::run(port, folder, arguments).await
}
