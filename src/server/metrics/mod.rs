//! A broker in figures, as the text of OpenMetrics.
//!
//! | file | what is in it |
//! |---|---|
//! | `page.rs` | [`page::Page`]: metrics as they are written, one after the other |
//! | `totals.rs` | of the broker as a whole: as many series whatever it holds |
//! | `per_object.rs` | of its queues and shards, one by one, up to a limit |
//!
//! Nothing is kept from one page to the next: what is gone is gone from the next page.

mod page;
mod per_object;
mod totals;

use std::{path::PathBuf, sync::Arc};

use ferrymq_broker::{ArchiveFigures, Node, Objects, QueueFigures, Statistics};
use ferrymq_management::MetricsPort;

use self::{
    per_object::PerObject,
    totals::{ListenerFigures, Totals},
};
use crate::{VERSION, disk, listeners::ListenerCounts};

/// The most queues of a page.
const MOST_QUEUES: usize = 10_000;

/// Where a broker's figures come from.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) node: Node,
    /// The directory of its data.
    pub(crate) directory: PathBuf,
    pub(crate) amqp: Arc<ferrymq_amqp::Counts>,
    pub(crate) listeners: Vec<Arc<ListenerCounts>>,
}

impl MetricsPort for Metrics {
    fn totals(&self) -> Result<String, String> {
        let totals = Totals {
            version: VERSION,
            statistics: self.node.statistics(),
            disk: disk::used(&self.directory),
            archive: self.node.archive_figures(),
            channels: self.amqp.channels(),
            returned: self.amqp.returned(),
            listeners: self.listeners.iter().map(|counts| ListenerFigures::from(&**counts)).collect(),
        };
        page::written(totals)
    }

    fn per_object(&self, prefix: &str) -> Result<String, String> {
        page::written(PerObject(self.node.objects(prefix, MOST_QUEUES)))
    }
}

/// The pages of a broker that has one of everything: what there is to see, for the reference. First the one of the broker
/// as a whole, then the one of its queues and shards.
///
/// # Errors
///
/// A sentence.
pub fn sample_metrics() -> Result<[String; 2], String> {
    let totals = Totals {
        version: VERSION,
        statistics: Statistics::default(),
        disk: Some(ferrymq_admin_api::DiskUse { used_bytes: 0, capacity_bytes: 0 }),
        archive: Some(ArchiveFigures::default()),
        channels: 0,
        returned: 0,
        listeners: vec![ListenerFigures { name: "amqp".to_owned(), open: 0, accepted: 0, refused: 0 }],
    };
    let queue = |name: &str, log| QueueFigures {
        virtual_host: "/".to_owned(),
        name: name.to_owned(),
        log,
        ready: 0,
        unacknowledged: 0,
        consumers: 0,
    };
    let objects = Objects {
        shards: vec![ferrymq_broker::LedShard { shard: 0, out_of_sync: 0, lag: 0 }],
        queues: vec![queue("orders", false), queue("events-0", true)],
        left_out: 0,
    };
    Ok([page::written(totals)?, page::written(PerObject(objects))?])
}
