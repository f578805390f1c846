//! What is to be made in FerryMQ of what RabbitMQ has, and what is not: decided here, done elsewhere.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    definitions::{Binding, Definitions, Exchange, Queue},
    rest,
};

/// Arguments of a queue that FerryMQ has as well.
const TAKEN: [&str; 2] = ["x-queue-type", "x-quorum-initial-group-size"];
/// The same, of a stream.
const TAKEN_OF_STREAMS: [&str; 4] = ["x-queue-type", "x-initial-cluster-size", "x-max-age", "x-max-length-bytes"];
/// Arguments that say how RabbitMQ keeps a queue, and nothing of what it does.
const TUNING: [&str; 7] = [
    "x-queue-mode",
    "x-queue-version",
    "x-queue-leader-locator",
    "x-queue-master-locator",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-stream-max-segment-size-bytes",
];

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) exchanges: Vec<NewExchange>,
    pub(super) queues: Vec<NewQueue>,
    pub(super) bindings: Vec<NewBinding>,
    pub(super) left: Vec<Left>,
}

/// An exchange to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewExchange {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    pub(super) internal: bool,
}

/// A queue to be made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewQueue {
    pub(super) name: String,
    pub(super) durable: bool,
    /// Those that FerryMQ has as well: texts and whole numbers.
    pub(super) arguments: Map<String, Value>,
    /// Whether it is one whose messages are gone once they are acknowledged.
    pub(super) has_messages: bool,
    /// Bytes of a message in the mean; 0 where that is not known.
    pub(super) mean_bytes: u64,
    /// How often RabbitMQ hands out a message of it before it drops it.
    pub(super) delivery_limit: Option<u64>,
}

/// A binding to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewBinding {
    pub(super) exchange: String,
    pub(super) queue: String,
    pub(super) routing_key: String,
}

/// What is not carried over, or not as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) why: String,
}

impl Plan {
    pub(super) fn leave(&mut self, kind: &'static str, name: &str, why: impl Into<String>) {
        self.left.push(Left { kind, name: name.to_owned(), why: why.into() });
    }
}

/// Plans all of it; or, where queues are named, only these and what they are bound to.
pub(super) fn plan(definitions: &Definitions, only: &[String]) -> Plan {
    let mut plan = Plan::default();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|queue| queue == name);
    for queue in definitions.queues.iter().filter(|queue| wanted(&queue.name)) {
        plan_queue(queue, &mut plan);
    }
    plan.queues.sort_by(|one, other| one.name.cmp(&other.name));
    let sources: BTreeSet<&str> = definitions
        .bindings
        .iter()
        .filter(|binding| wanted(&binding.destination))
        .map(|binding| &*binding.source)
        .collect();
    for exchange in &definitions.exchanges {
        if only.is_empty() || sources.contains(&*exchange.name) {
            plan_exchange(exchange, &mut plan);
        }
    }
    for binding in definitions.bindings.iter().filter(|binding| wanted(&binding.destination)) {
        plan_binding(binding, definitions, &mut plan);
    }
    if only.is_empty() {
        rest::leave(definitions, &mut plan);
    }
    plan
}

fn plan_queue(queue: &Queue, plan: &mut Plan) {
    let name = &queue.name;
    let stays = |count: u64| if count > 0 { format!("; its {count} messages stay in RabbitMQ") } else { String::new() };
    if queue.exclusive {
        return plan.leave(
            "queue",
            name,
            "exclusive: it is gone with the connection of its program, which declares it anew",
        );
    }
    if name.starts_with("amq.") {
        return plan.leave(
            "queue",
            name,
            format!("named by RabbitMQ; its program declares another{}", stays(queue.messages)),
        );
    }
    if queue.auto_delete {
        let why = format!("deleted with its last consumer; its program declares it anew{}", stays(queue.messages));
        return plan.leave("queue", name, why);
    }
    let stream = match queue.kind.as_str() {
        "classic" | "quorum" => false,
        "stream" => true,
        other => {
            let why = format!("of the type '{other}', which FerryMQ does not have{}", stays(queue.messages));
            return plan.leave("queue", name, why);
        }
    };
    let taken: &[&str] = if stream { &TAKEN_OF_STREAMS } else { &TAKEN };
    let mut arguments = Map::new();
    for (argument, value) in &queue.arguments {
        if taken.contains(&&**argument) && (value.is_string() || value.is_i64()) {
            arguments.insert(argument.clone(), value.clone());
        } else if !TUNING.contains(&&**argument) {
            plan.leave("argument", name, format!("{argument}: {value} is not in FerryMQ; the queue is made without"));
        }
    }
    if stream {
        plan.leave("messages", name, format!("a stream is made without its {} messages", queue.messages));
    }
    plan.queues.push(NewQueue {
        name: name.clone(),
        durable: queue.durable,
        arguments,
        has_messages: !stream,
        mean_bytes: queue.message_bytes.checked_div(queue.messages).unwrap_or(0),
        delivery_limit: queue.delivery_limit.as_u64(),
    });
}

fn plan_exchange(exchange: &Exchange, plan: &mut Plan) {
    let name = &exchange.name;
    // The default one, and those that every broker has.
    if name.is_empty() || name.starts_with("amq.") {
        return;
    }
    if !kind_is_there(&exchange.kind) {
        let why = format!("of the type '{}'; FerryMQ has direct, fanout and topic", exchange.kind);
        return plan.leave("exchange", name, why);
    }
    for (argument, value) in &exchange.arguments {
        plan.leave("argument", name, format!("{argument}: {value} is not in FerryMQ; the exchange is made without"));
    }
    plan.exchanges.push(NewExchange {
        name: name.clone(),
        kind: exchange.kind.clone(),
        durable: exchange.durable,
        auto_delete: exchange.auto_delete,
        internal: exchange.internal,
    });
}

fn kind_is_there(kind: &str) -> bool {
    matches!(kind, "direct" | "fanout" | "topic")
}

fn plan_binding(binding: &Binding, definitions: &Definitions, plan: &mut Plan) {
    let Binding { source, destination, destination_type, routing_key } = binding;
    // Every queue is bound to the default exchange by its name.
    if source.is_empty() {
        return;
    }
    let name = format!("{source} -> {destination}");
    if destination_type != "queue" {
        return plan.leave(
            "binding",
            &name,
            "from exchange to exchange; bind the queues to the first one, or write a Topic with `bindings`",
        );
    }
    if !plan.queues.iter().any(|queue| queue.name == *destination) {
        // Why is said of the queue.
        return;
    }
    let source_is_there = if source.starts_with("amq.") {
        let kind = definitions.exchanges.iter().find(|exchange| exchange.name == *source);
        kind.is_some_and(|exchange| kind_is_there(&exchange.kind)) && !source.starts_with("amq.rabbitmq.")
    } else {
        plan.exchanges.iter().any(|exchange| exchange.name == *source)
    };
    if !source_is_there {
        return plan.leave("binding", &name, format!("'{routing_key}', of an exchange that is not carried over"));
    }
    plan.bindings.push(NewBinding {
        exchange: source.clone(),
        queue: destination.clone(),
        routing_key: routing_key.clone(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions(exchanges: &str, queues: &str, bindings: &str) -> Definitions {
        Definitions {
            exchanges: serde_json::from_str(exchanges).unwrap(),
            queues: serde_json::from_str(queues).unwrap(),
            bindings: serde_json::from_str(bindings).unwrap(),
            ..Definitions::default()
        }
    }

    fn queue(more: &str) -> Plan {
        let queue = format!(r#"[{{"name":"q","durable":true,"auto_delete":false,"messages":7{more}}}]"#);
        plan(&definitions("[]", &queue, "[]"), &["q".to_owned()])
    }

    fn why(plan: &Plan) -> Vec<&str> {
        plan.left.iter().map(|left| &*left.why).collect()
    }

    #[test]
    fn a_queue_is_made_with_what_is_there_and_what_is_not_is_said() {
        let plan = queue(r#","arguments":{"x-queue-type":"quorum","x-message-ttl":60000,"x-queue-version":2}"#);
        assert_eq!(plan.queues[0].arguments.keys().collect::<Vec<_>>(), ["x-queue-type"]);
        assert_eq!(why(&plan), ["x-message-ttl: 60000 is not in FerryMQ; the queue is made without"]);
    }

    #[test]
    fn queues_that_belong_to_a_program_or_are_of_another_kind_stay_and_so_do_their_messages() {
        for (more, told) in [
            (r#","exclusive":true"#, "exclusive"),
            (r#","type":"rabbit_mqtt_qos0_queue""#, "its 7 messages stay in RabbitMQ"),
        ] {
            let plan = queue(more);
            assert!(plan.queues.is_empty() && why(&plan)[0].contains(told), "{plan:?}");
        }
        let automatic = r#"[{"name":"a","durable":true,"auto_delete":true},{"name":"amq.gen-1","durable":false,"auto_delete":false}]"#;
        let plan = plan(&definitions("[]", automatic, "[]"), &[]);
        assert!(plan.queues.is_empty() && plan.left.len() == 4, "{plan:?}");
    }

    #[test]
    fn a_stream_is_made_without_its_messages() {
        let plan = queue(r#","type":"stream","arguments":{"x-queue-type":"stream","x-max-age":"7D"}"#);
        assert!(!plan.queues[0].has_messages && plan.queues[0].arguments.len() == 2);
        assert_eq!(why(&plan), ["a stream is made without its 7 messages"]);
    }

    #[test]
    fn bindings_follow_their_exchange_and_their_queue() {
        let exchanges = r#"[
            {"name":"","type":"direct","durable":true,"auto_delete":false,"internal":false},
            {"name":"amq.topic","type":"topic","durable":true,"auto_delete":false,"internal":false},
            {"name":"amq.headers","type":"headers","durable":true,"auto_delete":false,"internal":false},
            {"name":"orders","type":"topic","durable":true,"auto_delete":false,"internal":false,"arguments":{"alternate-exchange":"lost"}},
            {"name":"by-header","type":"headers","durable":true,"auto_delete":false,"internal":false}]"#;
        let queues = r#"[{"name":"q","durable":true,"auto_delete":false}]"#;
        let binding = |source: &str, kind: &str| {
            format!(
                r#"{{"source":"{source}","destination":"q","destination_type":"{kind}","routing_key":"k","arguments":{{}}}}"#
            )
        };
        let bindings = [
            ("", "queue"),
            ("amq.topic", "queue"),
            ("amq.headers", "queue"),
            ("orders", "queue"),
            ("by-header", "queue"),
            ("orders", "exchange"),
        ]
        .map(|(source, kind)| binding(source, kind))
        .join(",");
        let plan = plan(&definitions(exchanges, queues, &format!("[{bindings}]")), &[]);
        let made: Vec<_> = plan.bindings.iter().map(|binding| &*binding.exchange).collect();
        assert_eq!((made, plan.exchanges.len()), (vec!["amq.topic", "orders"], 1));
        let left: Vec<_> = plan.left.iter().map(|left| (left.kind, &*left.name)).collect();
        assert_eq!(
            left,
            [
                ("argument", "orders"),
                ("exchange", "by-header"),
                ("binding", "amq.headers -> q"),
                ("binding", "by-header -> q"),
                ("binding", "orders -> q"),
                ("policies", ""),
                ("users", ""),
            ]
        );
    }
}
