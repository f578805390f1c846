//! Of the broker as a whole: as many series whatever it holds.

use std::fmt;

use ferrymq_admin_api::DiskUse;
use ferrymq_broker::{ARCHIVE_LAG_BOUNDS, ArchiveFigures, MessageCounts, QueueTotals, ShardCounts, Statistics};
use ferrymq_journal::SYNC_BOUNDS;
use prometheus_client::registry::Unit;

use super::page::{Page, Written};
use crate::listeners::ListenerCounts;

const BYTES: Option<Unit> = Some(Unit::Bytes);

/// All figures of a broker as a whole.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) version: &'static str,
    pub(super) statistics: Statistics,
    pub(super) disk: Option<DiskUse>,
    /// Where the broker archives what it leads.
    pub(super) archive: Option<ArchiveFigures>,
    pub(super) channels: u64,
    pub(super) returned: u64,
    pub(super) listeners: Vec<ListenerFigures>,
}

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct ListenerFigures {
    pub(super) name: String,
    pub(super) open: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
}

impl From<&ListenerCounts> for ListenerFigures {
    fn from(counts: &ListenerCounts) -> Self {
        Self { name: counts.name.clone(), open: counts.open(), accepted: counts.accepted(), refused: counts.refused() }
    }
}

impl Written for Totals {
    fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        self.write_broker(page)?;
        self.write_clients(page)?;
        write_messages(page, &self.statistics.messages, self.returned)?;
        write_queues(page, &self.statistics.queues)?;
        write_shards(page, &self.statistics.shards)?;
        self.write_journal(page)?;
        if let Some(archive) = &self.archive {
            write_archive(page, archive)?;
        }
        self.write_limits(page)
    }
}

fn write_archive(page: &mut Page<'_>, of: &ArchiveFigures) -> fmt::Result {
    page.state("archive_failing", "1 while the archive takes nothing.", of.failing.is_some())?;
    page.gauge(
        "archived_until",
        "All that the shards which this broker leads confirmed before this time is archived (seconds since 1970).",
        Some(Unit::Seconds),
        of.archived_until.unwrap_or(0) / 1000,
    )?;
    page.gauge("archive_held", "Bytes kept on the disk because they are not archived yet.", BYTES, of.held_bytes)?;
    page.counter("archive_parts", "Parts of logs that were archived.", None, of.parts)?;
    page.counter("archive_log", "Bytes of logs that were archived, before they are compressed.", BYTES, of.bytes)?;
    page.counter("archive_gaps", "Gaps that came into the archive.", None, of.gaps)?;
    let bounds = ARCHIVE_LAG_BOUNDS.iter().map(|bound| *bound as f64 / 1000.0).chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(of.lags).collect();
    page.durations(
        "archive_lag",
        "How long the oldest entry of each part had waited when it was archived.",
        of.lag_sum.as_secs_f64(),
        &buckets,
    )
}

impl Totals {
    fn write_broker(&self, page: &mut Page<'_>) -> fmt::Result {
        let of = &self.statistics;
        page.gauges("build_info", "Always 1; the version that runs.", [(vec![("version", self.version)], 1)])?;
        page.state("serving", "1 while the broker serves clients.", of.serves)?;
        page.state(
            "data_damaged",
            "1 while the broker is filled anew by the others, because its data was damaged.",
            of.damaged,
        )?;
        page.state(
            "catalogue_leader",
            "1 while this broker leads the catalogue of the cluster: there is one such broker.",
            of.leads_catalogue,
        )?;
        page.gauge("peers", "Other brokers of the cluster.", None, of.peers)?;
        page.gauge("peers_unreachable", "Those of them that this broker does not reach.", None, of.peers_unreachable)
    }

    fn write_clients(&self, page: &mut Page<'_>) -> fmt::Result {
        let of = &self.statistics;
        let by_listener = |figure: fn(&ListenerFigures) -> u64| {
            self.listeners.iter().map(move |listener| (vec![("listener", listener.name.as_str())], figure(listener)))
        };
        page.gauges("connections", "Connections of clients that are open.", by_listener(|listener| listener.open))?;
        page.counters(
            "connections_opened",
            "Connections of clients that were accepted.",
            by_listener(|listener| listener.accepted),
        )?;
        page.counters(
            "connections_refused",
            "Connections of clients that were turned away, because too many were open.",
            by_listener(|listener| listener.refused),
        )?;
        page.gauge("sessions", "Connections whose clients are logged in.", None, of.sessions)?;
        page.counter(
            "logins_refused",
            "Logins that were refused: a name or password was wrong.",
            None,
            of.logins_refused,
        )?;
        page.gauge("channels", "AMQP channels that are open.", None, self.channels)?;
        page.gauge("consumers", "Consumers of this broker's clients, of queues and of streams.", None, of.consumers)
    }

    fn write_journal(&self, page: &mut Page<'_>) -> fmt::Result {
        let of = &self.statistics.journal;
        page.counter("journal_appended_records", "Records written to the journal.", None, of.appended_records)?;
        page.counter("journal_appended", "Bytes written to the journal.", BYTES, of.appended_bytes)?;
        let bounds = SYNC_BOUNDS.iter().map(std::time::Duration::as_secs_f64).chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(of.syncs.buckets).collect();
        page.durations(
            "journal_sync",
            "How long the disk took to sync what was written (fdatasync). What is confirmed has waited for one.",
            of.syncs.total.as_secs_f64(),
            &buckets,
        )?;
        page.gauge("journal_segments", "Files of the journal.", None, of.segments)?;
        page.gauge("journal_capacity", "Bytes that the files of the journal take.", BYTES, of.capacity_bytes)?;
        page.gauge("journal_records", "Bytes of all records in the journal.", BYTES, of.bytes)?;
        page.gauge("journal_live", "Bytes of those that are still needed.", BYTES, of.live_bytes)
    }

    fn write_limits(&self, page: &mut Page<'_>) -> fmt::Result {
        let of = &self.statistics;
        page.state(
            "publishers_blocked",
            "1 while publishers of this broker wait, because it or another broker is short of memory or disk.",
            of.publishers_blocked,
        )?;
        let short = [("memory", of.short_of_memory), ("disk", of.short_of_disk)];
        page.gauges(
            "short",
            "1 while this broker is short of it, so that publishers of the whole cluster wait.",
            short.map(|(resource, short)| (vec![("resource", resource)], short.into())),
        )?;
        page.gauge("memory_used", "Bytes of memory that the broker takes (resident).", BYTES, of.memory_used)?;
        page.gauge("memory_high_water", "Bytes of memory beyond which publishers wait.", BYTES, of.memory_high_water)?;
        let Some(disk) = self.disk else { return Ok(()) };
        page.gauge("disk_used", "Bytes used of the disk that the data is on, by whomever.", BYTES, disk.used_bytes)?;
        page.gauge(
            "disk_capacity",
            "Bytes used of that disk, and those that the broker can still take.",
            BYTES,
            disk.capacity_bytes,
        )
    }
}

fn write_messages(page: &mut Page<'_>, of: &MessageCounts, returned: u64) -> fmt::Result {
    page.counter("messages_published", "Messages that clients of this broker published.", None, of.published)?;
    page.counter("messages_published", "Their bytes: bodies, properties and names.", BYTES, of.published_bytes)?;
    page.counter("messages_unroutable", "Those of them that went to no queue.", None, of.unroutable)?;
    page.counter(
        "messages_returned",
        "Those of these that were sent back to their publishers, which had asked for that.",
        None,
        returned,
    )?;
    page.counter(
        "messages_confirmed",
        "Messages confirmed to their publishers: on the disks of a majority of their mirrors.",
        None,
        of.confirmed,
    )?;
    page.counter("messages_delivered", "Messages handed to clients of this broker.", None, of.delivered)?;
    page.counter("messages_delivered", "Their bytes.", BYTES, of.delivered_bytes)?;
    page.counter("messages_redelivered", "Those of them that had been handed out before.", None, of.redelivered)?;
    page.counter(
        "messages_acknowledged",
        "Messages that clients acknowledged, or that went to a client that acknowledges nothing.",
        None,
        of.acknowledged,
    )?;
    page.counter("messages_requeued", "Messages that were given back to their queues.", None, of.requeued)?;
    page.counter("messages_discarded", "Messages that were rejected and not given back.", None, of.discarded)
}

fn write_queues(page: &mut Page<'_>, of: &QueueTotals) -> fmt::Result {
    page.gauge(
        "queues",
        "Queues that this broker leads. Over all brokers every queue counts once; so it is with what follows.",
        None,
        of.queues,
    )?;
    page.gauge("messages_ready", "Messages in these queues that nobody holds.", None, of.ready)?;
    page.gauge(
        "messages_unacknowledged",
        "Messages in these queues that were handed out and are not settled.",
        None,
        of.unacknowledged,
    )?;
    page.gauge("queues", "Bytes of all messages in these queues.", BYTES, of.bytes)?;
    page.gauge("logs", "Logs that this broker leads: partitions of topics, and streams.", None, of.logs)?;
    page.gauge("logs_messages", "Messages in these logs.", None, of.log_messages)?;
    page.gauge("logs", "Bytes of these messages.", BYTES, of.log_bytes)
}

fn write_shards(page: &mut Page<'_>, of: &ShardCounts) -> fmt::Result {
    page.gauge("shards", "Shards that this broker holds a replica of.", None, of.replicas)?;
    page.gauge("shards_led", "Shards that this broker leads.", None, of.led)?;
    page.counter("shards_elections_won", "How often this broker came to lead a shard.", None, of.elections_won)?;
    page.gauge(
        "shards_mirrors_out_of_sync",
        "Mirrors of shards that this broker leads, the catalogue included, which miss or are not in sync.",
        None,
        of.out_of_sync,
    )?;
    page.gauge(
        "shards_lag_entries",
        "Entries that the mirror furthest behind has not got, over the shards that this broker leads.",
        None,
        of.lag,
    )?;
    page.gauge(
        "shards_unavailable",
        "Shards of this broker, the catalogue included, that take nothing: no leader is within reach, or no majority.",
        None,
        of.unavailable,
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ferrymq_journal::Syncs;

    use super::*;
    use crate::metrics::page::written;

    #[test]
    fn a_page_has_every_figure_in_the_unit_of_its_name() {
        let mut syncs = Syncs { total: Duration::from_millis(1500), ..Syncs::default() };
        (syncs.buckets[0], syncs.buckets[12]) = (2, 1);
        let statistics = Statistics {
            serves: true,
            sessions: 3,
            messages: MessageCounts { published: 7, published_bytes: 700, ..Default::default() },
            journal: ferrymq_journal::Statistics { syncs, live_bytes: 99, ..Default::default() },
            short_of_disk: true,
            ..Default::default()
        };
        let listener = ListenerFigures { name: "amqp".to_owned(), open: 4, accepted: 9, refused: 0 };
        let disk = Some(DiskUse { used_bytes: 10, capacity_bytes: 20 });
        let totals = Totals {
            version: "1.2.3",
            statistics,
            disk,
            archive: None,
            channels: 5,
            returned: 1,
            listeners: vec![listener],
        };
        let page = written(totals).unwrap();
        for line in [
            "ferrymq_build_info{version=\"1.2.3\"} 1",
            "ferrymq_serving 1",
            "ferrymq_connections{listener=\"amqp\"} 4",
            "ferrymq_connections_opened_total{listener=\"amqp\"} 9",
            "ferrymq_sessions 3",
            "ferrymq_channels 5",
            "ferrymq_messages_published_total 7",
            "ferrymq_messages_published_bytes_total 700",
            "ferrymq_messages_returned_total 1",
            "# TYPE ferrymq_journal_sync_seconds histogram",
            "# UNIT ferrymq_journal_sync_seconds seconds",
            "ferrymq_journal_sync_seconds_count 3",
            "ferrymq_journal_sync_seconds_sum 1.5",
            "ferrymq_journal_sync_seconds_bucket{le=\"0.0001\"} 2",
            "ferrymq_journal_sync_seconds_bucket{le=\"+Inf\"} 3",
            "ferrymq_journal_live_bytes 99",
            "ferrymq_short{resource=\"memory\"} 0",
            "ferrymq_short{resource=\"disk\"} 1",
            "ferrymq_disk_capacity_bytes 20",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn no_metric_has_two_descriptions() {
        for page in crate::sample_metrics().unwrap() {
            let mut names: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup_by_key(|line| line.split(' ').next());
            assert_eq!(names.len(), count);
        }
    }
}
