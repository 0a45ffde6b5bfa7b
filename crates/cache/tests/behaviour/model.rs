//! Random requests and answers: what comes from the cache is what the backend has said to such a request, is fresh, and
//! was allowed.

use std::collections::HashMap;

use cache::{Cache, Manner, Purge, Settings};
use proptest::prelude::*;

use crate::answer;
use crate::gateway::Gateway;

#[derive(Debug, Clone)]
enum Step {
    /// A request for one of few paths, with one of few values of a field; and how the backend would answer it.
    Ask {
        path: u8,
        color: u8,
        directives: &'static str,
        vary: bool,
        wishes: &'static str,
    },
    Change {
        path: u8,
    },
    Purge {
        path: u8,
    },
    Wait {
        seconds: u64,
    },
}

fn steps() -> impl Strategy<Value = Step> {
    let directives = prop::sample::select(vec![
        "max-age=5",
        "max-age=50",
        "no-store",
        "private, max-age=50",
        "no-cache",
        "max-age=50, no-store",
        "max-age=0, s-maxage=20",
        "max-age=5, x=\"no-store",
        "max-age=5, max-age=50",
    ]);
    let wishes = prop::sample::select(vec!["x", "x", "x", "max-age=3", "no-cache", "min-fresh=10"]);
    prop_oneof![
        12 => (0..3_u8, 0..3_u8, directives, any::<bool>(), wishes).prop_map(
            |(path, color, directives, vary, wishes)| Step::Ask { path, color, directives, vary, wishes }
        ),
        1 => (0..3_u8).prop_map(|path| Step::Change { path }),
        1 => (0..3_u8).prop_map(|path| Step::Purge { path }),
        3 => (0..9_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

/// How long an answer with these directives may be used.
fn allowed(directives: &str) -> u64 {
    match directives {
        "max-age=5" => 5,
        "max-age=50" => 50,
        "max-age=0, s-maxage=20" => 20,
        _ => 0,
    }
}

/// An answer, as the backend remembers it.
#[derive(Debug, Clone)]
struct Said {
    path: u8,
    color: u8,
    vary: bool,
    at: u64,
    lifetime: u64,
    version: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nothing_wrong_is_served(steps in prop::collection::vec(steps(), 1..80)) {
        let mut gateway = Gateway {
            cache: Cache::new(Settings { capacity: 1 << 20, largest_body: 1 << 16, ..Settings::default() }),
            ..Gateway::default()
        };
        let mut said: Vec<Said> = Vec::new();
        // How often a path was changed or purged.
        let mut versions: HashMap<u8, u64> = HashMap::new();
        for step in steps {
            match step {
                Step::Wait { seconds } => gateway.wait(seconds),
                Step::Change { path } => {
                    gateway.request("PUT", &format!("/{path}"), &[], &answer(204, &[], ""));
                    *versions.entry(path).or_default() += 1;
                }
                Step::Purge { path } => {
                    let tag = format!("t{path}");
                    gateway.cache.purge(&Purge::Tag(&tag), Manner::Hard);
                    *versions.entry(path).or_default() += 1;
                }
                Step::Ask { path, color, directives, vary, wishes } => {
                    let version = versions.get(&path).copied().unwrap_or(0);
                    let number = said.len();
                    let mut lines = vec![
                        format!("cache-control: {directives}"),
                        format!("cache-tag: t{path}"),
                    ];
                    if vary {
                        lines.push("vary: color".to_owned());
                    }
                    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
                    let backend = answer(200, &lines, &number.to_string());
                    let request = [format!("color: {color}"), format!("cache-control: {wishes}")];
                    let request: Vec<&str> = request.iter().map(String::as_str).collect();
                    let (got, seen) = gateway.get(&format!("/{path}"), &request, &backend);
                    prop_assert_eq!(got.cached, seen.is_none());
                    let now = gateway.now.as_secs();
                    if got.cached {
                        let body = String::from_utf8(got.body).unwrap();
                        let source = &said[body.parse::<usize>().unwrap()];
                        let age = now - source.at;
                        prop_assert_eq!(source.path, path);
                        prop_assert_eq!(source.version, version);
                        prop_assert!(!source.vary || source.color == color);
                        prop_assert!(age < source.lifetime);
                        prop_assert_eq!(got.headers["age"].to_str().unwrap(), age.to_string());
                        prop_assert!(wishes != "no-cache" && (wishes != "max-age=3" || age < 3));
                        prop_assert!(wishes != "min-fresh=10" || age + 10 <= source.lifetime);
                    } else {
                        let lifetime = allowed(directives);
                        said.push(Said { path, color, vary, at: now, lifetime, version });
                    }
                }
            }
        }
    }
}
