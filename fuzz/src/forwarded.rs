//! From a client's bytes to those that a backend gets.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::OnceLock;

use api_gateway::config::{Setting, Settings, Snapshot, Sources, load};
use bytes::BytesMut;
use wire::head::{Progress, parse_request};

use crate::head::{REQUEST_LIMITS, length_of};
use crate::reference::{self, Length};

/// Fields that must not get to a backend from a stranger as they came.
const OURS: [&str; 4] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
];

/// Whatever a client sends: what goes to the backend is one request that the reference reads as meant, with the body
/// that the client announced.
pub fn forwarded(data: &[u8]) {
    let mut buffer = BytesMut::from(data);
    let Ok(Some(head)) = parse_request(&mut buffer, &REQUEST_LIMITS, &mut Progress::default())
    else {
        return;
    };
    let (method, body, upgrades) = (head.method.clone(), length_of(head.body), head.upgrades);
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080));
    let Some(sent) = api_gateway::preview(snapshot(), head, peer, local) else {
        return;
    };
    let read = reference::request(&sent).expect("what is sent is no request");
    assert_eq!(read.size, sent.len(), "more is sent than a head");
    let [sent_method, target, version] = read.start;
    assert_eq!(sent_method, method.as_str().as_bytes());
    assert_eq!(version, b"HTTP/1.1");
    let length = reference::length(&read, version, Length::Fixed(0));
    assert_eq!(length, Some(body), "the body is framed otherwise");
    check_target(target);
    check_fields(&read.fields, upgrades);
}

/// What was matched is what is sent: one spelling, nothing that climbs.
fn check_target(target: &[u8]) {
    assert!(target.starts_with(b"/"));
    let path = target
        .split(|&byte| byte == b'?')
        .next()
        .unwrap_or_default();
    for segment in path.split(|&byte| byte == b'/').skip(1) {
        let name = segment
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        let decoded = String::from_utf8_lossy(name)
            .to_ascii_lowercase()
            .replace("%2e", ".");
        assert!(decoded != "." && decoded != "..", "a dot segment is sent");
    }
    let path = String::from_utf8_lossy(path).to_ascii_lowercase();
    for forbidden in ["//", "\\", "%2f", "%5c", "%00", "#"] {
        assert!(!path.contains(forbidden), "{forbidden} is sent: {path}");
    }
}

fn check_fields(fields: &[(&[u8], &[u8])], upgrades: bool) {
    let values = |name: &str| -> Vec<&[u8]> {
        let named = fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| *value).collect()
    };
    assert_eq!(values("host"), [b"backend.test:81"]);
    for name in OURS {
        assert!(values(name).len() <= 1, "{name} is sent more than once");
    }
    assert_eq!(values("x-forwarded-for"), [b"192.0.2.7"]);
    for name in [
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "http2-settings",
    ] {
        assert!(values(name).is_empty(), "{name} is for one hop");
    }
    assert!(upgrades || values("upgrade").is_empty());
    let connection = values("connection");
    assert!(
        connection.is_empty() || connection == [b"te"] || connection == [b"upgrade"],
        "{connection:?}"
    );
}

fn snapshot() -> &'static Snapshot {
    static SNAPSHOT: OnceLock<Snapshot> = OnceLock::new();
    SNAPSHOT.get_or_init(|| {
        let routes = Path::new(env!("CARGO_MANIFEST_DIR")).join("routes.json");
        let routes = routes.display().to_string();
        let flag =
            |setting: &Setting| (setting.variable == "ROUTES_CONFIG_PATH").then(|| routes.clone());
        let sources = Sources::gather(Path::new("/nowhere/.env"), |_| None, flag).expect("sources");
        let settings = Settings::read(&sources).expect("settings");
        load(&settings).expect("routes").snapshot
    })
}
