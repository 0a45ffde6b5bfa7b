use super::*;
use crate::config::{Carried, Sources};

/// What is wrong with a consumers file, each with its place.
fn mistakes(text: &str, secret: Option<&str>) -> Vec<String> {
    let path = std::env::temp_dir().join(format!("consumers-{:016x}.json", fastrand::u64(..)));
    std::fs::write(&path, text).unwrap();
    let environment = |name: &str| match name {
        "CONSUMERS_FILE" => Some(path.display().to_string()),
        "API_KEY_SECRET" => secret.map(str::to_owned),
        _ => None,
    };
    let sources = Sources::gather(Path::new("/nowhere/.env"), environment, |_| None).unwrap();
    let made_of = super::Sources {
        carried: &Carried::default(),
        files: &SourceFiles::new(crate::config::source_files::Reading::AtStart),
    };
    let result = load(&Settings::read(&sources).unwrap(), made_of);
    std::fs::remove_file(&path).unwrap();
    let findings = result.err().unwrap_or_default();
    findings
        .iter()
        .map(|finding| {
            finding
                .to_string()
                .replace(&*path.display().to_string(), "file")
        })
        .collect()
}

#[test]
fn mistakes_are_told_with_their_places() {
    let (_, hash) = KeyHasher::new(b"secret").new_key().unwrap();
    let text = format!(
        r#"{{"consumers": [
{{"name": "a", "password": "secret", "claims": {{"exp": 1}}}},
{{"name": "a", "scopes": ["a b"], "expires": "tomorrow"}},
{{"name": "b:c", "keys": [{{"id": "1", "hash": "abc", "expires": "2027"}}]}},
{{"name": "d", "keys": [{{"id": "1", "hash": "{hash}"}}, {{"id": "2", "hash": "{hash}"}}]}},
{{"name": "e", "password": "$argon2i$v=19$m=16,t=2,p=1$YWJjZGVmZ2g$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXo0NTY"}},
{{"name": "f", "keyes": []}}
]}}"#
    );
    let found = mistakes(&text, None);
    let starts = [
        "file:1:15: API_KEY_SECRET is not set",
        "file:2:27: must be a hash such as \"$argon2id$v=19$...\"",
        "file:2:55: \"exp\" is made from other keys",
        "file:3:10: the name \"a\" is used by another consumer",
        "file:3:26: \"a b\" is not a scope",
        "file:3:45: must be a time in UTC",
        "file:4:10: must not hold a colon",
        "file:4:46: must be \"hmac-sha256:\" and 43 letters",
        "file:4:64: must be a time in UTC",
        "file:5:",
        "file:6:27: must be a hash by argon2id",
        "file:7:15: unknown key \"keyes\"; did you mean \"keys\"?",
    ];
    for (found, start) in found.iter().zip(starts) {
        assert!(
            found.starts_with(start),
            "{found} should start with {start}"
        );
    }
    assert_eq!(found.len(), starts.len(), "{found:#?}");
}

#[test]
fn a_file_without_keys_needs_no_secret() {
    assert_eq!(mistakes(r#"{"consumers": [{"name": "a"}]}"#, None), [""; 0]);
    assert!(mistakes("{}", None)[0].contains("\"consumers\" is missing"));
    assert!(mistakes("[", None)[0].contains("not valid JSON"));
}
