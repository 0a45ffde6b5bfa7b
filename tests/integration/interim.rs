//! `Expect: 100-continue`, and answers that come before the answer.

use testkit::Backend;

use crate::in_front_of;

#[tokio::test]
async fn a_client_that_waits_to_continue_is_told_when_the_backend_agrees() {
    let backend = Backend::scripted(|mut connection| async move {
        assert!(
            connection
                .head()
                .await
                .to_ascii_lowercase()
                .contains("expect: 100-continue")
        );
        connection.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        connection.until("hello").await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .request("POST", "/", &["Expect: 100-continue", "Content-Length: 5"])
        .await;
    assert_eq!(client.response().await.status(), 100);
    client.send("hello").await;
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn a_client_that_waits_to_continue_may_be_refused_without_sending() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.head().await;
        connection
            .send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
            .await;
        assert_eq!(connection.ended().await, b"", "no body was sent on");
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .request("POST", "/", &["Expect: 100-continue", "Content-Length: 5"])
        .await;
    let answer = client.response().await;
    assert_eq!(
        (answer.status(), answer.field("connection")),
        (417, Some("close"))
    );
    backend.wait_for_ends(1).await;
}

#[tokio::test]
async fn a_backend_that_never_says_continue_gets_the_body_all_the_same() {
    let backend = Backend::scripted(|mut connection| async move {
        connection.head().await;
        connection.until("hello").await;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await;
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client
        .request("POST", "/", &["Expect: 100-continue", "Content-Length: 5"])
        .await;
    assert_eq!(client.response().await.status(), 100);
    client.send("hello").await;
    assert_eq!(client.response().await.status(), 200);
}

#[tokio::test]
async fn interim_answers_are_passed_on() {
    let backend = Backend::answering(
        *b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    assert_eq!(client.response().await.status(), 102);
    let hints = client.response().await;
    assert_eq!(
        (hints.status(), hints.field("link")),
        (103, Some("</a.css>"))
    );
    assert_eq!(client.response().await.text(), "ok");
    // An HTTP/1.0 client knows none of them.
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.response().await.status(), 200);
}
