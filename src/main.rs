//! The `signet` program: parses the command line, calls the library, and exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    signet::cli::main()
}
