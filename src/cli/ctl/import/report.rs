//! What is printed at the end.

use super::{
    link::Count,
    plan::{Left, Plan},
    state::Reached,
};
use crate::table::Table;

/// A queue whose messages were moved.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) reached: Reached,
    /// Messages that RabbitMQ still has.
    pub(super) left: u64,
    /// What FerryMQ has.
    pub(super) now: Count,
    /// What is wrong with that, where it was looked at; an empty text where nothing is.
    pub(super) verified: Option<String>,
}

/// What would be made.
pub(super) fn plan(plan: &Plan) -> String {
    let mut table = Table::new(["KIND", "NAME", "AS"]);
    for exchange in &plan.exchanges {
        table.row(["exchange".to_owned(), exchange.name.clone(), exchange.kind.clone()]);
    }
    for queue in &plan.queues {
        let kind = queue.arguments.get("x-queue-type").and_then(|kind| kind.as_str()).unwrap_or("classic");
        table.row(["queue".to_owned(), queue.name.clone(), kind.to_owned()]);
    }
    for binding in &plan.bindings {
        let name = format!("{} -> {}", binding.exchange, binding.queue);
        table.row(["binding".to_owned(), name, format!("'{}'", binding.routing_key)]);
    }
    format!("carried over:\n{table}\n{}", left(&plan.left))
}

/// What is not carried over.
pub(super) fn left(left: &[Left]) -> String {
    if left.is_empty() {
        return "everything is carried over\n".to_owned();
    }
    let mut table = Table::new(["KIND", "NAME", "WHY"]);
    for Left { kind, name, why } in left {
        table.row([(*kind).to_owned(), name.clone(), why.clone()]);
    }
    format!("not carried over:\n{table}")
}

/// The queues, and what is to be known of each.
pub(super) fn queues(rows: &[Row]) -> String {
    let mut table = Table::new(["QUEUE", "FOUND", "MOVED", "LEFT", "BEFORE", "NOW", "BYTES", "SHA-256", "VERIFIED"]);
    for Row { reached, left, now, verified } in rows {
        let verified = match verified {
            None => "",
            Some(wrong) if wrong.is_empty() => "yes",
            Some(_) => "NO",
        };
        table.row([
            reached.queue.clone(),
            reached.found.to_string(),
            reached.moved.to_string(),
            left.to_string(),
            reached.there_before.to_string(),
            now.messages.to_string(),
            reached.bytes.to_string(),
            reached.digest.short(),
            verified.to_owned(),
        ]);
    }
    let mut text = format!("{table}(FOUND, LEFT: in RabbitMQ; BEFORE, NOW: in FerryMQ)\n");
    for row in rows {
        for sentence in sentences(row) {
            text.push_str(&sentence);
            text.push('\n');
        }
    }
    text
}

fn sentences(row: &Row) -> Vec<String> {
    let Row { reached, left, verified, .. } = row;
    let queue = &reached.queue;
    let mut told = Vec::new();
    let mut without = |count: u64, what: &str| {
        if count > 0 {
            told.push(format!("{queue}: {count} messages are without {what}"));
        }
    };
    without(reached.without.expiration, "their expiration: in FerryMQ no message expires");
    without(reached.without.user, "their user-id, which FerryMQ takes only of the user who publishes");
    without(reached.without.copies, "their headers CC and BCC; where these lead to, RabbitMQ had sent them already");
    if reached.doubled > 0 {
        told.push(format!(
            "{queue}: up to {} messages may be there twice, as it was stopped or cut off",
            reached.doubled
        ));
    }
    if *left > 0 && !reached.of.copy {
        told.push(format!("{queue}: {left} messages came while it was moved; the same command moves them too"));
    }
    if reached.moved < reached.goal {
        let missing = reached.goal - reached.moved;
        told.push(format!(
            "{queue}: {missing} messages went away in RabbitMQ before they were read: expired, or consumed there"
        ));
    }
    if let Some(wrong) = verified.as_ref().filter(|wrong| !wrong.is_empty()) {
        told.push(format!("{queue}: NOT verified: {wrong}"));
    }
    told
}

/// Whether all is as it should be.
pub(super) fn is_well(rows: &[Row]) -> bool {
    rows.iter().all(|row| row.verified.as_ref().is_none_or(String::is_empty))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::import::state::Move;

    fn row(verified: Option<&str>) -> Row {
        let of = Move::new("rabbit".to_owned(), "ferry".to_owned(), false);
        let mut reached = Reached::begun(&of, "orders", 20, 3);
        (reached.moved, reached.bytes) = (20, 1000);
        let now = Count { messages: 23, consumers: 0 };
        Row { reached, left: 0, now, verified: verified.map(str::to_owned) }
    }

    #[test]
    fn a_queue_is_told_with_all_counts() {
        assert_eq!(
            queues(&[row(Some(""))]),
            "QUEUE   FOUND  MOVED  LEFT  BEFORE  NOW  BYTES  SHA-256                           VERIFIED\n\
             orders  20     20     0     3       23   1000   00000000000000000000000000000000  yes\n\
             (FOUND, LEFT: in RabbitMQ; BEFORE, NOW: in FerryMQ)\n"
        );
    }

    #[test]
    fn what_is_to_be_known_of_a_queue_is_said_under_the_table() {
        let mut row = row(Some("it has 22 messages"));
        (row.left, row.reached.doubled, row.reached.without.expiration) = (2, 5, 7);
        let text = queues(std::slice::from_ref(&row));
        for part in ["7 messages are without their expiration", "up to 5", "2 messages came", "NOT verified: it has 22"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!is_well(&[row]));
    }
}
