//! Mistakes in what a routes file says about authentication, as `check` tells them.

use serde_json::{Value, json};

use super::fixtures::signing::{P256, RSA, openssl};
use crate::gateway;

/// What `check` says about a file of these lines, with a good key of an issuer beside it.
async fn check(lines: &[&str]) -> (Option<i32>, String) {
    check_with(lines, &[]).await
}

async fn check_with(lines: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut builder = gateway()
        .file("routes.json", &lines.join("\n"))
        .file("joe.pem", &P256.public)
        .env("ROUTES_CONFIG_PATH", "routes.json")
        .argument("check");
    for (variable, value) in variables {
        builder = builder.env(variable, value);
    }
    let (status, _, error) = builder.finish().await;
    (status.code(), error)
}

/// That each mistake is told at its place, one line each, and that nothing else is.
#[track_caller]
fn assert_told(told: &(Option<i32>, String), mistakes: &[&str]) {
    let (code, error) = told;
    assert_eq!(*code, Some(1), "{error}");
    for mistake in mistakes {
        let line = format!("api-gateway: routes.json:{mistake}");
        let found = error.lines().filter(|told| told.contains(&line));
        assert_eq!(found.count(), 1, "{mistake}: {error}");
    }
    assert_eq!(error.lines().count(), mistakes.len(), "{error}");
}

#[tokio::test]
async fn mistakes_of_issuers_are_told_at_their_places() {
    let told = check(&[
        r#"{ "issuers": {"#,
        r#"  "plain": { "issuer": "https://a", "jwks": "http://a/jwks" },"#,
        r#"  "found": { "issuer": "http://b" },"#,
        r#"  "other": { "issuer": "https://c", "jwks": "ftp://c" },"#,
        r#"  "name": { "issuer": "no address" },"#,
        r#"  "both": { "issuer": "https://d", "jwks": "https://d", "keys": "joe.pem" },"#,
        r#"  "twice": { "issuer": "https://k", "keys": "joe.pem" },"#,
        r#"  "none": { "keys": "joe.pem" },"#,
        r#"  "empty": { "issuer": "", "keys": "joe.pem" },"#,
        r#"  "gateway": { "issuer": "https://e", "keys": "joe.pem" },"#,
        r#"  "alg": { "issuer": "https://f", "keys": "joe.pem", "algorithms": ["none", "HS256"] },"#,
        r#"  "rare": { "issuer": "https://g", "keys": "joe.pem", "algorithms": [] },"#,
        r#"  "often": { "issuer": "https://h", "refresh": "9s" },"#,
        r#"  "slow": { "issuer": "https://i", "leeway": 3601, "refresh": "soon" },"#,
        r#"  "typo": { "issuer": "https://j", "audience": ["a"] },"#,
        r#"  "good": { "issuer": "https://k", "keys": "joe.pem" }"#,
        r#"}, "routes": [] }"#,
    ])
    .await;
    assert_told(
        &told,
        &[
            "2:45: ",
            "3:24: ",
            "4:45: ",
            "5:23: ",
            "6:44: ",
            "16:23: another issuer has the same",
            "8:11: \"issuer\" is missing",
            "9:24: must not be empty",
            "10:14: \"gateway\" is the name of the gateway itself",
            "11:69: \"none\" is not an algorithm",
            "11:77: \"HS256\" is not an algorithm",
            "12:69: must not be empty",
            "13:48: must be a time of at least 10 seconds",
            "14:46: 3601 is out of range",
            "14:63: must be a time",
            "15:36: unknown key \"audience\"; did you mean \"audiences\"?",
        ],
    );
    for part in ["https", "allowHttp"] {
        assert!(told.1.contains(part), "{part}");
    }
}

#[tokio::test]
async fn a_key_file_that_cannot_be_used_is_told_and_not_shown() {
    let certificate = openssl(
        &[
            "req",
            "-x509",
            "-key",
            "/dev/stdin",
            "-subj",
            "/CN=joe",
            "-days",
            "9",
        ],
        RSA.private.as_bytes(),
    );
    let old_form = openssl(&["rsa", "-traditional"], RSA.private.as_bytes());
    let agreement = openssl(&["genpkey", "-algorithm", "X25519"], b"");
    let agreement = openssl(&["pkey", "-pubout"], &agreement);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    for (content, said) in [
        (Some(P256.private.clone()), "private key"),
        (Some(text(old_form)), "private key"),
        (
            Some(format!("{}{}", P256.public, P256.private)),
            "private key",
        ),
        (Some(text(certificate)), "a certificate"),
        (Some(text(agreement)), ""),
        (Some(String::new()), "BEGIN PUBLIC KEY"),
        (Some("just-a-secret-text".to_owned()), "BEGIN PUBLIC KEY"),
        (Some(P256.public.replace("END", "FIN")), ""),
        (Some(P256.public.replace("MF", "!!")), ""),
        (Some("{".to_owned()), ""),
        (Some(json!({ "keys": [] }).to_string()), ""),
        (
            Some(json!({ "keys": [{ "kty": "oct", "k": "c2VjcmV0LXRleHQ" }] }).to_string()),
            "",
        ),
        (None, "cannot be read"),
    ] {
        let line = r#"{ "issuers": { "joe": { "issuer": "https://joe", "keys": "key.file" } }, "routes": [] }"#;
        let mut builder = gateway()
            .file("routes.json", line)
            .env("ROUTES_CONFIG_PATH", "routes.json")
            .argument("check");
        if let Some(content) = &content {
            builder = builder.file("key.file", content);
        }
        let (status, _, error) = builder.finish().await;
        assert_eq!(status.code(), Some(1), "{content:?}: {error}");
        assert!(
            error.starts_with("api-gateway: routes.json:1:58: "),
            "{error}"
        );
        assert!(
            error.contains("key.file") && error.contains(said),
            "{said}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
        for secret in content.iter().flat_map(|content| content.lines()) {
            let shown = secret.len() > 20 && error.contains(secret);
            assert!(!shown, "{error}");
        }
        for secret in ["just-a-secret", "c2VjcmV0"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}

#[tokio::test]
async fn the_private_half_of_a_key_in_a_key_set_is_told_too() {
    let mut private = P256.jwk("one");
    private["d"] = "c2VjcmV0LXBhcnQtb2YtdGhlLWtleQ".into();
    let line = r#"{ "issuers": { "joe": { "issuer": "https://joe", "keys": "joe.jwks" } }, "routes": [] }"#;
    let (status, _, error) = gateway()
        .file("routes.json", line)
        .file("joe.jwks", &json!({ "keys": [private] }).to_string())
        .env("ROUTES_CONFIG_PATH", "routes.json")
        .argument("check")
        .finish()
        .await;
    assert_eq!(status.code(), Some(1), "{error}");
    assert!(
        error.contains("routes.json:1:58: ") && error.contains("private"),
        "{error}"
    );
}

#[tokio::test]
async fn keys_of_an_issuer_that_are_too_weak_are_told() {
    let short = openssl(
        &[
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:1024",
        ],
        b"",
    );
    let short = openssl(&["pkey", "-pubout"], &short);
    let line = r#"{ "issuers": { "joe": { "issuer": "https://joe", "keys": "short.pem" } }, "routes": [] }"#;
    let (status, _, error) = gateway()
        .file("routes.json", line)
        .file("short.pem", &String::from_utf8(short).unwrap())
        .env("ROUTES_CONFIG_PATH", "routes.json")
        .argument("check")
        .finish()
        .await;
    assert_eq!(status.code(), Some(1), "{error}");
    assert!(error.contains("routes.json:1:58: "), "{error}");
}

#[tokio::test]
async fn a_relative_path_of_a_key_file_starts_at_the_folder_of_the_routes_file() {
    let file =
        r#"{ "issuers": { "joe": { "issuer": "https://joe", "keys": "joe.pem" } }, "routes": [] }"#;
    let builder = || {
        gateway()
            .file("config/routes.json", file)
            .env("ROUTES_CONFIG_PATH", "config/routes.json")
            .argument("check")
    };
    let (status, _, error) = builder()
        .file("config/joe.pem", &P256.public)
        .finish()
        .await;
    assert_eq!((status.code(), error.as_str()), (Some(0), ""));
    let (status, _, error) = builder().file("joe.pem", &P256.public).finish().await;
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("config/routes.json:1:58: "), "{error}");
}

#[tokio::test]
async fn mistakes_of_routes_are_told_at_their_places() {
    let told = check_with(
        &[
            r#"{ "issuers": { "joe": { "issuer": "https://joe", "keys": "joe.pem" },"#,
            r#"               "ann": { "issuer": "https://ann", "keys": "joe.pem" } }, "routes": ["#,
            r#"{ "path": "/a", "auth": { "issuers": ["jo"] } },"#,
            r#"{ "path": "/b", "auth": { "accept": ["jwt", "password"] } },"#,
            r#"{ "path": "/c", "auth": { "accept": [] } },"#,
            r#"{ "path": "/d", "auth": { "accept": ["forward"] } },"#,
            r#"{ "path": "/e", "auth": { "accept": ["jwt"], "forward": { "url": "http://a" } } },"#,
            r#"{ "path": "/f", "requireAuth": false, "auth": {} },"#,
            r#"{ "path": "/g", "auth": { "tokenFrom": ["bearer", "cookie", "body:x", "header:A B"] } },"#,
            r#"{ "path": "/h", "auth": { "scope": ["a"] } },"#,
            r#"{ "path": "/i", "auth": { "roles": "boss" } },"#,
            r#"{ "path": "/j", "auth": true },"#,
            r#"{ "path": "/k", "auth": { "accept": ["apiKey"] } },"#,
            r#"{ "path": "/l", "forwardClaims": { "X-User": "sub" } },"#,
            r#"{ "path": "/m", "requireAuth": true, "forwardClaims": { "X User": "sub", "Host": "a", "X-A": "" } },"#,
            r#"{ "path": "/n", "auth": { "forward": { "url": "ftp://a", "timeout": 61, "onError": "maybe" } } },"#,
            r#"{ "path": "/o", "auth": { "forward": {} } },"#,
            r#"{ "path": "/p", "ip": { "allow": ["10.0.0.0/33"], "deny": ["localhost"] } },"#,
            r#"{ "path": "/q", "shadow": ["auth", "jwt"] },"#,
            r#"{ "path": "/r", "service": "tokens" },"#,
            r#"{ "path": "/s", "service": "token", "targetURL": "http://a" }"#,
            r"] }",
        ],
        &[("JWT_SECRET", "own secret")],
    )
    .await;
    assert_told(
        &told,
        &[
            "3:39: there is no issuer \"jo\" in \"issuers\"; there are ann, gateway, joe",
            "4:45: \"password\" is not a kind of credentials; there are jwt, apiKey, basic, clientCert, forward",
            "5:37: must not be empty",
            "6:38: ",
            "7:57: ",
            "8:47: ",
            "9:51: \"cookie\" must be",
            "9:61: \"body:x\" must be",
            "9:71: \"header:A B\" must be",
            "10:27: unknown key \"scope\"; did you mean \"scopes\"?",
            "11:36: expected an array, found the string \"boss\"",
            "12:25: expected an object, found true",
            "13:37: ",
            "14:34: ",
            "15:67: \"X User\" is not the name of a header field",
            "15:82: ",
            "15:94: ",
            "16:47: \"ftp://a\" must be a URL",
            "16:69: 61 is out of range",
            "16:84: \"maybe\" must be \"closed\" or \"open\"",
            "17:38: \"url\" is missing",
            "18:35: \"10.0.0.0/33\" must be an address or a network",
            "18:60: \"localhost\" must be an address or a network",
            "19:36: \"jwt\" cannot be tried out; there are ip, cors, rateLimit, maxBodySize, auth",
            "20:28: \"tokens\" is not a service of the gateway; there are token, jwks, metadata",
            "21:50: ",
        ],
    );
    assert!(told.1.contains("set CONSUMERS_FILE"), "{}", told.1);
}

#[tokio::test]
async fn a_mistake_in_a_rule_is_found_at_the_start() {
    let mut missed = Vec::new();
    for rule in [
        "claims.tier ==",
        "claims.tier = 'gold'",
        "(claims.a",
        "",
        "   ",
        "user.name == 'anna'",
        "Claims.tier == 'gold'",
        "claims.tier == gold",
        "has(claims)",
        "path.startWith('/a')",
        "startsWith(path)",
        "nonsense(path) == 1",
        "path.matches('[')",
        "path.startsWith()",
        "1 + 1",
        "'text'",
    ] {
        let route = json!({ "path": "/a", "auth": { "require": rule } });
        let line = json!({ "routes": [route] }).to_string();
        let column = line.find("\"require\":").unwrap() + "\"require\":".len() + 1;
        let (code, error) = check_with(&[&line], &[("JWT_SECRET", "own secret")]).await;
        let place = format!("routes.json:1:{column}: ");
        if code != Some(1) || !error.contains(&place) {
            missed.push(rule);
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

#[tokio::test]
async fn what_has_no_effect_is_a_warning() {
    let mut silent = Vec::new();
    for auth in [
        json!({ "accept": ["jwt"], "keyFrom": ["header:X-Key"] }),
        json!({ "forward": { "url": "http://a" }, "tokenFrom": ["bearer"] }),
        json!({ "forward": { "url": "http://a" }, "issuers": ["joe"] }),
    ] {
        let joe = json!({ "issuer": "https://joe", "keys": "joe.pem" });
        let route = json!({ "path": "/a", "auth": auth });
        let line: Value = json!({ "issuers": { "joe": joe }, "routes": [route] });
        let (_, error) = check(&[&line.to_string()]).await;
        if !error.contains("routes.json:1:") {
            silent.push(auth);
        }
    }
    for (key, value) in [("refresh", json!("1m")), ("allowHttp", json!(true))] {
        let mut joe = json!({ "issuer": "https://joe", "keys": "joe.pem" });
        joe[key] = value;
        let line = json!({ "issuers": { "joe": joe }, "routes": [] });
        let (_, error) = check(&[&line.to_string()]).await;
        if !error.contains("routes.json:1:") {
            silent.push(joe);
        }
    }
    assert!(silent.is_empty(), "{silent:?}");
}
