use super::*;
use crate::config::Finding;
use std::path::Path;

/// Reads settings from the pairs of three sources.
fn read(
    flags: &[(&str, &str)],
    environment: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Settings, Vec<String>> {
    let sources = gather(flags, environment, file).map_err(|finding| vec![finding.to_string()])?;
    Settings::read(&sources).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn gather(
    flags: &[(&str, &str)],
    environment: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Sources, Finding> {
    let find = |pairs: &[(&str, &str)], wanted: &str| {
        pairs
            .iter()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| (*value).to_owned())
    };
    let folder = std::env::temp_dir().join(format!("api-gateway-settings-{:x}", fastrand::u64(..)));
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join(".env");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    let sources = Sources::gather(
        &path,
        |name| find(environment, name),
        |setting| find(flags, setting.variable),
    );
    std::fs::remove_dir_all(&folder).unwrap();
    sources
}

fn error(variable: &str, value: &str) -> String {
    let errors = read(&[], &[(variable, value)], None).expect_err(value);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

#[test]
fn every_default_is_allowed_and_as_promised() {
    let settings = read(&[], &[], None).unwrap();
    assert_eq!((settings.port, settings.workers >= 1), (8080, true));
    assert_eq!(settings.backends[0].to_string(), "http://localhost:8081");
    assert_eq!(settings.jwt.secret.expose(), "your-secret-key");
    assert!(settings.jwt.secret.is_default());
    assert_eq!(
        (
            settings.jwt.issuer.as_str(),
            settings.jwt.expiration.as_secs()
        ),
        ("api-gateway", 3600)
    );
    assert!(settings.cors.is_some_and(|cors| cors.origins.are_any()));
    assert_eq!(
        settings.routes_config_path,
        Path::new("configs/routes.json")
    );
    assert!(
        settings.enable_metrics && settings.enable_caching && !settings.routes_config_path_is_given
    );
    assert_eq!(settings.cache_ttl.as_secs(), 300);
    assert_eq!(settings.limits.max_head_size, 65_536);
    assert_eq!(
        (settings.limits.max_headers, settings.limits.max_target_size),
        (100, 8192)
    );
    assert!(settings.trusted_proxies == TrustedProxies::Networks(Vec::new()));
}

#[test]
fn a_flag_goes_before_the_environment_before_the_file() {
    let file = Some("PORT=1\nHOST=127.0.0.1\nJWT_ISSUER=file\n");
    let environment = [("PORT", "2"), ("JWT_ISSUER", "environment")];
    let settings = read(&[("PORT", "3")], &environment, file).unwrap();
    assert_eq!(
        (settings.port, settings.jwt.issuer.as_str()),
        (3, "environment")
    );
    assert_eq!(settings.host.to_string(), "127.0.0.1");
}

#[test]
fn an_empty_value_is_none() {
    assert_eq!(read(&[], &[("PORT", "")], Some("PORT=9")).unwrap().port, 9);
}

#[test]
fn an_empty_secret_does_not_lead_to_the_default_that_everybody_knows() {
    let message = |environment: &[(&str, &str)], file: Option<&str>| {
        read(&[], environment, file).unwrap_err().remove(0)
    };
    assert_eq!(
        message(&[("JWT_SECRET", "")], None),
        "JWT_SECRET (environment): is empty; give it a value, or leave it out"
    );
    let in_file = message(&[], Some("# mine\nPORT=1\nexport JWT_SECRET=\n"));
    assert!(in_file.contains(".env:3): is empty"), "{in_file}");
}

#[test]
fn proxies_are_trusted_by_address_or_by_number() {
    let both = [("TRUSTED_PROXIES", "10.0.0.1"), ("TRUSTED_PROXY_HOPS", "2")];
    let settings = read(&[], &both[1..], None).unwrap();
    assert_eq!(settings.trusted_proxies, TrustedProxies::Hops(2));
    let message = read(&[], &both, None).unwrap_err().remove(0);
    assert!(
        message.starts_with("TRUSTED_PROXY_HOPS (environment): stands together"),
        "{message}"
    );
}

#[test]
fn several_backends_replace_the_one() {
    let settings = read(
        &[],
        &[
            ("BACKEND_URL", "nonsense"),
            ("BACKEND_URLS", "http://a, http://b:81/x"),
        ],
        None,
    )
    .unwrap();
    let shown: Vec<String> = settings.backends.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["http://a", "http://b:81/x"]);
}

#[test]
fn all_errors_are_told_with_their_origin() {
    let errors = read(
        &[("PORT", "x")],
        &[("WORKERS", "0")],
        Some("CACHE_TTL=-1\n"),
    )
    .unwrap_err();
    assert_eq!(errors.len(), 3, "{errors:?}");
    assert_eq!(
        errors[0],
        "PORT=\"x\" (flag): must be a whole number from 0 to 65535"
    );
    assert_eq!(
        errors[1],
        "WORKERS=\"0\" (environment): must be a whole number from 1 to 1024, or \"auto\""
    );
    assert!(
        errors[2].starts_with("CACHE_TTL=\"-1\" (") && errors[2].contains(".env:1)"),
        "{errors:?}"
    );
}

#[test]
fn wrong_values_say_what_is_allowed() {
    for (variable, value, allowed) in [
        ("PORT", "65536", "65535"),
        ("HOST", "localhost", "IP address"),
        ("ADMIN_ADDR", "9901", "\"off\""),
        ("BACKEND_URL", "localhost:1", "URL such as"),
        ("BACKEND_URL", "ftps://a", "https://"),
        ("BACKEND_URLS", "http://a,x", "\"x\""),
        ("ALLOWED_ORIGINS", "app.example.com", "origin such as"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "network"),
        ("ENABLE_METRICS", "maybe", "\"true\""),
        ("ACCESS_LOG_FORMAT", "xml", "\"json\""),
        ("LOG_LEVEL", "loud", "debug"),
        ("MAX_HEAD_SIZE", "12", "1KiB"),
        ("MAX_HEAD_SIZE", "1GiB", "16MiB"),
        ("MAX_HEADERS", "0", "from 1"),
        ("HEAD_TIMEOUT", "0", "1ms"),
        ("HEAD_TIMEOUT", "soon", "seconds"),
        ("SHUTDOWN_TIMEOUT", "25h", "24h"),
        ("REDIS_URL", "rediss://a", "TLS to Redis is not there yet"),
        ("REDIS_TIMEOUT", "0", "1ms"),
        ("CACHE_DISK_SIZE", "127MiB", "128MiB"),
        ("CACHE_DISK_SIZE", "1TiB", "65536GiB"),
        ("CACHE_REDIS_URL", "http://a", "redis+cluster://"),
        ("CACHE_REDIS_PREFIX", "{a}", "braces"),
        ("CACHE_REDIS_PREFIX", "a b", "spaces"),
        ("CACHE_REDIS_TIMEOUT", "0", "1ms"),
        ("CACHE_REDIS_MAX_OBJECT_SIZE", "1GiB", "64MiB"),
        ("DNS_SERVERS", "10.0.0.53,dns.internal", "\"dns.internal\""),
        ("DNS_SERVERS", "10.0.0.53:0", "perhaps with a port"),
        ("DNS_TIMEOUT", "1m", "10s"),
    ] {
        let error = error(variable, value);
        assert!(
            error.starts_with(variable) && error.contains(allowed),
            "{error}"
        );
    }
}

#[test]
fn dns_servers_are_addresses_perhaps_with_ports() {
    let servers = "10.0.0.53, 10.0.0.54:5353,2001:db8::53,[::1],[::1]:54";
    let settings = read(&[], &[("DNS_SERVERS", servers)], None).unwrap();
    let shown: Vec<String> = settings
        .dns
        .servers
        .iter()
        .map(ToString::to_string)
        .collect();
    let meant = [
        "10.0.0.53:53",
        "10.0.0.54:5353",
        "[2001:db8::53]:53",
        "[::1]:53",
        "[::1]:54",
    ];
    assert_eq!(shown, meant);
    assert!(read(&[], &[], None).unwrap().dns.servers.is_empty());
}

#[test]
fn times_take_seconds_and_units() {
    for (value, milliseconds) in [
        ("30", 30_000),
        ("0.5", 500),
        ("250ms", 250),
        ("2m", 120_000),
        ("1h", 3_600_000),
    ] {
        let settings = read(&[], &[("HEAD_TIMEOUT", value)], None).unwrap();
        assert_eq!(settings.timeouts.head.as_millis(), milliseconds, "{value}");
    }
}

#[test]
fn secrets_are_shown_nowhere() {
    let settings = read(&[], &[("JWT_SECRET", "hush-hush")], None).unwrap();
    assert!(!format!("{settings:?}").contains("hush-hush"));
    let sources = gather(&[], &[("JWT_SECRET", "hush-hush")], None).unwrap();
    assert!(!format!("{sources:?}").contains("hush-hush"));
    assert_eq!(
        error("REDIS_URL", "redis://me:hush-hush@/"),
        "REDIS_URL (environment): must hold a host and perhaps a port, such as redis.internal:6379 or [::1]:6379"
    );
    let settings = read(&[], &[("REDIS_URL", "redis://me:hush-hush@a")], None).unwrap();
    assert!(!format!("{settings:?}").contains("hush-hush"));
    assert_eq!(
        error("JWT_SECRET", "   "),
        "JWT_SECRET (environment): must not be blank"
    );
}

#[test]
fn a_malformed_env_file_is_named_without_its_content() {
    let message = read(&[], &[], Some("PORT=1\nJWT_SECRET=\"hush\n"))
        .unwrap_err()
        .remove(0);
    assert!(
        message.contains(".env: entry 2 is malformed") && !message.contains("hush"),
        "{message}"
    );
}

#[test]
fn variables_and_flags_are_unique() {
    let mut flags: Vec<String> = SETTINGS.iter().map(Setting::flag).collect();
    flags.sort();
    flags.dedup();
    assert_eq!(flags.len(), SETTINGS.len());
}

#[test]
fn the_example_file_lists_every_variable_with_its_default() {
    let example = include_str!("../../../../../.env.example");
    assert_eq!(
        example,
        env_example(),
        "write the output of `env_example` to .env.example"
    );
    // With every comment sign taken off the assignments, it is a file that is read without complaint.
    let text = example.replace("\n#", "\n").replace("\n ", "\n# ");
    assert_eq!(read(&[], &[], Some(&text)).unwrap().port, 8080);
}

#[test]
fn the_documentation_holds_the_reference() {
    let documentation = include_str!("../../../../../docs/settings.md");
    assert!(
        documentation.contains(&reference()),
        "write the output of `reference` into docs/settings.md"
    );
}
