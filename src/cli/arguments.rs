//! Owns what the command line takes beyond what is declared: switches without a value or with one after them, short names of commands, and
//! `help` before them.

use std::{any::TypeId, ffi::OsString};

use clap::{Arg, Command};

use crate::config::Switch;

/// What a switch may be set to. Any other word after it is none of its own: a command, most likely.
const VALUES: [&str; 4] = ["on", "off", "true", "false"];

/// What asks for the help of a command.
const HELP: &str = "help";

/// The words of a command line, and the command that they name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    /// All words, the program's name first.
    pub(super) words: Vec<OsString>,
    /// The command, by the names of the commands that lead to it; empty if there is none.
    pub(super) path: Vec<String>,
}

/// By what names commands go as well.
const ALIASES: [(&str, &str); 2] = [("list", "ls"), ("delete", "rm")];

/// `command`, whose switches can be said without a value, which turns them on, and whose commands have their short names.
pub(super) fn lenient(command: Command) -> Command {
    let without_value = |arg: Arg| {
        if !is_switch(&arg) {
            return arg;
        }
        // The value that follows as a word of its own is joined to it before: here it would take any word. Python writes `False`.
        arg.num_args(0..=1).require_equals(true).default_missing_value("on").ignore_case(true)
    };
    let alias = ALIASES.iter().find(|(name, _)| *name == command.get_name()).map(|(_, alias)| *alias);
    let command = command.mut_args(without_value).mut_subcommands(lenient);
    match alias {
        Some(alias) => command.visible_alias(alias),
        None => command,
    }
}

/// The word among `words` that follows a switch of `command` and is none of its values, with that switch.
pub(super) fn after_switch(command: &Command, words: &[OsString], word: &str) -> Option<String> {
    let switches = switches(command);
    let at = words.iter().skip(1).position(|known| known.to_str() == Some(word))?;
    let before = words[at].to_str()?;
    switches.iter().any(|switch| switch == before).then(|| before.to_owned())
}

impl Arguments {
    /// The `words` as they are parsed by the rules of `command`, which is not built yet.
    pub(super) fn of(command: &Command, words: impl IntoIterator<Item = OsString>) -> Self {
        let words = joined(words.into_iter().collect(), &switches(command));
        let (mut path, mut at, mut asks) = (Vec::new(), command, None);
        for (index, word) in words.iter().enumerate().skip(1) {
            let Some(word) = word.to_str().filter(|word| *word != "--") else { break };
            // Options come before commands and after them. A value that is called as a command is, shortens no more than a help.
            if word.starts_with('-') {
                continue;
            }
            if word == HELP && at.has_subcommands() {
                asks = Some(index);
                break;
            }
            if let Some(inner) = at.find_subcommand(word) {
                path.push(inner.get_name().to_owned());
                at = inner;
            }
        }
        let Some(asks) = asks else { return Self { words, path } };
        // `signet help users list` is `signet users list --help`.
        let mut asked = words;
        asked.remove(asks);
        for word in &asked[asks..] {
            let Some(inner) = word.to_str().and_then(|word| at.find_subcommand(word)) else { break };
            path.push(inner.get_name().to_owned());
            at = inner;
        }
        asked.push("--help".into());
        Self { words: asked, path }
    }
}

/// `words`, where each of `switches` has the value that follows it, if one does.
fn joined(words: Vec<OsString>, switches: &[String]) -> Vec<OsString> {
    let is_value = |word: &OsString| {
        word.to_str().is_some_and(|word| VALUES.iter().any(|value| value.eq_ignore_ascii_case(word)))
    };
    let (mut joined, mut rest) = (Vec::with_capacity(words.len()), words.into_iter().peekable());
    while let Some(mut word) = rest.next() {
        if word == "--" {
            joined.push(word);
            joined.extend(rest);
            break;
        }
        if word.to_str().is_some_and(|word| switches.iter().any(|switch| switch == word))
            && let Some(value) = rest.next_if(is_value)
        {
            word.push("=");
            word.push(value);
        }
        joined.push(word);
    }
    joined
}

/// The switches of `command` and of all commands below it: `--ext-authz`.
fn switches(command: &Command) -> Vec<String> {
    let own = command.get_arguments().filter(|arg| is_switch(arg)).filter_map(Arg::get_long);
    let own: Vec<_> = own.map(|long| format!("--{long}")).collect();
    own.into_iter().chain(command.get_subcommands().flat_map(switches)).collect()
}

fn is_switch(arg: &Arg) -> bool {
    arg.get_long().is_some() && arg.get_value_parser().type_id() == TypeId::of::<Switch>()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn read(words: &str) -> (String, String) {
        let words = format!("signet {words}");
        let Arguments { words, path } =
            Arguments::of(&lenient(Cli::command()), words.split_whitespace().map(OsString::from));
        let words: Vec<_> = words.iter().skip(1).map(|word| word.to_str().unwrap()).collect();
        (words.join(" "), path.join(" "))
    }

    #[test]
    fn a_switch_takes_the_word_after_it_that_is_a_value_and_no_other() {
        for (words, expected) in [
            ("--ext-authz on serve", "--ext-authz=on serve"),
            ("--ext-authz false", "--ext-authz=false"),
            ("--ext-authz serve", "--ext-authz serve"),
            ("--ext-authz=on off", "--ext-authz=on off"),
            ("--ext-authz ON", "--ext-authz=ON"),
            ("serve --metrics off --sign-up true", "serve --metrics=off --sign-up=true"),
            ("users create on", "users create on"),
            ("users list -- --metrics off", "users list -- --metrics off"),
        ] {
            assert_eq!(read(words).0, expected);
        }
    }

    #[test]
    fn help_is_asked_of_the_command_that_is_named() {
        for (words, expected, path) in [
            ("help", "--help", ""),
            ("help users list", "users list --help", "users list"),
            ("users help list", "users list --help", "users list"),
            ("help users nothing", "users nothing --help", "users"),
            ("users show help", "users show help", "users show"),
            ("--json users ls", "--json users ls", "users list"),
        ] {
            assert_eq!(read(words), (expected.to_owned(), path.to_owned()));
        }
    }
}
