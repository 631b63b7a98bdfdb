//! Owns what the guard of each SDK costs a call, beside a server without it and beside the language's JOSE library.
//!
//! Each language measures itself (`scripts/sdk bench`), and says what it found in a line of JSON.

use std::{
    fmt::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde::Deserialize;

use crate::{
    Result,
    machine::Machine,
    report::{Markers, write_page},
    say,
    stats::{Spread, number},
    table::{Table, Target},
};

const LANGUAGES: [&str; 5] = ["go", "java", "node", "python", "rust"];

/// How many pairs there are of each measurement.
const ROUNDS: usize = 9;
const QUICK_ROUNDS: usize = 3;

/// What a call with a token seen before may cost, beside a server without the guard.
const MAX_SEEN: f64 = 1.2;
/// In Python, where the guard is Python beside a gRPC that is C.
const MAX_SEEN_PYTHON: f64 = 1.3;
/// What a new token may cost, beside the same checks by the library alone.
const MAX_NEW: f64 = 1.3;

const MARKERS: Markers =
    Markers { begin: "<!-- scripts/bench --sdk begins -->", end: "<!-- scripts/bench --sdk ends -->" };

/// Whether the SDKs are measured.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct SdkArguments {
    /// Instead of all else, measure what the guard of each SDK costs a call.
    #[arg(long, conflicts_with_all = ["scale", "guesser", "against", "ways", "watchers"])]
    pub(crate) sdk: bool,
}

/// What a language found out about itself.
#[derive(Debug, Deserialize)]
struct Measured {
    language: String,
    rounds: usize,
    /// CPU time of a call, in microseconds.
    call_us: Call,
    ratio_seen: Spread,
    /// CPU time of judging a token, in microseconds.
    token_us: Token,
    ratio_new: Spread,
}

#[derive(Debug, Deserialize)]
struct Call {
    /// On a server without the guard.
    unguarded: f64,
    /// With a token seen before.
    seen: f64,
}

#[derive(Debug, Deserialize)]
struct Token {
    /// By the guard, which has never seen it.
    new: f64,
    /// By the library alone: the same checks.
    library: f64,
    /// Its signature alone.
    signature: f64,
}

/// The whole run.
pub(crate) fn measure(quick: bool, to_docs: bool) -> Result<()> {
    let rounds = if quick { QUICK_ROUNDS } else { ROUNDS };
    let mut machine = Machine::watch()?;
    println!("{machine}");
    let mut measured = Vec::with_capacity(LANGUAGES.len());
    for language in LANGUAGES {
        say(&format!("the SDK for {language}, {rounds} pairs"));
        measured.push(run(language, rounds)?);
    }
    machine.end()?;
    let generated = markdown(&machine, rounds, &measured);
    println!("\n{generated}");
    write_page(&generated, "sdk", MARKERS, to_docs)
}

/// What the benchmark of `language` prints.
fn run(language: &str, rounds: usize) -> Result<Measured> {
    let mut bench = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/sdk"));
    bench.args(["bench", language]).env("ROUNDS", rounds.to_string()).stderr(Stdio::inherit());
    let output = bench.output()?;
    let said = String::from_utf8(output.stdout)?;
    let line = said.lines().last().filter(|_| output.status.success());
    let line = line.ok_or_else(|| format!("scripts/sdk bench {language} failed: {}", output.status))?;
    let measured: Measured = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
    let is_it = measured.language == language && measured.rounds == rounds;
    if is_it { Ok(measured) } else { Err(format!("not {rounds} rounds in {language}: {line}").into()) }
}

fn markdown(machine: &Machine, rounds: usize, measured: &[Measured]) -> String {
    let mut targets = Vec::new();
    let mut costs = Table::new(&["µs", "call: unguarded", "seen", "token: new", "library", "signature"]);
    for Measured { language, call_us, ratio_seen, token_us, ratio_new, .. } in measured {
        let most = if language == "python" { MAX_SEEN_PYTHON } else { MAX_SEEN };
        let what = |of: &str| format!("{language}: {of}");
        targets.push(Target::ratio(what("a token seen before"), *ratio_seen, most, "unguarded"));
        targets.push(Target::ratio(what("a new token"), *ratio_new, MAX_NEW, "the library"));
        let us = |value: &f64| number(*value, 1);
        let (Call { unguarded, seen }, Token { new, library, signature }) = (call_us, token_us);
        costs.row([language.clone(), us(unguarded), us(seen), us(new), us(library), us(signature)]);
    }
    let mut text = String::new();
    // Writing to a String never fails.
    let _ = write!(
        text,
        "{machine}.\n\nMedians of {rounds} pairs; in parentheses the smallest and the largest value.\n\n{}\n{costs}",
        Target::table(targets)
    );
    text
}
