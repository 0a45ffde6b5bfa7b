use std::path::PathBuf;
use std::time::Instant;

use super::*;
use crate::config::Sources;

/// A file in a folder of its own, gone when dropped.
struct File(PathBuf);

impl File {
    fn new(content: &[u8]) -> Self {
        let folder = std::env::temp_dir().join(format!("api-gateway-load-{:x}", fastrand::u64(..)));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("routes.json"), content).unwrap();
        Self(folder)
    }

    fn settings(&self) -> Settings {
        settings(&[(
            "ROUTES_CONFIG_PATH",
            self.0.join("routes.json").to_str().unwrap(),
        )])
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let find = |name: &str| {
        pairs
            .iter()
            .find(|(other, _)| *other == name)
            .map(|(_, value)| (*value).to_owned())
    };
    let sources = Sources::gather(std::path::Path::new("/nowhere/.env"), find, |_| None).unwrap();
    Settings::read(&sources).unwrap()
}

fn load_text(text: &str) -> Result<Loaded, Vec<String>> {
    let file = File::new(text.as_bytes());
    load(&file.settings()).map_err(|errors| {
        let prefix = format!("{}:", file.0.join("routes.json").display());
        errors
            .0
            .iter()
            .map(|finding| finding.to_string().replace(&prefix, ""))
            .collect()
    })
}

fn load_route(keys: &str) -> Result<Loaded, Vec<String>> {
    load_text(&format!("{{\"routes\": [{{{keys}}}]}}"))
}

#[track_caller]
fn refused(keys: &str, part: &str) {
    let errors = load_route(keys).expect_err(keys);
    assert!(
        errors.iter().any(|error| error.contains(part)),
        "{keys}: {errors:?}"
    );
}

#[test]
fn the_example_of_the_contract_loads() {
    let loaded = load_text(
        r#"{ "routes": [ { "path": "/api/users/*path", "targetURL": "http://localhost:8081",
            "methods": ["GET", "POST", "PUT", "DELETE"], "requireAuth": true, "stripPrefix": "/api/users" } ] }"#,
    )
    .unwrap();
    let route = &loaded.snapshot.routes[0];
    assert_eq!(
        (&*route.name, &*route.strip_prefix),
        ("/api/users/{*path}", "/api/users")
    );
    assert!(route.access.is_some() && route.cache.is_none() && !route.preserve_host);
    assert_eq!(route.timeout.as_secs(), 30);
}

#[test]
fn all_errors_are_told_at_once_with_their_places() {
    let errors = load_text(
        "{\"routes\": [\n  {\"path\": \"/a\", \"targetUrl\": \"x\", \"methods\": [\"get\"]},\n  {\"path\": \"b\"},\n  \
         {\"pfad\": \"/ä\", \"timeout\": \"1\"},\n  {\"path\": \"/é\", \"é\": 1, \"timeout\": 0}\n]}",
    )
    .unwrap_err();
    let places: Vec<&str> = errors
        .iter()
        .map(|error| error.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        places,
        ["2:18", "2:48", "3:12", "4:3", "4:4", "4:29", "5:18", "5:37"],
        "{errors:#?}"
    );
    assert!(errors[0].contains("did you mean \"targetURL\"?"));
    assert!(errors[1].contains("did you mean \"GET\"?"));
}

#[test]
fn syntax_errors_have_their_place() {
    for (text, place) in [
        ("{\"routes\": [}", "1:13"),
        ("{\n  routes: []}", "2:3"),
        ("", "1:1"),
        ("{\"routes\": [],}", "1:14"),
    ] {
        let errors = load_text(text).expect_err(text);
        assert!(errors[0].starts_with(place), "{text:?}: {errors:?}");
    }
}

#[test]
fn things_that_are_only_allowed_in_relaxed_json_are_refused() {
    for text in [
        "{\"routes\": [] // x\n}",
        "{'routes': []}",
        "{\"routes\": [],}",
        "\u{feff}{\"routes\": []}",
        "[]",
        "7",
    ] {
        assert!(load_text(text).is_err(), "{text}");
    }
}

#[test]
fn files_that_are_no_text_say_so() {
    let file = File::new(b"{\"routes\": [\xff]}");
    assert!(
        load(&file.settings())
            .unwrap_err()
            .to_string()
            .contains("not UTF-8 text, from byte 12")
    );
    let folder = settings(&[("ROUTES_CONFIG_PATH", file.0.to_str().unwrap())]);
    assert!(
        load(&folder)
            .unwrap_err()
            .to_string()
            .contains("cannot be read")
    );
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let error = load(&settings(&[("ROUTES_CONFIG_PATH", "/nowhere/routes.json")]))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("/nowhere/routes.json: cannot be read"),
        "{error}"
    );
}

#[test]
fn without_a_file_everything_goes_to_the_default_backends() {
    let mut settings = settings(&[("BACKEND_URLS", "http://a,http://b")]);
    settings.routes_config_path = PathBuf::from("/nowhere/routes.json");
    let loaded = load(&settings).unwrap();
    assert_eq!(loaded.snapshot.upstreams[0].endpoints().len(), 2);
    assert!(
        loaded.warnings[0]
            .to_string()
            .contains("everything goes to http://a, http://b")
    );
}

#[test]
fn wrong_values_in_a_route_say_what_is_allowed() {
    let path = "\"path\": \"/a/b/:c\"";
    for (keys, part) in [
        ("\"targetURL\": \"x\"", "URL such as"),
        ("\"targetURL\": \"ftps://x\"", "https://"),
        (
            "\"targetURL\": \"http://x\", \"targets\": [\"http://y\"]",
            "one of the two",
        ),
        ("\"targets\": []", "must not be empty"),
        (
            "\"targets\": [{\"url\": \"http://x\", \"weight\": 0}]",
            "greater than 0",
        ),
        (
            "\"targets\": [{\"url\": \"http://x\", \"weight\": 1001}]",
            "out of range",
        ),
        (
            "\"targets\": [{\"url\": \"http://x\", \"weight\": 1.5}]",
            "whole number",
        ),
        ("\"targets\": [{\"weight\": 1}]", "\"url\" is missing"),
        ("\"targets\": [{\"url\": \"x\"}]", "URL such as"),
        ("\"methods\": []", "must not be empty"),
        ("\"methods\": [\"GE T\"]", "not a method"),
        ("\"methods\": [\"GET\", \"GET\"]", "twice"),
        ("\"hosts\": [\"a:1\"]", "port"),
        ("\"hosts\": [\"*\"]", "not a host"),
        ("\"headers\": {\"a b\": \"c\"}", "name of a header"),
        ("\"headers\": {\"a\": false}", "true for any value"),
        (
            "\"query\": {\"a\": 1}",
            "expected a string or true or false",
        ),
        ("\"stripPrefix\": \"/a/b/c\"", "literal part"),
        ("\"stripPrefix\": \"/a/bb\"", "literal part"),
        ("\"stripPrefix\": \"a\"", "start of a path"),
        ("\"timeout\": 0", "out of range"),
        ("\"timeout\": 100000", "out of range"),
        ("\"timeout\": \"1s\"", "expected a number"),
        ("\"requireAuth\": 1", "true or false"),
        ("\"name\": \"\"", "must not be empty"),
        ("\"name\": null", "leave the key out"),
        ("\"requireAuth\": true, \"requireAuth\": false", "twice"),
        ("\"stripprefix\": \"/a\"", "did you mean \"stripPrefix\"?"),
        ("\"zzz\": 1", "known are path, name"),
    ] {
        refused(&format!("{path}, {keys}"), part);
    }
    refused("\"name\": \"x\"", "\"path\" is missing");
}

#[test]
fn names_and_routes_must_be_unique() {
    let error = |routes: &str| {
        load_text(&format!("{{\"routes\": [{routes}]}}"))
            .unwrap_err()
            .join("\n")
    };
    assert!(
        error("{\"path\": \"/a\", \"name\": \"x\"}, {\"path\": \"/b\", \"name\": \"x\"}")
            .contains("used by another")
    );
    assert!(error("{\"path\": \"/a/:x\"},\n{\"path\": \"/a/{y}\"}").contains("in line 1"));
}

#[test]
fn routes_without_a_name_are_called_by_their_path() {
    let loaded = load_text(
        r#"{"routes": [{"path": "/a", "methods": ["GET"]}, {"path": "/a", "methods": ["PUT"]}, {"path": "/b", "name": "/a #2"}]}"#,
    )
    .unwrap();
    let names: Vec<&str> = loaded
        .snapshot
        .routes
        .iter()
        .map(|route| &*route.name)
        .collect();
    assert_eq!(names, ["/a", "/a #3", "/a #2"]);
}

#[test]
fn what_is_odd_but_possible_is_a_warning() {
    let loaded =
        load_route("\"path\": \"/a\", \"methods\": [\"CONNECT\"], \"requireAuth\": true").unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("can never match"))
    );
    assert!(
        warnings
            .iter()
            .any(|warning| warning.contains("JWT_SECRET"))
    );
}

#[test]
fn mistakes_about_caching_are_told() {
    for (keys, message) in [
        ("\"cacheable\": false, \"cache\": {}", "stand together"),
        ("\"cache\": {\"ttl\": -1}", "must be a time from 0"),
        ("\"cache\": {\"ttl\": \"soon\"}", "must be a time from 0"),
        (
            "\"cache\": {\"negative\": {\"200\": 1}}",
            "must be a status from 300",
        ),
        (
            "\"cache\": {\"negative\": {\"4xx\": 1}}",
            "must be a status from 300",
        ),
        ("\"cache\": {\"maxObjectSize\": \"big\"}", "must be a size"),
        (
            "\"cache\": {\"maxMemory\": \"big\"}",
            "must be a size of at least 256KiB",
        ),
        (
            "\"cache\": {\"maxMemory\": 1000}",
            "must be a size of at least 256KiB",
        ),
        (
            "\"cache\": {\"maxMemory\": \"0%\"}",
            "must be a size of at least 256KiB",
        ),
        (
            "\"cache\": {\"maxMemory\": \"100%\"}",
            "262144 stay for those without",
        ),
        (
            "\"cache\": {\"key\": {\"query\": {}}}",
            "\"only\" or \"except\"",
        ),
        (
            "\"cache\": {\"key\": {\"headers\": [\"a b\"]}}",
            "not the name of a header field",
        ),
        (
            "\"cache\": {\"key\": {\"consumer\": true}}",
            "needs \"requireAuth\": true",
        ),
        (
            "\"cache\": {\"key\": {\"claims\": [\"sub\"]}}",
            "needs \"requireAuth\": true",
        ),
        (
            "\"fallback\": {\"stale\": true}",
            "needs a route that is \"cacheable\"",
        ),
        (
            "\"cacheable\": true, \"fallback\": {\"stale\": true, \"status\": 503}",
            "must have one of",
        ),
    ] {
        refused(&format!("\"path\": \"/a\", {keys}"), message);
    }
}

#[test]
fn a_route_is_cached_where_it_says_so_or_says_how() {
    let is_cached = |keys: &str| {
        let loaded = load_route(&format!("\"path\": \"/a\"{keys}")).unwrap();
        loaded.snapshot.routes[0].cache.is_some()
    };
    assert!(!is_cached(""));
    assert!(!is_cached(", \"cacheable\": false"));
    assert!(is_cached(", \"cacheable\": true"));
    assert!(is_cached(", \"cache\": {}"));
}

#[test]
fn ten_thousand_routes_load_quickly() {
    let routes: Vec<String> = (0..10_000)
        .map(|index| format!("{{\"path\": \"/api/v{}/service{index}/:id/*rest\", \"targetURL\": \"http://10.0.0.1:{}\", \"methods\": [\"GET\"]}}", index % 7, 1 + index % 60_000))
        .collect();
    let text = format!("{{\"routes\": [{}]}}", routes.join(",\n"));
    let start = Instant::now();
    let loaded = load_text(&text).unwrap();
    assert_eq!(loaded.snapshot.routes.len(), 10_000);
    // Under a second when optimised; tests are not.
    let bound = if cfg!(debug_assertions) { 15 } else { 1 };
    assert!(start.elapsed().as_secs() < bound, "{:?}", start.elapsed());
}

#[test]
fn the_schema_files_hold_the_schemas() {
    let file = include_str!("../../../../configs/routes.schema.json");
    assert_eq!(
        file,
        crate::config::schema(),
        "write the output of `api-gateway schema` to configs/routes.schema.json"
    );
    let file = include_str!("../../../../configs/consumers.schema.json");
    assert_eq!(
        file,
        crate::config::consumers_schema(),
        "write the output of `api-gateway schema consumers` to configs/consumers.schema.json"
    );
    let file = include_str!("../../../../configs/listeners.schema.json");
    assert_eq!(
        file,
        crate::config::listeners_schema(),
        "write the output of `api-gateway schema listeners` to configs/listeners.schema.json"
    );
}

#[test]
fn a_service_has_no_backend_and_says_what_it_lacks() {
    for (key, value) in [
        ("upstream", "\"a\""),
        ("retry", "{}"),
        ("hedge", "{\"after\": 1}"),
        ("forwardClaims", "{\"X-A\": \"sub\"}"),
        ("preserveHost", "true"),
        ("cacheable", "true"),
        ("cache", "{}"),
        ("priority", "\"high\""),
    ] {
        let keys = format!("\"path\": \"/a\", \"service\": \"jwks\", \"{key}\": {value}");
        refused(
            &keys,
            &format!("\"{key}\" means nothing where the gateway answers itself"),
        );
    }
    let loaded = load_route("\"path\": \"/a\", \"service\": \"token\"").unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("CONSUMERS_FILE"), "{warnings:?}");
    assert!(
        warnings[1].contains("JWT_SECRET is the documented default"),
        "{warnings:?}"
    );
}

#[test]
fn keys_about_credentials_that_are_not_accepted_have_no_effect() {
    for (auth, key) in [
        ("{\"keyFrom\": [\"header:X-Key\"]}", "keyFrom"),
        (
            "{\"forward\": {\"url\": \"http://a\"}, \"tokenFrom\": [\"bearer\"]}",
            "tokenFrom",
        ),
        (
            "{\"forward\": {\"url\": \"http://a\"}, \"issuers\": [\"gateway\"]}",
            "issuers",
        ),
        (
            "{\"forward\": {\"url\": \"http://a\"}, \"audiences\": [\"a\"]}",
            "audiences",
        ),
    ] {
        let keys = format!("\"path\": \"/a\", \"targetURL\": \"http://a\", \"auth\": {auth}");
        let loaded = load_route(&keys).unwrap();
        let said = format!("\"{key}\" has no effect");
        let found = loaded
            .warnings
            .iter()
            .filter(|warning| warning.message.contains(&said));
        assert_eq!(found.count(), 1, "{auth}");
    }
}

#[test]
fn no_issuer_is_taken_for_another_authority() {
    for (name, issuer, part) in [
        (
            "consumers",
            "https://a",
            "is the name of the consumers file",
        ),
        ("forward", "https://a", "is the name of forward auth"),
        ("gateway", "https://a", "is the name of the gateway itself"),
    ] {
        let text = format!(
            "{{\"issuers\": {{\"{name}\": {{\"issuer\": \"{issuer}\"}}}}, \"routes\": []}}"
        );
        let errors = load_text(&text).unwrap_err();
        assert!(errors[0].contains(part), "{errors:?}");
    }
    let file =
        File::new(br#"{"issuers": {"other": {"issuer": "https://us.example"}}, "routes": []}"#);
    let path = file.0.join("routes.json");
    let with = |secret: &str| {
        load(&settings(&[
            ("ROUTES_CONFIG_PATH", path.to_str().unwrap()),
            ("JWT_ISSUER", "https://us.example"),
            ("JWT_SECRET", secret),
        ]))
    };
    let errors = with("a secret of our own").unwrap_err().0;
    assert!(
        errors[0].message.contains("what the gateway calls itself"),
        "{errors:?}"
    );
    assert_eq!(errors[0].position, Some((1, 34)));
}

#[test]
fn scopes_that_no_token_can_have_are_mistakes() {
    let route = |scope: &str| {
        format!(
            "\"path\": \"/a\", \"targetURL\": \"http://a\", \"auth\": {{\"scopes\": [{scope}]}}"
        )
    };
    refused(&route(r#""a b""#), "\"a b\" is not a scope");
    refused(&route(r#""a\"b""#), "is not a scope");
    assert!(load_route(&route(r#""orders:read""#)).is_ok());
}

#[test]
fn a_field_for_claims_stands_once_however_it_is_spelled() {
    for (one, other) in [("X-User", "x-user"), ("X-User", "X_User")] {
        let keys = format!(
            "\"path\": \"/a\", \"targetURL\": \"http://a\", \"requireAuth\": true, \"forwardClaims\": {{\"{one}\": \"a\", \"{other}\": \"b\"}}"
        );
        refused(&keys, "is the same field as");
    }
}

#[test]
fn what_is_tried_out_must_be_there() {
    let loaded = load_route(
        "\"path\": \"/a\", \"targetURL\": \"http://a\", \"shadow\": [\"auth\", \"cors\", \"ip\", \"rateLimit\"]",
    );
    let warnings = loaded.unwrap().warnings;
    let said: Vec<&str> = warnings.iter().map(|warning| &*warning.message).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said.iter().all(|said| said.contains("has no effect")),
        "{said:?}"
    );
}

#[test]
fn settings_that_are_rarely_meant_are_warned_of() {
    let file = File::new(br#"{"routes": []}"#);
    let path = file.0.join("routes.json");
    let loaded = load(&settings(&[
        ("ROUTES_CONFIG_PATH", path.to_str().unwrap()),
        ("TRUSTED_PROXIES", "10.0.0.0/8,::/0"),
        ("API_KEY_SECRET", "short"),
    ]))
    .unwrap();
    let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert!(
        said[0].starts_with("TRUSTED_PROXIES: everybody is believed"),
        "{said:?}"
    );
    assert!(
        said[1].starts_with("API_KEY_SECRET: is shorter"),
        "{said:?}"
    );
}

#[test]
fn each_kind_of_credentials_has_places_of_its_own() {
    for (auth, part) in [
        (
            r#"{"accept": ["jwt", "apiKey"], "keyFrom": ["bearer"]}"#,
            "tokens are looked for there too",
        ),
        (
            r#"{"accept": ["jwt", "apiKey"], "keyFrom": ["header:Authorization"]}"#,
            "tokens are looked for there too",
        ),
        (
            r#"{"accept": ["jwt", "apiKey"], "tokenFrom": ["header:X_API_Key"]}"#,
            "tokens are looked for there too",
        ),
        (
            r#"{"accept": ["apiKey", "basic"], "keyFrom": ["header:Authorization"]}"#,
            "where \"basic\" credentials are",
        ),
    ] {
        let keys = format!("\"path\": \"/a\", \"targetURL\": \"http://a\", \"auth\": {auth}");
        refused(&keys, part);
    }
    refused(
        r#""path": "/a", "targetURL": "http://a", "forwardClaims": {"X-User": "sub"},
           "auth": {"accept": ["jwt", "forward"], "forward": {"url": "http://b", "responseHeaders": ["x-user"]}}"#,
        "\"x-user\" is written twice",
    );
}

#[test]
fn a_route_and_an_endpoint_go_on_counting_in_the_next_configuration() {
    crate::counters::enter_worker(0);
    let before = load_text(
        r#"{"routes": [
            {"name": "a", "path": "/a", "targets": ["http://10.0.0.1", "http://10.0.0.2"]},
            {"name": "b", "path": "/b", "targetURL": "http://10.0.0.3"}
        ]}"#,
    );
    let before = before.unwrap().snapshot;
    for counts in [
        before.counts(None),
        before.counts(Some(0)),
        before.counts(Some(1)),
    ] {
        counts.unwrap().failed.increment(0);
    }
    for _ in 0..10 {
        let counts = &before.upstreams[0].endpoints()[1].counts;
        counts.own().unwrap().picks.increment();
    }
    let mut carried = Carried::default();
    carried.take_over(&before, tokio::time::Instant::now());
    let source = RoutesSource::Text(
        r#"{"routes": [
            {"name": "new", "path": "/b", "targetURL": "http://10.0.0.3"},
            {"name": "a", "path": "/a", "targets": ["http://10.0.0.2", "http://10.0.0.4"]}
        ]}"#
        .to_owned(),
    );
    let settings = Settings::read(&Sources::default()).unwrap();
    let after = load_again(&settings, &source, &carried).0.unwrap().snapshot;
    let failed = |route| after.counts(route).unwrap().failed.get(0);
    assert_eq!([None, Some(0), Some(1)].map(failed), [1, 0, 1]);
    let of_a = after.upstreams.iter().position(|it| &*it.name == "a");
    assert_eq!(of_a, Some(1));
    let endpoints = after.upstreams[1].endpoints();
    let counted = endpoints
        .iter()
        .map(|it| it.counts.own().unwrap().picks.get());
    assert_eq!(counted.collect::<Vec<_>>(), [10, 0]);
    // Those who are picked from now on count there too.
    let report = after.upstreams[1].balancer.report();
    assert_eq!((report[0].addresses, report[1].addresses), (1, 1));
}
