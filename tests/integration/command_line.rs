//! The commands, as somebody at a terminal meets them.

use std::path::Path;

use testkit::GatewayBuilder;

use crate::gateway;

fn command(name: &str) -> GatewayBuilder {
    gateway().argument(name)
}

/// The broken routes files, with what must be said about each.
const BROKEN: &[(&str, &[&str])] = &[
    ("ambiguous.json", &["4:15: ", "in line 3"]),
    (
        "bad-cors.json",
        &[
            "2:87: credentials cannot be allowed to any origin",
            "3:69: credentials cannot be allowed to any origin",
            "4:66: \"app.example.com\" must be \"*\", \"null\", or an origin",
            "4:98: \"G T\" is not a method",
            "5:54: unknown key \"origin\"; did you mean \"origins\"?",
            "5:81: -1 is out of range",
        ],
    ),
    (
        "bad-auth.json",
        &[
            "2:26: keys over plain http can be replaced by anybody on the way",
            "nowhere.pem cannot be read",
            "4:25: must be a URL, so that keys are found by its metadata",
            "5:61: \"keys\" and \"jwks\" stand together",
            "6:51: \"HS256\" is not an algorithm for published keys",
            "7:16: \"gateway\" is the name of the gateway itself",
            "8:50: must be a time of at least 10 seconds",
            "11:68: there is no issuer \"nobody\" in \"issuers\"; there are both, file, gateway, hs, name, often, plain",
            "12:76: \"requireAuth\" is false",
            "13:67: \"password\" is not a kind of credentials",
            "14:67: \"claim.sub == 'a'\" speaks of \"claim\"",
            "15:67: \"claims.sub ==\" is not an expression",
            "16:70: \"body:token\" must be \"bearer\"",
            "17:63: only routes with \"requireAuth\": true know claims",
            "18:94: \"host\" is written by the gateway",
            "19:76: \"ftp://a\" must be a URL",
            "19:98: \"maybe\" must be \"closed\" or \"open\"",
            "20:34: \"targetURL\" means nothing where the gateway answers itself",
            "21:32: \"tokens\" is not a service of the gateway",
            "22:64: \"10.0.0.0/33\" must be an address",
            "23:57: \"autth\" cannot be tried out",
            "24:56: unknown key \"scopess\"; did you mean \"scopes\"?",
        ],
    ),
    (
        "bad-rate-limits.json",
        &[
            "2:24: 0 is out of range",
            "2:37: a window must be between 10 milliseconds and 366 days long",
            "3:38: a window must be between",
            "4:12: \"a b\" is not a name for a limit",
            "4:36: must be a time",
            "7:59: there is no limit \"shrt\" in \"rateLimits\"; there are a b, none, short",
            "8:97: no request can pass",
            "9:102: \"cookie\" must be \"ip\"",
            "10:98: \"10.0.0.0/99\" must be an address or a network",
            "11:61: unknown key \"limits\"; did you mean \"limit\"?",
        ],
    ),
    (
        "bad-rate-limit-parameters.json",
        &[
            "6:75: the limit \"per-tenant\" counts by \"param:tenant\", and the path \"/b/{account}/{*rest}\" has no \
             parameter \"tenant\"; it has account, rest",
            "7:59: the limit \"per-tenant\" counts by \"param:tenant\", and the path \"/c\" has no parameters",
            "8:118: the path \"/d/{id}/{*rest}\" has no parameter \"tenant\"; it has id, rest",
            "9:96: \"param:\" must be \"ip\"",
            "10:59: \"consumer\", \"apiKey\" and \"claim:\" tell apart clients that are known",
        ],
    ),
    (
        "bad-rate-limit-stores.json",
        &[
            "2:51: \"redis\" needs REDIS_URL, which is not set",
            "6:95: \"redis\" needs REDIS_URL, which is not set",
            "7:115: \"onError\" is about Redis, and the limit is not counted there",
            "8:95: expected \"local\" or \"redis\", found the string \"redsi\"",
            "8:115: expected \"local\" or \"open\" or \"closed\", found 7",
        ],
    ),
    (
        "bad-upstreams.json",
        &[
            "2:29: \"ftp://a\" must start with http://",
            "2:52: \"http://b\" stands here twice",
            "3:31: at least one weight",
            "4:56: \"consistentHash\" needs to know by what",
            "5:55: \"fastest\" is not a policy",
            "6:89: \"body\" must be \"ip\", \"path\"",
            "6:106: \"hash\" must be \"maglev\" or \"ring\"",
            "7:67: \"world\" must be \"upstream\" or \"endpoint\"",
            "7:96: \"700\" must be a status",
            "7:110: must be a time from 1ms to 24h",
            "8:64: \"x\" cannot be a path",
            "8:81: must be a time",
            "9:28: must not be empty",
            "12:33: there is no upstream \"nobody\"",
            "13:56: \"upstream\" and \"targetURL\" stand together",
            "14:64: \"never\" must be \"connect\"",
            "15:63: \"timeout\" needs \"tryTimeout\"",
            "16:58: must have one of \"upstream\", \"status\" and \"stale\": true",
            "17:58: \"urgent\" must be",
            "18:38: \"body\" must be",
            "18:59: at least one weight",
            "18:74: there is no upstream \"nobody\"",
            "18:92: \"x\" must be \"header:\"",
            "19:68: the breaker of a route watches the route",
            "19:100: \"x\" must be a status",
            "19:114: must be a time from 1ms to 24h",
        ],
    ),
    (
        "bad-pools.json",
        &[
            "2:70: 0 is out of range; allowed are 1 to 1000000",
            "2:87: -1 is out of range; allowed are 0 to 1000000",
            "3:70: 1000001 is out of range",
            "3:90: 100001 is out of range; allowed are 0 to 100000",
            "4:68: must be a time from 1ms to 24h",
            "4:89: must be a time from 1ms to 24h",
            "5:67: means nothing without \"maxConnections\"",
            "6:43: unknown key \"maxConnections\"",
            "6:74: unknown key \"maxRequests\"",
            "7:50: expected an object, found the string \"large\"",
            "10:46: unknown key \"pool\"",
        ],
    ),
    (
        "bad-hedges.json",
        &[
            "2:71: 0 is out of range; allowed are 50 to 99.9",
            "3:71: 100 is out of range",
            "4:71: 101 is out of range",
            "5:71: expected a number, found the string \"p95\"",
            "6:55: must have \"after\" or \"percentile\"",
            "7:82: \"atLeast\" means nothing without \"percentile\"",
            "8:75: unknown key \"atleast\"; did you mean \"atLeast\"?",
        ],
    ),
    (
        "bad-sizes.json",
        &[
            "2:59: \"much\" must be a size",
            "3:59: -1 is out of range; must be at least 0",
            "4:59: ",
        ],
    ),
    ("bad-hosts.json", &["4:16: ", "4:32: "]),
    (
        "bad-methods.json",
        &["did you mean \"GET\"?", "is not a method"],
    ),
    ("bad-paths.json", &["3:15: ", "4:15: ", "5:15: ", "6:15: "]),
    ("bad-strip-prefix.json", &["3:57: ", "literal part"]),
    ("bad-targets.json", &["3:34: ", "4:34: ", "5:65: "]),
    ("syntax.json", &["3:19: not valid JSON"]),
    ("trailing-comma.json", &["not valid JSON"]),
    (
        "unknown-keys.json",
        &[
            "did you mean \"targetURL\"?",
            "did you mean \"requireAuth\"?",
        ],
    ),
    (
        "wrong-types.json",
        &[
            "3:15: expected a string, found 7",
            "4:45: expected a number",
            "5:50: expected true or false",
        ],
    ),
];

fn broken(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/mocks/routes")
        .join(name);
    path.canonicalize().unwrap().display().to_string()
}

#[tokio::test]
async fn check_tells_every_mistake_of_a_broken_file() {
    for (name, parts) in BROKEN {
        let (status, output, error) = command("check")
            .env("ROUTES_CONFIG_PATH", broken(name))
            .finish()
            .await;
        assert_eq!((status.code(), output.as_str()), (Some(1), ""), "{name}");
        for part in *parts {
            assert!(error.contains(part), "{name} lacks {part}: {error}");
        }
        assert!(
            error.lines().all(|line| line.contains(&format!("{name}:"))),
            "{error}"
        );
        let (status, _, refused) = command("run")
            .env("ROUTES_CONFIG_PATH", broken(name))
            .finish()
            .await;
        assert_eq!(
            (status.code(), refused),
            (Some(1), error),
            "run says the same as check"
        );
    }
}

#[tokio::test]
async fn check_sums_up_a_good_file() {
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/routes.json");
    let (status, output, error) = command("check")
        .env("ROUTES_CONFIG_PATH", good)
        .finish()
        .await;
    assert_eq!(status.code(), Some(0), "{error}");
    assert!(
        output.contains("6 routes, 7 targets, 1 warning"),
        "{output}"
    );
    assert!(
        error.contains("JWT_SECRET is the documented default"),
        "{error}"
    );
}

#[tokio::test]
async fn wrong_settings_are_all_told_at_once() {
    let (status, _, error) = command("check")
        .env("PORT", "abc")
        .env("BACKEND_URL", "http://")
        .env("JWT_SECRET", " ")
        .env("REDIS_URL", "rediss://:hush@cache")
        .argument("--workers=0")
        .finish()
        .await;
    assert_eq!(status.code(), Some(1));
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 5, "{error}");
    assert!(!error.contains("hush"), "{error}");
    for part in [
        "PORT=\"abc\" (environment)",
        "WORKERS=\"0\" (flag)",
        "BACKEND_URL=\"http://\"",
        "JWT_SECRET (environment)",
        "REDIS_URL (environment): TLS to Redis is not there yet",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(part)),
            "{part}: {error}"
        );
    }
}

#[tokio::test]
async fn routes_prints_the_table_in_match_order() {
    let good = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/routes.json");
    let (status, output, _) = command("routes")
        .env("ROUTES_CONFIG_PATH", good)
        .finish()
        .await;
    assert_eq!(status.code(), Some(0));
    let names: Vec<&str> = output
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        names,
        [
            "NAME",
            "orders",
            "users",
            "events",
            "flaky",
            "slow",
            "websocket"
        ]
    );
    assert!(output.contains("/api/orders/{*path}") && output.contains("http://localhost:8082"));
}

#[tokio::test]
async fn schema_prints_what_the_file_in_configs_holds() {
    let file = include_str!("../../configs/routes.schema.json");
    let (status, output, _) = command("schema").finish().await;
    assert_eq!((status.code(), output.as_str()), (Some(0), file));
}

#[tokio::test]
async fn help_explains_each_setting_with_its_variable_and_default() {
    let (status, output, _) = command("--help").finish().await;
    assert_eq!(status.code(), Some(0));
    let output = output.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "--port",
        "[env: PORT] [default: 8080]",
        "--upstream-max-idle",
        "[env: TRUSTED_PROXIES]",
        "check",
        "schema",
    ] {
        assert!(output.contains(part), "{part}: {output}");
    }
    let (status, output, _) = command("--version").finish().await;
    assert!(status.success() && output.starts_with("api-gateway "));
}

#[tokio::test]
async fn an_env_file_is_read() {
    let builder = command("check");
    let (status, _, error) = builder.file(".env", "MAX_HEADERS=none\n").finish().await;
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("MAX_HEADERS=\"none\" (.env:1)"), "{error}");
}

#[tokio::test]
async fn an_unreadable_routes_file_is_told_in_one_line() {
    let (status, _, error) = gateway()
        .env("ROUTES_CONFIG_PATH", "/nowhere/routes.json")
        .finish()
        .await;
    assert_eq!((status.code(), error.lines().count()), (Some(1), 1));
    assert!(
        error.contains("/nowhere/routes.json: cannot be read"),
        "{error}"
    );
}
