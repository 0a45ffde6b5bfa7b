//! Whether a document has the structure that its JSON Schema describes.
//!
//! The schema is made from the structs that the file is read into, so that one definition serves reading, checking,
//! editors and the reference. Only what those structs lead to is understood here: types, properties, required ones,
//! items, choices, words and bounds.

use std::collections::HashSet;

use jsonc_parser::ast::{Object, Value as Node};
use jsonc_parser::common::Ranged;
use serde_json::Value;

use super::Finding;
use super::document::{Document, name};

/// Checks documents against one schema.
pub(in crate::config) struct Structure<'a> {
    document: &'a Document<'a>,
    schema: &'a Value,
    findings: Vec<Finding>,
}

impl<'a> Structure<'a> {
    pub(in crate::config) fn new(document: &'a Document<'a>, schema: &'a Value) -> Self {
        Self {
            document,
            schema,
            findings: Vec::new(),
        }
    }

    /// Everything that is wrong with the structure of the document.
    pub(in crate::config) fn check(mut self) -> Vec<Finding> {
        self.value(self.document.root(), self.schema);
        self.findings
    }

    fn say(&mut self, offset: usize, message: &str) {
        self.findings.push(self.document.finding(offset, message));
    }

    fn value(&mut self, node: &Node<'_>, schema: &'a Value) {
        let schema = self.resolve(schema);
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            return self.choice(node, choices);
        }
        if let Some(words) = schema.get("oneOf").and_then(Value::as_array) {
            return self.word(node, words);
        }
        let expected = schema.get("type").and_then(Value::as_str);
        if let Some(expected) = expected.filter(|expected| !is_of_type(node, expected)) {
            let found = describe(node);
            return self.say(
                node.start(),
                &format!("expected {}, found {found}", article(expected)),
            );
        }
        match node {
            Node::Object(object) => self.object(object, schema),
            Node::Array(array) => {
                self.least(node, array.elements.len(), schema, "minItems");
                if let Some(items) = schema.get("items") {
                    array
                        .elements
                        .iter()
                        .for_each(|element| self.value(element, items));
                }
            }
            Node::StringLit(text) => self.least(node, text.value.len(), schema, "minLength"),
            Node::NumberLit(number) => self.number(node, number.value, schema),
            Node::BooleanLit(_) | Node::NullKeyword(_) => {}
        }
    }

    /// The choice that has the node's type is the one that was meant.
    fn choice(&mut self, node: &Node<'_>, choices: &'a [Value]) {
        let type_of = |choice: &'a Value| {
            self.resolve(choice)
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or("value")
        };
        match choices
            .iter()
            .find(|choice| is_of_type(node, type_of(choice)))
        {
            Some(meant) => self.value(node, meant),
            None => {
                let expected: Vec<String> = choices
                    .iter()
                    .map(|choice| article(type_of(choice)))
                    .collect();
                let message = format!(
                    "expected {}, found {}",
                    expected.join(" or "),
                    describe(node)
                );
                self.say(node.start(), &message);
            }
        }
    }

    /// One of some words, each of which the schema explains by itself.
    fn word(&mut self, node: &Node<'_>, words: &[Value]) {
        let allowed: Vec<&str> = words
            .iter()
            .filter_map(|word| word.get("const")?.as_str())
            .collect();
        let is_allowed = matches!(node, Node::StringLit(text) if allowed.contains(&&*text.value));
        if !is_allowed {
            let message = format!(
                "expected \"{}\", found {}",
                allowed.join("\" or \""),
                describe(node)
            );
            self.say(node.start(), &message);
        }
    }

    fn object(&mut self, object: &Object<'_>, schema: &'a Value) {
        let known = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let mut seen = HashSet::new();
        for property in &object.properties {
            let key = name(property);
            if !seen.insert(key) {
                self.say(
                    property.start(),
                    &format!("\"{key}\" stands here twice; remove one"),
                );
            }
            match (known.and_then(|known| known.get(key)), others) {
                (Some(schema), _) => self.value(&property.value, schema),
                (None, Some(schema @ Value::Object(_))) => self.value(&property.value, schema),
                (None, Some(Value::Bool(true))) => {}
                (None, _) => {
                    let known = known
                        .map(|known| known.keys().map(String::as_str).collect())
                        .unwrap_or_default();
                    self.say(property.start(), &unknown_key(key, known));
                }
            }
        }
        for required in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(required) = required
                .as_str()
                .filter(|required| !seen.contains(required))
            {
                self.say(object.start(), &format!("\"{required}\" is missing"));
            }
        }
    }

    fn least(&mut self, node: &Node<'_>, found: usize, schema: &Value, bound: &str) {
        if schema
            .get(bound)
            .and_then(Value::as_u64)
            .is_some_and(|least| (found as u64) < least)
        {
            self.say(node.start(), "must not be empty; leave the key out instead");
        }
    }

    fn number(&mut self, node: &Node<'_>, text: &str, schema: &Value) {
        let bound = |name| schema.get(name).and_then(Value::as_f64);
        let (least, most) = (bound("minimum"), bound("maximum"));
        let fits = text.parse::<f64>().is_ok_and(|number| {
            least.is_none_or(|least| least <= number) && most.is_none_or(|most| number <= most)
        });
        if !fits {
            let allowed = match (least, most) {
                (Some(least), Some(most)) => format!("allowed are {least} to {most}"),
                (Some(least), None) => format!("must be at least {least}"),
                (None, Some(most)) => format!("must be at most {most}"),
                (None, None) => "must be a number".to_owned(),
            };
            self.say(node.start(), &format!("{text} is out of range; {allowed}"));
        }
    }

    /// Follows references to definitions.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let reference = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| path.strip_prefix('#'));
        reference
            .and_then(|pointer| self.schema.pointer(pointer))
            .unwrap_or(schema)
    }
}

fn is_of_type(node: &Node<'_>, name: &str) -> bool {
    match node {
        Node::Object(_) => name == "object",
        Node::Array(_) => name == "array",
        Node::StringLit(_) => name == "string",
        Node::BooleanLit(_) => name == "boolean",
        Node::NullKeyword(_) => name == "null",
        Node::NumberLit(number) => {
            name == "number" || (name == "integer" && number.value.parse::<i64>().is_ok())
        }
    }
}

fn describe(node: &Node<'_>) -> String {
    match node {
        Node::Object(_) => "an object".to_owned(),
        Node::Array(_) => "an array".to_owned(),
        Node::StringLit(text) => format!(
            "the string \"{}\"",
            text.value.chars().take(40).collect::<String>()
        ),
        Node::BooleanLit(literal) => literal.value.to_string(),
        Node::NullKeyword(_) => "null; leave the key out instead".to_owned(),
        Node::NumberLit(number) => number.value.to_owned(),
    }
}

fn article(type_name: &str) -> String {
    match type_name {
        "object" | "array" => format!("an {type_name}"),
        "integer" => "a whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        other => format!("a {other}"),
    }
}

/// The nearest known key, where one is near.
fn unknown_key(key: &str, known: Vec<&str>) -> String {
    let near = known
        .iter()
        .map(|known| {
            (
                strsim::damerau_levenshtein(&known.to_lowercase(), &key.to_lowercase()),
                known,
            )
        })
        .min()
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3);
    match near {
        Some((_, near)) => format!("unknown key \"{key}\"; did you mean \"{near}\"?"),
        None => format!("unknown key \"{key}\"; known are {}", known.join(", ")),
    }
}
