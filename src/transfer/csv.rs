//! Owns records as CSV (RFC 4180), with a first line that names the columns.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use csv::{ByteRecord, ErrorKind, ReaderBuilder};

use super::{BATCH, Batch, Columns, Field, Judge, MAX_ROW_BYTES, Reason, Record, Refusal};

/// Reads `input` to its end, and gives `take` its rows in batches; until it wants no more.
///
/// # Errors
/// The input's; of the kind `InvalidData` if the first line does not name the columns that are needed, or if a row does not end.
pub fn read_csv(
    input: impl Read,
    columns: &Columns,
    judge: &Judge,
    mut take: impl FnMut(Batch) -> bool,
) -> io::Result<()> {
    let left = Rc::new(Cell::new(0));
    let bounded = Bounded { input, left: Rc::clone(&left) };
    let mut reader = ReaderBuilder::new().flexible(true).from_reader(bounded);
    left.set(LOOK_AHEAD);
    let header = reader.byte_headers().map_err(failure)?.clone();
    let places = places(&header, columns)?;
    let (mut batch, mut row) = (Batch::default(), ByteRecord::new());
    batch.ignored_columns = ignored(&header, &places);
    loop {
        left.set(LOOK_AHEAD);
        let line = reader.position().line();
        if !reader.read_byte_record(&mut row).map_err(failure)? {
            break;
        }
        let line = row.position().map_or(line, csv::Position::line);
        let record =
            if row.len() == header.len() { record(&row, &places) } else { Err(wrong_length(&row, &header)) };
        batch.rows.push(judge.row(line, record));
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

/// How much may be read for one row, in bytes: it, and what the reader takes beyond it.
const LOOK_AHEAD: usize = MAX_ROW_BYTES + 64 * 1024;

/// An input that ends with an error when a row does not end: a quotation mark too many would have the rest of the file held in
/// memory.
struct Bounded<R> {
    input: R,
    /// How much may be read before the next row.
    left: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(invalid("a row is longer than 64 KiB: is a quotation mark not closed?"));
        }
        let length = buffer.len().min(left);
        let read = self.input.read(&mut buffer[..length])?;
        self.left.set(left - read);
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
            (None, _) if needed => return Err(invalid(&format!("the first line names no column `{name}`"))),
            (None, _) => {}
        }
    }
    Ok(places)
}

/// The names of the columns that no field is read from.
fn ignored(header: &ByteRecord, places: &[(&'static str, usize)]) -> Vec<String> {
    let is_read = |column: usize| places.iter().any(|(_, place)| *place == column);
    let ignored = header.iter().enumerate().filter(|(column, _)| !is_read(*column));
    ignored.map(|(_, name)| String::from_utf8_lossy(name.trim_ascii()).into_owned()).collect()
}

fn record(row: &ByteRecord, places: &[(&'static str, usize)]) -> Result<Record, Refusal> {
    let mut record = Record::default();
    for (name, place) in places {
        let value = row.get(*place).unwrap_or_default();
        if let Some(field) = record.field(name) {
            // An empty column says that there is nothing: CSV has no other word for it.
            *field = if value.is_empty() { Field::Null } else { Field::Text(text(name, value)?) };
        }
    }
    Ok(record)
}

pub(super) fn text(name: &str, value: &[u8]) -> Result<String, Refusal> {
    let text = std::str::from_utf8(value).map(str::to_owned);
    text.map_err(|_| Refusal::new(Reason::MalformedRow, format!("the {name} is not UTF-8")))
}

fn wrong_length(row: &ByteRecord, header: &ByteRecord) -> Refusal {
    let problem = format!("has {} columns, and the first line names {}", row.len(), header.len());
    Refusal::new(Reason::MalformedRow, problem)
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
