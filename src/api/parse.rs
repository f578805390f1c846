//! A file of resources, with line and field of what is wrong in it.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::{
    Backup, CheckedBackup, CheckedTopic, CheckedUser, Cluster, GROUP, MessageQueue, Problem, Topic, User, VERSION,
    yaml::{Node, Place, Step, YamlError, documents},
};

/// A resource of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// A cluster, as it was written and as it was checked.
    MessageQueue(Box<MessageQueue>, Box<Cluster>),
    /// A topic, as it was written and as it was checked.
    Topic(Box<Topic>, Box<CheckedTopic>),
    /// A user, as it was written and as it was checked.
    User(Box<User>, Box<CheckedUser>),
    /// A backup, as it was written and as it was checked.
    Backup(Box<Backup>, Box<CheckedBackup>),
    /// Something of Kubernetes' own, which is none of ours.
    Other {
        /// Its API version.
        api_version: String,
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// The line where it begins, from 1.
        line: usize,
    },
}

/// What is wrong with a file: where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {}{message}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
pub struct ParseError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// The field, from its resource's root; empty where it is the file as a whole.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Reads all resources of a YAML file and checks them as the API server and the operator would, one by one and together.
///
/// # Errors
///
/// [`ParseError`] for the first that is wrong.
pub fn parse_resources(text: &str, file: &str) -> Result<Vec<Resource>, ParseError> {
    let documents = documents(text).map_err(|error| from_yaml(file, error))?;
    let mut resources = Vec::with_capacity(documents.len());
    for document in &documents {
        resources.push(read(document).map_err(|wrong| wrong.at(file, document))?);
    }
    check_together(file, &documents, &resources)?;
    Ok(resources)
}

/// What is wrong, before it is known where that was written.
struct Wrong {
    path: Vec<Step>,
    message: String,
}

impl Wrong {
    fn new(path: Vec<Step>, message: impl Into<String>) -> Self {
        Self { path, message: message.into() }
    }

    fn field(name: &str, message: impl Into<String>) -> Self {
        Self::new(vec![Step::Field(name.to_owned())], message)
    }

    fn at(self, file: &str, document: &Node) -> ParseError {
        let Place { line, column } = document.place_of(&self.path);
        ParseError { file: file.to_owned(), line, column, field: written(&self.path), message: self.message }
    }
}

impl From<&Problem> for Wrong {
    fn from(problem: &Problem) -> Self {
        Self::new(steps(&problem.field), problem.sentence.clone())
    }
}

fn from_yaml(file: &str, error: YamlError) -> ParseError {
    let Place { line, column } = error.place;
    ParseError { file: file.to_owned(), line, column, field: String::new(), message: error.sentence }
}

fn read(document: &Node) -> Result<Resource, Wrong> {
    let value = document.value();
    let Value::Object(fields) = &value else {
        return Err(Wrong::new(Vec::new(), "this is no resource; a resource has apiVersion, kind, metadata and spec"));
    };
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        _ => Err(Wrong::field(name, format!("a resource needs {name}: a text"))),
    };
    let (api_version, kind) = (text("apiVersion")?, text("kind")?);
    let name = value.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if name.is_empty() {
        let path = vec![Step::Field("metadata".to_owned()), Step::Field("name".to_owned())];
        return Err(Wrong::new(path, "a resource needs metadata.name: a text"));
    }
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if group != GROUP {
        return Ok(Resource::Other { api_version, kind, name, line: document.place.line });
    }
    if api_version != format!("{GROUP}/{VERSION}") {
        return Err(Wrong::field("apiVersion", format!("'{api_version}' is unknown; write {GROUP}/{VERSION}")));
    }
    match kind.as_str() {
        "MessageQueue" => {
            let resource: MessageQueue = typed(value)?;
            let checked = Cluster::check(&resource).map_err(|invalid| first(&invalid.problems))?;
            Ok(Resource::MessageQueue(Box::new(resource), Box::new(checked)))
        }
        "Topic" => {
            let resource: Topic = typed(value)?;
            let checked = CheckedTopic::check(&resource).map_err(|invalid| first(&invalid.problems))?;
            Ok(Resource::Topic(Box::new(resource), Box::new(checked)))
        }
        "User" => {
            let resource: User = typed(value)?;
            let checked = CheckedUser::check(&resource).map_err(|invalid| first(&invalid.problems))?;
            Ok(Resource::User(Box::new(resource), Box::new(checked)))
        }
        "Backup" => {
            let resource: Backup = typed(value)?;
            let checked = CheckedBackup::check(&resource).map_err(|invalid| first(&invalid.problems))?;
            Ok(Resource::Backup(Box::new(resource), Box::new(checked)))
        }
        _ => Err(Wrong::field(
            "kind",
            format!("'{kind}' is no kind of {GROUP}/{VERSION}; there are MessageQueue, Topic, User and Backup"),
        )),
    }
}

fn first(problems: &[Problem]) -> Wrong {
    problems.first().map_or_else(|| Wrong::new(Vec::new(), "this cannot be"), Wrong::from)
}

/// Reads a value as a type, and refuses fields that the type does not have: a misspelt field is a setting that was meant.
fn typed<T: DeserializeOwned>(mut value: Value) -> Result<T, Wrong> {
    if let Value::Object(fields) = &mut value {
        for read_already in ["apiVersion", "kind", "status"] {
            fields.remove(read_already);
        }
    }
    let mut unknown = None;
    let mut note = |path: serde_ignored::Path<'_>| {
        unknown.get_or_insert_with(|| steps(&path.to_string().replace(".?", "")));
    };
    let deserializer = serde_ignored::Deserializer::new(value, &mut note);
    let typed = serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().iter().filter_map(step).collect();
        Wrong::new(path, error.inner().to_string())
    })?;
    match unknown {
        Some(path) if path.first() == Some(&Step::Field("spec".to_owned())) => {
            Err(Wrong::new(path, "there is no such field; see `kubectl explain` or docs/ for those that there are"))
        }
        Some(path) if path.len() == 1 => Err(Wrong::new(path, "there is no such field beside metadata and spec")),
        _ => Ok(typed),
    }
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Seq { index } => Some(Step::Item(*index)),
        Segment::Map { key } => Some(Step::Field(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

/// The steps of a path such as `spec.queues[1].name` or `spec.queues.1.name`.
fn steps(path: &str) -> Vec<Step> {
    path.split(['.', '['])
        .map(|part| part.trim_end_matches(']'))
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().map_or_else(|_| Step::Field(part.to_owned()), Step::Item))
        .collect()
}

fn written(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) if text.is_empty() => text.push_str(name),
            Step::Field(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Item(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// What only several resources together can tell: two of one name, a topic or user whose cluster is not
/// there or too small.
fn check_together(file: &str, documents: &[Node], resources: &[Resource]) -> Result<(), ParseError> {
    let mut names = BTreeSet::new();
    let mut clusters = BTreeMap::new();
    for (document, resource) in documents.iter().zip(resources) {
        let (kind, namespace, name) = match resource {
            Resource::MessageQueue(resource, cluster) => {
                clusters.insert((cluster.namespace.clone(), cluster.name.clone()), cluster.replicas);
                ("MessageQueue", cluster.namespace.clone(), resource.name_any())
            }
            Resource::Topic(_, topic) => ("Topic", topic.namespace.clone(), topic.resource.clone()),
            Resource::User(_, user) => ("User", user.namespace.clone(), user.resource.clone()),
            Resource::Backup(_, backup) => ("Backup", backup.namespace.clone(), backup.name.clone()),
            Resource::Other { .. } => continue,
        };
        if !names.insert((kind, namespace, name.clone())) {
            return Err(Wrong::new(steps("metadata.name"), format!("there are two of {kind} {name} in this file"))
                .at(file, document));
        }
    }
    let mut taken = BTreeMap::new();
    for (document, resource) in documents.iter().zip(resources) {
        let Some(Member { kind, namespace, resource: name, cluster, named, names_itself }) = Member::of(resource)
        else {
            continue;
        };
        let Some(brokers) = clusters.get(&(namespace.clone(), cluster.clone())) else {
            let there = clusters.keys().filter(|(other, _)| other == namespace).map(|(_, name)| name.as_str());
            let there: Vec<_> = there.collect();
            let hint = if there.is_empty() { "has none".to_owned() } else { format!("has {}", there.join(", ")) };
            let sentence = format!("there is no MessageQueue {cluster} in this file; it {hint}");
            return Err(Wrong::new(steps("spec.cluster"), sentence).at(file, document));
        };
        if let Resource::Topic(_, topic) = resource {
            topic.fits(*brokers).map_err(|problem| Wrong::from(&problem).at(file, document))?;
        }
        if let Some(other) = taken.insert((kind, namespace, cluster, named), name) {
            let field = if names_itself { "spec.name" } else { "metadata.name" };
            let (noun, (_, named)) = (kind.to_lowercase(), named);
            let sentence = format!("{kind} {other} has the name {named} already; a {noun} belongs to one resource");
            return Err(Wrong::new(steps(field), sentence).at(file, document));
        }
    }
    Ok(())
}

/// What lives in a cluster.
struct Member<'a> {
    kind: &'static str,
    namespace: &'a String,
    resource: &'a String,
    cluster: &'a String,
    /// Its virtual host, where it has one, and its name there.
    named: (&'a str, &'a String),
    /// Its name is not its resource's.
    names_itself: bool,
}

impl<'a> Member<'a> {
    fn of(resource: &'a Resource) -> Option<Self> {
        match resource {
            Resource::Topic(written, topic) => Some(Self {
                kind: "Topic",
                namespace: &topic.namespace,
                resource: &topic.resource,
                cluster: &topic.cluster,
                named: (&topic.virtual_host, &topic.name),
                names_itself: written.spec.name.is_some(),
            }),
            Resource::User(written, user) => Some(Self {
                kind: "User",
                namespace: &user.namespace,
                resource: &user.resource,
                cluster: &user.cluster,
                named: ("", &user.name),
                names_itself: written.spec.name.is_some(),
            }),
            Resource::Backup(_, backup) => Some(Self {
                kind: "Backup",
                namespace: &backup.namespace,
                resource: &backup.name,
                cluster: &backup.cluster,
                named: ("", &backup.name),
                names_itself: false,
            }),
            Resource::MessageQueue(..) | Resource::Other { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# A cluster and its topic.
apiVersion: ferrymq.io/v1alpha1
kind: MessageQueue
metadata: {name: orders}
spec:
  replicas: 3
  storage: {size: 1Gi}
---
apiVersion: ferrymq.io/v1alpha1
kind: Topic
metadata:
  name: order-created
spec:
  cluster: orders
  queues:
    - name: payments
      routingKeys: [\"paid.*\"]
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
";

    fn error(from: &str, to: &str) -> ParseError {
        assert!(GOOD.contains(from), "the fixture has {from}");
        parse_resources(&GOOD.replacen(from, to, 1), "shop.yaml").unwrap_err()
    }

    #[test]
    fn a_file_of_resources_is_read_in_order() {
        let resources = parse_resources(GOOD, "shop.yaml").unwrap();
        assert!(matches!(&resources[0], Resource::MessageQueue(_, cluster) if cluster.name == "orders"));
        assert!(matches!(&resources[1], Resource::Topic(_, topic) if topic.queues[0].name == "payments"));
        assert!(matches!(&resources[2], Resource::Other { kind, line: 19, .. } if kind == "Namespace"));
    }

    #[test]
    fn what_is_wrong_is_told_by_file_line_and_field() {
        let told = error("size: 1Gi", "size: plenty").to_string();
        assert!(told.starts_with("shop.yaml:7:13: spec.storage.size: 'plenty' is no quantity"), "{told}");

        let wrong = error("routingKeys:", "routingKey:");
        assert_eq!((wrong.line, wrong.field.as_str()), (17, "spec.queues[0].routingKey"));

        let wrong = error("replicas: 3", "replicas: three");
        assert_eq!((wrong.line, wrong.field.as_str()), (6, "spec.replicas"));

        let wrong = error("replicas: 3", "replicas: 2\n  mirrors: 3");
        assert_eq!((wrong.line, wrong.field.as_str()), (7, "spec.mirrors"));

        let wrong = error("kind: Topic", "kind: Topik");
        assert_eq!((wrong.line, wrong.field.as_str()), (10, "kind"));

        let wrong = error("  cluster: orders", "  cluster: order");
        assert_eq!((wrong.line, wrong.field.as_str()), (14, "spec.cluster"));

        let wrong = error("  cluster: orders", "  cluster: orders\n  mirrors: 5");
        assert_eq!((wrong.line, wrong.field.as_str()), (15, "spec.mirrors"));

        let wrong = error("  storage: {size: 1Gi}", "  storages: {size: 1Gi}");
        assert!(wrong.message.contains("missing field `storage`"), "{wrong}");

        let wrong = error("metadata: {name: orders}", "metadata: {name: orders");
        assert!(wrong.line >= 4 && wrong.field.is_empty(), "{wrong}");
    }

    #[test]
    fn two_of_one_name_are_refused() {
        let twice = format!("{GOOD}---\n{}", GOOD.split("---\n").nth(1).unwrap());
        let wrong = parse_resources(&twice, "shop.yaml").unwrap_err();
        assert_eq!((wrong.line, wrong.field.as_str()), (26, "metadata.name"));
    }

    #[test]
    fn a_file_without_resources_has_none() {
        assert_eq!(parse_resources("# nothing yet\n---\n", "empty.yaml"), Ok(Vec::new()));
    }
}
