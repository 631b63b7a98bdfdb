//! Owns users on the move: bringing them in from a file or another service's table, and writing them out.
//!
//! One user is a [`Record`] as it stands outside, a [`Candidate`] once every rule has been asked, and a row when the database has
//! taken it. What becomes of each is an [`RowOutcome`].

use std::{collections::BTreeMap, sync::Arc};

mod candidate;
mod columns;
mod csv;
mod export;
mod exports;
mod file_form;
mod import;
mod lines;
mod moment;
mod ndjson;
mod outcome;
mod record;
mod renames;
mod roles;
mod table;

pub use candidate::{Candidate, RowRules};
pub use columns::Columns;
pub use csv::read_csv;
pub use export::Export;
pub use exports::{
    ExportRules, Grants, HashConfig, Realm, RealmRole, keycloak_files, keycloak_realm, read_auth0,
    read_firebase, read_keycloak,
};
pub use file_form::FileForm;
pub use import::{Import, ImportSettings, OnConflict};
pub use lines::MAX_ROW_BYTES;
pub use ndjson::read_ndjson;
pub use outcome::{ImportCounts, Reason, RefusedRow, RowOutcome};
pub use record::{Field, Record};
pub use renames::Renames;
pub use roles::{AccessCounts, AccessImport, AccessProblem};
pub use table::{SourceDatabase, SourceTable, read_table};

/// How many rows are read, checked and written together: what one statement of the store takes.
pub const BATCH: usize = crate::store::BATCH;

/// A row of the input, checked by itself.
#[derive(Debug)]
pub struct Row {
    /// The number of its line, or of the row in a table: from 1.
    pub place: u64,
    /// The file that it is of, where a source is several, and the number in that.
    pub file: Option<(Arc<str>, u64)>,
    /// Its id in the source, as it is written there.
    pub source_id: Option<String>,
    /// Its name as it came.
    pub username: Option<String>,
    /// The user, if no rule is broken.
    pub candidate: Result<Candidate, RefusedRow>,
}

/// Rows that are read together.
#[derive(Debug, Default)]
pub struct Batch {
    /// The rows.
    pub rows: Vec<Row>,
    /// How much of the input has been read, in bytes.
    pub bytes: u64,
    /// The columns of the input that no field is read from; with its first batch.
    pub ignored_columns: Vec<String>,
    /// How much of each kind its users have in the source, and not here.
    pub not_taken: BTreeMap<&'static str, u64>,
    /// What each row's user has of roles and groups, if that was asked for.
    pub grants: Vec<Grants>,
}
