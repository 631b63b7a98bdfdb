//! Owns what a program has of Signet that is made of its stubs alone, in languages without an SDK: `examples/stubs`.

use crate::{
    signet::Signet,
    support::{program::directory, runner::Invocation},
};

/// What the example in `language` prints, which signs `language` up.
fn signs_up(language: &str) -> Vec<String> {
    let signet = Signet::start();
    let program = directory("SIGNET_TEST_SDKS").join(language).join("sign_up");
    let run = Invocation::of(program).without_settings("SIGNET_").env("SIGNET_GRPC_ADDR", &signet.grpc_addr);
    let lines: Vec<_> =
        run.args([language]).run_now().succeeded().stdout.lines().map(str::to_owned).collect();
    assert!(lines.last().is_some_and(|line| line.starts_with(&format!("{language} "))), "{lines:?}");
    lines
}

#[test]
fn a_program_in_cpp_reads_the_details_of_errors() {
    let lines = signs_up("cpp");
    assert_eq!(
        lines[..2],
        [
            "3 INVALID_FIELDS: the field `password` must have at least 8 characters",
            "  password: TOO_SHORT must have at least 8 characters",
        ]
    );
}

#[test]
fn a_program_in_ruby_reads_the_details_of_errors() {
    let lines = signs_up("ruby");
    assert_eq!(
        lines[0],
        "InvalidArgument INVALID_FIELDS: the field `password` must have at least 8 characters"
    );
    // The reason of a field is told by those gems alone that know it: Debian's is older.
    assert!(
        lines[1].starts_with("  password:") && lines[1].ends_with("must have at least 8 characters"),
        "{lines:?}"
    );
}
