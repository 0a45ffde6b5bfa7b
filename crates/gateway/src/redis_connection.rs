//! Connections to Redis, of whatever installation.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, FromRedisValue,
    IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisResult,
};

use crate::config::{RedisServer, Topology};

/// How long one server may take to be connected to; there may be several to be asked before.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Of a cluster's node that says a key has moved, to the one that has it.
const REDIRECTS: u32 = 2;

/// What connections are made with.
pub(crate) enum Connector {
    Single(Client),
    Cluster(ClusterClient),
    Sentinel(SentinelClient),
}

/// A connection that many requests use at once.
pub(crate) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Single(_) => "Single",
            Self::Cluster(_) => "Cluster",
        })
    }
}

impl Connector {
    /// Connects nowhere yet.
    pub(crate) fn new(server: &RedisServer) -> RedisResult<Self> {
        let mut addresses = server
            .nodes
            .iter()
            .map(|(host, port)| ConnectionAddr::Tcp(host.clone(), *port));
        match &server.topology {
            Topology::Single => {
                let address = addresses.next().ok_or_else(no_address)?;
                let info = address
                    .into_connection_info()?
                    .set_tcp_settings(tcp_settings())
                    .set_redis_settings(login(server));
                Client::open(info).map(Self::Single)
            }
            Topology::Cluster => {
                let nodes = addresses
                    .map(|address| {
                        Ok(address
                            .into_connection_info()?
                            .set_redis_settings(login(server)))
                    })
                    .collect::<RedisResult<Vec<_>>>()?;
                ClusterClient::builder(nodes)
                    .tcp_settings(tcp_settings())
                    .connection_timeout(CONNECT_TIMEOUT)
                    .overall_response_timeout(None)
                    .retries(REDIRECTS)
                    .build()
                    .map(Self::Cluster)
            }
            Topology::Sentinel { master } => {
                let mut builder =
                    SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?
                        .set_client_to_redis_db(server.database)
                        .set_client_to_redis_tcp_settings(tcp_settings());
                if let Some(user) = &server.user {
                    builder = builder.set_client_to_redis_username(user);
                }
                if let Some(password) = &server.password {
                    builder = builder.set_client_to_redis_password(password.expose());
                }
                builder.build().map(Self::Sentinel)
            }
        }
    }

    /// A connection, over which at most `most_pending` questions wait to be sent.
    pub(crate) async fn connect(&mut self, most_pending: usize) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            // Whoever asks has a limit of his own.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(most_pending);
        Ok(match self {
            Self::Single(client) => Connection::Single(
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?,
            ),
            // The sentinels are asked for the master each time.
            Self::Sentinel(client) => {
                Connection::Single(client.get_async_connection_with_config(&config).await?)
            }
            Self::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        })
    }
}

/// The crate's default leaves small messages waiting for each other.
fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

fn login(server: &RedisServer) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_db(server.database);
    if let Some(user) = &server.user {
        login = login.set_username(user);
    }
    if let Some(password) = &server.password {
        login = login.set_password(password.expose());
    }
    login
}

fn no_address() -> redis::RedisError {
    (ErrorKind::InvalidClientConfig, "no address").into()
}

impl Connection {
    /// Whether keys lie on several servers.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Whether the server is still there.
    pub(crate) async fn ping(&self) -> RedisResult<()> {
        match self {
            Self::Single(_) => self.query::<String>(redis::cmd("PING")).await.map(|_| ()),
            // It looks after its nodes itself.
            Self::Cluster(_) => Ok(()),
        }
    }

    /// The answer to a command.
    pub(crate) async fn query<T: FromRedisValue>(&self, command: Cmd) -> RedisResult<T> {
        match self {
            Self::Single(connection) => command.query_async(&mut connection.clone()).await,
            Self::Cluster(connection) => command.query_async(&mut connection.clone()).await,
        }
    }

    /// The answers to several commands, which are done all together or not at all.
    pub(crate) async fn query_all<T: FromRedisValue>(&self, commands: &Pipeline) -> RedisResult<T> {
        match self {
            Self::Single(connection) => commands.query_async(&mut connection.clone()).await,
            Self::Cluster(connection) => commands.query_async(&mut connection.clone()).await,
        }
    }
}
