//! What is so, as people read it.

use std::fmt;

use super::conditions::Condition;
use crate::table::Table;

/// All that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) cluster: String,
    pub(super) brokers: Vec<BrokerLine>,
    pub(super) conditions: Vec<Condition>,
    /// What is wrong with the file, and what it asks for that is not done.
    pub(super) notes: Vec<String>,
    /// How to ask more.
    pub(super) configuration: String,
    /// Whom clients are to trust at listeners with TLS: a file.
    pub(super) authority: Option<String>,
}

/// A broker: where it is, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokerLine {
    pub(super) name: String,
    pub(super) phase: String,
    pub(super) clients: String,
    pub(super) admin: String,
}

impl Report {
    /// Whether everything that the file asks for is there.
    pub(super) fn is_ready(&self) -> bool {
        self.conditions.iter().all(|condition| condition.holds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut brokers = Table::new(["BROKER", "STATE", "CLIENTS", "ADMIN API"]);
        for broker in &self.brokers {
            brokers.row([broker.name.clone(), broker.phase.clone(), broker.clients.clone(), broker.admin.clone()]);
        }
        let mut conditions = Table::new(["RESOURCE", "CONDITION", "STATUS", "REASON", "MESSAGE"]);
        for condition in &self.conditions {
            conditions.row([
                condition.resource.clone(),
                condition.kind.to_string(),
                if condition.holds { "True" } else { "False" }.to_owned(),
                condition.reason.to_string(),
                condition.message.clone(),
            ]);
        }
        writeln!(f, "\n{brokers}\n{conditions}")?;
        for note in &self.notes {
            writeln!(f, "! {note}")?;
        }
        if self.is_ready() {
            writeln!(f, "{} is ready. Clients log in as guest, password guest, from this machine.", self.cluster)?;
            if let Some(authority) = &self.authority {
                writeln!(f, "At amqps:// addresses clients are to trust {authority}.")?;
            }
            writeln!(f, "More: ferrymq ctl --config {} cluster. Ctrl-C stops.", self.configuration)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ferrymq_api::{ConditionType, Reason};

    use super::*;

    fn report(holds: bool, notes: Vec<String>) -> String {
        Report {
            cluster: "orders".to_owned(),
            brokers: vec![BrokerLine {
                name: "orders-0".to_owned(),
                phase: "Serving".to_owned(),
                clients: "amqp://127.0.0.1:5672".to_owned(),
                admin: "http://127.0.0.1:7500".to_owned(),
            }],
            conditions: vec![Condition {
                resource: "messagequeue/orders".to_owned(),
                kind: ConditionType::Ready,
                holds,
                reason: Reason::AllServing,
                message: "1 of 1 brokers serve".to_owned(),
            }],
            notes,
            configuration: "ferrymq-data/orders/orders-0.json".to_owned(),
            authority: None,
        }
        .to_string()
    }

    #[test]
    fn a_cluster_that_is_ready_says_where_and_how_to_go_on() {
        assert_eq!(
            report(true, Vec::new()),
            "\n\
             BROKER    STATE    CLIENTS                ADMIN API\n\
             orders-0  Serving  amqp://127.0.0.1:5672  http://127.0.0.1:7500\n\
             \n\
             RESOURCE             CONDITION  STATUS  REASON      MESSAGE\n\
             messagequeue/orders  Ready      True    AllServing  1 of 1 brokers serve\n\
             \n\
             orders is ready. Clients log in as guest, password guest, from this machine.\n\
             More: ferrymq ctl --config ferrymq-data/orders/orders-0.json cluster. Ctrl-C stops.\n"
        );
    }

    #[test]
    fn what_is_not_done_is_said_below() {
        let told = report(false, vec!["shop.yaml:7:13: spec.storage.size: no quantity".to_owned()]);
        assert!(told.ends_with("\n! shop.yaml:7:13: spec.storage.size: no quantity\n"), "{told}");
    }
}
