//! The page of all metrics.

use std::fmt::Write as _;

use crate::{Metrics, exposition::Family};

const HEAD: &str = "\
<!-- Generated from the metrics themselves by `cargo xtask fix`; do not edit. -->

# Metrics

Every metric that brokers and the operator have, at port 9419, in the text of OpenMetrics. How to have them read, and what \
alerts there are, is in [monitoring.md](monitoring.md).

Counters begin with 0 when the process starts. Where a `PodMonitor` of the chart has them read, every series of a broker has \
the labels `namespace`, `pod` and `messagequeue` besides.
";

pub(crate) fn of(metrics: &Metrics) -> String {
    let mut page = HEAD.to_owned();
    section(&mut page, "Brokers: `/metrics`", "As many series whatever a broker holds.", &metrics.broker);
    section(
        &mut page,
        "Brokers: `/metrics/per-object`",
        "A few series for each queue and shard that a broker leads, of at most 10,000 queues, in the order of their names. \
         `?prefix=orders.` gives those whose names begin so. Queues of one connection alone (exclusive ones) are not there.",
        &metrics.per_object,
    );
    section(
        &mut page,
        "Operator: `/metrics`",
        "Those of clusters are there only where the operator is the one that acts.",
        &metrics.operator,
    );
    page
}

fn section(page: &mut String, title: &str, sentence: &str, families: &[Family]) {
    let _ =
        write!(page, "\n## {title}\n\n{sentence}\n\n| metric | type | labels | what it says |\n|---|---|---|---|\n");
    for family in families {
        let name = if family.kind == "counter" { format!("{}_total", family.name) } else { family.name.clone() };
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(page, "| `{name}` | {} | {} | {} |", family.kind, labels.join(", "), family.help);
    }
}
