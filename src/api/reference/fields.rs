//! The fields of a kind, as its definition has them.

use k8s_openapi::{
    api::{
        core::v1::{Affinity, ResourceRequirements, Toleration},
        networking::v1::NetworkPolicyPeer,
    },
    apimachinery::pkg::apis::meta::v1::Condition,
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::Value;

/// Where the types of Kubernetes are documented.
const KUBERNETES: &str = "https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.34/";

/// The deepest nesting of fields.
const MAX_DEPTH: usize = 12;

/// A field, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Where it is, such as `spec.listeners[].port`.
    pub(super) path: String,
    /// What it is, such as `list of objects`.
    pub(super) kind: String,
    /// What it is where nothing is said of it.
    pub(super) default: Option<String>,
    /// It must be given.
    pub(super) required: bool,
    /// What it may be, each with its sentence, where these are few.
    pub(super) values: Vec<(String, String)>,
    /// Its bounds, such as `at most 16 items`.
    pub(super) bounds: Vec<String>,
    /// What is said where it is wrong, or changed in a way in which it cannot be.
    pub(super) rules: Vec<String>,
    /// Its documentation.
    pub(super) text: String,
    /// Where it is documented, where it is a type of Kubernetes.
    pub(super) elsewhere: Option<String>,
}

/// A type of Kubernetes: its name, where it is documented, and its fields.
struct Foreign {
    name: &'static str,
    fields: Vec<String>,
    /// The anchor on the page of Kubernetes' API.
    anchor: &'static str,
}

/// Reads the fields of one kind.
pub(super) struct Reader {
    foreign: Vec<Foreign>,
    /// The kind's types as they are, whose values still have their sentences.
    types: Value,
}

impl Reader {
    pub(super) fn new(types: Value) -> Self {
        Self {
            foreign: vec![
                foreign::<Affinity>("Affinity", "affinity-v1-core"),
                foreign::<Condition>("Condition", "condition-v1-meta"),
                foreign::<NetworkPolicyPeer>("NetworkPolicyPeer", "networkpolicypeer-v1-networking-k8s-io"),
                foreign::<ResourceRequirements>("ResourceRequirements", "resourcerequirements-v1-core"),
                foreign::<Toleration>("Toleration", "toleration-v1-core"),
            ],
            types,
        }
    }

    /// What is within a schema, in the order of names; `path` is where that is.
    pub(super) fn read(&self, schema: &Value, path: &str) -> Vec<Field> {
        let mut fields = Vec::new();
        self.within(schema, path, 0, &mut fields);
        fields
    }

    fn within(&self, schema: &Value, path: &str, depth: usize, fields: &mut Vec<Field>) {
        let Some(properties) = schema["properties"].as_object().filter(|_| depth < MAX_DEPTH) else { return };
        let whole = last(path);
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, inner) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let mut field = self.field(inner, path.clone());
            field.required = required.contains(&name.as_str()) && inner.get("default").is_none();
            field
                .rules
                .extend(rules(schema).filter(|rule| rule.is_of(schema, whole) == Some(name)).map(|rule| rule.said));
            let foreign = field.elsewhere.is_some();
            fields.push(field);
            if !foreign {
                self.within(inner, &path, depth + 1, fields);
                self.within(&inner["items"], &format!("{path}[]"), depth + 1, fields);
            }
        }
    }

    fn field(&self, schema: &Value, path: String) -> Field {
        let foreign = self.foreign(schema).or_else(|| self.foreign(&schema["items"]));
        let kind = match foreign {
            Some(foreign) if schema["type"] == "array" => format!("list of {}", foreign.name),
            Some(foreign) => foreign.name.to_owned(),
            None => kind(schema),
        };
        // A rule of the whole that speaks of one field is told there.
        let own =
            rules(schema).filter(|rule| rule.is_of(schema, last(&path)).is_none()).map(|rule| rule.said).collect();
        Field {
            path,
            kind,
            default: schema.get("default").map(shown),
            required: false,
            values: self.values(schema),
            bounds: bounds(schema),
            rules: own,
            text: schema["description"].as_str().unwrap_or_default().to_owned(),
            elsewhere: foreign.map(|foreign| format!("{KUBERNETES}#{}", foreign.anchor)),
        }
    }

    fn foreign(&self, schema: &Value) -> Option<&Foreign> {
        let fields = names(schema);
        self.foreign.iter().find(|foreign| !fields.is_empty() && foreign.fields == fields)
    }

    /// The words of an enumeration, each with what the type that has exactly these says of it.
    fn values(&self, schema: &Value) -> Vec<(String, String)> {
        let values: Vec<&str> = schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut types = self.types["$defs"].as_object().into_iter().flat_map(|types| types.values());
        let words = |schema: &Value| variants(schema).filter_map(|it| it["const"].as_str()).eq(values.iter().copied());
        let own = types.find(|schema| words(schema));
        let said = |value: &str| {
            let variant = own.and_then(|own| variants(own).find(|variant| variant["const"] == value));
            variant.and_then(|variant| variant["description"].as_str()).unwrap_or_default().to_owned()
        };
        values.iter().map(|value| ((*value).to_owned(), said(value))).collect()
    }
}

/// What is said of the resource as a whole.
pub(super) fn said_of_the_whole(schema: &Value) -> Vec<String> {
    rules(schema).map(|rule| rule.said).collect()
}

fn foreign<T: JsonSchema>(name: &'static str, anchor: &'static str) -> Foreign {
    let mut generator = SchemaGenerator::new(SchemaSettings::openapi3().with(|it| it.inline_subschemas = true));
    Foreign { name, fields: names(T::json_schema(&mut generator).as_value()), anchor }
}

fn names(schema: &Value) -> Vec<String> {
    schema["properties"].as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default()
}

fn variants(schema: &Value) -> impl Iterator<Item = &Value> {
    schema["oneOf"].as_array().into_iter().flatten()
}

/// A rule that the API server checks, and what it says where it does not hold.
struct Rule<'a> {
    rule: &'a str,
    said: String,
}

impl<'a> Rule<'a> {
    /// The field of a whole that it speaks of: the one that it names first, unless its sentence begins with the whole's name.
    fn is_of(&self, schema: &Value, whole: &str) -> Option<&'a str> {
        let (_, after) = self.rule.split_once("self.")?;
        let name = after.split(|letter: char| !letter.is_ascii_alphanumeric()).next()?;
        let known = schema["properties"].as_object().is_some_and(|fields| fields.contains_key(name));
        (known && self.said.split(' ').next() != Some(whole)).then_some(name)
    }
}

fn rules(schema: &Value) -> impl Iterator<Item = Rule<'_>> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.filter_map(|rule| Some(Rule { rule: rule["rule"].as_str()?, said: rule["message"].as_str()?.to_owned() }))
}

/// The name of the field at the end of a path.
fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or_default().trim_end_matches("[]")
}

fn kind(schema: &Value) -> String {
    let is_quantity = rules(schema).any(|rule| rule.rule.contains("isQuantity(self)"));
    match schema["type"].as_str().unwrap_or_default() {
        "array" => format!("list of {}", plural(&kind(&schema["items"]))),
        "object" if schema.get("additionalProperties").is_some() => {
            format!("map to {}", plural(&kind(&schema["additionalProperties"])))
        }
        "string" if schema.get("enum").is_some() => "one word".to_owned(),
        "string" if schema["format"] == "date-time" => "time".to_owned(),
        "string" if is_quantity => "quantity".to_owned(),
        "" if schema["x-kubernetes-int-or-string"] == true => "integer or string".to_owned(),
        other => other.to_owned(),
    }
}

fn plural(kind: &str) -> String {
    if kind.ends_with('y') { format!("{}ies", kind.trim_end_matches('y')) } else { format!("{kind}s") }
}

fn bounds(schema: &Value) -> Vec<String> {
    let words = [
        ("minItems", "at least", "items"),
        ("maxItems", "at most", "items"),
        ("maxProperties", "at most", "entries"),
        ("minLength", "at least", "characters"),
        ("maxLength", "at most", "characters"),
        ("minimum", "at least", ""),
        ("maximum", "at most", ""),
    ];
    let bound = |(key, how, unit): (&str, &str, &str)| {
        let number = schema[key].as_number()?.to_string();
        let unit = if number == "1" { unit.trim_end_matches('s') } else { unit };
        Some(format!("{how} {number} {unit}").trim().to_owned())
    };
    words.into_iter().filter_map(bound).collect()
}

/// A default, as it would be typed.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}: {}", shown(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::kinds;

    fn fields(kind: &str) -> Vec<Field> {
        let kind = kinds().into_iter().find(|it| it.definition.spec.names.kind == kind).unwrap();
        let schema = kind.schema().unwrap();
        Reader::new(kind.types.clone()).read(&schema["properties"]["spec"], "")
    }

    fn field(kind: &str, path: &str) -> Field {
        fields(kind).into_iter().find(|field| field.path == path).unwrap()
    }

    #[test]
    fn a_field_has_its_default_its_bounds_and_what_is_said_of_it() {
        let replicas = field("MessageQueue", "replicas");
        assert_eq!(
            (replicas.kind.as_str(), replicas.default.as_deref(), replicas.required),
            ("integer", Some("3"), false)
        );
        let size = field("MessageQueue", "storage.size");
        assert_eq!((size.kind.as_str(), size.required, size.rules.len()), ("quantity", true, 1));
        assert!(field("Topic", "queues").bounds.contains(&"at most 256 items".to_owned()));
    }

    #[test]
    fn a_rule_of_the_whole_is_told_at_the_field_that_it_speaks_of() {
        assert_eq!(field("MessageQueue", "storage").rules, Vec::<String>::new());
        assert!(field("MessageQueue", "storage.storageClassName").rules[0].contains("cannot be changed"));
        assert!(field("Topic", "retention").rules.iter().any(|said| said.starts_with("retention needs")));
        assert_eq!(field("MessageQueue", "mirrors").rules.len(), 3);
    }

    #[test]
    fn words_have_the_sentences_of_their_type() {
        let policy = field("Topic", "deletionPolicy");
        assert_eq!(policy.values[0].0, "Retain");
        assert!(policy.values.iter().all(|(_, sentence)| sentence.ends_with('.')), "{:?}", policy.values);
    }

    #[test]
    fn a_type_of_kubernetes_is_named_and_not_unfolded() {
        assert_eq!(field("MessageQueue", "podTemplate.tolerations").kind, "list of Toleration");
        assert!(fields("MessageQueue").iter().all(|field| !field.path.contains("affinity.")));
    }
}
