//! Owns reading metrics in the text format of Prometheus, and what has happened between two readings.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Serialize, Serializer};

/// The labels of what whoever scrapes causes by that.
const OWN: [&str; 2] = ["listener=\"operations\"", "route=\"/metrics\""];

/// When the process began.
const START: &str = "process_start_time_seconds";

/// What the scrape of another process is compared with.
static NOTHING: Scrape = Scrape(BTreeMap::new());

/// The metrics of one moment, each series by its name and labels as they were written.
#[derive(Debug, Default)]
pub(super) struct Scrape(BTreeMap<String, f64>);

/// Two moments.
pub(super) struct Change<'a> {
    before: &'a Scrape,
    pub(super) now: &'a Scrape,
    took: Duration,
}

/// The upper bound, in seconds, of the bucket in which a part of all measured times ends: infinite beyond all buckets, none if nothing was
/// measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantile(Option<f64>);

impl Scrape {
    /// The series in `text`, without those of the listener and the requests that serve scrapes. What cannot be read is left out.
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let is_own = OWN.iter().any(|label| series.contains(label));
            if is_own {
                return None;
            }
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
        let values = self.series(name).filter(|(series, _)| has_all(series)).map(|(_, value)| value);
        // Not `sum`, which is -0 where there are none.
        values.fold(0.0, |sum, value| sum + value)
    }
}

impl<'a> Change<'a> {
    /// From `before` to `now`, in the time that it `took`. A process that was started anew begins at zero.
    pub(super) fn new(before: &'a Scrape, now: &'a Scrape, took: Duration) -> Self {
        let start = |scrape: &Scrape| scrape.sum(START, &[]).to_bits();
        let before = if start(before) == start(now) { before } else { &NOTHING };
        Self { before, now, took }
    }

    /// By how much the sum has grown in a second, in thousandths: when either was read is not known any better.
    pub(super) fn rate(&self, name: &str, labels: &[&str]) -> f64 {
        let growth = self.now.sum(name, labels) - self.before.sum(name, labels);
        let rate = growth.max(0.0) / self.took.as_secs_f64().max(f64::MIN_POSITIVE);
        thousandths(rate)
    }

    /// The bound below which the part `part` of all lies that the histogram `name` has measured meanwhile.
    pub(super) fn quantile(&self, name: &str, part: f64) -> Quantile {
        let bucket = format!("{name}_bucket");
        let mut buckets: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        for (scrape, sign) in [(self.now, 1.0), (self.before, -1.0)] {
            for (labels, value) in scrape.series(&bucket) {
                let Some(bound) = bound(labels) else { continue };
                // Positive numbers are in the order of their bits.
                buckets.entry(bound.to_bits()).or_insert((bound, 0.0)).1 += sign * value;
            }
        }
        let all = buckets.values().next_back().map_or(0.0, |(_, count)| *count);
        let found = buckets.values().find(|(_, count)| all > 0.0 && *count >= all * part);
        Quantile(found.map(|(bound, _)| *bound))
    }
}

impl fmt::Display for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("-"),
            Some(seconds) if seconds.is_infinite() => f.write_str("beyond all buckets"),
            Some(seconds) => write!(f, "<= {} ms", seconds * 1_000.0),
        }
    }
}

/// In seconds. JSON has no number that is infinite: it is `"+Inf"`, as the bucket is called.
impl Serialize for Quantile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(seconds) if seconds.is_infinite() => serializer.serialize_str("+Inf"),
            seconds => seconds.serialize(serializer),
        }
    }
}

/// `number` in thousandths.
pub(super) fn thousandths(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
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
        let change = Change::new(&before, &now, Duration::from_secs(2));
        assert_eq!(now.sum("calls_total", &[]), 113.0);
        assert_eq!(now.sum("calls_total", &["code=\"OK\""]), 108.0);
        assert_eq!(change.rate("calls_total", &[]), 49.0);
        assert_eq!(change.quantile("seconds", 0.5), Quantile(Some(0.1)));
        assert_eq!(change.quantile("seconds", 0.99), Quantile(Some(2.5)));
        let again = Change::new(&now, &before, Duration::from_secs(2));
        assert_eq!(again.rate("calls_total", &[]), 0.0, "it was started anew");
        assert_eq!(again.quantile("seconds", 0.5), Quantile(None));
    }
    #[test]
    fn another_process_is_compared_with_nothing() {
        let read = |start: u32, calls: u32| {
            Scrape::read(&format!("process_start_time_seconds {start}\ncalls_total {calls}\n"))
        };
        let (before, now, later) = (read(1, 100), read(1, 110), read(2, 108));
        assert_eq!(Change::new(&before, &now, Duration::from_secs(2)).rate("calls_total", &[]), 5.0);
        assert_eq!(Change::new(&before, &later, Duration::from_secs(2)).rate("calls_total", &[]), 54.0);
    }

    #[test]
    fn what_a_scrape_causes_is_not_among_what_it_shows() {
        let scrape = Scrape::read(
            "taken{lane=\"a\",listener=\"operations\"} 1\ntaken{lane=\"a\",listener=\"grpc\"} 2\n\
             requests_total{route=\"/metrics\",status=\"200\"} 4\nrequests_total{route=\"/userinfo\",status=\"200\"} 8\n",
        );
        assert_eq!((scrape.sum("taken", &[]), scrape.sum("requests_total", &[])), (2.0, 8.0));
    }

    #[test]
    fn a_quantile_beyond_all_buckets_is_none_that_was_not_measured() {
        for (quantile, text, json) in [
            (Quantile(None), "-", "null"),
            (Quantile(Some(0.05)), "<= 50 ms", "0.05"),
            (Quantile(Some(f64::INFINITY)), "beyond all buckets", "\"+Inf\""),
        ] {
            assert_eq!(quantile.to_string(), text);
            assert_eq!(serde_json::to_string(&quantile).unwrap(), json);
        }
    }
}
