//! Owns what is said of the machine: figures without it mean little.

use std::{fmt, fs};

use crate::{Result, operation};

/// The machine, and who uses it while the benchmark runs.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
    busy_at_start: f64,
    all_at_start: f64,
    /// The share of the machine that other programs took during the run: noise.
    others: Option<f64>,
}

impl Machine {
    /// Begins to watch.
    pub(crate) fn watch() -> Result<Self> {
        let processor = fs::read_to_string("/proc/cpuinfo")?
            .lines()
            .find_map(|line| {
                line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned())
            })
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
        let (busy_at_start, all_at_start) = ticks()?;
        Ok(Self { processor, cores: operation::cores(), kernel, busy_at_start, all_at_start, others: None })
    }

    /// Ends to watch. All processes that the benchmark started have ended.
    pub(crate) fn end(&mut self) -> Result<()> {
        let (busy, all) = ticks()?;
        let stat = fs::read_to_string("/proc/self/stat")?;
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        // utime stime cutime cstime: this process, and those that it started and waited for.
        let own: f64 = fields.split(' ').skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
        let others = busy - self.busy_at_start - own;
        self.others = Some((others / (all - self.all_at_start).max(1.0)).max(0.0));
        Ok(())
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
        let Self { processor, cores, kernel, others, .. } = self;
        let release = kernel.split('-').next().unwrap_or(kernel);
        write!(f, "{processor}, {cores} cores for servers and load together, Linux {release}")?;
        match others {
            Some(others) => {
                write!(f, "; other programs took {:.0} % of the machine during the run", others * 100.0)
            }
            None => Ok(()),
        }
    }
}
