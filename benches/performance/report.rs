//! Owns the tables: the targets and what was measured.

use std::fmt::Write;

use crate::{
    Plan, Result,
    contention::{Saturation, Storm},
    first_sight::FirstSight,
    footprint::{Footprint, USERS},
    grants::{Cost, Grants, STREAMS},
    logins::Logins,
    machine::Machine,
    stats::{Spread, float, number},
    throughput::{Comparison, FULL, Figures, GetMe, LIGHT},
};

/// What the written page has around the generated part.
const BEGIN: &str = "<!-- scripts/bench begins -->";
const END: &str = "<!-- scripts/bench ends -->";

/// The chart stands in the generated part, so that the page shows it only once there is one.
const CHART: &str =
    "![Requests per second and CPU per call, Signet beside a bare tonic server](performance.svg)";

const MAX_CPU_RATIO: f64 = 1.3;
const MAX_BEYOND_VERIFICATION_US: f64 = 15.0;
const MAX_FLOOR_RATIO: f64 = 1.5;
const MAX_INTROSPECTION_RATIO: f64 = 1.5;
const MAX_CHECK_RATIO: f64 = 1.5;
const MIN_LOGIN_SHARE: f64 = 0.9;
const MAX_P99_RATIO: f64 = 1.5;
const MIN_SATURATED_SHARE: f64 = 0.1;
const MAX_BEYOND_HASHING_MB: f64 = 20.0;
const MAX_IDLE_MB: f64 = 40.0;
const MAX_START_MS: f64 = 200.0;

/// Argon2's memory of one hash by default: 19,456 KiB.
const HASH_MB: f64 = 19_456.0 * 1_024.0 / 1e6;

/// Everything that a run found.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) plan: Plan,
    pub(crate) footprint: Footprint,
    pub(crate) get_me: GetMe,
    pub(crate) introspection: Comparison,
    pub(crate) check: Comparison,
    pub(crate) first_sight: FirstSight,
    pub(crate) grants: Grants,
    pub(crate) logins: Logins,
    pub(crate) storm: Storm,
    pub(crate) saturation: Saturation,
    /// The most memory that Signet held over the whole run.
    pub(crate) peak_mb: f64,
}

/// One row of the first table.
struct Target {
    what: &'static str,
    bound: String,
    measured: String,
    met: bool,
}

/// A table whose columns line up also where nothing renders it.
struct Table(Vec<Vec<String>>);

impl Report {
    /// What is shown at the end of a run.
    pub(crate) fn terminal(&self) -> String {
        self.markdown()
    }

    /// What stands in docs/PERFORMANCE.md.
    pub(crate) fn markdown(&self) -> String {
        let Plan { rounds, round, .. } = self.plan;
        let seconds = round.as_secs();
        format!(
            "{}.\n\n\
             Medians of {rounds} rounds of {seconds} s; in parentheses the smallest and the largest value.\n\n\
             ### Targets\n\n{}\n\
             ### GetMe with a token seen before\n\n{}\n\
             ### Introspection of a token seen before\n\n{}\n\
             ### Envoy's Check (ext_authz) of a token seen before\n\n{}\n\
             ### A token's first sight\n\n{}\n\
             ### Grants, {STREAMS} callers at once\n\n{}\n\
             ### Logins and GetMe together\n\n{}",
            self.machine,
            self.targets(),
            self.get_me_table(),
            comparison_table(&self.introspection),
            comparison_table(&self.check),
            self.first_sight_table(),
            self.grants_table(),
            self.logins_table(),
        )
    }

    fn targets(&self) -> Table {
        let mut table = Table::new(&["what", "target", "measured", "met"]);
        let all = self.call_targets().into_iter().chain(self.grant_targets());
        for Target { what, bound, measured, met } in
            all.chain(self.login_targets()).chain(self.footprint_targets())
        {
            let met = if met { "yes" } else { "**no**" };
            table.row([what.to_owned(), bound, measured, met.to_owned()]);
        }
        table
    }

    fn call_targets(&self) -> [Target; 4] {
        let Self { get_me, introspection, check, first_sight, .. } = self;
        [
            Target {
                what: "GetMe, token seen before: CPU per call",
                bound: format!("at most {MAX_CPU_RATIO} x bare"),
                measured: format!("{:.2} x", get_me.full.cpu_ratio),
                met: get_me.full.cpu_ratio.median <= MAX_CPU_RATIO,
            },
            Target {
                what: "IntrospectToken, token seen before: CPU per call",
                bound: format!("at most {MAX_INTROSPECTION_RATIO} x bare"),
                measured: format!("{:.2} x", introspection.cpu_ratio),
                met: introspection.cpu_ratio.median <= MAX_INTROSPECTION_RATIO,
            },
            Target {
                what: "Envoy's Check, token seen before: CPU per call",
                bound: format!("at most {MAX_CHECK_RATIO} x bare"),
                measured: format!("{:.2} x", check.cpu_ratio),
                met: check.cpu_ratio.median <= MAX_CHECK_RATIO,
            },
            Target {
                what: "GetMe, first sight: CPU beyond a bare call with one raw signature check",
                bound: format!("at most {MAX_BEYOND_VERIFICATION_US} us"),
                measured: format!("{:.1} us", first_sight.beyond),
                met: first_sight.beyond.median <= MAX_BEYOND_VERIFICATION_US,
            },
        ]
    }

    fn grant_targets(&self) -> [Target; 4] {
        let Grants { refresh, client_credentials, .. } = &self.grants;
        let target = |what, ratio: Spread| Target {
            what,
            bound: format!("at most {MAX_FLOOR_RATIO} x the floor"),
            measured: format!("{ratio:.2} x"),
            met: ratio.median <= MAX_FLOOR_RATIO,
        };
        [
            target("refresh: CPU per call", refresh.cpu_ratio),
            target("refresh: time per call", refresh.time_ratio),
            target("client_credentials: CPU per call", client_credentials.cpu_ratio),
            target("client_credentials: time per call", client_credentials.time_ratio),
        ]
    }

    fn login_targets(&self) -> [Target; 4] {
        let Self { logins, storm, saturation, .. } = self;
        [
            Target {
                what: "logins, of what the hash threads alone would do",
                bound: format!("at least {MIN_LOGIN_SHARE}"),
                measured: format!("{:.2}", logins.share),
                met: logins.share.median >= MIN_LOGIN_SHARE,
            },
            Target {
                what: "GetMe's p99 while logins arrive at four times capacity",
                bound: format!("at most {MAX_P99_RATIO} x idle"),
                measured: format!("{:.2} x", storm.p99_ratio),
                met: storm.p99_ratio.median <= MAX_P99_RATIO,
            },
            Target {
                what: "GetMe calls that fail meanwhile",
                bound: "0".to_owned(),
                measured: format!("{} of {}", storm.failed_calls, number(float(storm.calls), 0)),
                met: storm.failed_calls == 0,
            },
            Target {
                what: "logins while GetMe saturates the cores, of their capacity",
                bound: format!("at least {MIN_SATURATED_SHARE}"),
                measured: format!("{:.2}", saturation.share),
                met: saturation.share.median >= MIN_SATURATED_SHARE,
            },
        ]
    }

    fn footprint_targets(&self) -> [Target; 3] {
        let Self { footprint, logins, peak_mb, .. } = self;
        let most = footprint.idle_mb + float(logins.hash_threads) * HASH_MB + MAX_BEYOND_HASHING_MB;
        [
            Target {
                what: "peak memory of the whole run",
                bound: format!(
                    "idle + {} x {HASH_MB:.1} + {MAX_BEYOND_HASHING_MB} = {most:.0} MB",
                    logins.hash_threads
                ),
                measured: format!("{peak_mb:.1} MB"),
                met: *peak_mb <= most,
            },
            Target {
                what: "idle memory",
                bound: format!("at most {MAX_IDLE_MB} MB"),
                measured: format!("{:.1} MB", footprint.idle_mb),
                met: footprint.idle_mb <= MAX_IDLE_MB,
            },
            Target {
                what: "from start to the first answered GetMe, with existing data",
                bound: format!("at most {MAX_START_MS} ms"),
                measured: format!("{:.0} ms ({USERS} users)", footprint.start_ms),
                met: footprint.start_ms.median <= MAX_START_MS,
            },
        ]
    }

    fn get_me_table(&self) -> Table {
        let mut table = Table::new(&[
            "load",
            "server",
            "requests/s",
            "p50 us",
            "p99 us",
            "server CPU per call, us",
            "peak memory, MB",
        ]);
        let GetMe { full, light, bare_peak_mb, signet_peak_mb } = &self.get_me;
        for (shape, Comparison { bare, signet, cpu_ratio, rate_ratio }) in [(FULL, full), (LIGHT, light)] {
            let load = format!("{} connections x {} streams", shape.connections, shape.streams);
            for (name, figures, peak) in [("bare", bare, bare_peak_mb), ("Signet", signet, signet_peak_mb)] {
                let Figures { rate, p50_us, p99_us, cpu_us } = figures;
                table.row([
                    load.clone(),
                    name.to_owned(),
                    format!("{rate:.0}"),
                    format!("{p50_us:.0}"),
                    format!("{p99_us:.0}"),
                    format!("{cpu_us:.1}"),
                    format!("{peak:.1}"),
                ]);
            }
            let ratio = |signet: f64, bare: f64| format!("{:.2}", signet / bare);
            table.row([
                load,
                "ratio".to_owned(),
                format!("{rate_ratio:.2}"),
                ratio(signet.p50_us.median, bare.p50_us.median),
                ratio(signet.p99_us.median, bare.p99_us.median),
                format!("{cpu_ratio:.2}"),
                ratio(*signet_peak_mb, *bare_peak_mb),
            ]);
        }
        table
    }

    fn first_sight_table(&self) -> Table {
        let sight = &self.first_sight;
        let mut table = Table::new(&["what", "CPU, us"]);
        for (what, spread) in [
            ("bare call, same client", &sight.bare_cpu),
            ("bare call with one raw ES256 check, same client", &sight.checking_cpu),
            ("GetMe with a token never seen before", &sight.signet_cpu),
            ("one raw ES256 check (aws-lc-rs), all cores busy", &sight.raw_verification),
            ("one raw ES256 check (aws-lc-rs), the other cores idle", &sight.raw_verification_alone),
            ("one ES256 check by jsonwebtoken, all cores busy", &sight.library_verification),
            ("beyond the bare call with the check", &sight.beyond),
        ] {
            table.row([what.to_owned(), format!("{spread:.1}")]);
        }
        table
    }

    fn grants_table(&self) -> Table {
        let Grants { refresh, client_credentials, signature_alone } = &self.grants;
        let mut table = Table::new(&["grant", "server", "answers/s", "server CPU per call, us"]);
        let mut row = |grant: &str, server: &str, cost: &Cost| {
            let (rate, cpu) = (format!("{:.0}", cost.per_second), format!("{:.0}", cost.cpu_us));
            table.row([grant.to_owned(), server.to_owned(), rate, cpu]);
        };
        row("any", "one signature", signature_alone);
        for (grant, found) in [("refresh_token", refresh), ("client_credentials", client_credentials)] {
            row(grant, "one signature and one commit", &found.floor);
            row(grant, "Signet", &found.signet);
        }
        table
    }

    fn logins_table(&self) -> Table {
        let Self { logins, storm, saturation, .. } = self;
        let threads = logins.hash_threads;
        let mut table = Table::new(&["what", "measured"]);
        for (what, measured) in [
            (format!("one hash, {threads} threads at once, ms"), format!("{:.1}", logins.hash_ms)),
            ("one hash, one thread alone, ms".to_owned(), format!("{:.1}", logins.hash_alone_ms)),
            ("logins/s: the capacity".to_owned(), format!("{:.0}", logins.per_second)),
            ("GetMe, no logins: p50, ms".to_owned(), format!("{:.3}", storm.idle_p50_ms)),
            ("GetMe, no logins: p99, ms".to_owned(), format!("{:.3}", storm.idle_p99_ms)),
            (
                format!("GetMe, {:.0} logins/s arriving: p50, ms", storm.logins_offered_per_second),
                format!("{:.3}", storm.stormy_p50_ms),
            ),
            (
                format!("GetMe, {:.0} logins/s arriving: p99, ms", storm.logins_offered_per_second),
                format!("{:.3}", storm.stormy_p99_ms),
            ),
            ("logins refused meanwhile".to_owned(), format!("{:.0} %", storm.refused_share() * 100.0)),
            (
                "logins/s while GetMe saturates the cores".to_owned(),
                format!("{:.1}", saturation.logins_per_second),
            ),
            ("GetMe/s meanwhile".to_owned(), format!("{:.0}", saturation.get_me_per_second)),
        ] {
            table.row([what, measured]);
        }
        table
    }
}

/// Both servers under one shape of load.
fn comparison_table(comparison: &Comparison) -> Table {
    let Comparison { bare, signet, cpu_ratio, rate_ratio } = comparison;
    let mut table = Table::new(&["server", "requests/s", "p50 us", "p99 us", "server CPU per call, us"]);
    for (name, Figures { rate, p50_us, p99_us, cpu_us }) in [("bare", bare), ("Signet", signet)] {
        table.row([
            name.to_owned(),
            format!("{rate:.0}"),
            format!("{p50_us:.0}"),
            format!("{p99_us:.0}"),
            format!("{cpu_us:.1}"),
        ]);
    }
    let none = String::new;
    table.row(["ratio".to_owned(), format!("{rate_ratio:.2}"), none(), none(), format!("{cpu_ratio:.2}")]);
    table
}

/// `page` with the chart and `generated` between its markers.
pub(crate) fn put_between_markers(page: &str, generated: &str) -> Result<String> {
    let cut = page.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = cut.ok_or_else(|| format!("the page lacks the markers {BEGIN} and {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{CHART}\n\n{generated}\n{END}{after}"))
}

impl Table {
    fn new(headings: &[&str]) -> Self {
        Self(vec![headings.iter().map(ToString::to_string).collect()])
    }

    fn row<const COLUMNS: usize>(&mut self, cells: [String; COLUMNS]) {
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
