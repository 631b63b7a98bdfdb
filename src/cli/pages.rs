//! Owns what is written of the command line itself: completions for shells, and manual pages.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Arg, Args, Command, ValueEnum};
use clap_complete::{aot, generate};
use serde_json::json;

use super::{CommandReason, Failure, Output, help};

/// The name by which the program is called.
const PROGRAM: &str = "signet";

#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Args, Debug)]
pub(super) struct Man {
    /// The directory to write them into, such as `~/.local/share/man/man1`. It must be there; pages of the same names are replaced.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    /// Bash, with bash-completion.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

/// Writes the completions for a shell to standard output. `program` is as it is declared.
pub(super) fn complete(Completions { shell }: Completions, program: Command) -> Result<(), Failure> {
    let mut program = help::for_pages(program);
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(aot::Bash, &mut program, PROGRAM, &mut script),
        Shell::Zsh => generate(aot::Zsh, &mut program, PROGRAM, &mut script),
        Shell::Fish => generate(aot::Fish, &mut program, PROGRAM, &mut script),
    }
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(&script).and_then(|()| stdout.flush());
    written.map_err(|error| {
        Failure::because(CommandReason::FileUnusable, format!("the answer cannot be written: {error}"))
    })
}

/// Writes a manual page for each command.
pub(super) fn write_manual(Man { dir }: Man, program: Command, output: Output) -> Result<(), Failure> {
    // The page of `serve` has them.
    let without_settings = |arg: Arg| {
        let is_setting = arg.get_help_heading().is_some();
        arg.hide(is_setting)
    };
    let program = help::for_pages(program).mut_args(without_settings);
    let shown = dir.display().to_string();
    clap_mangen::generate_to(program, &dir).map_err(|error| {
        let problem = format!("the pages cannot be written into {shown}: {error}");
        Failure::because(CommandReason::FileUnusable, problem)
    })?;
    let text = format!("Wrote the pages into {shown}: begin with `man signet`.");
    output.answer(&text, &json!({ "written": shown }))
}
