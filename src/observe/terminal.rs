//! Owns what a terminal is taken to show: letters alone, or colours, and lines that are written anew.

use std::{
    env,
    io::{self, IsTerminal},
};

/// Whether standard error shows colours: it is a terminal that can, and nobody has asked for none (<https://no-color.org>).
pub(super) fn has_colours() -> bool {
    let is_unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !is_dumb() && !is_unwanted
}

/// Whether the terminal shows letters and no more (`TERM=dumb`), as those inside editors do.
#[must_use]
pub fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}
