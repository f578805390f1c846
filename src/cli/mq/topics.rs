//! Topics and their queues as a table. Pure.

use ferrymq_api::{ConditionType, Topic};
use kube::ResourceExt;
use serde::Serialize;

use crate::table::Table;

/// A queue of a topic, or a topic that has none. Also what `-o json` prints: fields are only ever added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    /// The resource.
    pub(crate) topic: String,
    pub(crate) cluster: String,
    pub(crate) ready: bool,
    /// Why it is not ready.
    pub(crate) message: String,
    pub(crate) queue: Option<String>,
    pub(crate) messages: Option<i64>,
    pub(crate) consumers: Option<i32>,
    /// The number of the broker that leads it.
    pub(crate) leader: Option<i64>,
}

impl Row {
    pub(crate) fn all(topics: &[Topic]) -> Vec<Self> {
        topics.iter().flat_map(Self::of).collect()
    }

    fn of(topic: &Topic) -> Vec<Self> {
        let status = topic.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str());
        let is_ready = ready.is_some_and(|ready| ready.status == "True");
        let message = match ready {
            _ if is_ready => String::new(),
            Some(ready) => format!("{}: {}", ready.reason, ready.message),
            None => "no operator has looked at it yet".to_owned(),
        };
        let whole = Self {
            topic: topic.name_any(),
            cluster: topic.spec.cluster.clone(),
            ready: is_ready,
            message,
            queue: None,
            messages: status.messages,
            consumers: status.consumers,
            leader: None,
        };
        if status.queues.is_empty() {
            return vec![whole];
        }
        let row = |queue: ferrymq_api::TopicQueueStatus| Self {
            queue: Some(queue.name),
            messages: Some(queue.messages),
            consumers: Some(queue.consumers),
            leader: queue.leader,
            ..whole.clone()
        };
        status.queues.into_iter().map(row).collect()
    }
}

pub(crate) fn draw(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "there are no topics\n".to_owned();
    }
    let mut table = Table::new(["CLUSTER", "TOPIC", "READY", "QUEUE", "MESSAGES", "CONSUMERS", "LEADER", "MESSAGE"]);
    let number = |number: Option<i64>| number.map(|number| number.to_string()).unwrap_or_default();
    for row in rows {
        table.row([
            row.cluster.clone(),
            row.topic.clone(),
            if row.ready { "yes" } else { "no" }.to_owned(),
            row.queue.clone().unwrap_or_default(),
            number(row.messages),
            number(row.consumers.map(i64::from)),
            number(row.leader),
            row.message.clone(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn topic(name: &str, status: serde_json::Value) -> Topic {
        serde_json::from_value(json!({
            "apiVersion": "ferrymq.io/v1alpha1", "kind": "Topic", "metadata": {"name": name},
            "spec": {"cluster": "orders"}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn each_queue_has_a_line_and_so_has_a_topic_without_any() {
        let ready = |status: &str, reason: &str, message: &str| {
            json!({"type": "Ready", "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let queue =
            |name: &str, messages: i64| json!({"name": name, "messages": messages, "consumers": 2, "leader": 1});
        let created = json!({"conditions": [ready("True", "AllServing", "well")],
            "queues": [queue("payments", 1200), queue("audit", 0)]});
        let lost = json!({"conditions": [ready("False", "ClusterNotFound", "there is no MessageQueue orders")]});
        let rows = Row::all(&[topic("order-created", created), topic("lost", lost)]);
        let expected = "\
CLUSTER  TOPIC          READY  QUEUE     MESSAGES  CONSUMERS  LEADER  MESSAGE
orders   order-created  yes    payments  1200      2          1
orders   order-created  yes    audit     0         2          1
orders   lost           no     -         -         -          -       ClusterNotFound: there is no MessageQueue orders
";
        assert_eq!(draw(&rows), expected);
    }

    #[test]
    fn no_topics_are_said_in_words() {
        assert_eq!(draw(&[]), "there are no topics\n");
    }
}
