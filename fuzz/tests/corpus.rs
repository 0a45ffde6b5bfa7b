//! The short run: every seed, and thousands of mutations of each, the same ones every time.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

/// Mutations of each seed.
const MUTATIONS: u32 = 1500;
/// What turns a message into another one.
const PIECES: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"\0",
    b"0",
    b"\r\n\r\n",
    b";",
    b",",
    b"chunked",
    b"Content-Length: 5\r\n",
    b"Content-Length: +5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Host: b\r\n",
    b"Connection: close, Host\r\n",
    b"/../",
    b"/%2e%2e/",
    b"//",
    b"\\",
    b"HTTP/1.0",
    b"\xff",
];

/// The seeds in one folder.
fn seeds(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(folder);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

/// The cases of other projects, where they are at hand.
fn gathered() -> Vec<Vec<u8>> {
    let Some(folder) = std::env::var_os("CONFORMANCE_DATA") else {
        return Vec::new();
    };
    let text = std::fs::read(Path::new(&folder).join("http1-cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_slice(&text).unwrap();
    let raw = cases.iter().filter_map(|case| case["raw"].as_str());
    // A character of theirs is a byte.
    raw.map(|raw| {
        raw.chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
            .collect()
    })
    .collect()
}

/// One to four small changes.
fn mutate(seed: &[u8], pieces: &[&[u8]], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..=4) {
        let at = random.usize(0..=bytes.len());
        match random.u8(0..4) {
            0 if at < bytes.len() => bytes[at] = random.u8(..),
            1 if at < bytes.len() => {
                let end = random.usize(at..=bytes.len().min(at + 12));
                bytes.drain(at..end);
            }
            2 => {
                let start = random.usize(0..=seed.len());
                let end = random.usize(start..=seed.len().min(start + 40));
                bytes.splice(at..at, seed[start..end].iter().copied());
            }
            _ => {
                let piece = pieces[random.usize(..pieces.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}

/// Runs `target`; a fault shows the bytes that led to it.
fn run(seeds: &[Vec<u8>], target: fn(&[u8])) {
    run_with(seeds, &PIECES, target);
}

fn run_with(seeds: &[Vec<u8>], pieces: &[&[u8]], target: fn(&[u8])) {
    let mut random = fastrand::Rng::with_seed(7);
    for seed in seeds {
        check(seed, target);
        for _ in 0..MUTATIONS {
            check(&mutate(seed, pieces, &mut random), target);
        }
    }
}

fn check(data: &[u8], target: fn(&[u8])) {
    let result = std::panic::catch_unwind(|| target(data));
    assert!(result.is_ok(), "{}", data.escape_ascii());
}

#[test]
fn request_heads_are_read_as_the_reference_reads_them() {
    run(
        &[seeds("request_head"), gathered()].concat(),
        fuzz::request_head,
    );
}

#[test]
fn response_heads_are_read_as_the_reference_reads_them() {
    run(&seeds("response_head"), fuzz::response_head);
}

#[test]
fn chunked_bodies_are_read_as_the_reference_reads_them() {
    run(&seeds("chunked"), fuzz::chunked);
}

#[test]
fn what_a_cache_decides_by_is_read_as_the_reference_reads_it() {
    let changes: [&[u8]; 24] = [
        b", ",
        b"\"",
        b"\\",
        b"=",
        b"W/",
        b"no-cache",
        b"max-age=60",
        b"s-maxage=5",
        b"private",
        b"no-store",
        b"\n",
        b"\n\n",
        b"Vary: a\n",
        b"Range: bytes=0-\n",
        b"If-None-Match: \"a\"\n",
        b"Cache-Control: ",
        b"CDN-Cache-Control: ",
        b"*",
        b"-",
        b"0",
        b";q=1",
        b"?0",
        b"(",
        b"Date: ",
    ];
    run_with(&seeds("cache_fields"), &changes, fuzz::cache_fields);
}

#[test]
fn what_is_forwarded_is_what_the_client_meant() {
    run(
        &[seeds("request_head"), gathered()].concat(),
        fuzz::forwarded,
    );
}
