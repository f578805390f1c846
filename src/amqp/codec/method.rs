//! Every method of the protocol, in the order of its definition, with RabbitMQ's extensions (confirm, nack, blocked,
//! update-secret, bindings between exchanges).

#![allow(missing_docs, reason = "fields have the names and the meanings that the protocol's definition gives them")]

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::{DecodeError, Reader, Table, Writer};

/// The class whose methods carry content.
pub const BASIC_CLASS: u16 = 60;

/// A type of field.
trait Field: Sized {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    fn write(&self, writer: &mut Writer<'_>);
}

macro_rules! integer_field {
    ($($integer:ident)*) => {$(
        impl Field for $integer {
            fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.$integer()
            }

            fn write(&self, writer: &mut Writer<'_>) {
                writer.$integer(*self);
            }
        }
    )*};
}

integer_field!(u8 u16 u32 u64);

impl Field for bool {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.bit()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.bit(*self);
    }
}

impl Field for ByteString {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.short_string()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.short_string(self);
    }
}

impl Field for Bytes {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.long_string()
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.long_string(self);
    }
}

impl Field for Table {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::read(reader, 1)
    }

    fn write(&self, writer: &mut Writer<'_>) {
        self.write(writer);
    }
}

/// A field that has no meaning any more: read over, written as nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reserved<T>(std::marker::PhantomData<T>);

impl<T: Field + Default> Field for Reserved<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        T::read(reader).map(|_| Self(std::marker::PhantomData))
    }

    fn write(&self, writer: &mut Writer<'_>) {
        T::default().write(writer);
    }
}

macro_rules! methods {
    ($($class:literal $number:literal $name:literal $method:ident { $($field:ident: $type:ty),* })*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            #[derive(Debug, Clone, PartialEq, Default)]
            pub struct $method {
                $(pub $field: $type,)*
            }

            impl From<$method> for Method {
                fn from(method: $method) -> Self {
                    Self::$method(method)
                }
            }
        )*

        /// A method.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Method {
            $(
                #[doc = concat!("`", $name, "`")]
                $method($method),
            )*
        }

        impl Method {
            /// Its class and its number there.
            #[must_use]
            pub fn numbers(&self) -> (u16, u16) {
                match self {
                    $(Self::$method(_) => ($class, $number),)*
                }
            }

            /// Its name in the protocol's definition.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$method(_) => $name,)*
                }
            }

            /// Reads the payload of a method frame.
            ///
            /// # Errors
            ///
            /// [`DecodeError`] where it is none.
            pub fn decode(payload: &Bytes) -> Result<Self, DecodeError> {
                let mut reader = Reader::new(payload);
                let method = match (reader.u16()?, reader.u16()?) {
                    $(($class, $number) => Self::$method($method {
                        $($field: Field::read(&mut reader)?,)*
                    }),)*
                    (class, method) => return Err(DecodeError::UnknownMethod { class, method }),
                };
                reader.finish()?;
                Ok(method)
            }

            /// Writes the payload of a method frame.
            pub fn encode(&self, out: &mut BytesMut) {
                match self {
                    $(Self::$method(method) => {
                        out.put_u16($class);
                        out.put_u16($number);
                        #[allow(unused_variables, unused_mut, reason = "some methods have no fields")]
                        let (method, mut writer) = (method, Writer::new(out));
                        $(method.$field.write(&mut writer);)*
                    })*
                }
            }
        }

        /// The name of a method, where there is such a method.
        #[must_use]
        pub fn method_name(class: u16, method: u16) -> Option<&'static str> {
            match (class, method) {
                $(($class, $number) => Some($name),)*
                _ => None,
            }
        }
    };
}

methods! {
    10 10 "connection.start" ConnectionStart {
        version_major: u8, version_minor: u8, server_properties: Table, mechanisms: Bytes, locales: Bytes
    }
    10 11 "connection.start-ok" ConnectionStartOk {
        client_properties: Table, mechanism: ByteString, response: Bytes, locale: ByteString
    }
    10 20 "connection.secure" ConnectionSecure { challenge: Bytes }
    10 21 "connection.secure-ok" ConnectionSecureOk { response: Bytes }
    10 30 "connection.tune" ConnectionTune { channel_max: u16, frame_max: u32, heartbeat: u16 }
    10 31 "connection.tune-ok" ConnectionTuneOk { channel_max: u16, frame_max: u32, heartbeat: u16 }
    10 40 "connection.open" ConnectionOpen {
        virtual_host: ByteString, capabilities: Reserved<ByteString>, insist: Reserved<bool>
    }
    10 41 "connection.open-ok" ConnectionOpenOk { known_hosts: Reserved<ByteString> }
    10 50 "connection.close" ConnectionClose {
        reply_code: u16, reply_text: ByteString, class_id: u16, method_id: u16
    }
    10 51 "connection.close-ok" ConnectionCloseOk {}
    10 60 "connection.blocked" ConnectionBlocked { reason: ByteString }
    10 61 "connection.unblocked" ConnectionUnblocked {}
    10 70 "connection.update-secret" ConnectionUpdateSecret { new_secret: Bytes, reason: ByteString }
    10 71 "connection.update-secret-ok" ConnectionUpdateSecretOk {}

    20 10 "channel.open" ChannelOpen { out_of_band: Reserved<ByteString> }
    20 11 "channel.open-ok" ChannelOpenOk { channel_id: Reserved<Bytes> }
    20 20 "channel.flow" ChannelFlow { active: bool }
    20 21 "channel.flow-ok" ChannelFlowOk { active: bool }
    20 40 "channel.close" ChannelClose { reply_code: u16, reply_text: ByteString, class_id: u16, method_id: u16 }
    20 41 "channel.close-ok" ChannelCloseOk {}

    40 10 "exchange.declare" ExchangeDeclare {
        ticket: Reserved<u16>, exchange: ByteString, kind: ByteString, passive: bool, durable: bool,
        auto_delete: bool, internal: bool, nowait: bool, arguments: Table
    }
    40 11 "exchange.declare-ok" ExchangeDeclareOk {}
    40 20 "exchange.delete" ExchangeDelete {
        ticket: Reserved<u16>, exchange: ByteString, if_unused: bool, nowait: bool
    }
    40 21 "exchange.delete-ok" ExchangeDeleteOk {}
    40 30 "exchange.bind" ExchangeBind {
        ticket: Reserved<u16>, destination: ByteString, source: ByteString, routing_key: ByteString, nowait: bool,
        arguments: Table
    }
    40 31 "exchange.bind-ok" ExchangeBindOk {}
    40 40 "exchange.unbind" ExchangeUnbind {
        ticket: Reserved<u16>, destination: ByteString, source: ByteString, routing_key: ByteString, nowait: bool,
        arguments: Table
    }
    40 51 "exchange.unbind-ok" ExchangeUnbindOk {}

    50 10 "queue.declare" QueueDeclare {
        ticket: Reserved<u16>, queue: ByteString, passive: bool, durable: bool, exclusive: bool, auto_delete: bool,
        nowait: bool, arguments: Table
    }
    50 11 "queue.declare-ok" QueueDeclareOk { queue: ByteString, message_count: u32, consumer_count: u32 }
    50 20 "queue.bind" QueueBind {
        ticket: Reserved<u16>, queue: ByteString, exchange: ByteString, routing_key: ByteString, nowait: bool,
        arguments: Table
    }
    50 21 "queue.bind-ok" QueueBindOk {}
    50 30 "queue.purge" QueuePurge { ticket: Reserved<u16>, queue: ByteString, nowait: bool }
    50 31 "queue.purge-ok" QueuePurgeOk { message_count: u32 }
    50 40 "queue.delete" QueueDelete {
        ticket: Reserved<u16>, queue: ByteString, if_unused: bool, if_empty: bool, nowait: bool
    }
    50 41 "queue.delete-ok" QueueDeleteOk { message_count: u32 }
    50 50 "queue.unbind" QueueUnbind {
        ticket: Reserved<u16>, queue: ByteString, exchange: ByteString, routing_key: ByteString, arguments: Table
    }
    50 51 "queue.unbind-ok" QueueUnbindOk {}

    60 10 "basic.qos" BasicQos { prefetch_size: u32, prefetch_count: u16, global: bool }
    60 11 "basic.qos-ok" BasicQosOk {}
    60 20 "basic.consume" BasicConsume {
        ticket: Reserved<u16>, queue: ByteString, consumer_tag: ByteString, no_local: bool, no_ack: bool,
        exclusive: bool, nowait: bool, arguments: Table
    }
    60 21 "basic.consume-ok" BasicConsumeOk { consumer_tag: ByteString }
    60 30 "basic.cancel" BasicCancel { consumer_tag: ByteString, nowait: bool }
    60 31 "basic.cancel-ok" BasicCancelOk { consumer_tag: ByteString }
    60 40 "basic.publish" BasicPublish {
        ticket: Reserved<u16>, exchange: ByteString, routing_key: ByteString, mandatory: bool, immediate: bool
    }
    60 50 "basic.return" BasicReturn {
        reply_code: u16, reply_text: ByteString, exchange: ByteString, routing_key: ByteString
    }
    60 60 "basic.deliver" BasicDeliver {
        consumer_tag: ByteString, delivery_tag: u64, redelivered: bool, exchange: ByteString,
        routing_key: ByteString
    }
    60 70 "basic.get" BasicGet { ticket: Reserved<u16>, queue: ByteString, no_ack: bool }
    60 71 "basic.get-ok" BasicGetOk {
        delivery_tag: u64, redelivered: bool, exchange: ByteString, routing_key: ByteString, message_count: u32
    }
    60 72 "basic.get-empty" BasicGetEmpty { cluster_id: Reserved<ByteString> }
    60 80 "basic.ack" BasicAck { delivery_tag: u64, multiple: bool }
    60 90 "basic.reject" BasicReject { delivery_tag: u64, requeue: bool }
    60 100 "basic.recover-async" BasicRecoverAsync { requeue: bool }
    60 110 "basic.recover" BasicRecover { requeue: bool }
    60 111 "basic.recover-ok" BasicRecoverOk {}
    60 120 "basic.nack" BasicNack { delivery_tag: u64, multiple: bool, requeue: bool }

    85 10 "confirm.select" ConfirmSelect { nowait: bool }
    85 11 "confirm.select-ok" ConfirmSelectOk {}

    90 10 "tx.select" TxSelect {}
    90 11 "tx.select-ok" TxSelectOk {}
    90 20 "tx.commit" TxCommit {}
    90 21 "tx.commit-ok" TxCommitOk {}
    90 30 "tx.rollback" TxRollback {}
    90 31 "tx.rollback-ok" TxRollbackOk {}
}
