//! The arguments of declarations: what is there is taken, what would change the meaning and is not there is refused,
//! and the rest, which only tunes or annotates, is passed over.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferrymq_core::{LogDeclaration, LogPosition, Message, PropertyFormat};

use crate::{
    codec::{self, Table, Value},
    fault::{Code, Exception},
};

/// The header with a message's key in a log.
const FILTER_HEADER: &str = "x-stream-filter-value";

/// Arguments of a queue that only a log has.
const OF_LOGS: [&str; 2] = ["x-max-age", "x-max-length-bytes"];

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

fn refuse(arguments: &Table, names: &[&str], but: &[&str], of: &str) -> Result<(), Exception> {
    let mut refused = arguments.0.iter().filter(|(name, _)| names.contains(&&**name) && !but.contains(&&**name));
    match refused.next() {
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
    /// It is a log.
    pub(crate) log: Option<LogDeclaration>,
}

/// Reads the arguments of `queue.declare`.
pub(crate) fn of_queue(arguments: &Table) -> Result<QueueArguments, Exception> {
    let is_log = match arguments.get("x-queue-type").map(Value::as_text) {
        None | Some(Some("classic" | "quorum")) => false,
        Some(Some("stream")) => true,
        Some(Some(other)) => return Err(invalid("x-queue-type", &format!("unknown queue type '{other}'"))),
        Some(None) => return Err(invalid("x-queue-type", "a string is needed")),
    };
    refuse(arguments, &OF_QUEUES, if is_log { &OF_LOGS } else { &[] }, "a queue")?;
    let group_size = if is_log { "x-initial-cluster-size" } else { "x-quorum-initial-group-size" };
    let mirrors = match arguments.get(group_size) {
        None => None,
        Some(value) => {
            let size = value.as_integer().and_then(|size| u8::try_from(size).ok()).filter(|size| *size > 0);
            Some(size.ok_or_else(|| invalid(group_size, "a number from 1 to 255 is needed"))?)
        }
    };
    let log = if is_log { Some(of_log(arguments)?) } else { None };
    Ok(QueueArguments { mirrors, log })
}

fn of_log(arguments: &Table) -> Result<LogDeclaration, Exception> {
    let age = arguments.get("x-max-age").map(|value| {
        let age = value.as_text().and_then(span).filter(|age| !age.is_zero());
        age.ok_or_else(|| invalid("x-max-age", "a number and a unit are needed: Y, M, D, h, m or s, such as '7D'"))
    });
    let bytes = arguments.get("x-max-length-bytes").map(|value| {
        let bytes = value.as_integer().and_then(|bytes| u64::try_from(bytes).ok()).filter(|bytes| *bytes > 0);
        bytes.ok_or_else(|| invalid("x-max-length-bytes", "a number of bytes above 0 is needed"))
    });
    Ok(LogDeclaration { age: age.transpose()?, bytes: bytes.transpose()? })
}

/// A span of time as RabbitMQ writes it: a whole number, and a unit.
fn span(text: &str) -> Option<Duration> {
    const DAY: u64 = 24 * 60 * 60;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "Y" => 365 * DAY,
        "M" => 30 * DAY,
        "D" => DAY,
        "h" => 60 * 60,
        "m" => 60,
        "s" => 1,
        _ => return None,
    };
    let number = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse::<u64>().ok())??;
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// Reads the arguments of `exchange.declare`.
pub(crate) fn of_exchange(arguments: &Table) -> Result<(), Exception> {
    refuse(arguments, &OF_EXCHANGES, &[], "an exchange")
}

/// What a consumer's arguments ask for.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct ConsumerArguments {
    pub(crate) priority: i32,
    /// Where it begins in a log.
    pub(crate) position: Option<LogPosition>,
    /// What it wants of a log.
    pub(crate) filter: Option<Keys>,
}

/// The keys of the messages that a consumer of a log wants.
///
/// A message's key is its header `x-stream-filter-value`, as RabbitMQ's streams have it, or where it has none its routing
/// key. RabbitMQ may also send others, which its clients pass over; here exactly those come that were asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    wanted: Vec<String>,
    /// Also messages without the header.
    unfiltered: bool,
}

impl Keys {
    pub(crate) fn wants(&self, message: &Message) -> bool {
        // Properties that cannot be read have no header.
        let header = match message.properties.format {
            PropertyFormat::None => None,
            PropertyFormat::Amqp091 => codec::header(&message.properties.bytes, FILTER_HEADER).ok().flatten(),
        };
        match header.as_ref().map(Value::as_text) {
            Some(key) => key.is_some_and(|key| self.has(key)),
            None => self.unfiltered || self.has(message.routing_key.as_str()),
        }
    }

    fn has(&self, key: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted == key)
    }
}

/// Reads the arguments of `basic.consume`.
pub(crate) fn of_consumer(arguments: &Table) -> Result<ConsumerArguments, Exception> {
    let priority = match arguments.get("x-priority") {
        None => 0,
        Some(value) => value
            .as_integer()
            .and_then(|priority| i32::try_from(priority).ok())
            .ok_or_else(|| invalid("x-priority", "a whole number of 32 bits is needed"))?,
    };
    let position = arguments.get("x-stream-offset").map(position).transpose()?;
    Ok(ConsumerArguments { priority, position, filter: keys(arguments)? })
}

fn keys(arguments: &Table) -> Result<Option<Keys>, Exception> {
    let Some(wanted) = arguments.get("x-stream-filter") else { return Ok(None) };
    let wanted: Option<Vec<String>> = match wanted {
        Value::Array(several) => several.iter().map(|value| value.as_text().map(str::to_owned)).collect(),
        value => value.as_text().map(|key| vec![key.to_owned()]),
    };
    let wanted = wanted.filter(|keys| !keys.is_empty());
    let wanted = wanted.ok_or_else(|| invalid("x-stream-filter", "a text is needed, or a list of such"))?;
    let unfiltered = match arguments.get("x-stream-match-unfiltered") {
        None => false,
        Some(Value::Boolean(unfiltered)) => *unfiltered,
        Some(_) => return Err(invalid("x-stream-match-unfiltered", "true or false is needed")),
    };
    Ok(Some(Keys { wanted, unfiltered }))
}

fn position(value: &Value) -> Result<LogPosition, Exception> {
    let found = match (value, value.as_text()) {
        (_, Some("first")) => Some(LogPosition::First),
        (_, Some("last")) => Some(LogPosition::Last),
        (_, Some("next")) => Some(LogPosition::Next),
        // So long ago.
        (_, Some(text)) => span(text).map(|span| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            LogPosition::Time(u64::try_from(now.saturating_sub(span).as_millis()).unwrap_or(u64::MAX))
        }),
        (Value::Timestamp(seconds), None) => Some(LogPosition::Time(seconds.saturating_mul(1000))),
        (value, None) => value.as_integer().and_then(|offset| u64::try_from(offset).ok()).map(LogPosition::Offset),
    };
    found.ok_or_else(|| {
        invalid("x-stream-offset", "'first', 'last', 'next', an offset, a timestamp, or a span such as '1h' is needed")
    })
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
            assert_eq!(of_queue(&arguments), Ok(QueueArguments::default()));
        }
    }

    #[test]
    fn the_group_size_is_the_number_of_mirrors() {
        let arguments = |size| Table(vec![("x-quorum-initial-group-size".into(), Value::I32(size))]);
        assert_eq!(of_queue(&arguments(5)), Ok(QueueArguments { mirrors: Some(5), log: None }));
        assert!(of_queue(&arguments(0)).is_err());
        assert!(of_queue(&arguments(-1)).is_err());
    }

    #[test]
    fn a_stream_has_bounds_and_other_queues_have_none() {
        let stream = Table::default().with("x-queue-type", "stream").with("x-max-age", "7D");
        let mut bounded = stream.clone();
        bounded.0.push(("x-max-length-bytes".into(), Value::I64(1 << 30)));
        let log = LogDeclaration { age: Some(Duration::from_secs(7 * 24 * 60 * 60)), bytes: Some(1 << 30) };
        assert_eq!(of_queue(&bounded), Ok(QueueArguments { mirrors: None, log: Some(log) }));
        assert!(of_queue(&stream.with("x-message-ttl", "1")).is_err());
        assert!(of_queue(&Table::default().with("x-max-age", "7D")).is_err());
        for wrong in ["", "7", "D", "7d", "-1s", "0s", "99999999999999999999Y", "1é"] {
            let arguments = Table(vec![("x-queue-type".into(), "stream".into()), ("x-max-age".into(), wrong.into())]);
            let refused = of_queue(&arguments).unwrap_err();
            assert_eq!(refused.code, Code::PreconditionFailed, "{wrong}");
        }
    }

    #[test]
    fn a_position_in_a_log_is_a_word_an_offset_or_a_time() {
        let read = |value| of_consumer(&Table(vec![("x-stream-offset".into(), value)])).map(|asked| asked.position);
        assert_eq!(read("first".into()), Ok(Some(LogPosition::First)));
        assert_eq!(read("last".into()), Ok(Some(LogPosition::Last)));
        assert_eq!(read("next".into()), Ok(Some(LogPosition::Next)));
        assert_eq!(read(Value::I32(5)), Ok(Some(LogPosition::Offset(5))));
        assert_eq!(read(Value::Timestamp(7)), Ok(Some(LogPosition::Time(7000))));
        assert!(matches!(read("1h".into()), Ok(Some(LogPosition::Time(_)))));
        assert!(read(Value::I64(-1)).is_err());
        assert!(read("soon".into()).is_err());
    }

    #[test]
    fn keys_of_a_log_are_a_text_or_a_list_of_such() {
        let read = |value| of_consumer(&Table(vec![("x-stream-filter".into(), value)])).map(|asked| asked.filter);
        let keys = |wanted: &[&str]| {
            Some(Keys { wanted: wanted.iter().map(|key| (*key).into()).collect(), unfiltered: false })
        };
        assert_eq!(read("paid".into()), Ok(keys(&["paid"])));
        assert_eq!(read(Value::Array(vec!["paid".into(), "billed".into()])), Ok(keys(&["paid", "billed"])));
        assert!(read(Value::Array(Vec::new())).is_err());
        assert!(read(Value::I32(1)).is_err());
        let both = Table::default().with("x-stream-filter", "paid").with("x-stream-match-unfiltered", "yes");
        assert!(of_consumer(&both).is_err());
    }
}
