//! Owns tables, and the targets that stand in them.

use std::fmt::Write;

use crate::stats::{Spread, number};

/// A table whose columns line up also where nothing renders it.
pub(crate) struct Table(Vec<Vec<String>>);

/// Something that was measured, beside what it should be.
pub(crate) struct Target {
    what: String,
    bound: String,
    measured: String,
    met: bool,
}

impl Target {
    /// At most `most` times `of`.
    pub(crate) fn ratio(what: impl Into<String>, measured: Spread, most: f64, of: &str) -> Self {
        Self {
            what: what.into(),
            bound: format!("at most {most} x {of}"),
            measured: format!("{measured:.2} x"),
            met: measured.median <= most,
        }
    }

    /// At least the share `least` of something.
    pub(crate) fn share(what: impl Into<String>, measured: Spread, least: f64) -> Self {
        Self {
            what: what.into(),
            bound: format!("at least {least}"),
            measured: format!("{measured:.2}"),
            met: measured.median >= least,
        }
    }

    /// At least `least`.
    pub(crate) fn at_least(what: impl Into<String>, measured: f64, least: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            bound: format!("at least {} {unit}", number(least, 0)).trim_end().to_owned(),
            measured: format!("{} {unit}", number(measured, 0)).trim_end().to_owned(),
            met: measured >= least,
        }
    }

    /// At most `most`.
    pub(crate) fn at_most(what: impl Into<String>, measured: f64, most: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            bound: format!("at most {most:.0} {unit}").trim_end().to_owned(),
            measured: format!("{measured:.1} {unit}").trim_end().to_owned(),
            met: measured <= most,
        }
    }

    /// With `measured` in other words.
    pub(crate) fn showing(self, measured: String) -> Self {
        Self { measured, ..self }
    }

    /// All `targets`, a row each.
    pub(crate) fn table(targets: impl IntoIterator<Item = Self>) -> Table {
        let mut table = Table::new(&["what", "target", "measured", "met"]);
        for Self { what, bound, measured, met } in targets {
            let met = if met { "yes" } else { "**no**" };
            table.row([what, bound, measured, met.to_owned()]);
        }
        table
    }
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self(vec![headings.iter().map(ToString::to_string).collect()])
    }

    pub(crate) fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
        self.0.push(cells.into());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.0[0].len();
        let width = |column: usize| self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..columns).map(width).collect();
        let line = |cells: &[String]| {
            let mut line = String::from("|");
            for (cell, width) in cells.iter().zip(&widths) {
                // Writing to a String never fails.
                let _ = write!(line, " {cell:<width$} |");
            }
            line
        };
        let dashes: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
        writeln!(f, "{}\n{}", line(&self.0[0]), line(&dashes))?;
        self.0[1..].iter().try_for_each(|row| writeln!(f, "{}", line(row)))
    }
}
