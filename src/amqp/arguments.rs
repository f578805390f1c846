//! The arguments of declarations: what is there is taken, what would change the meaning and is not there is refused,
//! and the rest, which only tunes or annotates, is passed over.

use crate::{
    codec::{Table, Value},
    fault::{Code, Exception},
};

/// Arguments of a queue that give it a meaning that there is none of here.
const OF_QUEUES: [&str; 14] = [
    "x-consumer-timeout",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-delivery-limit",
    "x-expires",
    "x-max-age",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-message-deduplication",
    "x-message-ttl",
    "x-overflow",
    "x-single-active-consumer",
];

/// The same, of an exchange.
const OF_EXCHANGES: [&str; 3] = ["alternate-exchange", "x-delayed-type", "x-message-deduplication"];

/// The same, of a consumer.
const OF_CONSUMERS: [&str; 2] = ["x-stream-offset", "x-stream-filter"];

fn refuse(arguments: &Table, names: &[&str], of: &str) -> Result<(), Exception> {
    match arguments.0.iter().find(|(name, _)| names.contains(&&**name)) {
        Some((name, _)) => {
            let sentence = format!("the argument '{name}' of {of} is not supported; declare it without");
            Err(Exception::not_implemented(sentence))
        }
        None => Ok(()),
    }
}

fn invalid(name: &str, what: &str) -> Exception {
    Exception::new(Code::PreconditionFailed, format!("invalid arg '{name}': {what}"))
}

/// What a queue's arguments ask for.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct QueueArguments {
    /// Copies on distinct nodes.
    pub(crate) mirrors: Option<u8>,
}

/// Reads the arguments of `queue.declare`.
pub(crate) fn of_queue(arguments: &Table) -> Result<QueueArguments, Exception> {
    refuse(arguments, &OF_QUEUES, "a queue")?;
    match arguments.get("x-queue-type").map(Value::as_text) {
        None | Some(Some("classic" | "quorum")) => {}
        Some(Some("stream")) => {
            return Err(Exception::not_implemented("queues of the type 'stream' are not supported; use 'quorum'"));
        }
        Some(Some(other)) => return Err(invalid("x-queue-type", &format!("unknown queue type '{other}'"))),
        Some(None) => return Err(invalid("x-queue-type", "a string is needed")),
    }
    let mirrors = match arguments.get("x-quorum-initial-group-size") {
        None => None,
        Some(value) => {
            let size = value.as_integer().and_then(|size| u8::try_from(size).ok()).filter(|size| *size > 0);
            Some(size.ok_or_else(|| invalid("x-quorum-initial-group-size", "a number from 1 to 255 is needed"))?)
        }
    };
    Ok(QueueArguments { mirrors })
}

/// Reads the arguments of `exchange.declare`.
pub(crate) fn of_exchange(arguments: &Table) -> Result<(), Exception> {
    refuse(arguments, &OF_EXCHANGES, "an exchange")
}

/// Reads the arguments of `basic.consume`: gives the consumer's priority.
pub(crate) fn of_consumer(arguments: &Table) -> Result<i32, Exception> {
    refuse(arguments, &OF_CONSUMERS, "a consumer")?;
    match arguments.get("x-priority") {
        None => Ok(0),
        Some(value) => value
            .as_integer()
            .and_then(|priority| i32::try_from(priority).ok())
            .ok_or_else(|| invalid("x-priority", "a whole number of 32 bits is needed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_that_would_change_what_a_queue_does_is_refused_by_name() {
        let refused = of_queue(&Table::default().with("x-message-ttl", "60000")).unwrap_err();
        assert_eq!(
            refused.text(),
            "NOT_IMPLEMENTED - the argument 'x-message-ttl' of a queue is not supported; declare it without"
        );
    }

    #[test]
    fn a_queue_type_that_is_ours_and_arguments_that_only_tune_are_taken() {
        for kind in ["classic", "quorum"] {
            let arguments = Table::default().with("x-queue-type", kind).with("x-queue-mode", "lazy");
            assert_eq!(of_queue(&arguments), Ok(QueueArguments { mirrors: None }));
        }
    }

    #[test]
    fn the_group_size_is_the_number_of_mirrors() {
        let arguments = |size| Table(vec![("x-quorum-initial-group-size".into(), Value::I32(size))]);
        assert_eq!(of_queue(&arguments(5)), Ok(QueueArguments { mirrors: Some(5) }));
        assert!(of_queue(&arguments(0)).is_err());
        assert!(of_queue(&arguments(-1)).is_err());
    }
}
