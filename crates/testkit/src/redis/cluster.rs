//! Three nodes that share the keys.

use tokio::process::Command;

use super::Redis;
use crate::within;

/// A cluster without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts the nodes, and waits until each has its part of the keys and knows the others.
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            nodes.push(Redis::with_arguments(&["--cluster-enabled", "yes"]).await);
        }
        let addresses = nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.port()));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .arg("--cluster-yes")
            .output();
        let created = within("the cluster", created).await.expect("redis-cli");
        assert!(created.status.success(), "{created:?}");
        for node in &nodes {
            let is_ok = |answer: &str| answer.contains("cluster_state:ok");
            node.wait_for(&["CLUSTER", "INFO"], is_ok).await;
        }
        Self { nodes }
    }

    /// Where it is; one of the nodes has to be named.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{}", self.nodes[0].port())
    }

    /// Its nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }
}
