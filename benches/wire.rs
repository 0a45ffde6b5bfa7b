//! The inner pieces of the wire: a head in, a head out.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::{Method, StatusCode, Version};
use wire::head::{
    Progress, RequestLimits, ResponseFraming, ResponseLimits, parse_request, parse_response,
    push_field, push_request_line, push_response_head,
};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REQUEST: &[u8] = b"GET /api/users/42?expand=roles HTTP/1.1\r\nHost: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json, text/plain, */*\r\nAccept-Language: en-GB,en;q=0.8,ko;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\nReferer: https://shop.example.com/account\r\n\
    Origin: https://shop.example.com\r\nDNT: 1\r\nSec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Site: same-site\r\nCookie: session=0f3c9a7be1d24c55; theme=dark\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
    Server: backend\r\nCache-Control: no-store\r\nETag: \"0f3c\"\r\n\r\n{}";
const REQUEST_LIMITS: RequestLimits = RequestLimits {
    head: 64 * 1024,
    fields: 100,
    target: 8 * 1024,
};
const RESPONSE_LIMITS: ResponseLimits = ResponseLimits {
    head: 64 * 1024,
    fields: 100,
};

fn parse(criterion: &mut Criterion) {
    criterion.bench_function("parse a request of 12 fields", |bencher| {
        bencher.iter_batched_ref(
            || BytesMut::from(REQUEST),
            |buffer| parse_request(buffer, &REQUEST_LIMITS, &mut Progress::default()),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("parse an answer of 5 fields", |bencher| {
        bencher.iter_batched_ref(
            || BytesMut::from(ANSWER),
            |buffer| {
                let method = Method::GET;
                parse_response(buffer, &method, &RESPONSE_LIMITS, &mut Progress::default())
            },
            BatchSize::SmallInput,
        );
    });
}

fn write(criterion: &mut Criterion) {
    let mut buffer = BytesMut::from(REQUEST);
    let request = parse_request(&mut buffer, &REQUEST_LIMITS, &mut Progress::default());
    let request = request.unwrap().unwrap();
    let mut out = Vec::with_capacity(4096);
    criterion.bench_function("write a request of 12 fields", |bencher| {
        bencher.iter(|| {
            out.clear();
            push_request_line(&mut out, &request.method, |out| {
                out.extend_from_slice(request.target.path().as_bytes());
            });
            for (name, value) in &request.headers {
                push_field(&mut out, name, value.as_bytes());
            }
            black_box(out.len())
        });
    });
    let mut buffer = BytesMut::from(ANSWER);
    let method = Method::GET;
    let answer = parse_response(
        &mut buffer,
        &method,
        &RESPONSE_LIMITS,
        &mut Progress::default(),
    );
    let headers = answer.unwrap().unwrap().headers;
    criterion.bench_function("write an answer of 5 fields", |bencher| {
        bencher.iter(|| {
            out.clear();
            let framing = ResponseFraming::Fixed(2);
            let status = StatusCode::OK;
            push_response_head(&mut out, Version::HTTP_11, status, &headers, framing, false);
            black_box(out.len())
        });
    });
}

criterion_group!(benches, parse, write);
criterion_main!(benches);
