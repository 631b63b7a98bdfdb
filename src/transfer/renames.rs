//! Owns other names for users whose names in the source cannot come over.

use std::{cell::RefCell, collections::HashMap, io::Read, rc::Rc};

use csv::{ReaderBuilder, StringRecord};

use super::{
    Field,
    csv::{Bounded, Text},
};
use crate::model::Username;

/// How many users may be renamed: all names are in memory.
const MAX_RENAMES: usize = 1_000_000;

/// The names of users in the source, and what each is called here.
#[derive(Debug, Default)]
pub struct Renames(HashMap<String, String>);

impl Renames {
    /// Reads `input`: CSV of two columns, the name in the source, as it is written there, and the one here.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence, with the line.
    pub fn read(input: impl Read) -> Result<Self, String> {
        let text = Rc::new(RefCell::new(Text::new()));
        let input = Bounded { input, text: Rc::clone(&text) };
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
        let (mut renames, mut row) = (HashMap::new(), StringRecord::new());
        while reader.read_record(&mut row).map_err(|error| unreadable(&error))? {
            text.borrow_mut().pass(reader.position().byte());
            let line = row.position().map_or(0, csv::Position::line);
            let (Some(old), Some(new), 2) = (row.get(0), row.get(1), row.len()) else {
                return Err(format!("line {line} has not two columns: the name there, and the name here"));
            };
            // A space around the other name may be what is wrong with it, and what it is renamed for.
            let new = new.trim();
            let parsed = Username::parse(new).map(|_| ());
            parsed.map_err(|rule| format!("line {line}: the name here {}", rule.description))?;
            if renames.insert(old.to_owned(), new.to_owned()).is_some_and(|other| other != new) {
                return Err(format!("line {line} renames a user whom an earlier line renames otherwise"));
            }
            if renames.len() > MAX_RENAMES {
                return Err(format!("has more than {MAX_RENAMES} names"));
            }
        }
        Ok(Self(renames))
    }

    /// Gives a user another name, if there is one for it.
    pub(super) fn rename(&self, username: &mut Field) {
        if let Field::Text(name) = username
            && let Some(new) = self.0.get(name.as_str())
        {
            name.clone_from(new);
        }
    }
}

fn unreadable(error: &csv::Error) -> String {
    match (error.kind(), error.position()) {
        (csv::ErrorKind::Io(error), _) => format!("cannot be read: {error}"),
        (_, Some(position)) => format!("line {} is no CSV in UTF-8", position.line()),
        (_, None) => "is no CSV in UTF-8".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_line_names_gets_the_other_name_and_nobody_else() {
        let text = "two words,two.words\r\nAlice, alice2 \n\"a,b\",ab\ncarol ,carol\n dan,\"dan2 \"\n";
        let renames = Renames::read(text.as_bytes()).unwrap();
        for (name, expected) in [
            ("two words", "two.words"),
            ("Alice", "alice2"),
            ("alice", "alice"),
            ("a,b", "ab"),
            // A name is the one that is written there, with the spaces that are wrong with it.
            ("carol ", "carol"),
            ("carol", "carol"),
            (" dan", "dan2"),
            ("dan", "dan"),
        ] {
            let mut field = Field::Text(name.to_owned());
            renames.rename(&mut field);
            assert_eq!(field, Field::Text(expected.to_owned()));
        }
    }

    #[test]
    fn a_row_that_does_not_end_is_not_held_without_end() {
        for byte in [0, b'"'] {
            let refused = Renames::read(std::io::repeat(byte)).unwrap_err();
            assert!(refused.contains("longer than 64 KiB"), "{refused}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (text, problem) in [
            ("a,b\nc\n", "line 2 has not two columns"),
            ("a,b,c", "line 1 has not two columns"),
            ("a,two words", "line 1: the name here"),
            ("a,b\na,c", "line 2 renames"),
        ] {
            let refused = Renames::read(text.as_bytes()).unwrap_err();
            assert!(refused.contains(problem), "{text}: {refused}");
        }
    }
}
