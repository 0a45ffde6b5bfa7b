//! `docs/routes-reference.md`: every key of the routes file, written from its JSON Schema.

use std::fmt::Write;

use serde_json::{Map, Value};

const INTRODUCTION: &str = "# Reference of the routes file\n\n\
    Every key, from the same definitions that the file is read by. [Routes file](routes-file.md) explains the most important \
    ones, with examples. This page is the output of `api-gateway schema --markdown`.\n";

/// The text of `docs/routes-reference.md`.
#[must_use]
pub fn routes_reference() -> String {
    let schema = super::routes::schema_value();
    let mut text = INTRODUCTION.to_owned();
    section(&mut text, "The file", &schema);
    for (name, definition) in object(&schema, "$defs").into_iter().flatten() {
        section(&mut text, name, definition);
    }
    text
}

/// A heading, what it is, and its keys or choices.
fn section(text: &mut String, name: &str, schema: &Value) {
    let _ = write!(text, "\n## {name}\n\n{}\n", described(schema));
    if let Some(properties) = object(schema, "properties") {
        keys(text, schema, properties);
    } else if let Some(choices) = choices(schema) {
        text.push('\n');
        for choice in choices {
            let _ = writeln!(text, "- {}: {}", kind(choice), described(choice));
        }
        // One of the choices may be an object that has no name of its own.
        for choice in choices {
            if let Some(properties) = object(choice, "properties") {
                keys(text, choice, properties);
            }
        }
    } else {
        let _ = write!(text, "\nIt is a {}.\n", kind(schema));
    }
}

fn keys(text: &mut String, schema: &Value, properties: &Map<String, Value>) {
    let required = schema["required"].as_array();
    let is_required = |key: &str| required.is_some_and(|keys| keys.iter().any(|name| name == key));
    text.push_str("\n| key | type | default | meaning |\n|---|---|---|---|\n");
    for (key, property) in properties {
        let default = match property.get("default") {
            _ if is_required(key) => "required".to_owned(),
            Some(value) => format!("`{value}`"),
            None => String::new(),
        };
        let _ = writeln!(
            text,
            "| `{key}` | {} | {default} | {} |",
            kind(property),
            described(property).replace('|', "\\|")
        );
    }
}

/// Of what type a value is, in words, with links to what has a section of its own.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.strip_prefix("#/$defs/"))
    {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    if let Some(values) = schema["enum"].as_array() {
        return joined(values.iter().map(|value| format!("`{value}`")));
    }
    if let Some(choices) = choices(schema) {
        return joined(choices.iter().map(kind));
    }
    match &schema["type"] {
        Value::Array(types) => joined(types.iter().map(|name| word(name.as_str(), schema))),
        name => word(name.as_str(), schema),
    }
}

fn word(name: Option<&str>, schema: &Value) -> String {
    match name {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") => match schema.get("additionalProperties") {
            Some(values) if values.is_object() => format!("object of {}", kind(values)),
            _ => "object".to_owned(),
        },
        Some(name @ ("integer" | "number")) => format!("{name}{}", range(schema)),
        Some(name) => name.to_owned(),
        None => "any value".to_owned(),
    }
}

fn range(schema: &Value) -> String {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => format!(", {least} to {most}"),
        (Some(least), None) => format!(", at least {least}"),
        (None, Some(most)) => format!(", at most {most}"),
        (None, None) => String::new(),
    }
}

fn joined(kinds: impl Iterator<Item = String>) -> String {
    kinds.collect::<Vec<_>>().join(" or ")
}

fn choices(schema: &Value) -> Option<&Vec<Value>> {
    ["anyOf", "oneOf"]
        .iter()
        .find_map(|key| schema[*key].as_array())
}

fn object<'a>(schema: &'a Value, key: &str) -> Option<&'a Map<String, Value>> {
    schema.get(key).and_then(Value::as_object)
}

/// Its description, in one line.
fn described(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_what_the_schema_says() {
        let file = include_str!("../../../../docs/routes-reference.md");
        assert_eq!(
            file,
            routes_reference(),
            "write the output of `api-gateway schema --markdown` to docs/routes-reference.md"
        );
    }

    #[test]
    fn every_key_of_the_schema_is_explained() {
        let text = routes_reference();
        for line in text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            assert!(cells.iter().all(|cell| *cell != "any value"), "{line}");
            let meaning = cells.last().copied().unwrap_or_default();
            assert!(!meaning.is_empty(), "{line}");
        }
    }
}
