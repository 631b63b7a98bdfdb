//! Owns measuring what the guard costs:
//! `cargo run --release --package signet-sdk --features testing --example cost -- [--rounds N] [--json]`.
//!
//! A call: the CPU time that the server's process takes for a unary call over a loopback connection, without the guard, and with it where
//! the token was seen before. A new token: the CPU time of one thread, beside `jsonwebtoken`, which makes the same checks, and the bare
//! signature check; all by ES256. What is compared is measured in turns. Numbers are medians of the rounds.

mod calls;
mod tokens;

use std::{error::Error, io::Write};

use serde_json::{Value, json};

/// How many rounds there are, unless it is said.
const ROUNDS: usize = 9;

/// Anything that ends the measurement.
type Problem = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Problem> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: &str| arguments.iter().position(|argument| argument == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if named(calls::SERVE).is_some() {
        return runtime.block_on(calls::serve(named(calls::GUARDED).is_some()));
    }
    let rounds = match named("--rounds") {
        Some(at) => arguments.get(at + 1).ok_or("--rounds needs a number")?.parse()?,
        None => ROUNDS,
    };
    if rounds == 0 {
        return Err("--rounds needs a number from 1 on".into());
    }
    let result = runtime.block_on(measure(rounds))?;
    let mut stdout = std::io::stdout().lock();
    if named("--json").is_some() {
        writeln!(stdout, "{result}")?;
    } else {
        for (what, place, unit) in [
            ("a call without the guard", "/call_us/unguarded", "µs"),
            ("a call with it, whose token was seen before", "/call_us/seen", "µs"),
            ("the second beside the first", "/ratio_seen/median", "times"),
            ("a new token", "/token_us/new", "µs"),
            ("jsonwebtoken, the same checks", "/token_us/library", "µs"),
            ("the bare signature", "/token_us/signature", "µs"),
            ("a new token beside jsonwebtoken", "/ratio_new/median", "times"),
        ] {
            let number = result.pointer(place).and_then(Value::as_f64).unwrap_or_default();
            writeln!(stdout, "{what}: {number:.2} {unit}")?;
        }
    }
    Ok(())
}

async fn measure(rounds: usize) -> Result<Value, Problem> {
    let (mut calls, mut tokens) = (calls::Servers::start().await?, tokens::Tokens::new()?);
    let (mut unguarded, mut seen, mut new, mut library, mut signature) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // Whoever comes first does so in each second round.
        let is_turned = round % 2 == 1;
        let [bare, guarded] = calls.round(is_turned).await?;
        unguarded.push(bare);
        seen.push(guarded);
        let [ours, theirs, bare] = tokens.round(is_turned).await?;
        new.push(ours);
        library.push(theirs);
        signature.push(bare);
    }
    let ratios =
        |above: &[f64], below: &[f64]| -> Vec<f64> { above.iter().zip(below).map(|(a, b)| a / b).collect() };
    Ok(json!({
        "language": "rust",
        "rounds": rounds,
        "call_us": { "unguarded": median(&unguarded), "seen": median(&seen) },
        "ratio_seen": spread(&ratios(&seen, &unguarded)),
        "token_us": { "new": median(&new), "library": median(&library), "signature": median(&signature) },
        "ratio_new": spread(&ratios(&new, &library)),
    }))
}

fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(numbers: &[f64]) -> f64 {
    rounded(sorted(numbers)[numbers.len() / 2])
}

fn spread(numbers: &[f64]) -> Value {
    let sorted = sorted(numbers);
    let (min, max) = (rounded(sorted[0]), rounded(sorted[sorted.len() - 1]));
    json!({ "median": median(numbers), "min": min, "max": max })
}

fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}
