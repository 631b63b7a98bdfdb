//! Owns the tables and the chart of growth.

use std::{fmt::Write, fs, path::Path};

use super::{
    Costs, Found, Growth, Kind, SMALL,
    access::BINDINGS,
    idle, plan,
    work::{Operation, STREAMS},
};
use crate::{
    Result,
    machine::Machine,
    report::{Markers, put_between_markers},
    stats::{Spread, float, number},
    svg::{Bar, Panel, chart},
    table::{Table, Target},
};

/// How much more anything may cost with the large database.
const MAX_GROWTH: f64 = 1.2;

/// How much more a call may cost whose user has many bindings, once it is remembered.
const MAX_FOR_BINDINGS: f64 = 1.05;

/// How many users a second must be imported into the embedded database.
const MIN_IMPORTED: f64 = 20_000.0;

/// What the written page has around the generated part.
const MARKERS: Markers =
    Markers { begin: "<!-- scripts/bench --scale begins -->", end: "<!-- scripts/bench --scale ends -->" };

/// Everything that a run found.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) machine: Machine,
    /// How many users the large database had.
    pub(super) users: usize,
    pub(super) found: Vec<Found>,
    pub(super) hash_ms: Spread,
}

impl Report {
    pub(super) fn markdown(&self) -> String {
        let mut growth = String::new();
        for found in &self.found {
            // Writing to a String never fails.
            let _ = write!(
                growth,
                "### {}, {STREAMS} callers at once\n\n{}\n",
                found.kind.name(),
                self.growth(found)
            );
        }
        format!(
            "{}.\n\n### Targets\n\n{}\n{growth}### What a user takes\n\n{}\n### Idle replicas\n\n{}\n{}",
            self.machine,
            self.targets(),
            self.sizes(),
            self.idle(),
            self.plan(),
        )
    }

    /// Puts the tables and the chart where they belong.
    pub(super) fn write(&self, to_docs: bool) -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let chart = "![CPU per call with few users and with many, on each database](scale.svg)\n\n";
        let generated = format!("{chart}{}", self.markdown());
        let (page, folder) = if to_docs {
            let page = root.join("docs/PERFORMANCE.md");
            let around = fs::read_to_string(&page)?;
            fs::write(&page, put_between_markers(&around, &generated, MARKERS)?)?;
            (page, root.join("docs"))
        } else {
            let folder = root.join("target/bench");
            fs::create_dir_all(&folder)?;
            let page = folder.join("scale.md");
            fs::write(&page, generated)?;
            (page, folder)
        };
        fs::write(folder.join("scale.svg"), self.chart())?;
        println!("Written: {} and {}", page.display(), folder.join("scale.svg").display());
        Ok(())
    }

    fn large(&self) -> String {
        number(float(self.users), 0)
    }

    fn targets(&self) -> Table {
        let of = format!("with {} users", number(float(SMALL), 0));
        let mut targets = Vec::new();
        for found in &self.found {
            let worst = |ratio: fn(&Growth) -> Spread| {
                let growth = found
                    .growth
                    .iter()
                    .max_by(|one, other| ratio(one).median.total_cmp(&ratio(other).median));
                growth.map(|growth| (growth.operation.name(), ratio(growth)))
            };
            let name = found.kind.name();
            if let Some((operation, ratio)) = worst(|growth| growth.cpu_ratio) {
                targets.push(Target::ratio(
                    format!("{name}: CPU, most grown: {operation}"),
                    ratio,
                    MAX_GROWTH,
                    &of,
                ));
            }
            if let (true, Some((operation, ratio))) =
                (found.kind != Kind::Sqlite, worst(|growth| growth.time_ratio))
            {
                targets.push(Target::ratio(
                    format!("{name}: time, most grown: {operation}"),
                    ratio,
                    MAX_GROWTH,
                    &of,
                ));
            }
            targets.push(Target::ratio(
                format!("{name}: listing at the end, of listing at the start"),
                found.end_by_start(),
                MAX_GROWTH,
                "the start",
            ));
            targets.push(Target::ratio(
                format!("{name}: CPU of GetMe with {BINDINGS} bindings, remembered"),
                found.holder_by_other(),
                MAX_FOR_BINDINGS,
                "without one",
            ));
            if found.kind == Kind::Sqlite {
                let imported = format!("{name}: users imported per second");
                targets.push(Target::at_least(imported, found.rows_per_second, MIN_IMPORTED, ""));
            }
        }
        Target::table(targets)
    }

    fn growth(&self, found: &Found) -> Table {
        let (small, large) = (number(float(SMALL), 0), self.large());
        let mut table = Table::new(&[
            "operation",
            &format!("CPU us, {small} users"),
            &format!("CPU us, {large} users"),
            "ratio",
            &format!("time us, {small} users"),
            &format!("time us, {large} users"),
            "ratio",
        ]);
        let cpu = |costs: &Costs| match found.kind {
            Kind::Sqlite => format!("{:.0}", costs.cpu.median),
            _ => format!("{:.0} + {:.0}", costs.signet_cpu.median, costs.database_cpu.median),
        };
        for growth in &found.growth {
            let Growth { operation, small, large, cpu_ratio, time_ratio } = growth;
            table.row([
                operation.name().to_owned(),
                cpu(small),
                cpu(large),
                format!("{cpu_ratio:.2}"),
                format!("{:.0}", small.time.median),
                format!("{:.0}", large.time.median),
                format!("{time_ratio:.2}"),
            ]);
        }
        table
    }

    fn sizes(&self) -> Table {
        let mut table = Table::new(&[
            "database",
            "bytes on disk per user",
            "and per session",
            "users imported per second",
            &format!("Signet's memory, {} users, MB", number(float(SMALL), 0)),
            &format!("Signet's memory, {} users, MB", self.large()),
            "bytes of memory per remembered login",
        ]);
        for found in &self.found {
            table.row([
                found.kind.name().to_owned(),
                number(found.bytes_per_user, 0),
                number(found.bytes_per_session, 0),
                number(found.rows_per_second, 0),
                format!("{:.0}", found.memory.small),
                format!("{:.0}", found.memory.large),
                number(found.memory.per_login, 0),
            ]);
        }
        table
    }

    fn idle(&self) -> String {
        let mut table = Table::new(&[
            "database",
            "Signet, CPU us per second",
            "database, CPU us per second",
            "Signet, feed read every 30 s",
            "database, feed read every 30 s",
            "database alone",
        ]);
        for Found { kind, idle, .. } in &self.found {
            let database = |value: f64| if *kind == Kind::Sqlite { String::new() } else { number(value, 0) };
            table.row([
                kind.name().to_owned(),
                number(idle.default.signet, 0),
                database(idle.default.database),
                number(idle.seldom.signet, 0),
                database(idle.seldom.database),
                database(idle.none),
            ]);
        }
        format!(
            "Per replica, of {} that have nothing to do. By default each reads the feed of changes twice a second.\n\n{table}",
            idle::REPLICAS
        )
    }

    /// The plan is made for PostgreSQL.
    fn plan(&self) -> String {
        self.found
            .iter()
            .find(|found| found.kind == Kind::Postgres)
            .map_or_else(String::new, |found| plan::markdown(found, self.hash_ms.median))
    }

    fn chart(&self) -> String {
        let panels: Vec<Panel> = self
            .found
            .iter()
            .map(|found| Panel {
                title: format!(
                    "{}: CPU per call of Signet and its database, microseconds",
                    found.kind.name()
                ),
                groups: found
                    .growth
                    .iter()
                    .filter(|growth| growth.operation.is_call())
                    .map(|growth| self.bars(growth))
                    .collect(),
                digits: 0,
            })
            .collect();
        chart("CPU per call with few users and with many", &panels)
    }

    fn bars(&self, growth: &Growth) -> Vec<Bar> {
        let bar = |label, class, value| Bar { label, class, value };
        vec![
            bar(growth.operation.name().to_owned(), "bare", growth.small.cpu),
            bar(format!("with {} users", self.large()), "signet", growth.large.cpu),
        ]
    }
}

impl Found {
    /// What one operation showed.
    pub(super) fn of(&self, operation: Operation) -> &Growth {
        let measured = self.growth.iter().find(|growth| growth.operation == operation);
        measured.expect("all are measured")
    }

    /// What somebody with many bindings costs who is remembered, divided by what somebody without one does, in the large database.
    fn holder_by_other(&self) -> Spread {
        let [holder, other] = [Operation::HolderRemembered, Operation::Remembered]
            .map(|operation| self.of(operation).large.cpu);
        Spread::of([holder.median / other.median])
    }

    /// Listing users at the end, divided by listing them at the start, in the large database.
    fn end_by_start(&self) -> Spread {
        let [end, start] =
            [Operation::LastPages, Operation::FirstPages].map(|operation| self.of(operation).large.time);
        Spread::of([end.median / start.median])
    }
}
