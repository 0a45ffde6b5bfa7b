//! Many who ask for the same at once.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use testkit::{Backend, Gateway};
use tokio::sync::watch;

use super::{answer, cached, cached_as, end, get, status, with};
use crate::http2::{connect, read, request, send};

const MANY: usize = 200;

/// A backend that answers when it is told to.
async fn held(first: &'static str) -> (Backend, watch::Sender<bool>) {
    let (open, opened) = watch::channel(false);
    let backend = Backend::scripted(move |mut connection| {
        let mut opened = opened.clone();
        async move {
            if connection.request().await.is_some() {
                let fields = if connection.number == 0 {
                    first
                } else {
                    "Cache-Control: max-age=60\r\n"
                };
                opened.wait_for(|open| *open).await.unwrap();
                let body = format!("{fields}Connection: close\r\n");
                connection
                    .send(answer("200 OK", &body, &connection.number.to_string()))
                    .await;
            }
        }
    })
    .await;
    (backend, open)
}

#[tokio::test]
async fn those_who_ask_at_once_are_answered_by_one_request() {
    let (backend, open) = held("").await;
    let gateway = with(cached(&backend.url()))
        .env("WORKERS", "2")
        .start()
        .await;
    let all = join_all((0..MANY).map(|_| get(&gateway, "/", &[])));
    let opens = async {
        backend.wait_for_requests(1).await;
        // Whoever would go by himself has the time to.
        tokio::time::sleep(Duration::from_millis(300)).await;
        open.send(true).unwrap();
    };
    let (answers, ()) = tokio::join!(all, opens);
    assert!(answers.iter().all(|answer| answer.text() == "0"));
    let leaders = answers
        .iter()
        .filter(|it| status(it) == "fwd=uri-miss; stored")
        .count();
    assert_eq!((leaders, backend.requests().len()), (1, 1));
    let followed = answers
        .iter()
        .filter(|it| status(it) == "fwd=uri-miss; collapsed")
        .count();
    assert!(followed > MANY / 2, "{followed}");
}

#[tokio::test]
async fn a_thousand_who_want_what_has_expired_make_one_request() {
    let (backend, open) = held("Cache-Control: max-age=1\r\nAge: 10\r\nETag: \"1\"\r\n").await;
    open.send(true).unwrap();
    let gateway = with(cached(&backend.url())).start().await;
    get(&gateway, "/", &[]).await;
    open.send(false).unwrap();
    let mut connections = Vec::new();
    for _ in 0..10 {
        connections.push(connect(&gateway).await.0);
    }
    let mut responses = Vec::new();
    for number in 0..1_000 {
        let sender = &mut connections[number / 100];
        responses.push(send(sender, request("GET", "/"), true).0);
    }
    backend.wait_for_requests(2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    open.send(true).unwrap();
    for response in join_all(responses.into_iter().map(read)).await {
        assert_eq!(response.1, b"1");
    }
    assert_eq!(backend.requests().len(), 2);
    assert_eq!(backend.last().field("if-none-match"), Some("\"1\""));
}

#[tokio::test]
async fn those_who_have_it_already_share_its_validation() {
    let (open, opened) = watch::channel(false);
    let backend = Backend::scripted(move |mut connection| {
        let mut opened = opened.clone();
        async move {
            while let Some(request) = connection.request().await {
                let fields = "Cache-Control: max-age=60\r\nETag: \"1\"\r\n";
                if request.field("if-none-match").is_some() {
                    opened.wait_for(|open| *open).await.unwrap();
                    let head = format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n");
                    connection.send(head).await;
                } else {
                    let fields = format!("{fields}Age: 100\r\n");
                    connection
                        .send(answer("200 OK", &fields, "0123456789"))
                        .await;
                }
            }
        }
    })
    .await;
    let gateway = with(cached(&backend.url())).start().await;
    get(&gateway, "/", &[]).await;
    let fields: [&[&str]; 3] = [&["If-None-Match: \"1\""], &[], &["Range: bytes=1-2"]];
    let all = join_all((0..30).map(|number| get(&gateway, "/", fields[number % 3])));
    let opens = async {
        backend.wait_for_requests(2).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        open.send(true).unwrap();
    };
    let (answers, ()) = tokio::join!(all, opens);
    for (number, answer) in answers.iter().enumerate() {
        let expected = [(304, ""), (200, "0123456789"), (206, "12")][number % 3];
        assert_eq!((answer.status(), &*answer.text()), expected);
    }
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_takes_nothing_from_those_who_wait() {
    let (backend, open) = held("").await;
    let gateway = with(cached(&backend.url())).start().await;
    let mut leader = gateway.client().await;
    leader.request("GET", "/", &[]).await;
    backend.wait_for_requests(1).await;
    let mut follower = gateway.client().await;
    follower.request("GET", "/", &[]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    leader.reset();
    tokio::time::sleep(Duration::from_millis(100)).await;
    open.send(true).unwrap();
    assert_eq!(follower.response().await.text(), "0");
    assert_eq!(get(&gateway, "/", &[]).await.text(), "0");
    assert_eq!(backend.requests().len(), 1);
}

#[tokio::test]
async fn those_who_wait_for_what_cannot_be_shared_go_by_themselves() {
    let (backend, open) = held("Cache-Control: no-store\r\n").await;
    let gateway = with(cached(&backend.url())).start().await;
    let all = join_all((0..10).map(|_| get(&gateway, "/", &[])));
    let opens = async {
        backend.wait_for_requests(1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        open.send(true).unwrap();
    };
    let (answers, ()) = tokio::join!(all, opens);
    assert_eq!(answers.iter().filter(|it| it.text() == "0").count(), 1);
    assert!(answers.iter().all(|it| it.status() == 200));
}

#[tokio::test]
async fn of_those_who_wait_for_one_that_hangs_another_goes_after_five_seconds() {
    let backend = Backend::scripted(|mut connection| async move {
        while connection.request().await.is_some() {
            if connection.number > 0 {
                let body = connection.number.to_string();
                connection.send(answer("200 OK", "", &body)).await;
            }
        }
    })
    .await;
    let gateway = with(cached(&backend.url())).start().await;
    let mut first = gateway.client().await;
    first.request("GET", "/", &[]).await;
    backend.wait_for_requests(1).await;
    let all = join_all((0..MANY).map(|_| get(&gateway, "/", &[]))).await;
    assert!(all.iter().all(|answer| answer.text() == "1"));
    assert_eq!(backend.requests().len(), 2);
}

#[tokio::test]
async fn those_who_wait_for_a_failing_backend_get_what_is_stale() {
    let (backend, open) = held("Cache-Control: max-age=1\r\nAge: 10\r\nETag: \"1\"\r\n").await;
    open.send(true).unwrap();
    let route = cached_as(&backend.url(), json!({ "staleIfError": 100 }));
    let gateway: Gateway = with(route).start().await;
    get(&gateway, "/", &[]).await;
    open.send(false).unwrap();
    let all = join_all((0..50).map(|_| get(&gateway, "/", &[])));
    let dies = async {
        backend.wait_for_requests(2).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        end(backend).await;
    };
    let (answers, ()) = tokio::join!(all, dies);
    for answer in answers {
        assert_eq!((answer.status(), &*answer.text()), (200, "0"));
    }
}
