//! The consumers file, and the commands that make what stands in it.

use serde_json::json;
use testkit::GatewayBuilder;

use super::fixtures::consumers::{API_KEY_SECRET, hash_of, new_key};
use super::fixtures::signing::{openssl, url};
use crate::{gateway, routes};

/// What `check` says about a consumers file.
async fn check(content: &str) -> (Option<i32>, String) {
    let (status, _, error) = with_file(content).argument("check").finish().await;
    (status.code(), error)
}

fn with_file(content: &str) -> GatewayBuilder {
    gateway()
        .routes(&routes(&[
            json!({ "path": "/a", "auth": { "accept": ["apiKey", "basic"] } }),
        ]))
        .file("consumers.json", content)
        .env("CONSUMERS_FILE", "consumers.json")
        .env("API_KEY_SECRET", API_KEY_SECRET)
}

#[track_caller]
fn assert_told(told: &(Option<i32>, String), mistakes: &[&str]) {
    let (code, error) = told;
    assert_eq!(*code, Some(1), "{error}");
    for mistake in mistakes {
        let line = format!("api-gateway: consumers.json:{mistake}");
        let found = error.lines().filter(|told| told.starts_with(&line));
        assert_eq!(found.count(), 1, "{mistake}: {error}");
    }
    assert_eq!(error.lines().count(), mistakes.len(), "{error}");
}

#[tokio::test]
async fn mistakes_are_told_at_their_places() {
    let told = check(
        &[
            r#"{ "consumers": ["#,
            r#"{ "name": "a", "password": "hunter2-in-clear" },"#,
            r#"{ "name": "" },"#,
            r#"{ "tier": "gold" },"#,
            r#"{ "name": "b", "expires": "2027-13-01T00:00:00Z" },"#,
            r#"{ "name": "c", "expires": "2027-01-01" },"#,
            r#"{ "name": "d", "tokenLifetime": 0 },"#,
            r#"{ "name": "e", "scope": ["a"] },"#,
            r#"{ "name": "f", "roles": "boss" },"#,
            r#"{ "name": "g", "claims": { "sub": "root" } },"#,
            r#"{ "name": "h:i", "password": "$argon2id$v=19$m=256,t=1,p=1$c2FsdCBvZiB0aGUgdGVzdHM$M5y1Fs44ZmnGEaD1xWlNI4mJZijoRVLTPMR1KmQPS6c" },"#,
            r#"{ "name": "j", "keys": [{ "id": "x" }] },"#,
            r#"{ "name": "k", "keys": [{ "hash": "hmac-sha256:fSYqTVypDM0nI71VwkfunOPQdiVrcTJXoPp4hpM45lA" }] },"#,
            r#"{ "name": "l", "password": "$argon2i$v=19$m=256,t=1,p=1$c2FsdCBvZiB0aGUgdGVzdHM$M5y1Fs44ZmnGEaD1xWlNI4mJZijoRVLTPMR1KmQPS6c" }"#,
            r#"] }"#,
        ]
        .join("\n"),
    )
    .await;
    assert_told(
        &told,
        &[
            "2:28: must be a hash",
            "3:11: must not be empty",
            "4:1: \"name\" is missing",
            "5:27: must be a time in UTC",
            "6:27: must be a time in UTC",
            "7:33: 0 is out of range",
            "8:16: unknown key \"scope\"; did you mean \"scopes\"?",
            "9:25: expected an array",
            "10:35: \"sub\"",
            "11:11: ",
            "12:25: \"hash\" is missing",
            "13:25: \"id\" is missing",
            "14:28: must be a hash by argon2id",
        ],
    );
    assert!(!told.1.contains("hunter2"), "{}", told.1);
}

#[tokio::test]
async fn names_and_keys_stand_there_once() {
    let (_, entry) = new_key(&["--id", "first"]).await;
    for (consumers, said) in [
        (
            json!([{ "name": "a" }, { "name": "b" }, { "name": "a" }]),
            "1:49: the name \"a\" is used by another consumer",
        ),
        (
            json!([{ "name": "a", "keys": [entry] }, { "name": "b", "keys": [entry] }]),
            "the same key stands here twice",
        ),
        (
            json!([{ "name": "a", "keys": [entry, entry] }]),
            "the same key stands here twice",
        ),
    ] {
        let (code, error) = check(&json!({ "consumers": consumers }).to_string()).await;
        assert_eq!(code, Some(1), "{consumers}: {error}");
        assert!(
            error.contains("consumers.json:1:") && error.contains(said),
            "{error}"
        );
    }
    let (code, error) = check(r#"{ "consumers": [{ "name": "a", "name": "b" }] }"#).await;
    assert_eq!(code, Some(1));
    assert!(
        error.contains("consumers.json:1:32: ") && error.contains("twice"),
        "{error}"
    );
}

#[tokio::test]
async fn a_hash_that_is_none_is_told_and_not_shown() {
    for hash in [
        "",
        "gwk_the-key-itself-and-not-its-hash",
        "hmac-sha256:",
        "hmac-sha256:c2VjcmV0LXRleHQ",
        "hmac-sha256:!!!ecret-text-that-is-no-base64-at-all-0000",
        "sha256:fSYqTVypDM0nI71VwkfunOPQdiVrcTJXoPp4hpM45lA",
        "fSYqTVypDM0nI71VwkfunOPQdiVrcTJXoPp4hpM45lA",
    ] {
        let file = json!({ "consumers": [{ "name": "a", "keys": [{ "id": "x", "hash": hash }] }] });
        let (code, error) = check(&file.to_string()).await;
        assert_eq!(code, Some(1), "{hash}: {error}");
        assert!(
            error.contains("consumers.json:1:52: must be \"hmac-sha256:\""),
            "{error}"
        );
        for part in ["the-key-itself", "c2VjcmV0", "ecret-text", "fSYqTVyp"] {
            assert!(!error.contains(part), "{error}");
        }
    }
}

#[tokio::test]
async fn a_file_that_is_none_is_told_and_stops_the_start() {
    for (content, said) in [
        ("", "consumers.json:1:1: "),
        ("{", "consumers.json:1:"),
        ("{}", "consumers.json:1:1: \"consumers\" is missing"),
        ("null", "consumers.json:1:1: "),
        (
            r#"{ "consumers": {} }"#,
            "consumers.json:1:16: expected an array",
        ),
        (
            r#"{ "consumers": [1] }"#,
            "consumers.json:1:17: expected an object",
        ),
        (
            r#"{ "consumers": [[]] }"#,
            "consumers.json:1:17: expected an object",
        ),
        (r#"{ "consumers": [], }"#, "consumers.json:1:"),
        (
            r#"{ "consumers": [], "consumer": [] }"#,
            "consumers.json:1:20: unknown key",
        ),
        ("{ \"consumers\": [] } // a", "consumers.json:1:"),
    ] {
        for command in ["check", "run"] {
            let (status, _, error) = with_file(content).argument(command).finish().await;
            assert_eq!(status.code(), Some(1), "{command} {content}: {error}");
            assert!(
                error.contains(said) && !error.contains("panicked"),
                "{content}: {error}"
            );
        }
    }
    let (status, _, error) = with_file("")
        .env("CONSUMERS_FILE", "nowhere.json")
        .argument("check")
        .finish()
        .await;
    assert_eq!(status.code(), Some(1));
    assert!(
        error.contains("nowhere.json") && error.contains("CONSUMERS_FILE"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_holds_something_else_than_an_object_is_told_too() {
    let mut untold = Vec::new();
    for content in ["[]", "[{ \"name\": \"a\" }]", "\"text\"", "7", "null"] {
        let (code, error) = check(content).await;
        if code != Some(1) || !error.contains("consumers.json:1:1: expected an object") {
            untold.push((content, code, error));
        }
    }
    assert!(untold.is_empty(), "{untold:?}");
}

#[tokio::test]
async fn an_empty_file_is_told_of_in_its_own_words() {
    let (code, error) = check("").await;
    assert_eq!(code, Some(1));
    assert!(!error.contains("routes"), "{error}");
}

#[tokio::test]
async fn keys_cannot_be_checked_without_the_secret_of_their_hashes() {
    let (_, entry) = new_key(&[]).await;
    let file = json!({ "consumers": [{ "name": "a", "keys": [entry] }] }).to_string();
    let (status, _, error) = with_file(&file)
        .env("API_KEY_SECRET", "")
        .argument("check")
        .finish()
        .await;
    assert_eq!(status.code(), Some(1));
    assert!(
        error.contains("consumers.json:1:") && error.contains("API_KEY_SECRET"),
        "{error}"
    );
    let without = json!({ "consumers": [{ "name": "a" }] }).to_string();
    let (status, _, error) = with_file(&without)
        .env("API_KEY_SECRET", "")
        .argument("check")
        .finish()
        .await;
    assert_eq!((status.code(), error.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_new_key_is_shown_once_and_its_entry_holds_its_hash() {
    let (key, entry) = new_key(&["--id", "2026-11", "--expires", "2027-06-30T00:00:00Z"]).await;
    assert_eq!(entry["id"], "2026-11");
    assert_eq!(entry["expires"], "2027-06-30T00:00:00Z");
    let hash = entry["hash"].as_str().unwrap();
    assert!(hash.starts_with("hmac-sha256:"), "{hash}");
    assert!(!entry.to_string().contains(key.trim_start_matches("gwk_")));
    // 256 bits, in six bits a letter.
    assert!(key.len() >= 43, "{key}");
    let (other, entry) = new_key(&[]).await;
    assert_ne!(key, other);
    assert!(entry.get("expires").is_none());

    // The hash is HMAC-SHA256 by the secret, as OpenSSL sees it.
    let option = format!("key:{API_KEY_SECRET}");
    let arguments = [
        "dgst", "-sha256", "-mac", "HMAC", "-macopt", &option, "-binary",
    ];
    let mac = openssl(&arguments, key.as_bytes());
    assert_eq!(hash, format!("hmac-sha256:{}", url(mac)));
}

#[tokio::test]
async fn commands_end_with_1_for_what_they_cannot_use() {
    let key = |arguments: &[&str], secret: Option<&str>| {
        let mut builder = gateway().argument("key").argument("new");
        for argument in arguments {
            builder = builder.argument(argument);
        }
        match secret {
            Some(secret) => builder.env("API_KEY_SECRET", secret),
            None => builder,
        }
    };
    let hash = |input: &str| gateway().argument("hash").stdin(input);
    for (builder, said) in [
        (key(&[], None), "API_KEY_SECRET"),
        (key(&[], Some("")), "API_KEY_SECRET"),
        (
            key(&["--expires", "2027-06-30"], Some("secret")),
            "--expires",
        ),
        (key(&["--expires", "soon"], Some("secret")), "--expires"),
        (hash(""), "password"),
        (hash("\n"), "password"),
        (gateway().argument("hash"), "password"),
    ] {
        let (status, output, error) = builder.finish().await;
        assert_eq!((status.code(), output.as_str()), (Some(1), ""), "{error}");
        assert!(
            error.contains(said) && error.lines().count() == 1,
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_hash_of_a_password_is_by_argon2id_and_another_each_time() {
    let (first, second) = (hash_of("a password").await, hash_of("a password").await);
    assert_ne!(first, second);
    for hash in [first, second] {
        assert!(
            hash.starts_with("$argon2id$v=19$") && hash.lines().count() == 1,
            "{hash}"
        );
        let file = json!({ "consumers": [{ "name": "a", "password": hash }] }).to_string();
        assert_eq!(check(&file).await, (Some(0), String::new()));
    }
}

#[tokio::test]
async fn schema_consumers_prints_what_the_file_in_configs_holds() {
    let file = include_str!("../../../configs/consumers.schema.json");
    let builder = gateway().argument("schema").argument("consumers");
    let (status, output, _) = builder.finish().await;
    assert_eq!((status.code(), output.as_str()), (Some(0), file));
}
