//! Owns what is said of the machine: figures without it mean little.

use std::{fmt, fs, thread, time::Duration};

use crate::{Result, operation};

#[derive(Clone, Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    /// The share of the machine that was in use before the benchmark began: noise.
    busy: f64,
}

impl Machine {
    /// Looks at the machine for a second.
    pub(crate) fn look() -> Result<Self> {
        let processor = fs::read_to_string("/proc/cpuinfo")?
            .lines()
            .find_map(|line| {
                line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned())
            })
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
        let (busy_before, all_before) = ticks()?;
        thread::sleep(Duration::from_secs(1));
        let (busy_after, all_after) = ticks()?;
        let busy = (busy_after - busy_before) / (all_after - all_before).max(1.0);
        Ok(Self { processor, cores: operation::cores(), kernel, busy })
    }
}

/// How long the cores have been busy since the machine started, and how long there have been cores.
fn ticks() -> Result<(f64, f64)> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().unwrap_or_default();
    // user nice system idle iowait irq softirq steal; guests are counted in the first two already.
    let fields: Vec<f64> =
        line.split_whitespace().skip(1).take(8).filter_map(|field| field.parse().ok()).collect();
    let all: f64 = fields.iter().sum();
    let idle: f64 = fields.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, kernel, busy } = self;
        let busy = busy * 100.0;
        let release = kernel.split('-').next().unwrap_or(kernel);
        write!(
            f,
            "{processor}, {cores} cores for servers and load together, Linux {release}, {busy:.0} % busy before the run"
        )
    }
}
