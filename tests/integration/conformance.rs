//! The cases that other projects have gathered for their HTTP/1 parsers.
//!
//! They are read from the folder in `CONFORMANCE_DATA`; without it they are passed over, and the test says so.

use std::path::Path;

use futures_util::StreamExt;
use serde::Deserialize;
use testkit::{Backend, Gateway};

use crate::{everything_to, gateway};

/// Cases that run at the same time.
const AT_ONCE: usize = 16;

#[derive(Deserialize)]
struct Case {
    id: String,
    raw: String,
    expect: Expect,
    /// Waiting for more bytes is fine, too.
    #[serde(default)]
    timeout_ok: bool,
    /// Requests in the bytes.
    nreq: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Accept,
    Reject,
}

/// Accepted by the parsers that the cases come from, and refused here, with the reason.
const REFUSED_HERE: [(&str, &str); 11] = [
    ("llhttp-sample-no-http-version", "HTTP/0.9"),
    (
        "llhttp-method-m-search-request",
        "the target * with another method than OPTIONS",
    ),
    ("gunicorn-valid-009", "a transfer coding other than chunked"),
    ("gunicorn-valid-025", "a transfer coding other than chunked"),
    (
        "gunicorn-valid-025_line",
        "a transfer coding other than chunked",
    ),
    ("gunicorn-valid-029", "a transfer coding other than chunked"),
    ("gunicorn-valid-030", "a transfer coding other than chunked"),
    (
        "gunicorn-valid-rfc9112_smuggle_gzip_chunked_01",
        "a transfer coding other than chunked",
    ),
    (
        "gunicorn-valid-rfc9112_smuggle_te_identity_chunked_01",
        "a transfer coding other than chunked",
    ),
    (
        "llhttp-transfer-encoding-post-with-chunked-as-last-transfer-encoding",
        "a transfer coding other than chunked",
    ),
    (
        "llhttp-transfer-encoding-post-with-chunked-as-last-transfer-encoding-multiple-headers",
        "a transfer coding other than chunked",
    ),
];

/// Refused by the parsers that the cases come from, and accepted here, with the reason.
const ACCEPTED_HERE: [(&str, &str); 3] = [
    (
        "llhttp-invalid-http-protocol-and-announce-method",
        "methods that are not known are the backend's to judge",
    ),
    (
        "llhttp-invalid-invalid-method",
        "methods that are not known are the backend's to judge",
    ),
    (
        "llhttp-uri-disallow-utf-8-in-uri-path-in-strict-mode",
        "bytes beyond ASCII are percent-encoded",
    ),
];

#[tokio::test]
async fn cases_of_other_parsers_are_taken_as_they_should_be() {
    let Some(folder) = std::env::var_os("CONFORMANCE_DATA") else {
        eprintln!("CONFORMANCE_DATA is not set: the HTTP/1 conformance cases are passed over");
        return;
    };
    let text = std::fs::read_to_string(Path::new(&folder).join("http1-cases.json"))
        .expect("http1-cases.json");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("cases");
    let wrong: Vec<String> = futures_util::stream::iter(&cases)
        .map(judge)
        .buffer_unordered(AT_ONCE)
        .filter_map(async |verdict| verdict.err())
        .collect()
        .await;
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// Runs a case against a gateway of its own; the error says what was wrong.
async fn judge(case: &Case) -> Result<(), String> {
    let backend = Backend::ok().await;
    // What waits for more is to be seen refused.
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("HEAD_TIMEOUT", "0.2")
        .env("REQUEST_BODY_IDLE_TIMEOUT", "0.2")
        .start()
        .await;
    let refused_here = REFUSED_HERE.iter().any(|(id, _)| *id == case.id);
    let accepted_here = ACCEPTED_HERE.iter().any(|(id, _)| *id == case.id);
    let expect = match (refused_here, accepted_here) {
        (true, _) => Expect::Reject,
        (_, true) => Expect::Accept,
        _ => case.expect,
    };
    let outcome = run(case, &backend, &gateway).await;
    outcome
        .check(case, expect)
        .map_err(|reason| format!("{}: {reason}: {:?}", case.id, case.raw))
}

/// What the gateway made of a case.
struct Outcome {
    /// The statuses of its answers, in order.
    statuses: Vec<u16>,
    /// The gateway closed the connection while the client's side was open.
    closed: bool,
    /// Requests that reached the backend whole.
    forwarded: usize,
}

async fn run(case: &Case, backend: &Backend, gateway: &Gateway) -> Outcome {
    let mut client = gateway.client().await;
    // The file holds bytes as Latin-1 characters.
    client
        .send(
            case.raw
                .chars()
                .map(|character| character as u8)
                .collect::<Vec<u8>>(),
        )
        .await;
    let mut received = Vec::new();
    let closed = loop {
        if client
            .is_silent_for(std::time::Duration::from_millis(400))
            .await
        {
            break false;
        }
        let bytes = client.bytes().await;
        if bytes.is_empty() {
            break true;
        }
        received.extend(bytes);
    };
    let text = String::from_utf8_lossy(&received).into_owned();
    let statuses = text
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, start)| text.get(at + start.len()..)?.get(..3)?.parse().ok());
    let statuses = statuses.filter(|status| *status >= 200).collect();
    let forwarded = backend
        .requests()
        .iter()
        .filter(|request| !request.cut)
        .count();
    Outcome {
        statuses,
        closed,
        forwarded,
    }
}

impl Outcome {
    fn check(&self, case: &Case, expect: Expect) -> Result<(), String> {
        let refusal = self.statuses.last().is_some_and(|status| *status >= 400);
        let served = self
            .statuses
            .iter()
            .take_while(|status| **status < 400)
            .count();
        match expect {
            Expect::Reject if refusal && self.closed && self.forwarded < self.statuses.len() => {
                Ok(())
            }
            Expect::Reject
                if case.timeout_ok && self.statuses.is_empty() && self.forwarded == 0 =>
            {
                Ok(())
            }
            Expect::Reject => Err(format!(
                "not refused: {:?}, closed: {}",
                self.statuses, self.closed
            )),
            // Bytes may follow that are no whole request.
            Expect::Accept if case.nreq.is_some_and(|count| served >= count) => Ok(()),
            Expect::Accept if refusal => Err(format!("refused with {:?}", self.statuses)),
            Expect::Accept if case.nreq.is_some_and(|count| served < count) => {
                Err(format!("{:?} requests, {:?}", case.nreq, self.statuses))
            }
            Expect::Accept => Ok(()),
        }
    }
}
