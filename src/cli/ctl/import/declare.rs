//! Makes in FerryMQ what was planned.

use lapin::{
    ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::{Map, Value};

use super::{
    ImportError,
    link::Link,
    plan::{NewBinding, NewExchange, NewQueue, Plan},
};

/// Makes exchanges, queues and bindings; what is there already and is the same stays as it is.
///
/// # Errors
///
/// Where FerryMQ refuses one of them, as when it exists with other arguments, or the connection is lost.
pub(super) async fn declare(to: &Link, plan: &Plan) -> Result<(), ImportError> {
    let channel = to.channel().await?;
    // Its words name the argument that differs.
    let refused = |what: String, error: lapin::Error| match to.fault(&what, &error) {
        ImportError::Refused { side, what, reason } => {
            let reason = format!(
                "{reason}; nothing was moved. Delete it there, make both the same, or choose others by --queue"
            );
            ImportError::Refused { side, what, reason }
        }
        other => other,
    };
    for NewExchange { name, kind, durable, auto_delete, internal } in &plan.exchanges {
        let options = ExchangeDeclareOptions {
            durable: *durable,
            auto_delete: *auto_delete,
            internal: *internal,
            ..Default::default()
        };
        let kind = ExchangeKind::Custom(kind.clone());
        let declared = channel.exchange_declare(name.as_str().into(), kind, options, FieldTable::default()).await;
        declared.map_err(|error| refused(format!("exchange '{name}'"), error))?;
    }
    for NewQueue { name, durable, arguments, .. } in &plan.queues {
        let options = QueueDeclareOptions { durable: *durable, ..Default::default() };
        let declared = channel.queue_declare(name.as_str().into(), options, table(arguments)).await;
        declared.map_err(|error| refused(format!("queue '{name}'"), error))?;
    }
    for NewBinding { exchange, queue, routing_key } in &plan.bindings {
        let (source, key) = (exchange.as_str().into(), routing_key.as_str().into());
        let bound =
            channel.queue_bind(queue.as_str().into(), source, key, Default::default(), FieldTable::default()).await;
        bound.map_err(|error| refused(format!("to bind queue '{queue}' to exchange '{exchange}'"), error))?;
    }
    Ok(())
}

/// Texts and whole numbers; the plan has no others.
fn table(arguments: &Map<String, Value>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match (value.as_str(), value.as_i64()) {
            (Some(text), _) => AMQPValue::LongString(text.into()),
            (None, Some(number)) => AMQPValue::LongLongInt(number),
            (None, None) => continue,
        };
        table.insert(name.as_str().into(), value);
    }
    table
}
