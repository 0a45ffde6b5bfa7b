//! Bytes that are no request, or two requests to two readers: refused, and nothing of them goes on.

use testkit::Backend;

use crate::in_front_of;

/// Sends `request` in one piece, and again in two, and returns the status of the answer. The connection must end, no
/// request may reach the backend, and the gateway must serve on.
async fn refusal(request: &[u8]) -> u16 {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut status = 0;
    for cut in [0, request.len() / 2] {
        let mut client = gateway.client().await;
        client.send(&request[..cut]).await;
        tokio::task::yield_now().await;
        client.send(&request[cut..]).await;
        let answer = client.response().await;
        status = answer.status();
        assert_eq!(answer.field("connection"), Some("close"));
        assert_eq!(
            answer.field("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(client.rest().await, b"", "one answer and no more");
    }
    let complete = backend
        .requests()
        .into_iter()
        .filter(|request| !request.cut)
        .count();
    assert_eq!(complete, 0, "{:?}", backend.requests());
    assert_eq!(gateway.client().await.get("/").await.status(), 200);
    status
}

async fn assert_all_refused(requests: &[&str]) {
    for request in requests {
        assert_eq!(refusal(request.as_bytes()).await, 400, "{request:?}");
    }
}

#[tokio::test]
async fn malformed_request_lines() {
    assert_all_refused(&[
        "GET\r\nHost: a\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET //\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
    ])
    .await;
    assert_eq!(refusal(b"GET / HTTP/1.9\r\nHost: a\r\n\r\n").await, 505);
    assert_eq!(refusal(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n").await, 505);
}

#[tokio::test]
async fn line_ends_that_are_not_cr_lf() {
    assert_all_refused(&[
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\nContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\rContent-Length: 5\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn malformed_fields() {
    assert_all_refused(&[
        "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: \u{1}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: \u{7f}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA\0: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\u{e9}: b\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn missing_repeated_and_malformed_hosts() {
    assert_all_refused(&[
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n",
    ])
    .await;
}

#[tokio::test]
async fn lengths_that_two_readers_could_take_differently() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: ",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding:",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n{smuggled}");
        assert_eq!(refusal(request.as_bytes()).await, 400, "{fields:?}");
    }
    let in_1_0 = format!(
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
    );
    assert_eq!(refusal(in_1_0.as_bytes()).await, 400);
    let unsupported = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{smuggled}"
    );
    assert_eq!(refusal(unsupported.as_bytes()).await, 501);
}

#[tokio::test]
async fn malformed_chunks() {
    for body in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\nHost: b\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nA: b\nC: d\r\n\r\n",
    ] {
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        assert_eq!(refusal(request.as_bytes()).await, 400, "{body:?}");
    }
}

#[tokio::test]
async fn repeated_content_types() {
    assert_all_refused(&["POST / HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n"])
        .await;
}
