//! What HTTP/2 clients notice of a gateway that stops.

use testkit::Backend;
use testkit::http2::{Client, flag, kind, reason, request_fields};

use crate::{everything_to, gateway, in_front_of};

/// The next GOAWAY: the last stream that is served, and why.
async fn goaway(client: &mut Client) -> (u32, u32) {
    loop {
        let frame = client.next().await.expect("a GOAWAY");
        if frame.kind == kind::GOAWAY {
            return (frame.number(0), frame.number(4));
        }
    }
}

#[tokio::test]
async fn clients_hear_of_it_before_their_last_request_is_counted() {
    let backend = Backend::scripted(|mut connection| async move {
        while connection.request().await.is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            connection.send(answer).await;
        }
    })
    .await;
    let mut gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    client.get(1, "/").await;
    backend.wait_for_requests(1).await;
    gateway.signal("TERM").await;
    // First: no more than is on its way. It is answered, whichever came first.
    let first = loop {
        let frame = client.reader.next().await.unwrap();
        if frame.kind == kind::GOAWAY {
            break frame;
        }
    };
    let limits = (first.number(0), first.number(4));
    assert_eq!(limits, (0x7fff_ffff, reason::NO_ERROR));
    client.get(3, "/").await;
    // The acknowledgement of the ping behind it says that the client knows; from then on requests are no longer taken.
    assert_eq!(goaway(&mut client).await, (3, reason::NO_ERROR));
    for stream in [1, 3] {
        assert_eq!(client.answer(stream).await.body, b"ok");
    }
    while client.next().await.is_some() {}
    drop(client);
    assert!(gateway.exit().await.success());
}

#[tokio::test]
async fn a_client_that_does_not_take_notice_keeps_nobody() {
    let backend = Backend::ok().await;
    let mut gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    client.get(1, "/").await;
    assert_eq!(client.answer(1).await.status, Some(200));
    gateway.signal("TERM").await;
    assert_eq!(client.goaway().await, reason::NO_ERROR);
    drop(client);
    assert!(gateway.exit().await.success());
}

#[tokio::test]
async fn what_is_open_when_the_time_is_over_is_cut_off() {
    let backend = Backend::silent().await;
    let mut gateway = gateway()
        .routes(&everything_to(&backend.url()))
        .env("SHUTDOWN_TIMEOUT", "0.5")
        .start()
        .await;
    let mut client = Client::connect(gateway.address()).await;
    let fields = request_fields("POST", "/", &[]);
    client.headers(1, flag::END_HEADERS, &fields).await;
    backend.wait_for_connections(1).await;
    gateway.signal("TERM").await;
    while client.next().await.is_some() {}
    assert!(gateway.exit().await.success());
    assert_eq!(gateway.log(1).await[0]["error"], "client-gone");
}
