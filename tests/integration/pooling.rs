//! Connections to backends that are used again.

use std::time::Duration;

use testkit::{Backend, Client};

use crate::{assert_problem, everything_to, gateway, in_front_of};

#[tokio::test]
async fn connections_to_the_backend_are_shared_by_clients() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    for _ in 0..5 {
        assert_eq!(gateway.client().await.get("/").await.status(), 200);
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn connections_are_used_again_after_answers_of_whatever_length() {
    for length in [16 << 10, 64 << 10, (64 << 10) + 1, 1 << 20] {
        let body = "x".repeat(length);
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        let backend = Backend::answering(answer).await;
        let gateway = in_front_of(&backend).await;
        let mut client = gateway.client().await;
        for _ in 0..20 {
            assert_eq!(client.get("/").await.body.len(), length);
        }
        assert_eq!(backend.connections(), 1, "{length} bytes");
    }
}

/// Answers one request per connection and then hangs up without a word, as a server does whose keep-alive is over.
async fn one_answer_a_connection() -> Backend {
    Backend::scripted(|mut connection| async move {
        if connection.request().await.is_some() {
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            // The next request arrives, and is not answered.
            connection.request().await;
        }
    })
    .await
}

#[tokio::test]
async fn a_dead_pooled_connection_is_not_noticed_by_an_idempotent_request() {
    for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
        let backend = one_answer_a_connection().await;
        let gateway = in_front_of(&backend).await;
        let mut client = gateway.client().await;
        assert_eq!(client.get("/first").await.status(), 200);
        client.request(method, "/second", &[]).await;
        let answer = if method == "HEAD" {
            client.response_to_head().await
        } else {
            client.response().await
        };
        assert_eq!(answer.status(), 200, "{method}");
        let targets: Vec<String> = backend
            .requests()
            .iter()
            .map(|request| request.target().to_owned())
            .collect();
        assert_eq!(
            targets,
            ["/first", "/second", "/second"],
            "sent once more, over a new connection"
        );
    }
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let backend = one_answer_a_connection().await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    assert_eq!(client.get("/first").await.status(), 200);
    client
        .send("POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    assert_problem(
        &client.response().await,
        502,
        "upstream-reset",
        "connection_terminated",
    );
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn a_connection_that_the_backend_has_closed_is_not_used_again() {
    let backend = Backend::closing(*b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    for _ in 0..20 {
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
            .await;
        assert_eq!(client.response().await.status(), 200);
        // The close has reached the kernel, not necessarily the gateway.
        backend.wait_for_connections(1).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(backend.connections(), 20);
}

#[tokio::test]
async fn the_backends_word_on_its_keep_alive_is_taken() {
    let backend = Backend::answering(
        *b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    client.get("/").await;
    client.get("/").await;
    assert_eq!(backend.connections(), 1);
    assert!(client.is_silent_for(Duration::from_millis(700)).await);
    client.get("/").await;
    assert_eq!(
        backend.connections(),
        2,
        "after half a second the backend may be about to close"
    );
}

#[tokio::test]
async fn idle_and_old_connections_to_the_backend_are_given_up() {
    for variable in ["UPSTREAM_IDLE_TIMEOUT", "UPSTREAM_MAX_LIFETIME"] {
        let backend = Backend::ok().await;
        let gateway = gateway()
            .routes(&everything_to(&backend.url()))
            .env(variable, "0.2")
            .start()
            .await;
        let mut client = gateway.client().await;
        client.get("/").await;
        // Closed by itself, without another request.
        backend.wait_for_ends(1).await;
        client.get("/").await;
        assert_eq!(backend.connections(), 2, "{variable}");
    }
}

async fn post(client: &mut Client) -> u16 {
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        .await;
    client.response().await.status()
}

#[tokio::test]
async fn what_cannot_be_sent_again_gets_a_connection_that_no_backend_closes_yet() {
    let long = Duration::from_millis(1100);
    let silent = Backend::ok().await;
    let gateway = in_front_of(&silent).await;
    let mut client = gateway.client().await;
    for _ in 0..2 {
        assert_eq!(post(&mut client).await, 200);
    }
    assert_eq!(silent.connections(), 1, "just used");
    assert!(client.is_silent_for(long).await);
    assert_eq!(post(&mut client).await, 200);
    assert_eq!(silent.connections(), 2, "the backend may be about to close");
    assert!(client.is_silent_for(long).await);
    assert_eq!(client.get("/").await.status(), 200);
    assert_eq!(silent.connections(), 2, "a GET could be sent again");

    let telling = Backend::answering(
        *b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = in_front_of(&telling).await;
    let mut client = gateway.client().await;
    assert_eq!(post(&mut client).await, 200);
    assert!(client.is_silent_for(long).await);
    assert_eq!(post(&mut client).await, 200);
    assert_eq!(telling.connections(), 1, "it keeps them for longer");
}

#[tokio::test]
async fn a_backend_that_closes_early_is_known_after_the_first_time() {
    let backend = Backend::scripted(|mut connection| async move {
        let idle = Duration::from_millis(600);
        while let Ok(Some(_)) = tokio::time::timeout(idle, connection.request()).await {
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
        }
    })
    .await;
    let gateway = in_front_of(&backend).await;
    let mut client = gateway.client().await;
    assert_eq!(post(&mut client).await, 200);
    for (pause, connections, why) in [
        (300, 1, "nothing is known yet"),
        (700, 2, "it has been closed"),
        (500, 3, "half of the time is over"),
    ] {
        let pause = Duration::from_millis(pause);
        assert!(client.is_silent_for(pause).await);
        assert_eq!(post(&mut client).await, 200);
        assert_eq!(backend.connections(), connections, "{why}");
    }
}

#[tokio::test]
async fn the_oldest_idle_connection_makes_room() {
    let backend = Backend::ok().await;
    let gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("UPSTREAM_MAX_IDLE", "1")
        .start()
        .await;
    let mut client = gateway.client().await;
    assert_eq!(post(&mut client).await, 200);
    assert!(client.is_silent_for(Duration::from_millis(1100)).await);
    // Over a second connection, which is the better one to keep.
    assert_eq!(post(&mut client).await, 200);
    backend.wait_for_ends(1).await;
    assert_eq!(post(&mut client).await, 200);
    assert_eq!(backend.connections(), 2);
}
