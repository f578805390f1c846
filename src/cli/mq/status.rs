//! A cluster as a picture. Pure.
//!
//! Each box is a shard that a broker holds: a full one where it leads it.

use std::collections::BTreeMap;

use ferrymq_api::{NodeState, ShardSummary};

use crate::mq::{
    paint::Paint,
    view::{BrokerView, Next, View},
};

/// The most boxes of one broker; beyond, each stands for several shards.
const MOST_BOXES: i32 = 36;

/// The width of a bar.
const BAR: usize = 30;

pub(crate) fn draw(view: &View, paint: Paint) -> String {
    let mut text = format!("{}\n\n", headline(view, paint));
    text.push_str(&brokers(view, paint));
    if let Some(shards) = &view.shards {
        text.push_str(&format!("shards    {}\n", of_shards(shards, paint)));
    }
    if let Some(plan) = &view.plan {
        text.push_str(&format!("restarts  {}\n", plan.restarts.join(", ")));
    }
    for concern in &view.concerns {
        let what = format!("{}={} {}", concern.condition, concern.status, concern.reason);
        text.push_str(&format!("not good  {}: {}\n", paint.warned(&what), concern.message));
    }
    text.push_str(&format!("next      {}\n", next(&view.next, paint)));
    text
}

fn headline(view: &View, paint: Paint) -> String {
    let name = format!("{}/{}", view.namespace, view.name);
    let mut parts = vec![format!("{} of {} brokers serve", view.serving, view.wanted)];
    parts.extend(view.version.as_ref().map(|version| format!("version {version}")));
    if let (Some(messages), Some(queues)) = (view.messages, view.queues) {
        parts.push(format!("{} messages in {} queues", grouped(messages), grouped(queues)));
    }
    format!("{}: {}", paint.strong(&name), parts.join(", "))
}

/// The brokers, by their zones.
fn brokers(view: &View, paint: Paint) -> String {
    let mut zones: BTreeMap<&str, Vec<&BrokerView>> = BTreeMap::new();
    for broker in &view.brokers {
        zones.entry(broker.zone.as_deref().unwrap_or_default()).or_default().push(broker);
    }
    let most = view.brokers.iter().map(|broker| broker.replicas).max().unwrap_or_default();
    let scale = (most + MOST_BOXES - 1) / MOST_BOXES;
    let widest = view.brokers.iter().map(|broker| broker.name.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for (zone, brokers) in zones {
        text.push_str(&if zone.is_empty() { "no zone\n".to_owned() } else { format!("zone {zone}\n") });
        for broker in brokers {
            let state = state(broker.state, paint);
            let boxes = boxes(broker, scale.max(1));
            let disk = broker.disk_used_percent.map(|percent| format!(", disk {percent} %")).unwrap_or_default();
            let held = format!("leads {} of {}{disk}", broker.leaders, broker.replicas);
            text.push_str(format!("  {:widest$}  {state}  {boxes}  {held}", broker.name).trim_end());
            text.push('\n');
        }
    }
    if scale > 1 {
        text.push_str(&format!("a box is {scale} shards\n"));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn state(state: NodeState, paint: Paint) -> String {
    let word = format!("{:8}", format!("{state:?}"));
    match state {
        NodeState::Serving => paint.good(&word),
        NodeState::Absent | NodeState::Silent => paint.bad(&word),
        _ => paint.warned(&word),
    }
}

fn boxes(broker: &BrokerView, scale: i32) -> String {
    let count = |shards: i32| usize::try_from((shards.max(0) + scale - 1) / scale).unwrap_or_default();
    let held = count(broker.replicas);
    let leads = count(broker.leaders).min(held);
    format!("{}{}", "■".repeat(leads), "□".repeat(held - leads))
}

fn of_shards(shards: &ShardSummary, paint: Paint) -> String {
    let mut parts = vec![format!("{} of {} healthy", shards.healthy, shards.total)];
    if shards.under_replicated > 0 {
        parts.push(paint.warned(&format!("{} under-replicated", shards.under_replicated)));
    }
    if shards.without_leader > 0 {
        parts.push(paint.bad(&format!("{} without a leader", shards.without_leader)));
    }
    format!("{}  {}", bar(shards.healthy, shards.total), parts.join(", "))
}

fn next(next: &Next, paint: Paint) -> String {
    match next {
        Next::Unseen(what) => paint.warned(what),
        Next::Person(what) => paint.bad(&format!("waits for you: {what}")),
        Next::Operator(what) | Next::Choice(what) => what.clone(),
        Next::Nobody => paint.good("there is nothing to do"),
    }
}

/// How much of something is done, as a bar.
pub(crate) fn bar(done: i32, of: i32) -> String {
    let (done, of) = (usize::try_from(done).unwrap_or_default(), usize::try_from(of).unwrap_or_default());
    // What is not done in full never looks so.
    let full = if done >= of { BAR } else { done * BAR / of.max(1) };
    format!("[{}{}]", "#".repeat(full), "-".repeat(BAR - full))
}

/// A number, in groups of three digits.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mq::view::tests::catching_up;

    #[test]
    fn a_cluster_is_drawn_by_zones_with_what_each_broker_holds() {
        let drawn = draw(&View::of(&catching_up()), Paint::PLAIN);
        let expected = "\
shop/orders: 3 of 3 brokers serve, version 0.1.0, 1,204,331 messages in 7 queues

zone a
  orders-0  Serving   ■■■■■□□□□□□□  leads 5 of 12
  orders-2  Serving   ■■■■■■■□□□□□  leads 7 of 12
zone b
  orders-1  Serving   □□□□□□□□□□□□  leads 0 of 12

shards    [####################----------]  9 of 13 healthy, 4 under-replicated
not good  Ready=False ReplicasBehind: all 3 brokers serve; 4 of 13 shards miss mirrors: broker 1 catches up
next      all 3 brokers serve; 4 of 13 shards miss mirrors: broker 1 catches up
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn one_that_was_just_made_says_that_nobody_has_seen_it() {
        let mut cluster = catching_up();
        cluster.status = None;
        let drawn = draw(&View::of(&cluster), Paint::PLAIN);
        assert_eq!(drawn, "shop/orders: 0 of 3 brokers serve\n\nnext      no operator has looked at it yet\n");
    }

    #[test]
    fn disks_and_restarts_that_are_to_come_are_shown() {
        let mut cluster = catching_up();
        let status = cluster.status.as_mut().unwrap();
        status.nodes[1].disk_used_percent = Some(83);
        let plan = serde_json::json!({"id": "7", "restarts": ["orders-2", "orders-0"], "image": "ferrymq:2"});
        status.plan = Some(serde_json::from_value(plan).unwrap());
        let drawn = draw(&View::of(&cluster), Paint::PLAIN);
        assert!(drawn.contains("leads 0 of 12, disk 83 %\n"), "{drawn}");
        assert!(drawn.contains("\nrestarts  orders-2, orders-0\n"), "{drawn}");
    }

    #[test]
    fn many_shards_share_a_box() {
        let mut cluster = catching_up();
        for node in &mut cluster.status.as_mut().unwrap().nodes {
            node.replicas = Some(100);
        }
        let drawn = draw(&View::of(&cluster), Paint::PLAIN);
        assert!(drawn.contains("a box is 3 shards"), "{drawn}");
        assert!(drawn.lines().all(|line| line.chars().count() < 130), "{drawn}");
    }

    #[test]
    fn what_is_not_done_in_full_never_looks_so() {
        assert!(bar(999, 1_000).ends_with("-]"));
        assert!(!bar(0, 0).contains('-'));
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1_000, -1_234_567].map(grouped), ["0", "999", "1,000", "-1,234,567"]);
    }
}
