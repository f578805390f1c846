//! Of a broker's queues and shards, one by one. On a page of its own: who has ten thousand queues may not want ten thousand
//! series.

use std::fmt;

use ferrymq_broker::{Objects, QueueFigures};

use super::page::{Label, Page, Written};

/// Shards and queues, one by one.
#[derive(Debug)]
pub(super) struct PerObject(pub(super) Objects);

impl Written for PerObject {
    fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        self.write_queues(page)?;
        self.write_logs(page)?;
        page.gauge(
            "queues_left_out",
            "Queues and logs that this broker leads and that are not on this page, because there are too many. \
             `?prefix=` asks for fewer.",
            None,
            self.0.left_out,
        )?;
        self.write_shards(page)
    }
}

impl PerObject {
    fn queues(&self, log: bool, figure: fn(&QueueFigures) -> u64) -> impl Iterator<Item = (Vec<Label<'_>>, u64)> {
        let wanted = self.0.queues.iter().filter(move |queue| queue.log == log);
        wanted.map(move |queue| {
            let labels = vec![("virtual_host", queue.virtual_host.as_str()), ("queue", queue.name.as_str())];
            (labels, figure(queue))
        })
    }

    fn write_queues(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauges(
            "queue_messages_ready",
            "Messages in a queue that nobody holds.",
            self.queues(false, |queue| queue.ready),
        )?;
        page.gauges(
            "queue_messages_unacknowledged",
            "Messages in a queue that were handed out and are not settled.",
            self.queues(false, |queue| queue.unacknowledged),
        )?;
        page.gauges(
            "queue_consumers",
            "Consumers of a queue, on all brokers.",
            self.queues(false, |queue| queue.consumers),
        )
    }

    fn write_logs(&self, page: &mut Page<'_>) -> fmt::Result {
        page.gauges("log_messages", "Messages in a log, whoever read them.", self.queues(true, |queue| queue.ready))
    }

    fn write_shards(&self, page: &mut Page<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.shards.iter().map(|shard| shard.shard.to_string()).collect();
        let labels = || numbers.iter().map(|number| vec![("shard", number.as_str())]);
        let out_of_sync = self.0.shards.iter().map(|shard| shard.out_of_sync);
        page.gauges(
            "shard_mirrors_out_of_sync",
            "Mirrors of a shard that this broker leads, which miss or are not in sync. Shard 0 is the catalogue.",
            labels().zip(out_of_sync),
        )?;
        let lag = self.0.shards.iter().map(|shard| shard.lag);
        page.gauges(
            "shard_lag_entries",
            "Entries of a shard that its mirror furthest behind has not got.",
            labels().zip(lag),
        )
    }
}

#[cfg(test)]
mod tests {
    use ferrymq_broker::LedShard;

    use super::*;
    use crate::metrics::page::written;

    #[test]
    fn queues_and_logs_are_told_apart_and_names_are_escaped() {
        let queue = |name: &str, log| QueueFigures {
            virtual_host: "/".to_owned(),
            name: name.to_owned(),
            log,
            ready: 5,
            unacknowledged: 2,
            consumers: 1,
        };
        let page = written(PerObject(Objects {
            shards: vec![LedShard { shard: 3, out_of_sync: 1, lag: 40 }],
            queues: vec![queue("say \"hi\"\n", false), queue("events-0", true)],
            left_out: 8,
        }));
        let page = page.unwrap();
        for line in [
            r#"ferrymq_queue_messages_ready{virtual_host="/",queue="say \"hi\"\n"} 5"#,
            r#"ferrymq_queue_consumers{virtual_host="/",queue="say \"hi\"\n"} 1"#,
            r#"ferrymq_log_messages{virtual_host="/",queue="events-0"} 5"#,
            r#"ferrymq_shard_lag_entries{shard="3"} 40"#,
            "ferrymq_queues_left_out 8",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
        }
        assert!(!page.contains("ferrymq_queue_messages_ready{virtual_host=\"/\",queue=\"events-0\"}"));
    }
}
