//! Owns what is measured of the process: what every Prometheus client tells, with the time on cores in parts of a second.

use std::time::Duration;

use prometheus::{
    core::{Collector, Desc},
    process_collector::ProcessCollector,
    proto::{Counter, MetricFamily},
};
use rustix::time::{ClockId, clock_gettime};

/// The metric that the client has in whole seconds: what is computed of that within some seconds is none or one.
const CPU: &str = "process_cpu_seconds_total";

/// This process.
pub(super) struct Process(ProcessCollector);

impl Process {
    pub(super) fn new() -> Self {
        Self(ProcessCollector::for_self())
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        let cpu = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok();
        let of_cpu = families.iter_mut().filter(|family| family.name() == CPU);
        for (metric, cpu) in of_cpu.flat_map(MetricFamily::mut_metric).zip(cpu) {
            let mut seconds = Counter::default();
            seconds.set_value(cpu.as_secs_f64());
            metric.set_counter(seconds);
        }
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_cores_is_told_in_parts_of_a_second() {
        let process = Process::new();
        let cpu = || {
            let families = process.collect();
            let family = families.iter().find(|family| family.name() == CPU).unwrap();
            family.get_metric()[0].get_counter().get_value()
        };
        let first = cpu();
        // Whatever runs beside it: each reading takes some of it.
        let later = (0..10_000).map(|_| cpu()).find(|now| *now > first && *now < first + 1.0);
        assert!(later.is_some(), "{first}");
    }
}
