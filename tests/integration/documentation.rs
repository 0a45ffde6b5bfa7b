//! What the documentation promises: its examples load, its links lead somewhere, its tables name what there is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::deployment::{passes, root, text, tool};
use crate::gateway;

/// All pages of the book, relative to `docs`.
fn pages() -> Vec<PathBuf> {
    fn collect(folder: &Path, pages: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, pages);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let docs = root().join("docs");
    let mut pages = Vec::new();
    collect(&docs, &mut pages);
    pages.sort();
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

fn read(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap()
}

/// The lines of a page, each with its number and whether it stands in a block of code.
fn lines(text: &str) -> Vec<(usize, bool, &str)> {
    let mut in_code = false;
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            let is_fence = line.starts_with("```");
            let is_code = in_code || is_fence;
            if is_fence {
                in_code = !in_code;
            }
            (index + 1, is_code, line)
        })
        .collect()
}

/// Blocks of code whose fence says exactly `kind`, with the line that they start in.
fn blocks(text: &str, kind: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut block: Option<(bool, usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut block) {
            (Some(info), None) => block = Some((info == kind, number + 2, String::new())),
            (Some(_), Some(_)) => {
                let (wanted, start, content) = block.take().unwrap();
                if wanted {
                    blocks.push((start, content));
                }
            }
            (None, Some((_, _, content))) => {
                content.push_str(line);
                content.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// A block of JSON is a routes file; what is not says `json fragment`. So examples can be copied as they are.
#[tokio::test]
async fn every_example_of_a_routes_file_loads() {
    let mut pages = pages();
    pages.extend([root().join("README.md"), root().join("README.ko.md")]);
    let consumers = blocks(&text("docs/authentication.md"), "json fragment");
    let consumers = consumers
        .iter()
        .find(|(_, block)| block.contains("\"consumers\""));
    let (_, consumers) = consumers.expect("the example of a consumers file");
    let mut examples = 0;
    for page in pages {
        for (line, block) in blocks(&read(&page), "json") {
            let place = format!("{}:{line}", page.display());
            let (status, _, error) = gateway()
                .argument("check")
                .file("routes.json", &block)
                .file("keys/partners.pem", PUBLIC_KEY)
                .env("ROUTES_CONFIG_PATH", "routes.json")
                .file("consumers.json", consumers)
                .env("CONSUMERS_FILE", "consumers.json")
                .env("API_KEY_SECRET", "a secret for examples, long enough")
                .env("REDIS_URL", "redis://localhost:6379")
                .finish()
                .await;
            assert_eq!(
                status.code(),
                Some(0),
                "{place}: is not a routes file that loads; if it is not meant to be one, begin it with ```json fragment\n{error}"
            );
            examples += 1;
        }
    }
    assert!(examples >= 15, "{examples} examples");
}

/// For examples with keys of an issuer: that of RFC 8410 §10.1.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";

#[test]
fn each_feature_has_an_example_of_its_own() {
    for page in [
        "authentication",
        "caching",
        "cors",
        "limits",
        "proxying",
        "rate-limiting",
        "routing",
        "security",
        "streaming",
        "upstreams",
        "migration/kong",
        "migration/nginx",
        "migration/traefik",
    ] {
        let text = text(format!("docs/{page}.md"));
        assert!(!blocks(&text, "json").is_empty(), "{page}.md has none");
    }
}

/// The targets of the links in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
}

/// The name by which a heading is linked to.
fn anchor(heading: &str) -> String {
    let kept = |character: &char| character.is_alphanumeric() || "-_ ".contains(*character);
    let text: String = heading.to_lowercase().chars().filter(kept).collect();
    text.trim().replace(' ', "-")
}

fn anchors(page: &Path) -> BTreeSet<String> {
    lines(&read(page))
        .into_iter()
        .filter(|(_, is_code, _)| !is_code)
        .filter_map(|(_, _, line)| line.strip_prefix('#'))
        .map(|heading| anchor(heading.trim_start_matches('#')))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut checked = 0;
    let mut broken = Vec::new();
    let others = [
        "README.md",
        "README.ko.md",
        "CONTRIBUTING.md",
        "RELEASING.md",
        "SECURITY.md",
        "CHANGELOG.md",
    ];
    for page in pages()
        .into_iter()
        .chain(others.map(|name| root().join(name)))
    {
        let text = read(&page);
        for (number, is_code, line) in lines(&text) {
            if is_code {
                continue;
            }
            for link in links(line).filter(|link| !link.contains("://")) {
                checked += 1;
                let (file, name) = link.split_once('#').unwrap_or((link, ""));
                let target = match file {
                    "" => page.clone(),
                    file => page.parent().unwrap().join(file),
                };
                let leads = target.exists() && (name.is_empty() || anchors(&target).contains(name));
                if !leads {
                    broken.push(format!("{}:{number}: {link}", page.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(checked > 100, "{checked} links");
}

#[test]
fn the_book_has_every_page_and_is_made() {
    let docs = root().join("docs");
    let summary = docs.join("SUMMARY.md");
    let text = read(&summary);
    let listed: BTreeSet<PathBuf> = text
        .lines()
        .flat_map(links)
        .map(|link| docs.join(link))
        .collect();
    let there: BTreeSet<PathBuf> = pages()
        .into_iter()
        .filter(|page| *page != summary)
        .collect();
    assert_eq!(listed, there, "docs/SUMMARY.md lists the pages of the book");

    let book = std::env::temp_dir().join(format!("api-gateway-book-{}", std::process::id()));
    passes(
        tool("mdbook")
            .args(["build", "docs", "--dest-dir"])
            .arg(&book),
    );
    for page in there {
        let page = page.strip_prefix(&docs).unwrap();
        let html = match page.file_name().unwrap().to_str().unwrap() {
            "README.md" => page.with_file_name("index.html"),
            _ => page.with_extension("html"),
        };
        assert!(book.join(&html).exists(), "{}", html.display());
    }
    std::fs::remove_dir_all(&book).unwrap();
}

/// Pages of a book cannot link to what is beside it.
#[test]
fn no_page_of_the_book_leads_out_of_it() {
    let docs = root().join("docs");
    for page in pages() {
        for (number, is_code, line) in lines(&read(&page)) {
            for link in links(line).filter(|link| !is_code && !link.contains("://")) {
                let file = link.split('#').next().unwrap();
                let target = page.parent().unwrap().join(file);
                let inside = target
                    .canonicalize()
                    .is_ok_and(|target| target.starts_with(&docs));
                assert!(
                    file.is_empty() || inside,
                    "{}:{number}: {link}",
                    page.display()
                );
            }
        }
    }
}

#[tokio::test]
async fn the_migration_tables_name_keys_and_settings_that_there_are() {
    let (_, schema, _) = gateway().argument("schema").finish().await;
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let settings: BTreeSet<String> = text(".env.example")
        .lines()
        .filter_map(|line| Some(line.strip_prefix('#')?.split_once('=')?.0.to_owned()))
        .collect();
    let mut checked = 0;
    for page in ["nginx", "kong", "traefik"] {
        let text = text(format!("docs/migration/{page}.md"));
        for row in text.lines().filter(|line| line.starts_with("| ")) {
            let cells: Vec<&str> = row.split(" | ").collect();
            assert!(cells.len() >= 2, "{page}: {row}");
            let ours = cells[1].split('`').skip(1).step_by(2);
            let theirs_too = cells
                .get(2)
                .into_iter()
                .flat_map(|cell| cell.split('`').skip(1).step_by(2));
            let theirs_too = theirs_too.filter(|name| name.contains("[].") || name.contains(".*."));
            for name in ours.chain(theirs_too) {
                let there = match name {
                    "api-gateway check" => true,
                    name if name.starts_with(char::is_uppercase) => settings.contains(name),
                    name => knows(&schema, name),
                };
                assert!(there, "{page}: there is no `{name}`: {row}");
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "{checked} names");
    assert!(!knows(&schema, "routes[].timout") && !knows(&schema, "upstreams.*.balance.bye"));
}

/// Whether the schema has a key, as in `routes[].cache.ttl` or `upstreams.*.balance`.
fn knows(schema: &Value, path: &str) -> bool {
    let mut places = vec![schema];
    for step in path.replace("[]", ".[]").split('.') {
        places = places
            .into_iter()
            .flat_map(|place| variants(schema, place))
            .filter_map(|variant| match step {
                "[]" => variant.get("items"),
                "*" => variant
                    .get("additionalProperties")
                    .filter(|it| it.is_object()),
                key => variant.get("properties")?.get(key),
            })
            .collect();
    }
    !places.is_empty()
}

/// What a place in the schema may be: itself, what it refers to, and each choice.
fn variants<'a>(schema: &'a Value, place: &'a Value) -> Vec<&'a Value> {
    let mut all = vec![place];
    if let Some(name) = place["$ref"]
        .as_str()
        .and_then(|path| path.strip_prefix("#/$defs/"))
    {
        all.extend(variants(schema, &schema["$defs"][name]));
    }
    for choice in ["anyOf", "oneOf"]
        .iter()
        .filter_map(|key| place[*key].as_array())
        .flatten()
    {
        all.extend(variants(schema, choice));
    }
    all
}
