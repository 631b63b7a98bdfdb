//! Owns records as CSV (RFC 4180), with a first line that names the columns.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::{self, Read},
    rc::Rc,
};

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::{BATCH, Batch, Columns, Field, MAX_ROW_BYTES, Reason, Record, RefusedRow, RowRules};

/// Reads `input` to its end, and gives `take` its rows in batches; until it wants no more.
///
/// # Errors
/// The input's; of the kind `InvalidData` if the first line does not name the columns that are needed, or if a row does not end.
pub fn read_csv(
    input: impl Read,
    columns: &Columns,
    rules: &RowRules,
    mut take: impl FnMut(Batch) -> bool,
) -> io::Result<()> {
    let text = Rc::new(RefCell::new(Text::new()));
    let bounded = Bounded { input, text: Rc::clone(&text) };
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(bounded);
    let header = reader.byte_headers().map_err(failure)?.clone();
    let places = places(&header, columns)?;
    let (mut batch, mut row) = (Batch::default(), ByteRecord::new());
    batch.ignored_columns = ignored(&header, &places);
    refuse_unread(&batch.ignored_columns, &places, columns)?;
    text.borrow_mut().pass(reader.position().byte());
    while reader.read_byte_record(&mut row).map_err(failure)? {
        let line = text.borrow_mut().pass(reader.position().byte());
        let record = if row.len() == header.len() {
            record(&row, &places, columns)
        } else {
            Err(wrong_length(&row, &header))
        };
        let record = record.map(|record| columns.settle(record));
        batch.rows.push(rules.row(line, record));
        if batch.rows.len() == BATCH {
            batch.bytes = reader.position().byte();
            if !take(std::mem::take(&mut batch)) {
                return Ok(());
            }
        }
    }
    batch.bytes = reader.position().byte();
    take(batch);
    Ok(())
}

/// How many columns are shown of a first line, and how much of each, in characters.
const SHOWN_COLUMNS: usize = 20;
const SHOWN_CHARS: usize = 64;

/// How much may be read for one row, in bytes: it, and what the reader takes beyond it.
const LOOK_AHEAD: usize = MAX_ROW_BYTES + 64 * 1024;

/// What was read of the input and is not known to be part of a row yet.
///
/// The reader's own lines are of no use to who looks for a row: after `\r\n` it counts one too few, and a row that follows empty lines
/// has the line of the first of them.
pub(super) struct Text {
    ahead: VecDeque<u8>,
    /// How much more may be read for the next row.
    left: usize,
    /// Where `ahead` begins: in bytes, in lines, and whether the byte before was a `\r`.
    byte: u64,
    line: u64,
    after_return: bool,
}

impl Text {
    pub(super) fn new() -> Self {
        Self { ahead: VecDeque::new(), left: LOOK_AHEAD, byte: 0, line: 1, after_return: false }
    }

    /// Passes the next row, which ends before the byte `end`. Returns the line that it begins in.
    pub(super) fn pass(&mut self, end: u64) -> u64 {
        let count =
            usize::try_from(end - self.byte).map_or(self.ahead.len(), |count| count.min(self.ahead.len()));
        let mut begins = None;
        for byte in self.ahead.drain(..count) {
            if !matches!(byte, b'\r' | b'\n') {
                begins.get_or_insert(self.line);
            } else if byte == b'\r' || !self.after_return {
                self.line += 1;
            }
            self.after_return = byte == b'\r';
        }
        (self.byte, self.left) = (end, LOOK_AHEAD);
        begins.unwrap_or(self.line)
    }
}

/// An input that ends with an error when a row does not end: a quotation mark too many would have the rest of the file held in
/// memory.
pub(super) struct Bounded<R> {
    pub(super) input: R,
    pub(super) text: Rc<RefCell<Text>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut text = self.text.borrow_mut();
        if text.left == 0 {
            return Err(invalid("a row is longer than 64 KiB: is a quotation mark not closed?"));
        }
        let length = buffer.len().min(text.left);
        let read = self.input.read(&mut buffer[..length])?;
        text.left -= read;
        text.ahead.extend(&buffer[..read]);
        Ok(read)
    }
}

/// The fields, each with the place of its column.
fn places(header: &ByteRecord, columns: &Columns) -> io::Result<Vec<(&'static str, usize)>> {
    let mut places = Vec::new();
    for field in Record::FIELDS {
        let (name, needed) = columns.in_file(field);
        // An unnamed column is no field's: pandas begins its files with one.
        if name.is_empty() {
            continue;
        }
        let mut found =
            header.iter().enumerate().filter(|(_, column)| column.trim_ascii() == name.as_bytes());
        match (found.next(), found.next()) {
            (Some((place, _)), None) => places.push((field, place)),
            (Some(_), Some(_)) => {
                return Err(invalid(&format!("the first line names the column `{name}` twice")));
            }
            (None, _) if needed => return Err(invalid(&missing(header, field, name))),
            (None, _) => {}
        }
    }
    Ok(places)
}

/// That the first line names no column `name`, of which `field` is to be read.
fn missing(header: &ByteRecord, field: &str, name: &str) -> String {
    let shown = |name: &[u8]| -> String {
        let name = String::from_utf8_lossy(name.trim_ascii());
        format!("`{}`", name.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect::<String>())
    };
    let there: Vec<_> = header.iter().take(SHOWN_COLUMNS).map(shown).collect();
    let more = if header.len() > SHOWN_COLUMNS { " and others" } else { "" };
    let begin = format!("the first line names no column `{name}`, but {}{more}", there.join(", "));
    if header.len() == 1 && header.iter().any(|column| column.iter().any(|byte| b";\t|".contains(byte))) {
        return format!("{begin}: columns are separated by commas");
    }
    format!("{begin}: --column-{}=NAME names the one that holds it", field.replace('_', "-"))
}

/// The names of the columns that no field is read from.
fn ignored(header: &ByteRecord, places: &[(&'static str, usize)]) -> Vec<String> {
    let is_read = |column: usize| places.iter().any(|(_, place)| *place == column);
    let ignored = header.iter().enumerate().filter(|(column, _)| !is_read(*column));
    ignored.map(|(_, name)| String::from_utf8_lossy(name.trim_ascii()).into_owned()).collect()
}

/// Refuses a file that says who may not log in, in a column that nothing reads: these users could.
fn refuse_unread(ignored: &[String], places: &[(&'static str, usize)], columns: &Columns) -> io::Result<()> {
    let read = columns.know_who_is_active() || places.iter().any(|(field, _)| *field == "is_active");
    match ignored.iter().find(|name| Columns::says_disabled(name)).filter(|_| !read) {
        Some(name) => Err(invalid(&format!(
            "the column `{name}` seems to say who may not log in: --column-disabled={name} reads it, and --column-is-active= says that \
             all may log in"
        ))),
        None => Ok(()),
    }
}

fn record(
    row: &ByteRecord,
    places: &[(&'static str, usize)],
    columns: &Columns,
) -> Result<Record, RefusedRow> {
    let mut record = Record::default();
    for (name, place) in places {
        let value = row.get(*place).unwrap_or_default();
        if let Some(held) = record.field(name) {
            // An empty column says that there is nothing, and so does what databases write for NULL.
            let is_null = value.is_empty() || columns.null.iter().any(|null| null.as_bytes() == value);
            *held = if is_null { Field::Null } else { field(name, value)? };
        }
    }
    Ok(record)
}

/// The field `name` that holds `value`, a text in UTF-8.
pub(super) fn field(name: &str, value: &[u8]) -> Result<Field, RefusedRow> {
    let text = utf8(name, value)?.to_owned();
    Field::of_text(name, text).map_err(|problem| malformed_field(name, problem))
}

/// The text that `value` is, of the field `name`.
pub(super) fn utf8<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, RefusedRow> {
    std::str::from_utf8(value).map_err(|_| malformed_field(name, "is not UTF-8"))
}

/// The refusal of a row whose field `name` is not to be read.
pub(super) fn malformed_field(name: &str, problem: &str) -> RefusedRow {
    RefusedRow::new(Reason::MalformedRow, format!("the {name} {problem}"))
}

fn wrong_length(row: &ByteRecord, header: &ByteRecord) -> RefusedRow {
    let problem = format!("has {} columns, and the first line names {}", row.len(), header.len());
    RefusedRow::new(Reason::MalformedRow, problem)
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn failure(error: csv::Error) -> io::Error {
    match error.into_kind() {
        ErrorKind::Io(error) => error,
        _ => invalid("it is not CSV"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Clock, Entropy, Timestamp},
        identity::passwords::{Argon2Params, DEFAULT_IMPORT_MAX_COST, Prehashes},
    };

    /// The lines in which the rows of `text` begin.
    fn lines(text: &str) -> Vec<u64> {
        let argon2 = Argon2Params { memory_kib: 19_456, iterations: 2, parallelism: 1 };
        let clock = Clock::manual(Timestamp::from_micros(0));
        let reserved = "admin".parse().unwrap();
        let rules = RowRules {
            argon2,
            import_max_cost: DEFAULT_IMPORT_MAX_COST,
            prehashes: Prehashes::default(),
            reserved,
            clock,
            entropy: Entropy::system(),
            declared: std::sync::Arc::default(),
            renames: std::sync::Arc::default(),
        };
        let mut lines = Vec::new();
        let take = |batch: Batch| {
            lines.extend(batch.rows.iter().map(|row| row.place));
            true
        };
        read_csv(text.as_bytes(), &Columns::default(), &rules, take).unwrap();
        lines
    }

    #[test]
    fn a_first_line_without_a_column_is_told_with_what_it_has_and_what_helps() {
        for (header, expected) in [
            (
                "name,pässword",
                "the first line names no column `username`, but `name`, `pässword`: --column-username=NAME names the one that holds it",
            ),
            (
                "username,hash",
                "no column `password_hash`, but `username`, `hash`: --column-password-hash=NAME names",
            ),
            ("username;password_hash", "but `username;password_hash`: columns are separated by commas"),
        ] {
            let header = ByteRecord::from(header.split(',').collect::<Vec<_>>());
            let told = places(&header, &Columns::default()).unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn a_row_has_the_line_that_an_editor_shows() {
        for text in ["a,b\nc,d\ne,f\n", "a,b\r\nc,d\r\ne,f", "a,b\rc,d\re,f\r", "a,b\r\nc,d\ne,f\r"] {
            let header = "username,password_hash";
            assert_eq!(lines(&format!("{header}\n{text}")), [2, 3, 4], "{text:?}");
            assert_eq!(lines(&format!("\u{feff}{header}\r\n{text}")), [2, 3, 4], "{text:?}");
            assert_eq!(lines(&format!("{header}\r\n\r\n\n{text}")), [4, 5, 6], "{text:?}");
        }
        assert_eq!(lines("username,password_hash\r\n\"a\r\nb\nc\",d\r\n\r\ne,f\r\n"), [2, 6]);
        assert_eq!(lines("username,password_hash"), [0_u64; 0]);
    }
}
