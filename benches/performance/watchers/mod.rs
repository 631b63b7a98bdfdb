//! Owns how soon those who follow the stream of changes hear of what was revoked, and what they cost.

mod many;
mod revocation;
mod watch;

use std::{fs, path::Path, time::Duration};

use tokio::runtime::Runtime;

use self::{
    many::{Found, Scenario},
    revocation::Delays,
};
use crate::{
    Result,
    machine::Machine,
    report::{Markers, put_between_markers},
    say,
    stats::{Spread, float, number, percentile},
    svg::{Bar, Panel, chart},
    table::{Table, Target},
};

/// What is promised of many, in milliseconds.
const MAX_DELAY: f64 = 800.0;

/// What is promised of one who watches another replica than the one where a session ends, in milliseconds.
const MAX_REFUSAL: f64 = 1_000.0;

const SCENARIOS: [Scenario; 2] = [
    Scenario { watchers: 10_000, changes_per_second: 10 },
    Scenario { watchers: 1_000, changes_per_second: 1_000 },
];

const MARKERS: Markers = Markers {
    begin: "<!-- scripts/bench --watchers begins -->",
    end: "<!-- scripts/bench --watchers ends -->",
};

const CHART: &str = "![From the end of a session to the refusal of its tokens](revocation.svg)";

/// Whether these are measured.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct WatcherArguments {
    /// Instead of all else, measure how soon those who follow the stream of changes hear of one, and what they cost.
    #[arg(long, conflicts_with_all = ["scale", "guesser", "against", "ways"])]
    pub(crate) watchers: bool,
}

struct Report {
    machine: Machine,
    lasting: Duration,
    delays: Delays,
    many: Vec<(Scenario, Found)>,
}

/// The whole run.
pub(crate) fn measure(runtime: &Runtime, quick: bool, to_docs: bool) -> Result<()> {
    let mut machine = Machine::watch()?;
    println!("{machine}");
    let (lasting, times, scale) =
        if quick { (Duration::from_secs(10), 50, 10) } else { (Duration::from_secs(30), 500, 1) };
    say(&format!("{times} sessions that end, across two replicas"));
    let delays = runtime.block_on(revocation::measure(times))?;
    let mut many = Vec::new();
    for scenario in SCENARIOS {
        let scenario = Scenario { watchers: scenario.watchers / scale, ..scenario };
        say(&format!("{} watchers at {} changes/s", scenario.watchers, scenario.changes_per_second));
        many.push((scenario, runtime.block_on(many::measure(scenario, lasting))?));
    }
    machine.end()?;
    let report = Report { machine, lasting, delays, many };
    println!("\n{}", report.markdown());
    report.write(to_docs)
}

impl Report {
    fn markdown(&self) -> String {
        format!(
            "{}.\n\n{} sessions that ended; {} s of changes for each number of watchers.\n\n{}\n{}\n{}",
            self.machine,
            self.delays.here.len(),
            self.lasting.as_secs(),
            self.targets(),
            self.refusals(),
            self.costs(),
        )
    }

    fn targets(&self) -> Table {
        let refused = "refused across two replicas, p99";
        let refused = Target::at_most(refused, percentile(&self.delays.elsewhere, 0.99), MAX_REFUSAL, "ms");
        let many = self.many.iter().map(|(Scenario { watchers, changes_per_second }, found)| {
            let watchers = number(float(*watchers), 0);
            let what = format!("{watchers} watchers at {changes_per_second} changes/s: delay, p99");
            Target::at_most(what, float(found.p99_ms), MAX_DELAY, "ms")
        });
        Target::table([refused].into_iter().chain(many))
    }

    fn refusals(&self) -> Table {
        let mut table =
            Table::new(&["from the end of a session to a refusal (ms)", "p50", "p99", "the slowest"]);
        for (where_it_is, delays) in
            [("the replica that ended it", &self.delays.here), ("another replica", &self.delays.elsewhere)]
        {
            let shown = |share| format!("{:.0}", percentile(delays, share));
            table.row([format!("by who watches {where_it_is}"), shown(0.5), shown(0.99), shown(1.0)]);
        }
        table
    }

    fn costs(&self) -> Table {
        let mut table = Table::new(&[
            "watchers",
            "changes/s",
            "delay p50 (ms)",
            "delay p99 (ms)",
            "CPU a watcher and second (µs)",
            "memory a watcher (KiB)",
            "memory of the server, at most (MB)",
            "heard",
        ]);
        for (Scenario { watchers, changes_per_second }, found) in &self.many {
            table.row([
                number(float(*watchers), 0),
                number(float(*changes_per_second), 0),
                found.p50_ms.to_string(),
                found.p99_ms.to_string(),
                format!("{:.1}", found.cpu_us_per_second),
                format!("{:.1}", found.kib_each),
                format!("{:.0}", found.peak_mb),
                format!("{:.2} %", found.heard * 100.0),
            ]);
        }
        table
    }

    /// How long it takes until a token is refused.
    fn chart(&self) -> String {
        let bars = |place: &str, class, delays: &[f64]| {
            let shares = [("half", 0.5), ("9 of 10", 0.9), ("99 of 100", 0.99), ("all", 1.0)];
            let bar = |(share, of): (&str, f64)| Bar {
                label: format!("{share}, {place}"),
                class,
                value: Spread::of([percentile(delays, of)]),
            };
            shares.into_iter().map(bar).collect::<Vec<_>>()
        };
        let panel = Panel {
            title: "From RevokeSession's answer to the refusal at a service that watches (ms)".to_owned(),
            groups: vec![
                bars("same replica", "bare", &self.delays.here),
                bars("another replica", "signet", &self.delays.elsewhere),
            ],
            digits: 0,
        };
        chart("How soon services refuse the tokens of a session that was ended", &[panel])
    }

    fn write(&self, to_docs: bool) -> Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = root.join(if to_docs { "docs" } else { "target/bench" });
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("revocation.svg"), self.chart())?;
        let generated = format!("{CHART}\n\n{}", self.markdown());
        let page = if to_docs {
            let page = folder.join("PERFORMANCE.md");
            let around = fs::read_to_string(&page)?;
            fs::write(&page, put_between_markers(&around, &generated, MARKERS)?)?;
            page
        } else {
            let page = folder.join("watchers.md");
            fs::write(&page, generated)?;
            page
        };
        println!("Written: {}", page.display());
        Ok(())
    }
}
