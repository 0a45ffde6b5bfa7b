//! What HTTP/2 can say and HTTP/1.1 would take for something else: none of it reaches a backend.

use testkit::Backend;
use testkit::http2::{
    Answer, Client, flag, frame_bytes, header_block, kind, reason, request_fields,
};

use crate::in_front_of;

type Fields<'a> = Vec<(&'a str, &'a str)>;

/// Sends requests with these fields, each without a body: all are refused, by a 400, a reset or the end of the connection.
/// Good ones come right behind them: these are all that may reach the backend.
async fn assert_refused(cases: Vec<(&str, Fields<'_>)>) {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    for (name, fields) in cases {
        let mut client = Client::connect(gateway.address()).await;
        client.headers(1, flag::END, &fields).await;
        let answer = client.answer(1).await;
        assert!(is_refusal(&answer), "{name}: {answer:?}");
        if answer.goaway.is_some() {
            client = Client::connect(gateway.address()).await;
        }
        client.get(3, "/good").await;
        assert_eq!(client.answer(3).await.status, Some(200), "{name}");
        assert_eq!(backend.last().target(), "/good", "{name}");
    }
    assert!(backend.requests().iter().all(|it| it.target() == "/good"));
}

fn is_refusal(answer: &Answer) -> bool {
    const MALFORMED: Option<u32> = Some(reason::PROTOCOL_ERROR);
    match answer.status {
        Some(status) => status == 400 && answer.reset.or(answer.goaway).is_none(),
        None => answer.reset.or(answer.goaway) == MALFORMED,
    }
}

#[tokio::test]
async fn fields_that_could_end_a_line_or_a_head() {
    let with = |name, value| request_fields("GET", "/", &[(name, value)]);
    let request = "x\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_refused(vec![
        ("CR LF in a value", with("x", "1\r\ny: 2")),
        ("a request in a value", with("x", request)),
        ("LF in a value", with("x", "1\ny: 2")),
        ("CR in a value", with("x", "1\ry")),
        ("NUL in a value", with("x", "1\0")),
        ("another control byte in a value", with("x", "\u{7f}")),
        ("a blank before a value", with("x", " 1")),
        ("a blank after a value", with("x", "1 ")),
        ("a tab before a value", with("x", "\t1")),
        ("a tab after a value", with("x", "1\t")),
        ("nothing but a blank", with("x", " ")),
        ("CR LF in a name", with("x\r\ny", "1")),
        ("a request in a name", with(request, "1")),
        ("a colon in a name", with("x:y", "1")),
        (
            "a field in a name",
            with("transfer-encoding: chunked\r\nx", "1"),
        ),
        ("a blank in a name", with("x y", "1")),
        ("a blank after a name", with("content-length ", "1")),
        ("NUL in a name", with("x\0", "1")),
        ("an empty name", with("", "1")),
        ("an upper-case name", with("X-Upper", "1")),
        ("a name in another alphabet", with("ü", "1")),
    ])
    .await;
}

#[tokio::test]
async fn fields_that_say_where_a_request_ends() {
    let with = |more: &[(&'static str, &'static str)]| request_fields("POST", "/", more);
    assert_refused(vec![
        (
            "transfer-encoding",
            with(&[("transfer-encoding", "chunked")]),
        ),
        ("another coding", with(&[("transfer-encoding", "identity")])),
        ("connection", with(&[("connection", "close")])),
        (
            "connection that names a field",
            with(&[("connection", "content-length")]),
        ),
        ("keep-alive", with(&[("keep-alive", "timeout=5")])),
        ("proxy-connection", with(&[("proxy-connection", "close")])),
        ("upgrade", with(&[("upgrade", "h2c")])),
        ("te", with(&[("te", "chunked")])),
        ("a length without a body", with(&[("content-length", "5")])),
        (
            "two lengths",
            with(&[("content-length", "0"), ("content-length", "5")]),
        ),
        (
            "the same length twice",
            with(&[("content-length", "0"), ("content-length", "0")]),
        ),
        ("a list of lengths", with(&[("content-length", "0, 0")])),
        ("a signed length", with(&[("content-length", "+0")])),
        ("a negative length", with(&[("content-length", "-1")])),
        ("a hexadecimal length", with(&[("content-length", "0x0")])),
        ("an empty length", with(&[("content-length", "")])),
        (
            "a huge length",
            with(&[("content-length", "18446744073709551616")]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn pseudo_fields_that_are_not_as_they_must_be() {
    let all = request_fields("GET", "/", &[]);
    let without = |name: &str| {
        all.iter()
            .copied()
            .filter(|it| it.0 != name)
            .collect::<Fields<'_>>()
    };
    let and = |name, value| request_fields("GET", "/", &[(name, value)]);
    let late =
        |name: &'static str, value| [without(name), vec![("x", "1"), (name, value)]].concat();
    assert_refused(vec![
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("no authority", without(":authority")),
        ("two methods", and(":method", "POST")),
        ("two paths", and(":path", "/other")),
        ("two schemes", and(":scheme", "https")),
        ("two authorities", and(":authority", "other.test")),
        ("a late method", late(":method", "GET")),
        ("a late path", late(":path", "/")),
        ("a late authority", late(":authority", "gateway.test")),
        ("an unknown pseudo-field", and(":version", "HTTP/1.1")),
        ("a status", and(":status", "200")),
        ("nothing but a colon", and(":", "1")),
    ])
    .await;
}

#[tokio::test]
async fn targets_and_methods_that_could_hold_a_request_line() {
    let path = |path| request_fields("GET", path, &[]);
    let method = |method| request_fields(method, "/", &[]);
    assert_refused(vec![
        ("an empty path", path("")),
        ("a blank in a path", path("/a b")),
        (
            "a request line in a path",
            path("/ HTTP/1.1\r\nhost: a\r\n\r\nGET /smuggled"),
        ),
        ("CR LF in a path", path("/\r\n")),
        ("LF in a query", path("/?a\nb")),
        ("a tab in a path", path("/a\tb")),
        ("NUL in a path", path("/\0")),
        ("a path without a slash", path("a")),
        ("a query without a path", path("?a")),
        ("an absolute target", path("http://other.test/")),
        ("an authority for a path", path("other.test:80")),
        ("* for GET", path("*")),
        ("a blank in a method", method("GET /smuggled HTTP/1.1")),
        ("CR LF in a method", method("GET\r\n")),
        ("an empty method", method("")),
        ("a lower-case method", method("get")),
        ("CONNECT with a path", method("CONNECT")),
        (
            "CONNECT",
            vec![(":method", "CONNECT"), (":authority", "other.test:443")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn hosts_that_could_be_two() {
    let request = |scheme, authority, more: &[(&'static str, &'static str)]| {
        let mut fields = vec![
            (":method", "GET"),
            (":scheme", scheme),
            (":authority", authority),
            (":path", "/"),
        ];
        fields.extend(more);
        fields
    };
    let with = |authority| request("http", authority, &[]);
    let and = |more| request("http", "gateway.test", more);
    assert_refused(vec![
        ("another Host", and(&[("host", "other.test")])),
        (
            "another Host behind the right one",
            and(&[("host", "gateway.test"), ("host", "other.test")]),
        ),
        (
            "the same Host twice",
            and(&[("host", "gateway.test"), ("host", "gateway.test")]),
        ),
        ("an empty Host", and(&[("host", "")])),
        ("user information", with("user@gateway.test")),
        ("a password", with("user:secret@gateway.test")),
        ("an empty authority", with("")),
        ("a path in an authority", with("gateway.test/a")),
        ("a blank in an authority", with("gateway.test x")),
        ("CR LF in an authority", with("gateway.test\r\nx: 1")),
        ("a port that is no number", with("gateway.test:http")),
        ("another scheme", request("ftp", "gateway.test", &[])),
        (
            "CR LF in a scheme",
            request("http\r\nx: 1", "gateway.test", &[]),
        ),
        (
            "a URL for a scheme",
            request("http://other.test/?", "gateway.test", &[]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_allowed_reaches_the_backend_as_one_request() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    let without_authority = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        ("host", "gateway.test"),
    ];
    for (number, (fields, target)) in [
        (request_fields("GET", "/a?b=c#fragment", &[]), "/a?b=c"),
        (request_fields("GET", "//other.test/", &[]), "/other.test/"),
        (request_fields("GET", "/", &[("te", "trailers")]), "/"),
        (request_fields("GET", "/", &[("host", "gateway.test")]), "/"),
        (request_fields("GET", "/", &[("x", "")]), "/"),
        (request_fields("GET", "/", &[("x", "a\tb: c")]), "/"),
        (request_fields("POST", "/", &[("content-length", "0")]), "/"),
        (without_authority, "/"),
    ]
    .into_iter()
    .enumerate()
    {
        let stream = 2 * number as u32 + 1;
        client.headers(stream, flag::END, &fields).await;
        assert_eq!(client.answer(stream).await.status, Some(200), "{fields:?}");
        let requests = backend.requests();
        assert_eq!(requests.len(), number + 1, "{fields:?}");
        assert_eq!(requests[number].target(), target);
        let host = requests[number].field("x-forwarded-host");
        assert_eq!(host, Some("gateway.test"));
        assert_eq!(requests[number].field("transfer-encoding"), None);
        assert!(requests[number].body.is_empty());
    }
}

#[tokio::test]
async fn bodies_that_are_not_as_long_as_they_say() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let smuggled = b"GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let long = [&b"12345"[..], smuggled].concat();
    for (name, parts) in [
        ("longer", vec![&long[..]]),
        ("longer by a second part", vec![&b"12345"[..], smuggled]),
        ("shorter", vec![&b"123"[..]]),
        ("empty", vec![&b""[..]]),
    ] {
        let mut client = Client::connect(gateway.address()).await;
        let fields = request_fields("POST", "/upload", &[("content-length", "5")]);
        client.headers(1, flag::END_HEADERS, &fields).await;
        let last = parts.len() - 1;
        for (number, part) in parts.iter().enumerate() {
            let flags = if number == last { flag::END_STREAM } else { 0 };
            client.frame(kind::DATA, flags, 1, part).await;
        }
        // An answer may have been on its way by then; that there is no second request is what matters.
        let answer = client.answer(1).await;
        assert!(
            answer.reset == Some(reason::PROTOCOL_ERROR) || name.contains("second"),
            "{name}: {answer:?}"
        );
        client.get(3, "/good").await;
        assert_eq!(client.answer(3).await.status, Some(200), "{name}");
    }
    for request in backend.requests() {
        match request.target() {
            "/upload" => assert!(request.cut || request.text() == "12345", "{request:?}"),
            target => assert_eq!(target, "/good"),
        }
    }
}

#[tokio::test]
async fn bodies_that_look_like_requests_or_chunks_stay_bodies() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let mut client = Client::connect(gateway.address()).await;
    let body = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    let length = body.len().to_string();
    let with_length = [("content-length", &*length)];
    let mut stream = 1;
    for more in [&[][..], &with_length] {
        for method in ["POST", "GET", "DELETE"] {
            let fields = request_fields(method, "/", more);
            client.headers(stream, flag::END_HEADERS, &fields).await;
            client
                .frame(kind::DATA, flag::END_STREAM, stream, body.as_bytes())
                .await;
            stream += 2;
        }
    }
    backend.wait_for_requests(6).await;
    for request in backend.requests() {
        assert_eq!((request.target(), &*request.text()), ("/", body));
    }
}

#[tokio::test]
async fn trailers_say_nothing_about_the_request() {
    let backend = Backend::ok().await;
    let gateway = in_front_of(&backend).await;
    let fields = request_fields("POST", "/upload", &[]);
    for (name, trailers, is_served) in [
        // It is left out, like others that have no business there.
        (
            "a pseudo-field",
            &[(":path", "/smuggled"), ("x-sum", "9")][..],
            true,
        ),
        (
            "transfer-encoding",
            &[("transfer-encoding", "chunked")],
            false,
        ),
        ("connection", &[("connection", "close")], false),
        ("CR LF", &[("x", "1\r\ny: 2")], false),
        ("a blank after a name", &[("x ", "1")], false),
        ("an upper-case name", &[("X", "1")], false),
        ("a length", &[("content-length", "0"), ("x-sum", "9")], true),
        ("a host", &[("host", "other.test"), ("x-sum", "9")], true),
        (
            "credentials",
            &[("authorization", "Basic YTpi"), ("x-sum", "9")],
            true,
        ),
    ] {
        let mut client = Client::connect(gateway.address()).await;
        let before = backend.requests().len();
        let block = header_block(&fields);
        let head = frame_bytes(kind::HEADERS, flag::END_HEADERS, 1, &block);
        let body = frame_bytes(kind::DATA, 0, 1, b"hello");
        client.send([head, body].concat()).await;
        client.headers(1, flag::END, trailers).await;
        let answer = client.answer(1).await;
        assert_eq!(answer.status == Some(200), is_served, "{name}: {answer:?}");
        let requests = backend.requests();
        let sent = &requests[before..];
        if is_served {
            assert_eq!(sent.len(), 1, "{name}");
            assert_eq!(sent[0].trailers, [("x-sum".to_owned(), "9".to_owned())]);
        } else {
            assert!(is_refusal(&answer), "{name}: {answer:?}");
            assert!(sent.iter().all(|request| request.cut), "{name}");
        }
    }
}
