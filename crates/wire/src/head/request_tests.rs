use super::*;

const LIMITS: RequestLimits = RequestLimits {
    head: 1024,
    fields: 8,
    target: 64,
};

/// Parses `head` when it comes whole, and again when it comes byte by byte: both must agree.
fn parse(head: &[u8]) -> Result<Option<RequestHead>, HeadError> {
    let whole = parse_request(&mut BytesMut::from(head), &LIMITS, &mut Progress::default());
    let (mut buffer, mut progress, mut sliced) = (BytesMut::new(), Progress::default(), Ok(None));
    for byte in head {
        buffer.extend_from_slice(&[*byte]);
        sliced = parse_request(&mut buffer, &LIMITS, &mut progress);
        if !matches!(sliced, Ok(None)) {
            break;
        }
    }
    assert_eq!(
        sliced.is_err(),
        whole.is_err(),
        "sliced: {sliced:?}, whole: {whole:?}"
    );
    whole
}

fn accepted(head: &str) -> RequestHead {
    parse(head.as_bytes())
        .unwrap_or_else(|error| panic!("{head:?}: {error}"))
        .expect("a whole head")
}

#[track_caller]
fn refused(head: &str) -> HeadError {
    match parse(head.as_bytes()) {
        Err(error) => error,
        Ok(head) => panic!("accepted: {head:?}"),
    }
}

#[test]
fn a_head_is_taken_off_the_buffer_and_the_rest_stays() {
    let mut buffer = BytesMut::from("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n\r\nrest");
    let head = parse_request(&mut buffer, &LIMITS, &mut Progress::default())
        .unwrap()
        .unwrap();
    assert_eq!(
        (head.method, head.target.to_string()),
        (Method::GET, "/a?b=c".to_owned())
    );
    assert_eq!(head.headers["x-a"], "1");
    assert_eq!((head.body, head.persists), (BodyLength::NONE, true));
    assert_eq!(&buffer[..], b"rest");
}

#[test]
fn an_incomplete_head_waits_for_more() {
    for head in [
        "",
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n",
        "\r\n",
        "\r\nGET /",
    ] {
        assert!(matches!(parse(head.as_bytes()), Ok(None)), "{head:?}");
    }
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    assert_eq!(
        accepted("\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n").target,
        "/a"
    );
}

#[test]
fn lines_that_do_not_end_with_cr_lf_are_refused() {
    for head in [
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        assert!(matches!(refused(head), HeadError::Malformed(_)), "{head:?}");
    }
}

#[test]
fn malformed_request_lines_are_refused() {
    for line in [
        "GET HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET / HTTP/1.1 ",
        " GET / HTTP/1.1",
        "GET / FTP/1.1",
        "GET /",
        "G\u{e9}T / HTTP/1.1",
        "get / HTTP/1.1",
        "GET foo HTTP/1.1",
        "GET * HTTP/1.1",
        "GET example.com:443 HTTP/1.1",
        "CONNECT example.com:443 HTTP/1.1",
        "GET ftp://example.com/ HTTP/1.1",
        "PUT s://]ufd/: HTTP/1.1",
        "GET http:///a HTTP/1.1",
        "GET http://a b/ HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "GET /\t HTTP/1.1",
    ] {
        let error = refused(&format!("{line}\r\nHost: x\r\n\r\n"));
        assert!(
            matches!(
                error,
                HeadError::Malformed(_) | HeadError::UnsupportedVersion
            ),
            "{line:?}: {error:?}"
        );
    }
}

#[test]
fn other_versions_are_told_apart_from_nonsense() {
    assert_eq!(
        refused("GET / HTTP/2.0\r\nHost: x\r\n\r\n"),
        HeadError::UnsupportedVersion
    );
    assert_eq!(
        refused("GET / HTTP/0.9\r\n\r\n"),
        HeadError::UnsupportedVersion
    );
}

#[test]
fn malformed_fields_are_refused() {
    for field in [
        "A : b",
        ": b",
        "A",
        "A b: c",
        " A: b",
        "A: b\r\n folded",
        "A: b\r\n\tfolded",
        "A\u{0}: b",
        "A: \u{0}",
        "A: \u{7}",
        "A: \u{7f}",
        "\u{e9}: b",
        "A(: b",
        "Content-Length : 3",
    ] {
        let error = refused(&format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n\r\n"));
        assert!(
            matches!(error, HeadError::Malformed(_)),
            "{field:?}: {error:?}"
        );
    }
}

#[test]
fn host_is_needed_once_and_well_formed() {
    for fields in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a@b\r\n",
        "Host: a:b\r\n",
    ] {
        assert!(
            matches!(
                refused(&format!("GET / HTTP/1.1\r\n{fields}\r\n")),
                HeadError::Malformed(_)
            ),
            "{fields:?}"
        );
    }
    assert!(accepted("GET / HTTP/1.0\r\n\r\n").headers.is_empty());
    accepted("GET / HTTP/1.1\r\nHost:\r\n\r\n");
    accepted("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n");
}

#[test]
fn the_authority_of_an_absolute_target_replaces_host() {
    let head = accepted("GET http://user:pw@Example.com:8080?q=1 HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(head.headers["host"], "Example.com:8080");
    assert_eq!(head.target.to_string(), "/?q=1");
    let head = accepted("GET https://[::1]/a/b HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    assert_eq!(
        (head.headers["host"].to_str().unwrap(), head.target.path()),
        ("[::1]", "/a/b")
    );
}

#[test]
fn a_fragment_is_cut_off() {
    assert_eq!(
        accepted("GET /a?b#c/../d HTTP/1.1\r\nHost: x\r\n\r\n")
            .target
            .to_string(),
        "/a?b"
    );
}

#[test]
fn bytes_that_a_uri_may_not_hold_are_encoded() {
    let head = accepted("GET /a\"b?c=\"<d>\"|{e}\\ HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(head.target.query(), Some("c=%22%3Cd%3E%22|{e}\\"));
    assert_eq!(
        accepted("GET http://x/`?\" HTTP/1.1\r\nHost: x\r\n\r\n")
            .target
            .to_string(),
        "/%60?%22"
    );
}

#[test]
fn an_asterisk_is_for_options() {
    assert_eq!(
        accepted("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
            .target
            .to_string(),
        "*"
    );
}

#[test]
fn limits_are_told_apart() {
    let long = "a".repeat(2000);
    assert_eq!(
        refused(&format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n")),
        HeadError::TargetTooLong
    );
    assert_eq!(
        refused(&format!(
            "GET /{} HTTP/1.1\r\nHost: x\r\n\r\n",
            "a".repeat(64)
        )),
        HeadError::TargetTooLong
    );
    assert_eq!(
        refused(&format!("GET / HTTP/1.1\r\nHost: x\r\nA: {long}\r\n\r\n")),
        HeadError::TooLarge
    );
    let fields = "A: b\r\n".repeat(8);
    assert_eq!(
        refused(&format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n")),
        HeadError::TooManyFields
    );
}

#[test]
fn persistence_follows_version_and_connection() {
    let persists = |version, connection| {
        accepted(&format!(
            "GET / HTTP/{version}\r\nHost: x\r\n{connection}\r\n"
        ))
        .persists
    };
    assert!(persists("1.1", ""));
    assert!(!persists("1.1", "Connection: Close\r\n"));
    assert!(!persists("1.1", "Connection: x, close\r\n"));
    assert!(!persists("1.0", ""));
    assert!(persists("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!persists(
        "1.0",
        "Connection: keep-alive\r\nConnection: close\r\n"
    ));
}

#[test]
fn an_upgrade_needs_both_fields_and_http_1_1() {
    let upgrades = |version, fields| {
        accepted(&format!("GET / HTTP/{version}\r\nHost: x\r\n{fields}\r\n")).upgrades
    };
    assert!(upgrades(
        "1.1",
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    ));
    assert!(!upgrades("1.1", "Upgrade: websocket\r\n"));
    assert!(!upgrades("1.1", "Connection: upgrade\r\n"));
    assert!(!upgrades(
        "1.0",
        "Connection: upgrade\r\nUpgrade: websocket\r\n"
    ));
}

#[test]
fn only_a_request_with_a_body_expects_to_continue() {
    let expects =
        |fields| accepted(&format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n")).expects_continue;
    assert!(expects("Expect: 100-Continue\r\nContent-Length: 1\r\n"));
    assert!(!expects("Expect: 100-continue\r\n"));
}

#[test]
fn repeated_content_types_are_refused() {
    refused("GET / HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n");
}

#[test]
fn a_finely_sliced_head_costs_linear_work() {
    let limits = RequestLimits {
        head: 1 << 20,
        fields: 8,
        target: 64,
    };
    let head = [
        b"GET / HTTP/1.1\r\nHost: x\r\nA: ".as_slice(),
        &vec![b'a'; 200_000],
        b"\r\n\r\n",
    ]
    .concat();
    let (mut buffer, mut progress, mut attempts) = (BytesMut::new(), Progress::default(), 0);
    for byte in &head {
        buffer.extend_from_slice(&[*byte]);
        attempts += u32::from(progress.is_worthwhile(&buffer).unwrap());
    }
    assert!(attempts < 32, "{attempts}");
    assert!(
        parse_request(&mut buffer, &limits, &mut Progress::default())
            .unwrap()
            .is_some()
    );
}
