//! Owns how long a line gets.

use std::path::Path;

/// rustfmt ends code at 110, and no comment (rustfmt.toml). Comments, and what nothing formats, end here, as .editorconfig tells editors.
const MAX_WIDTH: usize = 140;

/// The lines of `text` that are too long. A literal goes on: breaking it would change it, or hide it from a search.
pub(crate) fn violations(file: &Path, text: &str) -> Vec<String> {
    let is_too_long = |line: &str| {
        line.chars().count() > MAX_WIDTH && (is_comment(file, line) || !line.contains(['"', '\'']))
    };
    let lines = text.lines().enumerate().filter(|(_, line)| is_too_long(line));
    lines.map(|(index, line)| {
        let (number, width) = (index + 1, line.chars().count());
        format!("line {number} has {width} characters: a line ends at {MAX_WIDTH}, so that two files can be read side by side")
    }).collect()
}

fn is_comment(file: &Path, line: &str) -> bool {
    let line = line.trim_start();
    let slashes = ["rs", "proto", "mjs", "ts"].iter().any(|kind| file.extension() == Some(kind.as_ref()));
    line.starts_with(if slashes { "//" } else { "#" })
}

#[test]
fn long_comments_and_long_code_are_found_and_literals_are_not() {
    let found = |file: &str, line: &str| violations(Path::new(file), line).len();
    let long = "x".repeat(MAX_WIDTH);
    for (file, line) in [
        ("src/a.rs", format!("//! {long}")),
        ("src/a.rs", format!("    /// \"{long}\"")),
        ("src/a.rs", format!("let {long} = 1;")),
        ("proto/a.proto", format!("// {long}")),
        ("scripts/test", format!("# \"{long}\"")),
        ("scripts/test", format!("run {long}")),
        ("examples/a.yaml", format!("  # it's {long}")),
    ] {
        assert_eq!(found(file, &line), 1, "{file}: {line}");
    }
    for (file, line) in [
        ("src/a.rs", long.clone()),
        ("src/a.rs", "é".repeat(MAX_WIDTH)),
        ("src/a.rs", format!("const A: &str = \"{long}\";")),
        ("src/a.rs", format!("#[arg(long, help = \"{long}\")]")),
        ("scripts/test", format!("echo '{long}'")),
    ] {
        assert_eq!(found(file, &line), 0, "{file}: {line}");
    }
}
