//! The gateway's own tokens: by which secrets and keys they are good.

use serde_json::{Value, json};
use testkit::{Backend, Gateway, GatewayBuilder};

use super::fixtures::requests::{assert_unauthorized, bearer, get, show};
use super::fixtures::signing::{
    JOE, KEYS, P256, RSA, STRANGERS, claims_of, header_of, hmac, now, openssl, verifies,
};
use super::token_command::make;
use crate::{gateway, routes};

/// The secret that stands in the documentation.
const DEFAULT: &[u8] = b"your-secret-key";

/// A gateway with a route that asks for a token.
fn protecting(backend: &Backend) -> GatewayBuilder {
    gateway().routes(&routes(&[
        json!({ "path": "/*path", "targetURL": backend.url(), "requireAuth": true }),
    ]))
}

fn own(secret: &[u8]) -> String {
    hmac("HS256", secret, &of_gateway())
}

fn of_gateway() -> Value {
    json!({ "iss": "api-gateway", "exp": now() + 60 })
}

async fn assert_statuses(gateway: &Gateway, tokens: &[(String, u16)]) {
    for (token, status) in tokens {
        let answer = show(gateway, "/", token).await;
        assert_eq!(
            answer.status(),
            *status,
            "{} {}",
            header_of(token),
            claims_of(token)
        );
        if *status == 401 {
            assert_unauthorized(&answer);
        }
    }
}

#[tokio::test]
async fn without_any_configuration_the_default_secret_is_believed_and_warned_of() {
    let backend = Backend::ok().await;
    let gateway = protecting(&backend).start().await;
    assert_statuses(&gateway, &[(own(DEFAULT), 200), (own(b"another"), 401)]).await;

    let three = routes(&[
        json!({ "path": "/a", "requireAuth": true }),
        json!({ "path": "/b", "auth": { "accept": ["jwt"] } }),
        json!({ "path": "/c" }),
    ]);
    let (status, output, error) = crate::gateway()
        .routes(&three)
        .argument("check")
        .finish()
        .await;
    assert!(
        status.success() && output.contains("2 warnings"),
        "{output}"
    );
    let warnings = error
        .lines()
        .filter(|line| line.contains("JWT_SECRET is the documented default"));
    assert_eq!(warnings.count(), 2, "{error}");
}

#[tokio::test]
async fn a_token_endpoint_that_signs_with_the_default_secret_is_warned_of() {
    let endpoint = json!({ "path": "/oauth/token", "service": "token" });
    let (_, _, error) = gateway()
        .routes(&routes(&[endpoint]))
        .file("consumers.json", r#"{ "consumers": [] }"#)
        .env("CONSUMERS_FILE", "consumers.json")
        .argument("check")
        .finish()
        .await;
    assert!(
        error.contains("JWT_SECRET is the documented default"),
        "{error}"
    );
}

#[tokio::test]
async fn the_token_command_warns_of_the_default_secret() {
    let (_, _, error) = make(gateway(), &["--sub", "anna"]).await;
    assert!(
        error.contains("JWT_SECRET is the documented default"),
        "{error}"
    );
}

#[tokio::test]
async fn a_secret_of_your_own_replaces_the_default() {
    let backend = Backend::ok().await;
    let gateway = protecting(&backend)
        .env("JWT_SECRET", "own secret")
        .env("JWT_ISSUER", "https://gateway.example.com")
        .start()
        .await;
    let mut claims = of_gateway();
    assert_statuses(&gateway, &[(own(b"own secret"), 401)]).await;
    claims["iss"] = "https://gateway.example.com".into();
    // RFC 9110 §11.1: the name of a scheme is the same in any case.
    let lower = bearer(&hmac("HS256", b"own secret", &claims)).replace("Bearer", "bearer");
    assert_eq!(get(&gateway, "/", &[&lower]).await.status(), 200);
    assert_statuses(
        &gateway,
        &[
            (hmac("HS256", b"own secret", &claims), 200),
            (hmac("HS256", DEFAULT, &claims), 401),
            (hmac("HS256", b"", &claims), 401),
            // It signs HS256, and verifies what others sign with it.
            (hmac("HS384", b"own secret", &claims), 200),
            (hmac("HS512", b"own secret", &claims), 200),
            (hmac("HS512", DEFAULT, &claims), 401),
        ],
    )
    .await;
}

#[tokio::test]
async fn the_default_secret_is_not_accepted_where_the_file_names_issuers() {
    let backend = Backend::ok().await;
    let with_issuers = |auth: Value| {
        let route = json!({ "path": "/*path", "targetURL": backend.url(), "auth": auth });
        gateway().file("joe.pem", &P256.public).routes(&json!({
            "issuers": { "joe": { "issuer": JOE, "keys": "joe.pem" } }, "routes": [route]
        }))
    };
    let gateway = with_issuers(json!({})).start().await;
    let joes = P256.token(&json!({}));
    assert_statuses(&gateway, &[(own(DEFAULT), 401), (joes.clone(), 200)]).await;
    // And not to be had by its name.
    let (status, _, error) = with_issuers(json!({ "issuers": ["gateway"] }))
        .argument("check")
        .finish()
        .await;
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("there is no issuer \"gateway\""), "{error}");

    let secret = b"own secret";
    let gateway = with_issuers(json!({}))
        .env("JWT_SECRET", "own secret")
        .start()
        .await;
    assert_statuses(
        &gateway,
        &[(own(secret), 200), (joes.clone(), 200), (own(DEFAULT), 401)],
    )
    .await;
    let gateway = with_issuers(json!({ "issuers": ["gateway"] }))
        .env("JWT_SECRET", "own secret")
        .start()
        .await;
    assert_statuses(&gateway, &[(own(secret), 200), (joes, 401)]).await;
}

#[tokio::test]
async fn a_secret_of_less_than_32_bytes_is_warned_of() {
    let backend = Backend::ok().await;
    for (length, warned) in [(1, true), (31, true), (32, false)] {
        let (status, _, error) = protecting(&backend)
            .env("JWT_SECRET", "x".repeat(length))
            .argument("check")
            .finish()
            .await;
        let told = error.contains("JWT_SECRET is shorter than 32 bytes");
        assert_eq!((status.code(), told), (Some(0), warned), "{error}");
    }
}

#[tokio::test]
async fn an_empty_secret_is_an_error_wherever_it_stands() {
    let empty: [(GatewayBuilder, &str); 4] = [
        (gateway().env("JWT_SECRET", ""), "JWT_SECRET (environment)"),
        (
            gateway().file(".env", "PORT=0\n\nJWT_SECRET=\n"),
            "JWT_SECRET (.env:3)",
        ),
        (
            gateway().file(".env", "JWT_SECRET=\"\"\n"),
            "JWT_SECRET (.env:1)",
        ),
        (gateway().argument("--jwt-secret="), "JWT_SECRET (flag)"),
    ];
    for (builder, place) in empty {
        let (status, output, error) = builder.argument("check").finish().await;
        assert_eq!((status.code(), output.as_str()), (Some(1), ""));
        let told = error.lines().filter(|line| line.contains(place));
        assert_eq!(told.count(), 1, "{place}: {error}");
    }
    let (status, _, error) = gateway().env("JWT_SECRET", "").finish().await;
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("JWT_SECRET (environment)"), "{error}");
}

#[tokio::test]
async fn a_private_key_signs_in_place_of_the_secret() {
    let backend = Backend::ok().await;
    for (key, stranger) in KEYS.iter().zip(&*STRANGERS) {
        let with_key = |builder: GatewayBuilder| {
            builder
                .file("own.pem", &key.private)
                .env("JWT_SIGNING_KEY", "own.pem")
        };
        let (code, token, error) = make(with_key(gateway()), &["--sub", "anna"]).await;
        assert_eq!((code, error.as_str()), (Some(0), ""));
        assert_eq!(header_of(&token)["alg"], key.algorithm());
        assert!(verifies(&token, key), "{token}");
        let other = stranger.token(&of_gateway());
        let gateway = with_key(protecting(&backend)).start().await;
        assert_statuses(
            &gateway,
            &[
                (token, 200),
                (key.token(&of_gateway()), 200),
                (other, 401),
                (own(DEFAULT), 401),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn tokens_by_a_secret_of_your_own_are_accepted_beside_the_key() {
    let backend = Backend::ok().await;
    let gateway = protecting(&backend)
        .file("own.pem", &P256.private)
        .env("JWT_SIGNING_KEY", "own.pem")
        .env("JWT_SECRET", "own secret")
        .start()
        .await;
    assert_statuses(
        &gateway,
        &[
            (own(b"own secret"), 200),
            (P256.token(&of_gateway()), 200),
            (own(DEFAULT), 401),
            (own(P256.public.as_bytes()), 401),
            (own(P256.private.as_bytes()), 401),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_unusable_signing_key_stops_the_start_and_is_not_shown() {
    let rsa = RSA.private.as_bytes();
    let old_form = openssl(&["rsa", "-traditional"], rsa);
    let encrypted = openssl(&["pkcs8", "-topk8", "-passout", "pass:hush"], rsa);
    let short = [
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:1024",
    ];
    let other_curve = [
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:secp256k1",
    ];
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    for (content, said) in [
        (String::new(), "BEGIN PRIVATE KEY"),
        ("a-secret-that-is-no-key".to_owned(), "BEGIN PRIVATE KEY"),
        (RSA.public.clone(), "BEGIN PRIVATE KEY"),
        (text(old_form), "openssl pkcs8 -topk8"),
        (text(encrypted), "encrypted"),
        (
            text(openssl(&short, b"")),
            "not a private key that is supported",
        ),
        (
            text(openssl(&other_curve, b"")),
            "not a private key that is supported",
        ),
    ] {
        let builder = || {
            gateway()
                .routes(&routes(&[]))
                .file("own.pem", &content)
                .env("JWT_SIGNING_KEY", "own.pem")
        };
        for command in ["check", "run"] {
            let (status, _, error) = builder().argument(command).finish().await;
            assert_eq!(
                (status.code(), error.lines().count()),
                (Some(1), 1),
                "{error}"
            );
            assert!(
                error.contains("JWT_SIGNING_KEY") && error.contains(said),
                "{error}"
            );
            let shown = content
                .lines()
                .any(|line| !line.starts_with('-') && error.contains(line));
            assert!(!shown, "{error}");
        }
        let (code, token, error) = make(builder(), &["--sub", "anna"]).await;
        assert_eq!((code, token.as_str()), (Some(1), ""), "{error}");
    }
    let missing = gateway().env("JWT_SIGNING_KEY", "nowhere.pem");
    let (code, _, error) = make(missing, &["--sub", "anna"]).await;
    assert_eq!(code, Some(1));
    assert!(
        error.contains("nowhere.pem") && error.contains("cannot be read"),
        "{error}"
    );
}
