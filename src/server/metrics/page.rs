//! Metrics as they are written, one after the other.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::{Registry, Unit},
};

/// What the names of all metrics begin with.
const PREFIX: &str = "ferrymq";

/// A label and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// Something that has a page of its own.
pub(super) trait Written: fmt::Debug + Send + Sync + 'static {
    /// Writes its metrics.
    fn write(&self, page: &mut Page<'_>) -> fmt::Result;
}

/// The whole page.
pub(super) fn written(what: impl Written) -> Result<String, String> {
    let mut registry = Registry::with_prefix(PREFIX);
    registry.register_collector(Box::new(Whole(what)));
    let mut out = String::new();
    text::encode(&mut out, &registry).map_err(|error| format!("the metrics were not written: {error}"))?;
    Ok(out)
}

#[derive(Debug)]
struct Whole<W>(W);

impl<W: Written> Collector for Whole<W> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.write(&mut Page(encoder))
    }
}

/// A page that is being written. Names come without their prefix, their unit and `_total`: these are added.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// A figure that rises and falls.
    pub(super) fn gauge(&mut self, name: &str, help: &str, unit: Option<Unit>, value: u64) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)
    }

    /// Whether something holds: 1 or 0.
    pub(super) fn state(&mut self, name: &str, help: &str, holds: bool) -> fmt::Result {
        self.gauge(name, help, None, holds.into())
    }

    /// A count since the broker was started.
    pub(super) fn counter(&mut self, name: &str, help: &str, unit: Option<Unit>, value: u64) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
        metric.encode_counter(&value, None::<&Exemplar<Vec<Label<'_>>, f64>>)
    }

    /// A figure of several things, told apart by their labels.
    pub(super) fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Vec<Label<'l>>, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        series.into_iter().try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
    }

    /// A count of several things, told apart by their labels.
    pub(super) fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (Vec<Label<'l>>, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        series.into_iter().try_for_each(|(labels, value)| {
            metric.encode_family(&labels)?.encode_counter(&value, None::<&Exemplar<Vec<Label<'_>>, f64>>)
        })
    }

    /// How long something took, in seconds: the upper bounds of the buckets with what is in each, the last without a bound.
    pub(super) fn durations(&mut self, name: &str, help: &str, sum: f64, buckets: &[(f64, u64)]) -> fmt::Result {
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut metric = self.0.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
        metric.encode_histogram::<Vec<Label<'_>>>(sum, count, buckets, None)
    }
}
