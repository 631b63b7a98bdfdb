//! Owns the tables: the targets and what was measured.

use std::{fs, path::Path};

use crate::{
    Plan, Result,
    contention::{Saturation, Storm},
    envoy::ThroughEnvoy,
    first_sight::FirstSight,
    footprint::{Footprint, USERS},
    grants::{Cost, Grants, STREAMS},
    logins::Logins,
    machine::Machine,
    stats::{float, number},
    table::{Table, Target},
    throughput::{Comparison, FULL, Figures, GetMe, LIGHT},
};

/// What the written page has around a generated part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Markers {
    pub(crate) begin: &'static str,
    pub(crate) end: &'static str,
}

/// Those around what this page has of the usual run.
pub(crate) const MARKERS: Markers =
    Markers { begin: "<!-- scripts/bench begins -->", end: "<!-- scripts/bench ends -->" };

/// The chart stands in the generated part, so that the page shows it only once there is one.
pub(crate) const CHART: &str =
    "![Requests per second and CPU per call, Signet beside a bare tonic server](performance.svg)";

const MAX_CPU_RATIO: f64 = 1.3;
const MAX_BEYOND_VERIFICATION_US: f64 = 15.0;
const MAX_FLOOR_RATIO: f64 = 1.5;
const MAX_INTROSPECTION_RATIO: f64 = 1.5;
const MAX_CHECK_RATIO: f64 = 1.5;
const MIN_LOGIN_SHARE: f64 = 0.9;
const MAX_P99_RATIO: f64 = 1.5;
const MIN_SATURATED_SHARE: f64 = 0.3;
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
    pub(crate) through_envoy: ThroughEnvoy,
    pub(crate) first_sight: FirstSight,
    pub(crate) grants: Grants,
    pub(crate) logins: Logins,
    pub(crate) storm: Storm,
    pub(crate) saturation: Saturation,
    /// The most memory that Signet held over the whole run.
    pub(crate) peak_mb: f64,
}

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
             ### Through Envoy to a service that does nothing\n\n{}\n\
             ### A token's first sight\n\n{}\n\
             ### Grants, {STREAMS} callers at once\n\n{}\n\
             ### Logins and GetMe together\n\n{}",
            self.machine,
            self.targets(),
            self.get_me_table(),
            comparison_table(&self.introspection),
            comparison_table(&self.check),
            self.through_envoy.table(),
            self.first_sight_table(),
            self.grants_table(),
            self.logins_table(),
        )
    }

    fn targets(&self) -> Table {
        let Self { get_me, introspection, check, first_sight, grants, logins, storm, saturation, .. } = self;
        let Self { footprint, peak_mb, .. } = self;
        let Grants { refresh, refresh_unknown, client_credentials, .. } = grants;
        let bare = |what, spread, most| Target::ratio(what, spread, most, "bare");
        let floor = |what, spread| Target::ratio(what, spread, MAX_FLOOR_RATIO, "the floor");
        // One more: a hash that a flood catches is begun anew beside itself.
        let hashing = float(logins.hash_threads + 1) * HASH_MB;
        let most_mb = footprint.idle_mb + hashing + MAX_BEYOND_HASHING_MB;
        let (failed, calls) = (storm.failed_calls, number(float(storm.calls), 0));
        let start_ms = footprint.start_ms;
        #[rustfmt::skip]
        let targets = [
            bare("GetMe, token seen before: CPU per call", get_me.full.cpu_ratio, MAX_CPU_RATIO),
            bare("IntrospectToken, token seen before: CPU per call", introspection.cpu_ratio, MAX_INTROSPECTION_RATIO),
            bare("Envoy's Check, token seen before: CPU per call", check.cpu_ratio, MAX_CHECK_RATIO),
            Target::at_most("GetMe, first sight: CPU beyond a bare call with one raw signature check", first_sight.beyond.median, MAX_BEYOND_VERIFICATION_US, "us").showing(format!("{:.1} us", first_sight.beyond)),
            floor("refresh: CPU per call", refresh.cpu_ratio),
            floor("refresh: time per call", refresh.time_ratio),
            floor("refresh of a session not remembered: CPU per call", refresh_unknown.cpu_ratio),
            floor("refresh of a session not remembered: time per call", refresh_unknown.time_ratio),
            floor("client_credentials: CPU per call", client_credentials.cpu_ratio),
            floor("client_credentials: time per call", client_credentials.time_ratio),
            Target::share("logins, of what the hash threads alone would do", logins.share, MIN_LOGIN_SHARE),
            Target::ratio("GetMe's p99 while logins arrive at four times capacity", storm.p99_ratio, MAX_P99_RATIO, "idle"),
            Target::at_most("GetMe calls that fail meanwhile", if failed == 0 { 0.0 } else { 1.0 }, 0.0, "").showing(format!("{failed} of {calls}")),
            Target::share("logins while GetMe saturates the cores, of their capacity", saturation.share, MIN_SATURATED_SHARE),
            Target::at_most("peak memory of the whole run: idle, what hashes need, and 20 MB", *peak_mb, most_mb, "MB"),
            Target::at_most("idle memory", footprint.idle_mb, MAX_IDLE_MB, "MB"),
            Target::at_most("from start to the first answered GetMe, with existing data", start_ms.median, MAX_START_MS, "ms").showing(format!("{start_ms:.0} ms ({USERS} users)")),
        ];
        Target::table(targets)
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
        let Grants { refresh, refresh_unknown, client_credentials, signature_alone } = &self.grants;
        let mut table = Table::new(&["grant", "server", "answers/s", "server CPU per call, us"]);
        let mut row = |grant: &str, server: &str, cost: &Cost| {
            let (rate, cpu) = (format!("{:.0}", cost.per_second), format!("{:.0}", cost.cpu_us));
            table.row([grant.to_owned(), server.to_owned(), rate, cpu]);
        };
        row("any", "one signature", signature_alone);
        for (grant, found) in [
            ("refresh_token", refresh),
            ("refresh_token, session not remembered", refresh_unknown),
            ("client_credentials", client_credentials),
        ] {
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

/// Writes `generated` between its markers in docs/PERFORMANCE.md if it is `to_docs`, and else to target/bench/`name`.md.
pub(crate) fn write_page(generated: &str, name: &str, markers: Markers, to_docs: bool) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (page, text) = if to_docs {
        let page = root.join("docs/PERFORMANCE.md");
        let around = fs::read_to_string(&page)?;
        (page, put_between_markers(&around, generated, markers)?)
    } else {
        let folder = root.join("target/bench");
        fs::create_dir_all(&folder)?;
        (folder.join(format!("{name}.md")), generated.to_owned())
    };
    fs::write(&page, text)?;
    println!("Written: {}", page.display());
    Ok(())
}

/// `page` with `generated` between its `markers`.
pub(crate) fn put_between_markers(page: &str, generated: &str, markers: Markers) -> Result<String> {
    let Markers { begin, end } = markers;
    let cut = page.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?.1)));
    let (before, after) = cut.ok_or_else(|| format!("the page lacks the markers {begin} and {end}"))?;
    Ok(format!("{before}{begin}\n\n{generated}\n{end}{after}"))
}
