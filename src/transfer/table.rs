//! Owns records as rows of another service's table.

use super::{BATCH, Batch, Columns, Field, Judge, Record, Refusal, csv::text};
use crate::{model::Error, store::ForeignTable};

/// Reads the `table` to its end, and gives `take` its rows in batches; until it wants no more.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
pub async fn read_table<Taken: Future<Output = bool>>(
    table: &ForeignTable,
    columns: &Columns,
    judge: &Judge,
    take: impl Fn(Batch) -> Taken,
) -> Result<(), Error> {
    let fields: Vec<_> = columns.in_table();
    let names: Vec<_> = fields.iter().map(|(_, column)| column.as_str()).collect();
    let mut rows = table.read(&names).await?;
    let (mut batch, mut place) = (Batch::default(), 0);
    while let Some(values) = rows.next().await? {
        place += 1;
        batch.rows.push(judge.row(place, record(&fields, values).map(|record| columns.settle(record))));
        if batch.rows.len() == BATCH && !take(std::mem::take(&mut batch)).await {
            return Ok(());
        }
    }
    take(batch).await;
    Ok(())
}

fn record(fields: &[(&'static str, String)], values: Vec<Option<Vec<u8>>>) -> Result<Record, Refusal> {
    let mut record = Record::default();
    for ((name, _), value) in fields.iter().zip(values) {
        if let Some(field) = record.field(name) {
            *field = match value {
                Some(value) => Field::Text(text(name, &value)?),
                None => Field::Null,
            };
        }
    }
    Ok(record)
}
