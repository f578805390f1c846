//! YAML as a tree that knows where each of its values was written.
//!
//! A file is read to a bounded depth and a bounded number of values, aliases counted in full: what a file can make us
//! build is bounded whatever it says.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Number, Value};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};

/// The deepest nesting.
const MAX_DEPTH: usize = 64;

/// The most values in a file.
const MAX_NODES: usize = 200_000;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column, from 1.
    pub(crate) column: usize,
}

/// A value, and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) place: Place,
    content: Content,
    size: usize,
}

#[derive(Debug, Clone)]
enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Mapping(Vec<(String, Place, Node)>),
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub(crate) struct YamlError {
    pub(crate) place: Place,
    pub(crate) sentence: String,
}

/// One step from a value to one within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Field(String),
    Item(usize),
}

impl Node {
    /// The value alone.
    pub(crate) fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => Value::Array(items.iter().map(Self::value).collect()),
            Content::Mapping(fields) => {
                Value::Object(fields.iter().map(|(key, _, value)| (key.clone(), value.value())).collect::<Map<_, _>>())
            }
        }
    }

    /// Where the value at this path was written; where it is not there, the nearest one around it.
    pub(crate) fn place_of(&self, path: &[Step]) -> Place {
        let mut node = self;
        let mut place = self.place;
        for step in path {
            let next = match (&node.content, step) {
                (Content::Mapping(fields), Step::Field(name)) => {
                    fields.iter().find(|(key, ..)| key == name).map(|(_, at, value)| (*at, value))
                }
                (Content::List(items), Step::Item(index)) => items.get(*index).map(|value| (value.place, value)),
                _ => None,
            };
            let Some((at, value)) = next else { break };
            (place, node) = (at, value);
        }
        place
    }

    fn is_null(&self) -> bool {
        matches!(self.content, Content::Scalar(Value::Null))
    }
}

/// A collection that is being read.
enum Open {
    List {
        place: Place,
        anchor: usize,
        items: Vec<Node>,
        size: usize,
    },
    Mapping {
        place: Place,
        anchor: usize,
        fields: Vec<(String, Place, Node)>,
        keys: HashSet<String>,
        key: Option<(String, Place)>,
        size: usize,
    },
}

/// All documents of a file that are not empty.
pub(crate) fn documents(text: &str) -> Result<Vec<Node>, YamlError> {
    let mut documents = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: HashMap<usize, Node> = HashMap::new();
    let mut nodes = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| YamlError {
            place: Place { line: error.marker().line(), column: error.marker().col() + 1 },
            sentence: format!("this is no YAML: {}", error.info()),
        })?;
        let place = place(&span);
        let aliased = matches!(event, Event::Alias(_));
        let finished = match event {
            Event::Scalar(text, style, anchor, tag) => {
                if tag.as_ref().is_some_and(|tag| !tag.is_yaml_core_schema()) {
                    return Err(YamlError { place, sentence: "tags of one's own have no meaning here".to_owned() });
                }
                let quoted = style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let value = if quoted { Value::String(text.into_owned()) } else { resolve(&text) };
                Some((Node { place, content: Content::Scalar(value), size: 1 }, anchor))
            }
            Event::Alias(anchor) => match anchors.get(&anchor) {
                Some(node) => Some((Node { place, ..node.clone() }, 0)),
                None => return Err(YamlError { place, sentence: "this alias refers to itself".to_owned() }),
            },
            Event::SequenceStart(_, anchor, _) => {
                open.push(Open::List { place, anchor, items: Vec::new(), size: 1 });
                None
            }
            Event::MappingStart(_, anchor, _) => {
                open.push(Open::Mapping {
                    place,
                    anchor,
                    fields: Vec::new(),
                    keys: HashSet::new(),
                    key: None,
                    size: 1,
                });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|collection| match collection {
                Open::List { place, anchor, items, size } => {
                    (Node { place, content: Content::List(items), size }, anchor)
                }
                Open::Mapping { place, anchor, fields, size, .. } => {
                    (Node { place, content: Content::Mapping(fields), size }, anchor)
                }
            }),
            Event::DocumentEnd => {
                anchors.clear();
                None
            }
            _ => None,
        };
        if open.len() > MAX_DEPTH {
            return Err(YamlError { place, sentence: format!("this is nested deeper than {MAX_DEPTH} levels") });
        }
        let Some((node, anchor)) = finished else { continue };
        nodes += if aliased { node.size } else { 1 };
        if nodes > MAX_NODES {
            return Err(YamlError { place, sentence: format!("the file has more than {MAX_NODES} values") });
        }
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        match open.last_mut() {
            None if node.is_null() => {}
            None => documents.push(node),
            Some(collection) => put(collection, node)?,
        }
    }
    Ok(documents)
}

/// Puts a value into the collection around it.
fn put(collection: &mut Open, node: Node) -> Result<(), YamlError> {
    match collection {
        Open::List { items, size, .. } => {
            *size += node.size;
            items.push(node);
        }
        Open::Mapping { fields, keys, key, size, .. } => match key.take() {
            Some((name, at)) => {
                *size += node.size;
                fields.push((name, at, node));
            }
            None => {
                let name = match node.content {
                    Content::Scalar(Value::String(name)) => name,
                    Content::Scalar(value) => value.to_string(),
                    _ => {
                        return Err(YamlError {
                            place: node.place,
                            sentence: "the name of a field must be a text".to_owned(),
                        });
                    }
                };
                if !keys.insert(name.clone()) {
                    return Err(YamlError { place: node.place, sentence: format!("field '{name}' is given twice") });
                }
                *key = Some((name, node.place));
            }
        },
    }
    Ok(())
}

fn place(span: &Span) -> Place {
    Place { line: span.start.line(), column: span.start.col() + 1 }
}

/// What a plain scalar means: YAML 1.2, section 10.3.2, the core schema.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::String(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(Number::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u64::from_str_radix(digits, 8).ok().map(Number::from);
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    if let Ok(number) = plain.parse::<i64>() {
        return Some(Number::from(number));
    }
    if let Ok(number) = plain.parse::<u64>() {
        return Some(Number::from(number));
    }
    let only_numeric =
        plain.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    if only_numeric { plain.parse::<f64>().ok().and_then(Number::from_f64) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_yaml_says() {
        let text = "{a: 1, b: '1', c: 1.5, d: true, e: ~, f: 20Gi, g: -3, h: 0x1F, i: 1.2.3, j: !!str 7, k: yes}";
        let value = documents(text).unwrap().remove(0).value();
        let wanted = serde_json::json!({"a": 1, "b": "1", "c": 1.5, "d": true, "e": null, "f": "20Gi", "g": -3, "h": 31,
            "i": "1.2.3", "j": "7", "k": "yes"});
        assert_eq!(value, wanted);
    }

    #[test]
    fn a_value_is_found_again_by_its_path() {
        let text = "a:\n  b:\n    - c: 1\n    - c: 2\n";
        let node = documents(text).unwrap().remove(0);
        let path = [Step::Field("a".into()), Step::Field("b".into()), Step::Item(1), Step::Field("c".into())];
        assert_eq!(node.place_of(&path), Place { line: 4, column: 7 });
    }

    #[test]
    fn a_field_that_is_given_twice_is_refused_at_its_second_place() {
        let error = documents("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!((error.place.line, error.sentence.as_str()), (3, "field 'a' is given twice"));
    }

    #[test]
    fn aliases_of_aliases_do_not_fill_the_memory() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let before = level - 1;
            let list = vec![format!("*a{before}"); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(documents(&text).unwrap_err().sentence.contains("more than"));
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        assert!(documents(&"[".repeat(100_000)).is_err());
    }
}
