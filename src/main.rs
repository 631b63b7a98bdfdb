//! The `signet` program: chooses the allocator, calls the library, and exits with its code.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    signet::cli::main()
}
