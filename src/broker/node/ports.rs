//! The node as the port of front ends.

use ferrymq_core::{Broker, EventSender, Identity, Kind, Login, LoginRefused, Refusal, VirtualHostName};

use super::Node;
use crate::{counters::Count, refusal::unavailable, session::Session};

impl Broker for Node {
    type Session = Session;

    async fn authenticate(&self, login: Login) -> Result<Identity, LoginRefused> {
        let checked = self.inner().check_password(login).await;
        if checked.is_err() {
            self.inner().counters().add(Count::LoginsRefused, 1);
        }
        checked
    }

    async fn open(
        &self,
        identity: &Identity,
        virtual_host: VirtualHostName,
        events: EventSender,
    ) -> Result<Session, Refusal> {
        let name = virtual_host.as_str();
        if self.inner().catalogue(|catalogue| catalogue.is_restoring())? {
            return Err(unavailable("the cluster is being restored; try again when it is ready"));
        }
        let there = self.inner().catalogue(|catalogue| catalogue.records.virtual_hosts.contains_key(name))?;
        if !there {
            return Err(Refusal::NotFound {
                kind: Kind::VirtualHost,
                name: name.to_owned(),
                virtual_host: name.to_owned(),
            });
        }
        Session::open(self.inner().clone(), identity, virtual_host, events)
    }
}
