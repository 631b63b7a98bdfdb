//! Owns medians, percentiles and spreads.

use std::{fmt, time::Duration};

/// What repeated measurements of one thing gave.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `values`, of which there is at least one.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self { median: percentile(&values, 0.5), min: values[0], max: values[values.len() - 1] }
    }
}

impl fmt::Display for Spread {
    /// The median, and in parentheses the smallest and the largest value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        write!(
            f,
            "{} ({}-{})",
            number(self.median, digits),
            number(self.min, digits),
            number(self.max, digits)
        )
    }
}

/// The value below which the share `share` of the sorted `values` lies.
pub(crate) fn percentile<T: Copy>(values: &[T], share: f64) -> T {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "there are far fewer values than 2^52"
    )]
    let index = ((values.len() - 1) as f64 * share).round() as usize;
    values[index]
}

/// `value` with `digits` decimals and a comma before every third digit.
pub(crate) fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut out = String::new();
    for (index, character) in text.chars().enumerate() {
        let left = whole.saturating_sub(index);
        if index > 0 && left > 0 && left.is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(character);
    }
    out
}

/// A count as a number to calculate with.
pub(crate) fn float(count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "no count here comes near 2^52")]
    let float = count as f64;
    float
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
