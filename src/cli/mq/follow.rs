//! A cluster's picture, again and again, until there is nothing to do.

use std::{collections::BTreeMap, io::Write, time::Duration};

use ferrymq_api::NodeState;

use crate::mq::{
    Ended, PluginError,
    access::Access,
    paint::Paint,
    status::{bar, draw},
    view::{Next, View},
    write,
};

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Goes to the first column of the first line, and clears what is there.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(crate) async fn run(access: &Access, name: &str, out: &mut impl Write, paint: Paint) -> Result<Ended, PluginError> {
    let mut emptied = Emptied::default();
    let mut shown = String::new();
    loop {
        let cluster = access.cluster(name).await?;
        let view = View::of(&cluster);
        emptied.see(&view);
        let picture = if paint.is_on() {
            format!("{}{}", draw(&view, paint), emptied.draw())
        } else {
            // Where nobody looks, a line that says something new is worth more than a picture.
            line(&view, &emptied)
        };
        if picture != shown {
            write(out, &if paint.is_on() { format!("{CLEAR}{picture}") } else { picture.clone() })?;
            shown = picture;
        }
        match &view.next {
            Next::Person(_) => return Ok(Ended::Stalled),
            // A cluster that is paused moves shards none the less, where a broker is emptied.
            _ if view.is_settled() && !emptied.is_under_way() => return Ok(Ended::Well),
            _ => tokio::time::sleep(EVERY).await,
        }
    }
}

fn line(view: &View, emptied: &Emptied) -> String {
    let what = match &view.next {
        Next::Unseen(what) | Next::Operator(what) | Next::Choice(what) => what.clone(),
        Next::Person(what) => format!("waits for you: {what}"),
        Next::Nobody => "there is nothing to do".to_owned(),
    };
    format!("{}/{}: {what}\n{}", view.namespace, view.name, emptied.draw())
}

/// Brokers that are being emptied: what each held when it was first seen so, and what it holds now.
#[derive(Debug, Default)]
struct Emptied(BTreeMap<String, (i32, i32)>);

impl Emptied {
    fn see(&mut self, view: &View) {
        let draining: BTreeMap<&str, i32> = view
            .brokers
            .iter()
            .filter(|broker| broker.state == NodeState::Draining)
            .map(|broker| (broker.name.as_str(), broker.replicas))
            .collect();
        self.0.retain(|name, _| draining.contains_key(name.as_str()));
        for (name, holds) in draining {
            let (first, now) = self.0.entry(name.to_owned()).or_insert((holds, holds));
            (*first, *now) = ((*first).max(holds), holds);
        }
    }

    fn is_under_way(&self) -> bool {
        self.0.values().any(|(_, now)| *now > 0)
    }

    fn draw(&self) -> String {
        let broker = |(name, (first, now)): (&String, &(i32, i32))| {
            format!("{name} is emptied  {}  {now} shards to go\n", bar(first - now, *first))
        };
        self.0.iter().map(broker).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mq::view::tests::catching_up;

    fn draining(holds: i32) -> View {
        let mut cluster = catching_up();
        let node = &mut cluster.status.as_mut().unwrap().nodes[2];
        (node.state, node.replicas) = (NodeState::Draining, Some(holds));
        View::of(&cluster)
    }

    #[test]
    fn a_broker_that_is_emptied_has_a_bar_that_fills() {
        let mut emptied = Emptied::default();
        emptied.see(&draining(12));
        emptied.see(&draining(4));
        assert_eq!(emptied.draw(), "orders-2 is emptied  [####################----------]  4 shards to go\n");
        assert!(emptied.is_under_way());
        emptied.see(&draining(0));
        assert!(!emptied.is_under_way());
    }

    #[test]
    fn one_that_stays_after_all_has_none() {
        let mut emptied = Emptied::default();
        emptied.see(&draining(12));
        emptied.see(&View::of(&catching_up()));
        assert_eq!(emptied.draw(), "");
    }

    #[test]
    fn where_nobody_looks_a_line_says_what_goes_on() {
        let said = line(&View::of(&catching_up()), &Emptied::default());
        assert!(said.starts_with("shop/orders: all 3 brokers serve; 4 of 13 shards miss mirrors"), "{said}");
    }
}
