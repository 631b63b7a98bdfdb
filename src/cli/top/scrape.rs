//! Owns reading metrics in the text format of Prometheus, and what has happened between two readings.

use std::{collections::BTreeMap, time::Duration};

/// The metrics of one moment, each series by its name and labels as they were written.
#[derive(Debug, Default)]
pub(super) struct Scrape(BTreeMap<String, f64>);

/// Two moments.
pub(super) struct Change<'a> {
    pub(super) before: &'a Scrape,
    pub(super) now: &'a Scrape,
    pub(super) took: Duration,
}

impl Scrape {
    /// The series in `text`. What cannot be read is left out.
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Self(series.collect())
    }

    /// The series of `name`, with their labels.
    pub(super) fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0
            .range(name.to_owned()..)
            .map_while(move |(series, value)| {
                let rest = series.strip_prefix(name)?;
                Some((rest, *value))
            })
            .filter(|(rest, _)| rest.is_empty() || rest.starts_with('{'))
    }

    /// The sum of the series of `name` that have all of `labels`, each as `label="value"`.
    pub(super) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let has_all = |series: &str| labels.iter().all(|label| series.contains(label));
        self.series(name).filter(|(series, _)| has_all(series)).map(|(_, value)| value).sum()
    }
}

impl Change<'_> {
    /// By how much the sum has grown in a second. A process that was started anew begins at zero.
    pub(super) fn rate(&self, name: &str, labels: &[&str]) -> f64 {
        let growth = self.now.sum(name, labels) - self.before.sum(name, labels);
        growth.max(0.0) / self.took.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The bound, in seconds, of the bucket of the histogram `name` below which the part `part` of all lies that was measured meanwhile. None
    /// if nothing was.
    pub(super) fn quantile(&self, name: &str, part: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let mut buckets: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        for (scrape, sign) in [(self.now, 1.0), (self.before, -1.0)] {
            for (labels, value) in scrape.series(&bucket) {
                let Some(bound) = bound(labels) else { continue };
                // Positive numbers are in the order of their bits.
                buckets.entry(bound.to_bits()).or_insert((bound, 0.0)).1 += sign * value;
            }
        }
        let all = buckets.values().next_back()?.1;
        let found = buckets.values().find(|(_, count)| all > 0.0 && *count >= all * part);
        found.map(|(bound, _)| *bound)
    }
}

/// The bound of the bucket that has `labels`.
fn bound(labels: &str) -> Option<f64> {
    let (_, rest) = labels.split_once("le=\"")?;
    match rest.split_once('"')?.0 {
        "+Inf" => Some(f64::INFINITY),
        bound => bound.parse().ok(),
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "counts are whole numbers, which a float holds exactly")]
mod tests {
    use super::*;

    #[test]
    fn what_has_happened_is_the_difference_of_two_readings() {
        let read = |calls: u32, slow: u32| {
            Scrape::read(&format!(
                "# HELP calls_total Calls.\ncalls_total{{code=\"OK\",m=\"a\"}} {calls}\ncalls_total{{code=\"Internal\",m=\"a\"}} 5\n\
                 calls_totals 99\nseconds_bucket{{m=\"a\",le=\"0.1\"}} {calls}\nseconds_bucket{{m=\"a\",le=\"2.5\"}} {both}\n\
                 seconds_bucket{{m=\"a\",le=\"+Inf\"}} {both}\nno number\n",
                both = calls + slow,
            ))
        };
        let (before, now) = (read(10, 0), read(108, 2));
        let change = Change { before: &before, now: &now, took: Duration::from_secs(2) };
        assert_eq!(now.sum("calls_total", &[]), 113.0);
        assert_eq!(now.sum("calls_total", &["code=\"OK\""]), 108.0);
        assert_eq!(change.rate("calls_total", &[]), 49.0);
        assert_eq!(change.quantile("seconds", 0.5), Some(0.1));
        assert_eq!(change.quantile("seconds", 0.99), Some(2.5));
        let again = Change { before: &now, now: &before, took: Duration::from_secs(2) };
        assert_eq!(again.rate("calls_total", &[]), 0.0, "it was started anew");
        assert_eq!(again.quantile("seconds", 0.5), None);
    }
}
