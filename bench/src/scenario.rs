//! What is measured.

use clap::ValueEnum;

use crate::load::h2load::{H2load, Protocol};
use crate::load::handshakes::Handshakes;
use crate::load::{Exchange, FRAME, Load};
use crate::programs::{Program, Setup};
use crate::token::token;

/// The path of all requests; `/16k` and `/1m` after it ask for larger answers, `/cacheable` for the small one with fields
/// that let it be cached.
pub(crate) const PATH: &str = "/api/users/42";
const MEDIUM: usize = 16 * 1024;
const LARGE: usize = 1024 * 1024;
/// Connections that are held open in [`Scenario::Idle`].
pub(crate) const IDLE_CONNECTIONS: usize = 4000;
/// Connections that are held open already when those are added.
pub(crate) const HELD_BEFORE: usize = 1000;
/// Of what nginx can do at most; in [`Scenario::Latency`].
pub(crate) const SHARE: f64 = 0.7;

/// A kind of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    Small,
    Headers,
    Full,
    Cached,
    #[value(name = "download-16k")]
    DownloadMedium,
    #[value(name = "download-1m")]
    DownloadLarge,
    #[value(name = "upload-16k")]
    UploadMedium,
    #[value(name = "upload-1m")]
    UploadLarge,
    Http2,
    Tls,
    #[value(name = "tls-http2")]
    TlsHttp2,
    #[value(name = "tls-1m")]
    TlsLarge,
    #[value(name = "tls-handshake")]
    TlsHandshake,
    #[value(name = "tls-resumption")]
    TlsResumption,
    Connect,
    #[value(name = "routes")]
    ManyRoutes,
    WebSocket,
    Latency,
    Idle,
}

/// How a scenario is carried out.
#[derive(Debug)]
pub(crate) enum Work {
    /// By this bench.
    Load(Load),
    /// By `h2load`.
    H2load(H2load),
    /// TLS handshakes, by `openssl`.
    Handshakes(Handshakes),
    /// At [`SHARE`] of what nginx can do with the same load.
    Share(Load),
    /// Connections are held open after this request.
    Idle(Vec<u8>),
}

impl Scenario {
    /// Its heading in reports.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Small => "Small requests, keep-alive",
            Self::Headers => "12 headers and a JWT",
            Self::Full => "12 headers and a JWT, full chain",
            Self::Cached => "12 headers and a JWT, full chain, from the cache",
            Self::DownloadMedium => "16 KiB answers",
            Self::DownloadLarge => "1 MiB answers",
            Self::UploadMedium => "16 KiB uploads",
            Self::UploadLarge => "1 MiB uploads",
            Self::Http2 => "HTTP/2 from clients, HTTP/1.1 to the backend",
            Self::Tls => "Small requests over TLS 1.3, keep-alive",
            Self::TlsHttp2 => "HTTP/2 over TLS 1.3",
            Self::TlsLarge => "1 MiB answers over TLS 1.3",
            Self::TlsHandshake => "TLS 1.3 handshakes, full (ECDSA P-256)",
            Self::TlsResumption => "TLS 1.3 handshakes, resumed",
            Self::Connect => "A new connection for each request",
            Self::ManyRoutes => "10,000 routes",
            Self::WebSocket => "1,000 WebSockets, echoing",
            Self::Latency => "Waiting times at 70 % of nginx's best",
            Self::Idle => "Memory of idle connections",
        }
    }

    /// How `program` takes part, and in what set-up.
    pub(crate) fn setups(self, program: Program) -> Vec<Setup> {
        match self {
            Self::Full => match program {
                Program::Gateway | Program::Envoy => vec![Setup::Full],
                Program::Nginx | Program::Floor => vec![Setup::Bare],
                _ => Vec::new(),
            },
            // nginx has its cache and nothing else switched on.
            Self::Cached => match program {
                Program::Gateway | Program::Nginx => vec![Setup::Cached],
                _ => Vec::new(),
            },
            Self::ManyRoutes => match program {
                Program::Gateway | Program::Nginx => vec![Setup::Bare, Setup::ManyRoutes],
                Program::Envoy => vec![Setup::ManyRoutes],
                Program::Floor => vec![Setup::Bare],
                _ => Vec::new(),
            },
            // It knows nothing of frames.
            Self::Http2 if program == Program::Floor => Vec::new(),
            Self::Tls
            | Self::TlsHttp2
            | Self::TlsLarge
            | Self::TlsHandshake
            | Self::TlsResumption => match program {
                Program::Gateway | Program::Nginx => vec![Setup::Bare],
                _ => Vec::new(),
            },
            _ => vec![Setup::Bare],
        }
    }

    /// What is to be done.
    pub(crate) fn work(self) -> anyhow::Result<Work> {
        let browser = browser_fields()?;
        let load = |request: Vec<u8>, connections: usize| Load {
            request,
            connections,
            exchange: Exchange::KeepAlive,
            rate: None,
        };
        let get = |path: &str, fields: &[(String, String)]| request("GET", path, fields, 0);
        let (medium, large) = (format!("{PATH}/16k"), format!("{PATH}/1m"));
        let cacheable = format!("{PATH}/cacheable");
        Ok(match self {
            Self::Small | Self::ManyRoutes => Work::Load(load(get(PATH, &[]), 64)),
            Self::Headers | Self::Full => Work::Load(load(get(PATH, &browser), 64)),
            Self::Cached => Work::Load(load(get(&cacheable, &browser), 64)),
            Self::DownloadMedium => Work::Load(load(get(&medium, &[]), 32)),
            Self::DownloadLarge => Work::Load(load(get(&large, &[]), 8)),
            Self::UploadMedium => Work::Load(load(request("POST", PATH, &[], MEDIUM), 32)),
            Self::UploadLarge => Work::Load(load(request("POST", PATH, &[], LARGE), 8)),
            Self::Http2 => Work::H2load(H2load {
                protocol: Protocol::Http2,
                path: PATH.to_owned(),
                fields: browser,
            }),
            Self::Tls => Work::H2load(H2load {
                protocol: Protocol::TlsHttp1 { connections: 64 },
                path: PATH.to_owned(),
                fields: Vec::new(),
            }),
            Self::TlsHttp2 => Work::H2load(H2load {
                protocol: Protocol::TlsHttp2,
                path: PATH.to_owned(),
                fields: browser,
            }),
            Self::TlsLarge => Work::H2load(H2load {
                protocol: Protocol::TlsHttp1 { connections: 8 },
                path: large,
                fields: Vec::new(),
            }),
            Self::TlsHandshake => Work::Handshakes(Handshakes::Full),
            Self::TlsResumption => Work::Handshakes(Handshakes::Resumed),
            Self::Connect => {
                let close = [("Connection".to_owned(), "close".to_owned())];
                Work::Load(Load {
                    exchange: Exchange::ConnectEach,
                    ..load(get(PATH, &close), 32)
                })
            }
            Self::WebSocket => Work::Load(Load {
                exchange: Exchange::Echo,
                ..load(FRAME.to_vec(), 1000)
            }),
            Self::Latency => Work::Share(load(get(PATH, &browser), 64)),
            Self::Idle => Work::Idle(get(PATH, &browser)),
        })
    }
}

/// What a browser sends, and a token.
fn browser_fields() -> anyhow::Result<Vec<(String, String)>> {
    let bearer = format!("Bearer {}", token()?);
    let fields = [
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        ("Accept", "application/json, text/plain, */*"),
        ("Accept-Language", "en-GB,en;q=0.8,ko;q=0.5,de;q=0.3"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Referer", "https://shop.example.com/account/orders?page=2"),
        ("Origin", "https://shop.example.com"),
        ("DNT", "1"),
        ("Sec-Fetch-Dest", "empty"),
        ("Sec-Fetch-Mode", "cors"),
        ("Sec-Fetch-Site", "same-site"),
        (
            "Cookie",
            "session=0f3c9a7be1d24c55; theme=dark; consent=all",
        ),
        ("Authorization", &bearer),
    ];
    Ok(fields
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec())
}

fn request(method: &str, path: &str, fields: &[(String, String)], body: usize) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: bench.test\r\n");
    for (name, value) in fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if body > 0 {
        text.push_str(&format!("Content-Length: {body}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len() + body, b'b');
    bytes
}
