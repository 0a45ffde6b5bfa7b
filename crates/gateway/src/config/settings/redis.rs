//! Where Redis is.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::Secret;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

const FORMS: &str = "must be redis://[user:password@]host:port[/db], redis+cluster://[user:password@]host:port,host:port \
                     or redis+sentinel://[user:password@]host:port,host:port/master-name[/db]";

/// A Redis, or whatever speaks its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisServer {
    /// What kind of installation.
    pub topology: Topology,
    /// Host and port: of the server itself, of some nodes of the cluster, or of the sentinels. Never empty.
    pub nodes: Box<[(String, u16)]>,
    /// Who logs in; Redis's default user where none is given.
    pub user: Option<String>,
    /// With what; nobody logs in where none is given.
    pub password: Option<Secret>,
    /// The database's number.
    pub database: i64,
}

/// How several servers make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// There is one.
    Single,
    /// Keys are spread over several.
    Cluster,
    /// Sentinels know which one is the master.
    Sentinel {
        /// What they call the service.
        master: String,
    },
}

/// Without what is secret.
impl fmt::Display for RedisServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|(host, port)| match host.contains(':') {
                true => format!("[{host}]:{port}"),
                false => format!("{host}:{port}"),
            })
            .collect();
        let nodes = nodes.join(",");
        match &self.topology {
            Topology::Single => write!(formatter, "redis://{nodes}/{}", self.database),
            Topology::Cluster => write!(formatter, "redis+cluster://{nodes}"),
            Topology::Sentinel { master } => {
                write!(
                    formatter,
                    "redis+sentinel://{nodes}/{master}/{}",
                    self.database
                )
            }
        }
    }
}

impl RedisServer {
    /// Reads a URL. Messages hold nothing of it: a part of a malformed one may be a part of the password.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or(FORMS)?;
        if rest.contains(['?', '#']) {
            return Err(
                "must not hold \"?\" or \"#\"; write them as %3F and %23 in a password".to_owned(),
            );
        }
        let (credentials, rest) = match rest.rsplit_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let (nodes, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (topology, database, port) = match scheme {
            "redis" => (Topology::Single, database(path)?, PORT),
            "redis+cluster" if path.is_empty() => (Topology::Cluster, 0, PORT),
            "redis+cluster" => {
                return Err("must end with its last port: a cluster has no databases".to_owned());
            }
            "redis+sentinel" => {
                let (master, path) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err("must name the master after the sentinels: redis+sentinel://host:port/master-name".to_owned());
                }
                let master = decoded(master)?;
                (
                    Topology::Sentinel { master },
                    database(path)?,
                    SENTINEL_PORT,
                )
            }
            "rediss" | "rediss+cluster" | "rediss+sentinel" => {
                return Err(
                    "TLS to Redis is not there yet; use redis:// within a private network"
                        .to_owned(),
                );
            }
            _ => return Err(FORMS.to_owned()),
        };
        let nodes: Box<[_]> = nodes
            .split(',')
            .map(|text| node(text, port))
            .collect::<Result<_, _>>()?;
        if topology == Topology::Single && nodes.len() > 1 {
            return Err("must hold one host; several are a redis+cluster:// or the sentinels of a redis+sentinel://".to_owned());
        }
        let (user, password) = credentials.map_or(Ok((None, None)), login)?;
        Ok(Self {
            topology,
            nodes,
            user,
            password,
            database,
        })
    }
}

/// `user:password` or `:password`.
fn login(text: &str) -> Result<(Option<String>, Option<Secret>), String> {
    let (user, password) = text
        .split_once(':')
        .filter(|(_, password)| !password.is_empty())
        .ok_or("must hold user:password or :password before the \"@\"")?;
    let user = Some(decoded(user)?).filter(|user| !user.is_empty());
    Ok((user, Some(Secret(decoded(password)?))))
}

fn database(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse()
        .ok()
        .filter(|number| (0..=1_000_000).contains(number))
        .ok_or_else(|| "must end with the number of a database, such as /0".to_owned())
}

fn node(text: &str, default_port: u16) -> Result<(String, u16), String> {
    const ALLOWED: &str =
        "must hold a host and perhaps a port, such as redis.internal:6379 or [::1]:6379";
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(ALLOWED)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| ALLOWED)?;
            (
                host,
                port.strip_prefix(':')
                    .or(port.is_empty().then_some(""))
                    .ok_or(ALLOWED)?,
            )
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = match port {
        "" => default_port,
        port => port.parse().ok().filter(|port| *port > 0).ok_or(ALLOWED)?,
    };
    let is_name = |host: &str| {
        host.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    if host.is_empty() || !(host.contains(':') || is_name(host)) {
        return Err(ALLOWED.to_owned());
    }
    Ok((host.to_owned(), port))
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(|text| text.into_owned())
        .map_err(|_| "must hold UTF-8 text after percent-decoding".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> RedisServer {
        RedisServer::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn a_server_a_cluster_and_sentinels_have_their_forms() {
        for (url, shown) in [
            ("redis://cache.internal", "redis://cache.internal:6379/0"),
            ("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
            ("redis://:hush@[::1]:7000/", "redis://[::1]:7000/0"),
            (
                "redis+cluster://a:7000,b:7001,c",
                "redis+cluster://a:7000,b:7001,c:6379",
            ),
            (
                "redis+sentinel://me:hush@a,b:7001/main",
                "redis+sentinel://a:26379,b:7001/main/0",
            ),
            (
                "redis+sentinel://a/main/2",
                "redis+sentinel://a:26379/main/2",
            ),
        ] {
            assert_eq!(server(url).to_string(), shown);
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let parsed = server("redis://me:hu%40sh@h:1@cache:1");
        assert_eq!(parsed.user.as_deref(), Some("me"));
        assert_eq!(
            parsed.password.as_ref().map(Secret::expose),
            Some("hu@sh@h:1")
        );
        assert!(!format!("{parsed:?} {parsed}").contains("sh@h"));
        assert_eq!(server("redis://:hush@a").user, None);
    }

    #[test]
    fn other_urls_say_what_is_allowed() {
        for (url, part) in [
            ("localhost:6379", "must be redis://"),
            ("http://a", "must be redis://"),
            ("rediss://a", "TLS to Redis is not there yet"),
            ("rediss+cluster://a", "TLS to Redis is not there yet"),
            ("redis://", "a host"),
            ("redis://a b", "a host"),
            ("redis://a:0", "a host"),
            ("redis://a:b", "a host"),
            ("redis://[::1", "a host"),
            ("redis://[::1]6379", "a host"),
            ("redis://a,b", "one host"),
            ("redis://a/main", "number of a database"),
            ("redis://hush@a", "user:password"),
            ("redis://a?protocol=resp3", "\"?\""),
            ("redis+cluster://a,,b", "a host"),
            ("redis+cluster://a/1", "no databases"),
            ("redis+sentinel://a", "name the master"),
            ("redis+sentinel://a/main/x", "number of a database"),
        ] {
            let error = RedisServer::parse(url).expect_err(url);
            assert!(
                error.contains(part) && !error.contains("hush"),
                "{url}: {error}"
            );
        }
    }
}
