//! Requests that change something.

use serde_json::json;

use super::{answer, backend, cached, get, in_front_of, numbering, send, status};
use crate::{gateway, routes};

#[tokio::test]
async fn an_unsafe_request_takes_out_what_is_cached_for_its_target() {
    let backend = numbering("").await;
    let gateway = in_front_of(&backend).await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let before = get(&gateway, "/a", &[]).await.text();
        assert_eq!(get(&gateway, "/a", &[]).await.text(), before);
        let answer = send(&gateway, method, "/a", &[]).await;
        assert_eq!(status(&answer), "fwd=method; detail=method");
        assert_ne!(get(&gateway, "/a", &[]).await.text(), before, "{method}");
    }
}

#[tokio::test]
async fn the_route_that_changes_something_need_not_be_cached_itself() {
    let backend = numbering("").await;
    let mut read = cached(&backend.url());
    read["methods"] = json!(["GET"]);
    let change = json!({ "path": "/*path", "methods": ["POST"], "targetURL": backend.url() });
    let gateway = gateway().routes(&routes(&[read, change])).start().await;
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "0");
    let changed = send(&gateway, "POST", "/a", &[]).await;
    assert_eq!(
        (&*changed.text(), changed.field("cache-status")),
        ("1", None)
    );
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "2");
}

#[tokio::test]
async fn the_answer_to_a_post_is_cached_where_it_says_that_it_is_what_a_get_gets() {
    let backend = backend(|request, number| {
        let fields = match request.start.starts_with("POST") {
            true => "Content-Location: /a\r\nCache-Control: max-age=60\r\n",
            false => "",
        };
        answer("200 OK", fields, &number.to_string())
    })
    .await;
    let gateway = in_front_of(&backend).await;
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "0");
    let posted = send(&gateway, "POST", "/a", &[]).await;
    assert_eq!(status(&posted), "fwd=method; stored");
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "1");
}

#[tokio::test]
async fn a_failed_one_takes_out_nothing_and_what_the_answer_names_goes_too() {
    let backend = backend(|request, number| {
        let failed = request.field("x-fail").is_some();
        let status = if failed {
            "409 Conflict"
        } else {
            "201 Created"
        };
        if request.start.starts_with("POST") {
            return answer(status, "Location: /b\r\n", "");
        }
        answer("200 OK", "", &number.to_string())
    })
    .await;
    let gateway = in_front_of(&backend).await;
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "0");
    assert_eq!(get(&gateway, "/b", &[]).await.text(), "1");
    send(&gateway, "POST", "/a", &["X-Fail: 1"]).await;
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "0");
    send(&gateway, "POST", "/a", &[]).await;
    assert_eq!(get(&gateway, "/a", &[]).await.text(), "4");
    assert_eq!(get(&gateway, "/b", &[]).await.text(), "5");
}
