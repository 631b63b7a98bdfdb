//! Owns making a series and registering it.

use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, core::Collector,
};

use super::families::{Family, Kind};

/// A name or a label that is not one, or a name that is taken: a defect that the first start shows.
const CONSTANT: &str = "names and labels are constants, and each name is registered once";

pub(super) fn counter(registry: &Registry, family: &Family) -> IntCounter {
    registered(registry, IntCounter::with_opts(options(family, Kind::Counter)))
}

pub(super) fn counters(registry: &Registry, family: &Family) -> IntCounterVec {
    registered(registry, IntCounterVec::new(options(family, Kind::Counter), &family.label_names()))
}

pub(super) fn gauge(registry: &Registry, family: &Family) -> Gauge {
    registered(registry, Gauge::with_opts(options(family, Kind::Gauge)))
}

pub(super) fn gauges(registry: &Registry, family: &Family) -> GaugeVec {
    registered(registry, GaugeVec::new(options(family, Kind::Gauge), &family.label_names()))
}

pub(super) fn int_gauge(registry: &Registry, family: &Family) -> IntGauge {
    registered(registry, IntGauge::with_opts(options(family, Kind::Gauge)))
}

pub(super) fn int_gauges(registry: &Registry, family: &Family) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(options(family, Kind::Gauge), &family.label_names()))
}

pub(super) fn histogram(registry: &Registry, family: &Family, buckets: &[f64]) -> Histogram {
    let options = HistogramOpts::from(options(family, Kind::Histogram)).buckets(buckets.to_vec());
    registered(registry, Histogram::with_opts(options))
}

pub(super) fn histograms(registry: &Registry, family: &Family, buckets: &[f64]) -> HistogramVec {
    let options = HistogramOpts::from(options(family, Kind::Histogram)).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(options, &family.label_names()))
}

/// Its name and its help. What is counted must not be declared as a gauge: a defect that the first start shows.
fn options(family: &Family, kind: Kind) -> Opts {
    assert_eq!(family.kind, kind, "{}", family.name);
    Opts::new(family.name, family.help)
}

/// What every Prometheus client says of its process. Linux alone tells it.
pub(super) fn process(registry: &Registry) {
    #[cfg(target_os = "linux")]
    registry.register(Box::new(super::process::Process::new())).expect(CONSTANT);
    #[cfg(not(target_os = "linux"))]
    let _ = registry;
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let made = made.expect(CONSTANT);
    registry.register(Box::new(made.clone())).expect(CONSTANT);
    made
}
