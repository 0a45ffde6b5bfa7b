//! Texts to values. The error of each says what is allowed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use super::{AccessLog, AccessLogFormat, AdminToken, LogFormat, RedisServer, Secret};
use crate::config::network::network;
use crate::config::{duration as time, memory, size};
use crate::middleware::cors::Cors;
use crate::middleware::origins::{OriginPattern, Origins};
use crate::middleware::rate_limit::RateLimitFields;
use crate::middleware::underscores::UnderscoreHeaders;
use crate::upstream::Target;

type Parsed<T> = Result<T, String>;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn ip_address(text: &str) -> Parsed<IpAddr> {
    text.parse()
        .map_err(|_| "must be an IP address, such as 127.0.0.1 or ::".to_owned())
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse()
        .map_err(|_| "must be a whole number from 0 to 65535".to_owned())
}

pub(super) fn address_or_off(text: &str) -> Parsed<Option<SocketAddr>> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        "must be an address with a port, such as 127.0.0.1:9901, or \"off\"".to_owned()
    })
}

/// The CPUs that the process may use: affinity and the cgroup's quota are counted by the standard library.
pub(super) fn workers(text: &str) -> Parsed<usize> {
    if text == "auto" {
        return Ok(std::thread::available_parallelism().map_or(1, usize::from));
    }
    whole_number(text, 1, 1024).map_err(|allowed| allowed + ", or \"auto\"")
}

pub(super) fn count_or_auto(text: &str) -> Parsed<Option<usize>> {
    if text == "auto" {
        return Ok(None);
    }
    whole_number(text, 1, 10_000_000)
        .map(Some)
        .map_err(|allowed| allowed + ", or \"auto\"")
}

pub(super) fn field_count(text: &str) -> Parsed<usize> {
    whole_number(text, 1, 10_000)
}

pub(super) fn stream_count(text: &str) -> Parsed<u32> {
    whole_number(text, 1, 10_000).map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

pub(super) fn idle_count(text: &str) -> Parsed<usize> {
    whole_number(text, 0, 100_000)
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    Ok(PathBuf::from(text))
}

pub(super) fn text(text: &str) -> Parsed<String> {
    if text.trim().is_empty() {
        Err("must not be blank".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// Empty is the default: none.
pub(super) fn optional_text(text: &str) -> Parsed<Option<String>> {
    if text.is_empty() {
        Ok(None)
    } else {
        self::text(text).map(Some)
    }
}

/// Empty is the default: none.
pub(super) fn optional_path(text: &str) -> Parsed<Option<PathBuf>> {
    Ok(Some(text)
        .filter(|text| !text.is_empty())
        .map(PathBuf::from))
}

/// Files, comma separated.
pub(super) fn paths(text: &str) -> Parsed<Vec<PathBuf>> {
    Ok(list(text).map(PathBuf::from).collect())
}

pub(super) fn hops(text: &str) -> Parsed<usize> {
    whole_number(text, 0, 100)
}

pub(super) fn underscore_headers(text: &str) -> Parsed<UnderscoreHeaders> {
    match text {
        "drop" => Ok(UnderscoreHeaders::Drop),
        "keep" => Ok(UnderscoreHeaders::Keep),
        "reject" => Ok(UnderscoreHeaders::Reject),
        _ => Err("must be \"drop\", \"keep\" or \"reject\"".to_owned()),
    }
}

/// From 0 to an hour.
pub(super) fn leeway(text: &str) -> Parsed<Duration> {
    time::parse(text)
        .filter(|time| *time <= Duration::from_secs(60 * 60))
        .ok_or_else(|| {
            "must be a time from 0 to 1h: seconds such as 60, or with a unit such as 90s".to_owned()
        })
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("must be \"true\" or \"false\"".to_owned()),
    }
}

pub(super) fn target(text: &str) -> Parsed<Vec<Target>> {
    Target::parse(text)
        .map(|target| vec![target])
        .map_err(|error| error.to_string())
}

pub(super) fn targets(text: &str) -> Parsed<Vec<Target>> {
    let targets: Vec<Target> = list(text)
        .map(|url| Target::parse(url).map_err(|error| format!("\"{url}\": {error}")))
        .collect::<Result<_, _>>()?;
    // Empty is the default: none of them.
    if targets.is_empty() && !text.is_empty() {
        Err("must hold at least one URL".to_owned())
    } else {
        Ok(targets)
    }
}

/// The CORS policy for these origins; "off" for none.
pub(super) fn cors(text: &str) -> Parsed<Option<Cors>> {
    if text == "off" {
        return Ok(None);
    }
    let patterns: Vec<OriginPattern> = list(text)
        .map(|item| {
            let parsed = item.parse::<OriginPattern>();
            parsed.map_err(|error| format!("\"{item}\" {error}"))
        })
        .collect::<Result<_, _>>()?;
    if patterns.is_empty() {
        return Err("must hold at least one origin, or be \"off\"".to_owned());
    }
    Ok(Some(Cors {
        origins: Origins::new(patterns),
        ..Cors::default()
    }))
}

/// Networks, and single addresses as networks of one.
pub(super) fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    list(text).map(network).collect()
}

pub(super) fn access_log(text: &str) -> Parsed<AccessLog> {
    Ok(match text {
        "off" => AccessLog::Off,
        "stdout" => AccessLog::Stdout,
        file => AccessLog::File(PathBuf::from(file)),
    })
}

pub(super) fn access_log_format(text: &str) -> Parsed<AccessLogFormat> {
    match text {
        "auto" => Ok(AccessLogFormat::Auto),
        "json" => Ok(AccessLogFormat::Json),
        "text" => Ok(AccessLogFormat::Text),
        _ => Err("must be \"auto\", \"json\" or \"text\"".to_owned()),
    }
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "json" => Ok(LogFormat::Json),
        "text" => Ok(LogFormat::Text),
        _ => Err("must be \"json\" or \"text\"".to_owned()),
    }
}

pub(crate) fn log_filter(text: &str) -> Parsed<String> {
    const ALLOWED: &str =
        "must be error, warn, info, debug, trace, or a filter such as \"info,wire=debug\"";
    // A bare word that is no level would be taken for the name of a module, and silence everything else.
    let is_level =
        |text: &str| text.parse::<tracing::Level>().is_ok() || text.eq_ignore_ascii_case("off");
    let bare_words_are_levels = list(text).all(|part| part.contains('=') || is_level(part));
    match EnvFilter::try_new(text) {
        Ok(_) if bare_words_are_levels => Ok(text.to_owned()),
        _ => Err(ALLOWED.to_owned()),
    }
}

/// Bytes, or with `KiB` or `MiB`.
pub(super) fn size(text: &str) -> Parsed<usize> {
    const ALLOWED: &str = "must be a size from 1KiB to 16MiB, such as 65536, 64KiB or 1MiB";
    let size = size::parse(text).and_then(|size| usize::try_from(size).ok());
    size.filter(|size| (1024..=16 * 1024 * 1024).contains(size))
        .ok_or_else(|| ALLOWED.to_owned())
}

/// Bytes with a unit, or a share of what memory there is.
pub(super) fn cache_size(text: &str) -> Parsed<u64> {
    const ALLOWED: &str = "must be a size from 1MiB to 1024GiB, such as 64MiB or 2GiB, or a share of the memory from 1% to 90%, such as 25%";
    let size = if text.ends_with('%') {
        let memory = memory::available()
            .ok_or("must be a size such as 64MiB: how much memory there is cannot be found out")?;
        size::percent(text, memory).filter(|size| *size <= memory / 10 * 9)
    } else {
        size::parse(text)
    };
    size.filter(|size| (1 << 20..=1 << 40).contains(size))
        .ok_or_else(|| ALLOWED.to_owned())
}

pub(super) fn object_size(text: &str) -> Parsed<u64> {
    let size = size::parse(text).filter(|size| (1 << 10..=1 << 30).contains(size));
    size.ok_or_else(|| "must be a size from 1KiB to 1GiB, such as 64KiB or 8MiB".to_owned())
}

pub(super) fn disk_cache(text: &str) -> Parsed<Option<PathBuf>> {
    if !text.is_empty() && !cfg!(feature = "disk-cache") {
        return Err("is not possible: this program was built without \"disk-cache\"".to_owned());
    }
    optional_path(text)
}

pub(super) fn disk_cache_size(text: &str) -> Parsed<u64> {
    let size = size::parse(text).filter(|size| (1 << 27..=1 << 46).contains(size));
    size.ok_or_else(|| "must be a size from 128MiB to 65536GiB, such as 10GiB".to_owned())
}

pub(super) fn shared_object_size(text: &str) -> Parsed<u64> {
    let size = size::parse(text).filter(|size| (1 << 10..=1 << 26).contains(size));
    size.ok_or_else(|| "must be a size from 1KiB to 64MiB, such as 256KiB".to_owned())
}

/// Without braces, which say where a key lies in a cluster.
pub(super) fn key_prefix(text: &str) -> Parsed<String> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}');
    let is_prefix = !text.is_empty() && text.len() <= 100 && text.bytes().all(is_allowed);
    is_prefix.then(|| text.to_owned()).ok_or_else(|| {
        "must be 1 to 100 letters of ASCII without spaces and braces, such as api-gateway"
            .to_owned()
    })
}

pub(super) fn least_size(text: &str) -> Parsed<u64> {
    let size = size::parse(text).filter(|size| *size <= 16 * 1024 * 1024);
    size.ok_or_else(|| "must be a size up to 16MiB, such as 0, 512 or 1KiB".to_owned())
}

/// Bytes with a unit, or "off".
pub(super) fn body_size(text: &str) -> Parsed<u64> {
    size::body_size(text)
}

/// From 1 ms to a day.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    let allowed = "must be a time from 1ms to 24h: seconds such as 30 or 0.5, or with a unit such as 500ms, 5m, 1h";
    time::parse(text)
        .filter(|time| (Duration::from_millis(1)..=DAY).contains(time))
        .ok_or_else(|| allowed.to_owned())
}

/// From 0 to a day.
pub(super) fn duration_or_zero(text: &str) -> Parsed<Duration> {
    let allowed = "must be a time from 0 to 24h: seconds such as 30 or 0.5, or with a unit such as 500ms, 5m, 1h";
    time::parse(text)
        .filter(|time| *time <= DAY)
        .ok_or_else(|| allowed.to_owned())
}

/// A time of more than nothing up to a day, or "off".
pub(super) fn duration_or_off(text: &str) -> Parsed<Option<Duration>> {
    if text == "off" {
        return Ok(None);
    }
    duration(text)
        .map(Some)
        .map_err(|allowed| allowed + ", or \"off\"")
}

/// 1 to 100.
pub(super) fn percent(text: &str) -> Parsed<usize> {
    whole_number(text, 1, 100)
}

/// 1 to a million.
pub(super) fn request_count(text: &str) -> Parsed<usize> {
    whole_number(text, 1, 1_000_000)
}

/// From 1 s to ten years.
pub(super) fn long_duration(text: &str) -> Parsed<Duration> {
    let time = long_duration_or_zero(text)?;
    if time < Duration::from_secs(1) {
        Err("must be a time of at least 1 second".to_owned())
    } else {
        Ok(time)
    }
}

/// From 0 to ten years.
pub(super) fn long_duration_or_zero(text: &str) -> Parsed<Duration> {
    let allowed =
        "must be a time from 0 to 3650d: seconds such as 300, or with a unit such as 5m, 1h, 7d";
    time::parse(text)
        .filter(|time| *time <= 3650 * DAY)
        .ok_or_else(|| allowed.to_owned())
}

pub(super) fn rate_limit_fields(text: &str) -> Parsed<RateLimitFields> {
    match text {
        "standard" => Ok(RateLimitFields::Standard),
        "all" => Ok(RateLimitFields::All),
        "off" => Ok(RateLimitFields::Off),
        _ => Err("must be \"standard\", \"all\" or \"off\"".to_owned()),
    }
}

pub(super) fn key_count(text: &str) -> Parsed<usize> {
    whole_number(text, 1_000, 100_000_000)
}

/// Empty for none.
pub(super) fn redis_server(text: &str) -> Parsed<Option<RedisServer>> {
    if text.is_empty() {
        return Ok(None);
    }
    RedisServer::parse(text).map(Some)
}

/// Addresses, with port 53 where they name none.
pub(super) fn dns_servers(text: &str) -> Parsed<Vec<SocketAddr>> {
    list(text)
        .map(|item| {
            let with_port = item.parse().ok().filter(|server: &SocketAddr| server.port() != 0);
            let bracketless = item.strip_prefix('[').and_then(|item| item.strip_suffix(']'));
            let alone = || bracketless.unwrap_or(item).parse().ok();
            with_port
                .or_else(|| alone().map(|address: IpAddr| (address, 53).into()))
                .ok_or_else(|| {
                    format!("\"{item}\" must be an address, perhaps with a port, such as 10.0.0.53, 10.0.0.53:5353 or [2001:db8::53]:53")
                })
        })
        .collect()
}

/// From 1 ms to 10 s.
pub(super) fn dns_timeout(text: &str) -> Parsed<Duration> {
    time::parse(text)
        .filter(|time| (Duration::from_millis(1)..=Duration::from_secs(10)).contains(time))
        .ok_or_else(|| {
            "must be a time from 1ms to 10s: seconds such as 2 or 0.5, or with a unit such as 500ms"
                .to_owned()
        })
}

fn whole_number(text: &str, least: usize, most: usize) -> Parsed<usize> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
}

pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// A token that nobody guesses.
pub(super) fn admin_token(text: &str) -> Parsed<AdminToken> {
    const LEAST: usize = 16;
    match text {
        "auto" => Ok(AdminToken::Generated),
        "off" => Ok(AdminToken::Off),
        text if text.len() < LEAST || !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err(
            "must be \"auto\", \"off\", or at least 16 letters, digits and signs, such as `openssl rand -hex 32` prints"
                .to_owned(),
        ),
        text => Ok(AdminToken::Given(Secret(text.to_owned()))),
    }
}
