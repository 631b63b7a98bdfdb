//! Owns reading a password: from a file, from the terminal, or from standard input. It is never an argument: other users of the machine see
//! those.

use std::{
    io::{self, IsTerminal},
    path::Path,
};

use zeroize::Zeroizing;

use crate::{cli::Failure, files::read_text};

/// How a password is given where no file has it.
const BY_HAND: &str = "as a line on standard input, or on a terminal, where it is asked for";

/// The password that is typed, or comes by standard input.
pub(in crate::cli) fn read_password() -> Result<Zeroizing<String>, Failure> {
    typed(BY_HAND)
}

/// A password that is new, in the file that is named, or typed: twice, since nobody sees what is typed.
pub(super) fn new_password(file: Option<&Path>) -> Result<Zeroizing<String>, Failure> {
    if let Some(file) = file {
        let text = read_text(file).map_err(|error| Failure::of_input("--password-file", file, &error))?;
        return Ok(line(&text));
    }
    let password = typed(&format!("by --password-file, {BY_HAND}"))?;
    if !io::stdin().is_terminal() || *prompted("The same again: ")? == *password {
        return Ok(password);
    }
    Err(Failure::Usage("the two passwords differ: nothing was changed".to_owned()))
}

/// The password that is typed; `ways` says how it can be given.
fn typed(ways: &str) -> Result<Zeroizing<String>, Failure> {
    if io::stdin().is_terminal() {
        return prompted("Password: ");
    }
    let mut read = Zeroizing::new(String::new());
    match io::stdin().read_line(&mut read) {
        Ok(0) => Err(Failure::Usage(format!("the password must be given: {ways}"))),
        Ok(_) => Ok(line(&read)),
        Err(error) => Err(unreadable(&error)),
    }
}

fn prompted(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let text = rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|error| unreadable(&error))?;
    Ok(line(&text))
}

/// The line's end is not the password's; a space is.
fn line(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::Usage(format!("the password cannot be read: {error}"))
}
