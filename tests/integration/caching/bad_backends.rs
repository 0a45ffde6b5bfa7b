//! Backends that lie, break off, contradict themselves or never end: what clients get is what they get without a cache,
//! nothing wrong is stored, and memory has its bounds.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::{Backend, Client, Gateway, Message};

use super::{answer, backend, cached, cached_as, get, in_front_of, status, with};
use crate::{gateway, routes};

const FRESH: &str = "Cache-Control: max-age=60\r\n";
const MIB: usize = 1024 * 1024;

/// A gateway with the same backend behind `/cached` and `/plain`.
async fn twofold(url: &str) -> Gateway {
    let route = |name: &str, cacheable: bool| -> Value {
        json!({
            "name": name, "path": format!("/{name}/*path"), "stripPrefix": format!("/{name}"),
            "targetURL": url, "cacheable": cacheable,
        })
    };
    gateway()
        .routes(&routes(&[route("cached", true), route("plain", false)]))
        .start()
        .await
}

/// What a client sees of an answer.
fn seen(answer: &Message) -> (u16, String, bool, Vec<(String, String)>) {
    let mut fields = answer.fields.clone();
    fields.retain(|(name, _)| {
        let own = ["cache-status", "age", "x-request-id", "date"];
        // Where a body has ended it has a length, whatever it had before.
        let framing = [
            "content-length",
            "transfer-encoding",
            "connection",
            "trailer",
        ];
        let is_own = own
            .iter()
            .chain(&framing)
            .any(|it| name.eq_ignore_ascii_case(it));
        !is_own
    });
    fields.sort();
    let text = match answer.status() {
        // A problem document has the identifier of its request.
        502 => String::new(),
        _ => answer.text(),
    };
    (answer.status(), text, answer.cut, fields)
}

#[tokio::test]
async fn clients_see_what_they_see_without_a_cache_and_nothing_is_stored() {
    let head = format!("HTTP/1.1 200 OK\r\n{FRESH}");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    for bytes in [
        // It says more than it has.
        format!("{head}Content-Length: 10\r\n\r\nshort"),
        format!("{head}Content-Length: 18446744073709551615\r\n\r\nshort"),
        // Nobody knows what it says.
        format!("{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
        format!("{head}Content-Length: 2, 3\r\n\r\nabc"),
        format!("{head}Content-Length: -1\r\n\r\nabc"),
        format!("{head}Content-Length: +3\r\n\r\nabc"),
        format!("{head}Content-Length: 3x\r\n\r\nabc"),
        format!("{head}Content-Length: 184467440737095516160\r\n\r\nabc"),
        format!(
            "{head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        ),
        format!("{head}Transfer-Encoding: chunked, identity\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        // It breaks off: in its head, in a chunk, in the length of one, before the last, behind the last, in a trailer.
        "HTTP/1.1 200 OK\r\nCache-Con".to_owned(),
        format!("{chunked}5\r\nab"),
        format!("{chunked}5\r\nshort"),
        format!("{chunked}5\r\nshort\r\n5"),
        format!("{chunked}5\r\nshort\r\n"),
        format!("{chunked}5\r\nshort\r\n0\r\n"),
        format!("{chunked}5\r\nshort\r\n0\r\nX-Sum: 1\r\n"),
        // It breaks the rules in the middle.
        format!("{chunked}5\r\nshort\r\nxyz\r\n"),
        format!("{chunked}5\r\nshorter\r\n0\r\n\r\n"),
        format!("{chunked}5\r\nshort\r\n-1\r\n\r\n"),
        format!("{chunked}5\r\nshort\r\nffffffffffffffffff\r\n\r\n"),
    ] {
        let backend = Backend::closing(bytes.clone()).await;
        let gateway = twofold(&backend.url()).await;
        let plain = seen(&get(&gateway, "/plain/", &[]).await);
        assert!(
            plain.2 || plain.0 == 502,
            "{bytes:?} is no failure: {plain:?}"
        );
        for number in 0..2 {
            // Alone, and as one of several.
            let asked = backend.requests().len();
            let answers = join_all((0..3).map(|_| get(&gateway, "/cached/", &[]))).await;
            for answer in answers {
                assert_eq!(seen(&answer), plain, "{number} {bytes:?}");
            }
            assert!(backend.requests().len() > asked, "stored: {bytes:?}");
        }
    }
}

#[tokio::test]
async fn what_comes_behind_an_answer_is_nobodys_answer() {
    let evil = format!("HTTP/1.1 200 OK\r\n{FRESH}Content-Length: 4\r\n\r\nevil");
    for behind in ["c", "cdefgh", &*evil] {
        for status_line in ["200 OK", "204 No Content", "304 Not Modified"] {
            let body = if status_line.starts_with("200") {
                "ab"
            } else {
                ""
            };
            let length = if body.is_empty() {
                ""
            } else {
                "Content-Length: 2\r\n"
            };
            let bytes = format!("HTTP/1.1 {status_line}\r\n{FRESH}{length}\r\n{body}{behind}");
            let backend = Backend::answering(bytes.clone()).await;
            let gateway = twofold(&backend.url()).await;
            let plain = seen(&get(&gateway, "/plain/", &[]).await);
            for path in [
                "/cached/a",
                "/cached/b",
                "/cached/a",
                "/plain/c",
                "/cached/c",
            ] {
                let answer = get(&gateway, path, &[]).await;
                assert_eq!(seen(&answer), plain, "{path} {bytes:?}");
                assert!(!answer.text().contains("evil") && !answer.text().contains('c'));
            }
        }
    }
}

#[tokio::test]
async fn of_what_contradicts_itself_the_more_careful_holds() {
    for fields in [
        "Cache-Control: max-age=60, no-store\r\n",
        "Cache-Control: no-store\r\nCache-Control: public, max-age=60\r\n",
        "Cache-Control: public, private, max-age=60\r\n",
        "Cache-Control: max-age=60\r\nCache-Control: private\r\n",
        "Cache-Control: max-age=60, no-cache\r\nETag: \"1\"\r\n",
        "Cache-Control: max-age=60, max-age=0\r\n",
        "Cache-Control: max-age=0\r\nCache-Control: max-age=60\r\n",
        "Cache-Control: max-age=60, s-maxage=0\r\n",
        "Cache-Control: s-maxage=60, s-maxage=x\r\n",
        "Cache-Control: max-age=60, a=\"private\r\nCache-Control: b\"\r\n",
        "Cache-Control: immutable, max-age=60, private=\"\r\n",
        "Cache-Control: max-age=60\r\nCDN-Cache-Control: no-store\r\n",
        "Cache-Control: max-age=60\r\nAge: 61\r\n",
        "Cache-Control: max-age=60\r\nAge: 99999999999999999999\r\n",
        "Cache-Control: max-age=-60\r\n",
        "Cache-Control: max-age=6e1\r\n",
        "Expires: Thu, 01 Jan 2099 00:00:00 GMT\r\nExpires: 0\r\n",
        "Expires: Thu, 01 Jan 2099 00:00:00 GMT\r\nCache-Control: max-age=0\r\n",
        "Cache-Control: max-age=60\r\nVary: a\r\nVary: *\r\n",
    ] {
        let backend = backend(move |_, number| answer("200 OK", fields, &number.to_string())).await;
        let gateway = in_front_of(&backend).await;
        for number in 0..3 {
            let answer = get(&gateway, "/", &[]).await;
            assert_eq!(answer.text(), number.to_string(), "{fields:?} {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_body_without_end_is_passed_on_and_not_kept() {
    for framing in ["Transfer-Encoding: chunked\r\n", ""] {
        let backend = Backend::scripted(move |mut connection| async move {
            use tokio::io::AsyncWriteExt;
            if connection.request().await.is_none() {
                return;
            }
            let head = format!("HTTP/1.1 200 OK\r\n{FRESH}{framing}\r\n");
            connection.send(head).await;
            let piece = "x".repeat(0x10000);
            let piece = match framing {
                "" => piece,
                _ => format!("10000\r\n{piece}\r\n"),
            };
            // Until nobody reads any more.
            while connection.stream.write_all(piece.as_bytes()).await.is_ok() {}
            connection.gone();
        })
        .await;
        let route = cached_as(&backend.url(), json!({ "maxObjectSize": "1MiB" }));
        let gateway = with(route).start().await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = gateway.client().await;
            client.request("GET", "/", &[]).await;
            clients.push(client);
        }
        // One reads nothing; the others read as it comes.
        let idle = clients.pop();
        let read = join_all(clients.into_iter().map(read_some)).await;
        assert!(read.iter().any(|read| *read >= 64 * MIB), "{read:?}");
        let peak = gateway.peak_memory();
        assert!(peak < 100 * 1024, "{peak} KiB");
        drop(idle);
        backend.wait_for_ends(backend.connections()).await;
    }
}

/// Reads up to 64 MiB, and leaves.
async fn read_some(client: Client) -> usize {
    use tokio::io::AsyncReadExt;
    let mut stream = client.into_stream();
    let (mut buffer, mut count) = (vec![0; 0x10000], 0);
    while count < 64 * MIB {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => count += length,
        }
    }
    count
}

/// How many requests make up what is endless in earnest.
const MANY: usize = 10_000;
const AT_ONCE: usize = 8;

/// Sends `MANY` requests, each with a field of its own, over a few connections.
async fn ask_all(gateway: &Gateway, target: impl Fn(usize) -> String, field: &str) {
    let (target, numbers) = (
        &target,
        (0..AT_ONCE).map(|first| (first..MANY).step_by(AT_ONCE)),
    );
    join_all(numbers.map(|numbers| async move {
        let mut client = gateway.client().await;
        for number in numbers {
            let field = format!("{field}: {number}");
            client.request("GET", &target(number), &[&field]).await;
            assert_eq!(client.response().await.status(), 200);
        }
    }))
    .await;
}

/// Memory that is taken more than before, in MiB.
fn growth(gateway: &Gateway, before: u64) -> u64 {
    (gateway.peak_memory() - before) / 1024
}

#[tokio::test]
async fn variants_without_end_displace_each_other() {
    // All of them would be 160 MiB.
    let body = "x".repeat(16 * 1024);
    let whole = answer("200 OK", &format!("{FRESH}Vary: X-Variant\r\n"), &body);
    let backend = Backend::answering(whole).await;
    let gateway = with(cached(&backend.url()))
        .env("CACHE_SIZE", "8MiB")
        .env("CACHE_MAX_OBJECT_SIZE", "64KiB")
        .start()
        .await;
    get(&gateway, "/other", &[]).await;
    let before = gateway.peak_memory();
    ask_all(&gateway, |_| "/".to_owned(), "X-Variant").await;
    assert_eq!(backend.requests().len(), MANY + 1);
    assert!(
        growth(&gateway, before) < 20,
        "{}",
        growth(&gateway, before)
    );
    // The newest are there, and other URLs have lost nothing.
    let last = format!("X-Variant: {}", MANY - 1);
    assert!(status(&get(&gateway, "/", &[&last]).await).starts_with("hit"));
    assert!(status(&get(&gateway, "/other", &[]).await).starts_with("hit"));
    let first = get(&gateway, "/", &["X-Variant: 0"]).await;
    assert_eq!(status(&first), "fwd=vary-miss; stored");
}

#[tokio::test]
async fn names_to_vary_by_without_end_are_no_more_than_variants() {
    let body = "x".repeat(16 * 1024);
    let backend =
        backend(move |_, number| answer("200 OK", &format!("{FRESH}Vary: X-{number}\r\n"), &body))
            .await;
    let gateway = with(cached(&backend.url()))
        .env("CACHE_SIZE", "8MiB")
        .env("CACHE_MAX_OBJECT_SIZE", "64KiB")
        .start()
        .await;
    get(&gateway, "/", &[]).await;
    let before = gateway.peak_memory();
    join_all((0..AT_ONCE).map(|worker| {
        let gateway = &gateway;
        async move {
            let mut client = gateway.client().await;
            for number in 0..500 {
                // Whatever it has been told to vary by, this request has it otherwise.
                let fields: Vec<String> = (0..40)
                    .map(|it| format!("X-{}: {worker} {number}", number * 8 + it))
                    .collect();
                let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
                client.request("GET", "/", &fields).await;
                assert_eq!(client.response().await.status(), 200);
            }
        }
    }))
    .await;
    assert!(
        growth(&gateway, before) < 20,
        "{}",
        growth(&gateway, before)
    );
    let names: Vec<String> = (0..17).map(|it| format!("X-{it}")).collect();
    let vary = format!("{FRESH}Vary: {}\r\n", names.join(", "));
    let backend = Backend::answering(answer("200 OK", &vary, "x")).await;
    let gateway = in_front_of(&backend).await;
    let answer = get(&gateway, "/", &[]).await;
    assert_eq!(status(&answer), "fwd=uri-miss; detail=vary");
}

#[tokio::test]
async fn tags_without_end_are_not_kept() {
    // Of one answer: as many as its head may hold.
    let tags: Vec<String> = (0..1_000).map(|it| format!("tag-{it}")).collect();
    for fields in [
        format!("Cache-Tag: {}\r\n", tags.join(",")),
        format!("Surrogate-Key: {}\r\n", tags.join(" ")),
        format!("Cache-Groups: \"{}\"\r\n", tags.join("\", \"")),
    ] {
        let whole = answer("200 OK", &format!("{FRESH}{fields}"), "x");
        let backend = Backend::answering(whole).await;
        let gateway = in_front_of(&backend).await;
        for _ in 0..2 {
            let answer = get(&gateway, "/", &[]).await;
            assert_eq!((answer.status(), &*answer.text()), (200, "x"));
            assert_eq!(status(&answer), "fwd=uri-miss; detail=too-many-tags");
        }
    }
    // Of many: a million, of which the heads alone would be 20 MiB, and what they can be purged by 8 more.
    let backend = backend(|request, _| {
        let target = request.start.split(' ').nth(1).unwrap();
        let tags: Vec<String> = (0..100).map(|it| format!("{target}-{it}")).collect();
        answer(
            "200 OK",
            &format!("{FRESH}Cache-Tag: {}\r\n", tags.join(",")),
            "x",
        )
    })
    .await;
    let gateway = with(cached(&backend.url()))
        .env("CACHE_SIZE", "4MiB")
        .env("CACHE_MAX_OBJECT_SIZE", "64KiB")
        .start()
        .await;
    get(&gateway, "/first", &[]).await;
    let before = gateway.peak_memory();
    ask_all(&gateway, |number| format!("/{number}"), "X-Number").await;
    assert!(
        growth(&gateway, before) < 12,
        "{}",
        growth(&gateway, before)
    );
    let bytes = gateway.metric("api_gateway_cache_bytes").await;
    assert!(bytes <= 4 * MIB as u64, "{bytes}");
}

#[tokio::test]
async fn a_backend_that_drips_holds_nobody_who_has_left_for_ever() {
    let backend = Backend::scripted(|mut connection| async move {
        use tokio::io::AsyncWriteExt;
        if connection.request().await.is_none() {
            return;
        }
        let head = format!("HTTP/1.1 200 OK\r\n{FRESH}Transfer-Encoding: chunked\r\n\r\n");
        connection.send(head).await;
        while connection.stream.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        connection.gone();
    })
    .await;
    let mut route = cached(&backend.url());
    route["timeout"] = json!(1);
    let gateway = with(route).start().await;
    let mut client = gateway.client().await;
    client.request("GET", "/", &[]).await;
    client.until("x").await;
    client.reset();
    backend.wait_for_ends(1).await;
}
