//! Publishes to one queue of FerryMQ, and waits for its confirms.

use lapin::{
    Channel, Confirmation, ExchangeKind, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::{FieldTable, ShortString},
};

use super::{ImportError, digest::Digest, link::Link, message::Message};

/// A queue that is written.
pub(super) struct Writer<'a> {
    link: &'a Link,
    channel: Channel,
    queue: &'a str,
    has_carrier: bool,
}

impl<'a> Writer<'a> {
    /// # Errors
    ///
    /// Where the connection is lost.
    pub(super) async fn new(link: &'a Link, queue: &'a str) -> Result<Self, ImportError> {
        let channel = link.channel().await?;
        let selected = channel.confirm_select(ConfirmSelectOptions::default()).await;
        selected.map_err(|error| link.fault("publisher confirms", &error))?;
        Ok(Self { link, channel, queue, has_carrier: false })
    }

    /// Publishes messages in their order, and waits until all are confirmed.
    ///
    /// # Errors
    ///
    /// Where one is refused, or not confirmed in time, or the connection is lost: any first part of them may be there then.
    pub(super) async fn publish(&mut self, messages: &[&Message]) -> Result<(), ImportError> {
        let patience = self.link.patience;
        let all = async {
            let mut confirms = Vec::with_capacity(messages.len());
            for message in messages {
                confirms.push(self.publish_one(message).await?);
            }
            for confirm in confirms {
                self.confirmed(confirm.await)?;
            }
            Ok(())
        };
        match tokio::time::timeout(patience, all).await {
            Ok(done) => done,
            Err(_) => Err(self.silent()),
        }
    }

    async fn publish_one(&mut self, message: &Message) -> Result<PublisherConfirm, ImportError> {
        // As it was published there: to the queue by its name. All others keep their routing key.
        let by_name = message.exchange.as_str().is_empty() && message.routing_key.as_str() == self.queue;
        let exchange = if by_name { "".into() } else { self.carrier().await? };
        // Nothing may get lost on the way to the queue.
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let (key, properties) = (message.routing_key.clone(), message.properties.clone());
        let published = self.channel.basic_publish(exchange, key, options, &message.body, properties).await;
        published.map_err(|error| self.fault(&error))
    }

    /// The exchange that leads to this queue alone, whatever the routing key.
    async fn carrier(&mut self) -> Result<ShortString, ImportError> {
        let name = carrier_of(self.queue);
        if !self.has_carrier {
            let channel = self.link.channel().await?;
            let fault = |error: lapin::Error| self.link.fault(&format!("exchange '{name}'"), &error);
            let (options, none) =
                (ExchangeDeclareOptions { durable: true, ..Default::default() }, FieldTable::default());
            let declared =
                channel.exchange_declare(name.as_str().into(), ExchangeKind::Fanout, options, none.clone()).await;
            declared.map_err(fault)?;
            let bound =
                channel.queue_bind(self.queue.into(), name.as_str().into(), "".into(), Default::default(), none).await;
            bound.map_err(fault)?;
            self.has_carrier = true;
        }
        Ok(name.as_str().into())
    }

    /// Removes the exchange that led to this queue, also where an earlier run made it.
    ///
    /// # Errors
    ///
    /// Where it is refused, or the connection is lost.
    pub(super) async fn finish(self) -> Result<(), ImportError> {
        let name = carrier_of(self.queue);
        let deleted = self.channel.exchange_delete(name.as_str().into(), Default::default()).await;
        deleted.map_err(|error| self.link.fault(&format!("to delete exchange '{name}'"), &error))
    }

    fn confirmed(&self, confirmation: lapin::Result<Confirmation>) -> Result<(), ImportError> {
        let lost = |reason: &str| ImportError::Lost { side: self.link.side, reason: reason.to_owned() };
        match confirmation {
            Ok(Confirmation::Ack(None)) => Ok(()),
            Ok(Confirmation::Ack(Some(_))) => Err(lost(&format!(
                "it returned a message: queue '{}', or its binding to exchange '{}', is gone",
                self.queue,
                carrier_of(self.queue)
            ))),
            Ok(Confirmation::Nack(_)) => Err(lost("it could not store a message")),
            Ok(Confirmation::NotRequested) => Err(lost("it was not asked for confirms")),
            Err(error) => Err(self.fault(&error)),
        }
    }

    fn fault(&self, error: &lapin::Error) -> ImportError {
        self.link.fault(&format!("a message of queue '{}'", self.queue), error)
    }

    fn silent(&self) -> ImportError {
        let advice = if self.link.is_blocked() {
            "it holds back publishers (connection.blocked), as its memory or its disk is short: let its consumers run, or give \
             it more"
        } else {
            "a majority of the queue's mirrors may be away: look at `ferrymq ctl cluster`"
        };
        ImportError::Silent {
            side: self.link.side,
            what: format!("did not confirm messages of queue '{}'", self.queue),
            seconds: self.link.patience.as_secs(),
            advice: advice.to_owned(),
        }
    }
}

/// A queue's name may be as long as an exchange's, so that only its digest has room.
fn carrier_of(queue: &str) -> String {
    format!("ferrymq-import-{}", Digest::of(&[queue.as_bytes()]).short())
}
