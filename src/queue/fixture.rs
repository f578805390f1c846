//! What tests of several modules put into queues.

use bytes::Bytes;
use ferrymq_core::{ExchangeName, Message, Properties, RoutingKey};
use ferrymq_wire::Reader;

use crate::{SavedShard, ShardMachine};

/// A message with this body.
pub(crate) fn message(body: &str) -> Message {
    Message {
        exchange: ExchangeName::default_exchange(),
        routing_key: RoutingKey::new("q").expect("a letter is a routing key"),
        properties: Properties::default(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// All that a saved state is written as.
pub(crate) fn written(saved: &SavedShard) -> Bytes {
    let mut out = Vec::new();
    let written: Result<(), std::convert::Infallible> = saved.write(&mut |piece| {
        out.extend_from_slice(piece);
        Ok(())
    });
    match written {
        Ok(()) => out.into(),
        Err(never) => match never {},
    }
}

/// The same state, once it was written and read.
pub(crate) fn restored(machine: &ShardMachine) -> ShardMachine {
    ShardMachine::restore(&mut Reader::new(written(&machine.save())), None).expect("it was written a line above")
}
