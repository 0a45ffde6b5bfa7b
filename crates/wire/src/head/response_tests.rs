use super::*;

const LIMITS: ResponseLimits = ResponseLimits {
    head: 1024,
    fields: 8,
};

fn parse(head: &str) -> Result<Option<ResponseHead>, HeadError> {
    parse_response(
        &mut BytesMut::from(head),
        &Method::GET,
        &LIMITS,
        &mut Progress::default(),
    )
}

fn accepted(head: &str) -> ResponseHead {
    parse(head)
        .unwrap_or_else(|error| panic!("{head:?}: {error}"))
        .expect("a whole head")
}

#[test]
fn a_head_is_taken_apart() {
    let head = accepted("HTTP/1.1 299 Fine\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabc");
    assert_eq!(
        (head.status.as_u16(), head.body, head.persists),
        (299, BodyLength::Fixed(3), true)
    );
    assert_eq!(head.headers["x-a"], "b");
}

#[test]
fn a_reason_may_be_missing() {
    assert_eq!(accepted("HTTP/1.1 200\r\n\r\n").status, StatusCode::OK);
    assert_eq!(accepted("HTTP/1.1 200 \r\n\r\n").status, StatusCode::OK);
}

#[test]
fn an_empty_line_before_an_answer_is_refused() {
    for head in [
        "\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "\nHTTP/1.1 200 OK\r\n\r\n",
        "\r",
    ] {
        assert!(parse(head).is_err(), "{head:?}");
    }
}

#[test]
fn ambiguous_and_malformed_heads_are_refused() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 3\n\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "<html>\r\n\r\n",
    ] {
        assert!(parse(head).is_err(), "{head:?}");
    }
}

#[test]
fn limits_hold() {
    assert_eq!(
        parse(&format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(2000))).unwrap_err(),
        HeadError::TooLarge
    );
    let fields = "A: b\r\n".repeat(9);
    assert_eq!(
        parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap_err(),
        HeadError::TooManyFields
    );
}

#[test]
fn persistence_follows_version_connection_and_framing() {
    assert!(
        !accepted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").persists
    );
    assert!(!accepted("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").persists);
    assert!(
        accepted("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n").persists
    );
    assert!(!accepted("HTTP/1.1 200 OK\r\n\r\n").persists);
}

#[test]
fn the_keep_alive_timeout_is_read() {
    let timeout =
        |value| accepted(&format!("HTTP/1.1 204 No\r\nKeep-Alive: {value}\r\n\r\n")).keep_alive;
    assert_eq!(timeout("timeout=5"), Some(Duration::from_secs(5)));
    assert_eq!(
        timeout("max=100, Timeout = 7"),
        Some(Duration::from_secs(7))
    );
    assert_eq!(timeout("max=100"), None);
    assert_eq!(timeout("timeout=x"), None);
}
