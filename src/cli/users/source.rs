//! Owns where `users import` reads: what the command line says of the source, and reading it ahead of the writing.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    iter,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    slice,
    sync::mpsc::RecvTimeoutError,
    thread,
    time::Duration,
};

use clap::{Args, ValueEnum, builder::NonEmptyStringValueParser};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;

use super::source_problems::{advised, name_of, sentence, unreadable, unreadable_source, unreadable_table};
use crate::{
    cli::Failure,
    files::read_text,
    transfer::{
        Batch, Columns, ExportRules, FileForm, HashConfig, Realm, RowRules, SourceDatabase, SourceTable,
        keycloak_files, keycloak_realm, read_auth0, read_csv, read_firebase, read_keycloak, read_ndjson,
        read_table,
    },
};

/// How many batches may be read before they are written.
const AHEAD: usize = 4;

/// How much of a file is read at once, in bytes.
const READ_BYTES: usize = 256 * 1024;

/// How long nobody is told that a pipe is waited for.
const UNTOLD: Duration = Duration::from_secs(1);

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct SourceArguments {
    /// A file of NDJSON or CSV, or an export of another service; `-` for standard input. `signet users export` writes such NDJSON, and
    /// --format names the others. A directory holds what `kc.sh export --dir` wrote.
    #[arg(value_name = "FILE", required_unless_present_any = ["from", "from_file"], conflicts_with_all = ["from", "from_file"])]
    file: Option<PathBuf>,
    /// The format: ndjson, csv, keycloak, auth0 or firebase. By default the file's name says it: .csv, or NDJSON otherwise; and a
    /// directory, Keycloak's export.
    #[arg(long, value_name = "FORMAT", value_enum, conflicts_with_all = ["from", "from_file"])]
    format: Option<Format>,
    /// A file with the parameters of Firebase's hashes. It has them as its console shows them ("Password hash parameters").
    #[arg(long, value_name = "FILE", required_if_eq("format", "firebase"))]
    hash_config: Option<PathBuf>,
    /// Take users of an export without their second factors. These are users who have one, or of whom the export does not say that they
    /// have none; the password alone does here. Otherwise they are refused; and so is Firebase's export, which says it of nobody.
    #[arg(long, conflicts_with_all = ["from", "from_file"])]
    drop_second_factors: bool,
    /// Take Keycloak's groups and roles, too. They are those of the realm as roles of the audience that has its name, those of a client as
    /// roles of the audience that has the client's; users who are new, updated, or there as the export has them get them.
    #[arg(long, conflicts_with_all = ["from", "from_file"])]
    with_roles: bool,
    /// Another service's database. It is `mysql://USER:PASSWORD@HOST/DATABASE`, `postgres://...` or `sqlite:PATH`; what SQLAlchemy writes
    /// (`mysql+pymysql://...`, `sqlite:///./app.db`) is understood. It is only read.
    #[arg(long, env = "SIGNET_IMPORT_FROM", value_name = "URL", hide_env_values = true)]
    from: Option<SecretString>,
    /// A file that holds --from.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    from_file: Option<PathBuf>,
    /// The table of --from, or `schema.table`.
    #[arg(long, value_name = "TABLE", default_value = "users")]
    table: String,
    /// What stands in CSV where there is no value. Nothing says so, too. MySQL and PostgreSQL write `\N`. May be given more than once.
    #[arg(long, value_name = "TEXT", default_value = "\\N", conflicts_with_all = ["from", "from_file"])]
    null: Vec<String>,
    #[command(flatten)]
    columns: ColumnArguments,
}

/// Names of columns, in a table or the first line of a CSV file. An empty name says that there is no such column.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_field_names, reason = "the flags are named so, by the fields of a record")]
#[command(next_help_heading = "Columns of the source")]
struct ColumnArguments {
    /// Default: `id`.
    #[arg(long, value_name = "COLUMN")]
    column_id: Option<String>,
    /// Default: `username`.
    #[arg(long, value_name = "COLUMN")]
    column_username: Option<String>,
    /// Default: `hashed_password`; in a file `password_hash`.
    #[arg(long, value_name = "COLUMN")]
    column_password_hash: Option<String>,
    /// Who may log in. Default: `is_active`, which a table must have and a file may. Empty (`--column-is-active=`): all may.
    #[arg(long, value_name = "COLUMN", conflicts_with = "column_disabled")]
    column_is_active: Option<String>,
    /// Who may not log in, in place of --column-is-active. It is `disabled` in `FastAPI`'s tutorial. Where it is empty or
    /// NULL, the user may.
    #[arg(long, value_name = "COLUMN", value_parser = NonEmptyStringValueParser::new())]
    column_disabled: Option<String>,
    /// Default: none in a table, `email` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_email: Option<String>,
    /// Default: none in a table, `display_name` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_display_name: Option<String>,
    /// Default: none in a table, `create_time` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_create_time: Option<String>,
    /// Default: none in a table, `update_time` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_update_time: Option<String>,
    /// Default: none in a table, `login_time` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_login_time: Option<String>,
    /// Attributes, as a JSON object. Default: none in a table, `attributes` in a file.
    #[arg(long, value_name = "COLUMN")]
    column_attributes: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One JSON object a line.
    Ndjson,
    /// A first line that names the columns.
    Csv,
    /// Keycloak's realm, or its users, as `kc.sh export` writes them: JSON.
    Keycloak,
    /// Auth0's users with their hashes, as its support exports them: one JSON object a line.
    Auth0,
    /// Firebase's users, as `firebase auth:export` writes them: JSON. Needs --hash-config.
    Firebase,
}

/// A source that is there.
pub(super) enum Source {
    File { input: Input, format: FileFormat, name: String, bytes: Option<u64> },
    Table { table: SourceTable, name: String, columns: Columns },
}

/// What is read of a source. Its end is told: a channel that closes before is a reader that failed.
pub(super) struct Batches(mpsc::Receiver<Result<Option<Batch>, Failure>>);

type Input = Box<dyn BufRead + Send>;

/// How a file is read.
pub(super) enum FileFormat {
    Ndjson,
    Csv(Columns),
    /// The `files` are those of a directory, of which the first is the input.
    Keycloak {
        files: Vec<PathBuf>,
        drop_second_factors: bool,
        realm: Option<Realm>,
    },
    Auth0 {
        drop_second_factors: bool,
    },
    Firebase {
        config: HashConfig,
        drop_second_factors: bool,
    },
}

impl SourceArguments {
    /// Looks whether the file is there that is to be read: one that is created later must not be taken for it.
    ///
    /// # Errors
    /// [`Failure::Usage`] if it is not.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let files = [self.file.as_deref(), self.from_file.as_deref()].into_iter().flatten();
        for file in files.filter(|file| *file != Path::new("-")) {
            fs::metadata(file).map_err(|error| unreadable(file, &error))?;
        }
        if let Some(column) = &self.columns.column_is_active
            && Columns::says_disabled(column)
        {
            let problem = format!(
                "--column-is-active: `{column}` seems to say who may not log in: --column-disabled={column} reads it so"
            );
            return Err(Failure::Usage(problem));
        }
        Ok(())
    }

    /// Whether the rows come from standard input.
    pub(super) fn is_standard_input(&self) -> bool {
        self.file.as_deref() == Some(Path::new("-"))
    }

    /// Whether it says the same each time that it is read: a pipe does not.
    pub(super) fn can_be_read_twice(&self) -> bool {
        self.file.as_deref().is_none_or(|file| file.is_file() || file.is_dir())
    }

    /// Opens the source.
    ///
    /// # Errors
    /// [`Failure::Usage`] if there is no such file, or the arguments cannot be meant.
    pub(super) async fn open(self) -> Result<Source, Failure> {
        let columns = Columns { null: self.null, ..self.columns.columns() };
        let from = match (self.from, &self.from_file) {
            (Some(url), _) => Some(url),
            (None, Some(file)) => {
                let text = read_text(file).map_err(|error| unreadable(file, &error))?;
                Some(text.trim().to_owned().into())
            }
            (None, None) => None,
        };
        if let Some(url) = from {
            return open_table(&url, &self.table, columns).await;
        }
        let file = self.file.unwrap_or_else(|| PathBuf::from("-"));
        let is_csv = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let format = match self.format {
            Some(format) => format,
            None if file.is_dir() => Format::Keycloak,
            None if is_csv => Format::Csv,
            None => Format::Ndjson,
        };
        if format != Format::Csv && (!columns.named.is_empty() || columns.disabled.is_some()) {
            let problem =
                "the names of columns are those of a table or of CSV; the members of JSON have one name each";
            return Err(Failure::Usage(problem.to_owned()));
        }
        if format == Format::Firebase && !self.drop_second_factors {
            let problem = "--format firebase: this export does not say who has a second factor: --drop-second-factors has the password \
                           alone do";
            return Err(Failure::Usage(problem.to_owned()));
        }
        let is_export = matches!(format, Format::Keycloak | Format::Auth0 | Format::Firebase);
        if self.drop_second_factors && !is_export {
            let problem = "--drop-second-factors: is for exports of other services (--format)";
            return Err(Failure::Usage(problem.to_owned()));
        }
        if self.with_roles && (format != Format::Keycloak || file == Path::new("-")) {
            let problem = "--with-roles: is for a file or a directory of Keycloak's (--format keycloak), which is read twice";
            return Err(Failure::Usage(problem.to_owned()));
        }
        let realm = self.with_roles.then(|| keycloak_realm(&file)).transpose();
        let realm = realm.map_err(|error| unreadable(&file, &error))?;
        let name = name_of(&file);
        let files = match format {
            Format::Keycloak if file.is_dir() => {
                keycloak_files(&file).map_err(|error| unreadable(&file, &error))?
            }
            _ => Vec::new(),
        };
        let all = if files.is_empty() { slice::from_ref(&file) } else { &files };
        let bytes = all.iter().map(|file| fs::metadata(file).ok().filter(fs::Metadata::is_file));
        let bytes = bytes.map(|metadata| metadata.map(|metadata| metadata.len())).sum();
        let input = open_file(files.first().unwrap_or(&file))?;
        let drop_second_factors = self.drop_second_factors;
        let format = match format {
            Format::Ndjson => FileFormat::Ndjson,
            Format::Csv => FileFormat::Csv(columns),
            Format::Keycloak => FileFormat::Keycloak { files, drop_second_factors, realm },
            Format::Auth0 => FileFormat::Auth0 { drop_second_factors },
            Format::Firebase => {
                let config = hash_config(self.hash_config.as_deref())?;
                FileFormat::Firebase { config, drop_second_factors }
            }
        };
        Ok(Source::File { input, format, name, bytes })
    }
}

/// The table `name` of the database at `url`.
async fn open_table(url: &SecretString, name: &str, columns: Columns) -> Result<Source, Failure> {
    let database = SourceDatabase::find(url.expose_secret())
        .map_err(|problem| Failure::Usage(format!("--from: {problem}")))?;
    let has = |field| columns.in_table().iter().any(|(name, _)| *name == field);
    if !has("username") || !has("password_hash") {
        let problem = "--column-username and --column-password-hash must name columns";
        return Err(Failure::Usage(problem.to_owned()));
    }
    let source = database.to_string();
    let table =
        database.table(name).await.map_err(|error| unreadable_table(&error, sentence(&error, &source)))?;
    Ok(Source::Table { table, name: source, columns })
}

/// The parameters of hashes in `file`. The key among them is a secret: no message repeats what stands there.
fn hash_config(file: Option<&Path>) -> Result<HashConfig, Failure> {
    let file =
        file.ok_or_else(|| Failure::Usage("--hash-config: must be given with Firebase's export".to_owned()))?;
    let text = read_text(file).map_err(|error| unreadable(file, &error))?;
    HashConfig::parse(&text)
        .map_err(|problem| Failure::Usage(format!("--hash-config: {} {problem}", file.display())))
}

impl ColumnArguments {
    fn columns(self) -> Columns {
        let named = [
            ("id", self.column_id),
            ("username", self.column_username),
            ("password_hash", self.column_password_hash),
            ("is_active", self.column_is_active),
            ("email", self.column_email),
            ("display_name", self.column_display_name),
            ("create_time", self.column_create_time),
            ("update_time", self.column_update_time),
            ("login_time", self.column_login_time),
            ("attributes", self.column_attributes),
        ];
        let named = named.into_iter().filter_map(|(field, column)| Some((field, column?))).collect();
        Columns { named, disabled: self.column_disabled, ..Columns::default() }
    }
}

impl Source {
    /// What a row's number counts.
    pub(super) const fn place(&self) -> &'static str {
        match self {
            Self::Table { .. } => "row",
            Self::File { format: FileFormat::Keycloak { .. } | FileFormat::Firebase { .. }, .. } => "user",
            Self::File { .. } => "line",
        }
    }

    /// The realm whose roles and groups are to come over, if any are.
    pub(super) const fn realm(&self) -> Option<&Realm> {
        if let Self::File { format: FileFormat::Keycloak { realm, .. }, .. } = self {
            realm.as_ref()
        } else {
            None
        }
    }

    /// Its length, if that is known.
    pub(super) const fn bytes(&self) -> Option<u64> {
        if let Self::File { bytes, .. } = self { *bytes } else { None }
    }

    /// Reads it, a few batches ahead of whoever takes them.
    pub(super) fn read(self, rules: RowRules) -> Batches {
        let (sender, receiver) = mpsc::channel(AHEAD);
        match self {
            // On a thread that nobody waits for: standard input may never end.
            Self::File { input, format, name, .. } => drop(thread::spawn(move || {
                let take = |batch| sender.blocking_send(Ok(Some(batch))).is_ok();
                let read = format.read(input, &rules, take);
                let end = read.map(|()| None);
                // If nobody reads any more, another failure has been told.
                let _ = sender.blocking_send(
                    end.map_err(|error| unreadable_source(format!("{name} cannot be read: {error}"))),
                );
            })),
            Self::Table { mut table, name, columns } => drop(tokio::spawn(async move {
                let take = |batch| async { sender.send(Ok(Some(batch))).await.is_ok() };
                let end = read_table(&mut table, &columns, &rules, take).await.map(|()| None);
                let told = |error| unreadable_table(&error, advised(sentence(&error, &name), &columns));
                let _ = sender.send(end.map_err(told)).await;
            })),
        }
        Batches(receiver)
    }
}

impl Batches {
    /// The next batch; none at the end of the source.
    ///
    /// # Errors
    /// What the source says; and a failure of whoever reads it: what has not come would be missing without a word.
    pub(super) async fn next(&mut self) -> Result<Option<Batch>, Failure> {
        let unfinished = || unreadable_source("the reading of the source ended before its end".to_owned());
        self.0.recv().await.unwrap_or_else(|| Err(unfinished()))
    }
}

impl FileFormat {
    /// The `input`, unless it begins as another format does.
    fn recognised(&self, mut input: Input) -> io::Result<Input> {
        let (is_read_so, what, format) = match FileForm::of(input.fill_buf()?) {
            None => return Ok(input),
            Some(FileForm::Keycloak) => {
                (matches!(self, Self::Keycloak { .. }), "Keycloak's export", "keycloak")
            }
            Some(FileForm::Auth0) => (matches!(self, Self::Auth0 { .. }), "Auth0's export", "auth0"),
            Some(FileForm::Firebase) => {
                (matches!(self, Self::Firebase { .. }), "Firebase's export", "firebase")
            }
            Some(FileForm::Csv) => (matches!(self, Self::Csv(_)), "CSV", "csv"),
        };
        if is_read_so {
            return Ok(input);
        }
        let problem = format!("this looks like {what}: --format {format}");
        Err(io::Error::new(io::ErrorKind::InvalidData, problem))
    }

    fn read(self, input: Input, rows: &RowRules, take: impl FnMut(Batch) -> bool) -> io::Result<()> {
        let input = self.recognised(input)?;
        let exports = |drop_second_factors| ExportRules { rows, drop_second_factors, with_roles: false };
        match self {
            Self::Ndjson => read_ndjson(input, rows, take),
            Self::Csv(columns) => read_csv(input, &columns, rows, take),
            Self::Keycloak { files, drop_second_factors, realm } => {
                // One is open at a time: an export of a million users has thousands of files.
                let opened = |file: PathBuf| (Some(file.clone()), File::open(file).map(buffered));
                let mut files = files.into_iter();
                let inputs = iter::once((files.next(), Ok(input))).chain(files.map(opened));
                let rules = ExportRules { with_roles: realm.is_some(), ..exports(drop_second_factors) };
                read_keycloak(inputs, rules, take)
            }
            Self::Auth0 { drop_second_factors } => read_auth0(input, exports(drop_second_factors), take),
            Self::Firebase { config, drop_second_factors } => {
                read_firebase(input, &config, exports(drop_second_factors), take)
            }
        }
    }
}

/// The file, open.
fn open_file(file: &Path) -> Result<Input, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(READ_BYTES, io::stdin())));
    }
    let opened = open_patiently(file).and_then(|opened| Ok((opened.metadata()?, opened)));
    let (metadata, opened) = opened.map_err(|error| unreadable(file, &error))?;
    if metadata.is_dir() {
        return Err(Failure::Usage(format!("{} is a directory", file.display())));
    }
    Ok(buffered(opened))
}

fn buffered(file: File) -> Input {
    Box::new(BufReader::with_capacity(READ_BYTES, file))
}

/// Opens `file`. A pipe opens when somebody writes to it, as a shell's does: who waits for that is told.
fn open_patiently(file: &Path) -> io::Result<File> {
    if !fs::metadata(file)?.file_type().is_fifo() {
        return File::open(file);
    }
    let (sender, opened) = std::sync::mpsc::channel();
    let path = file.to_owned();
    // Nobody may be waiting any more.
    thread::spawn(move || drop(sender.send(File::open(path))));
    match opened.recv_timeout(UNTOLD) {
        Err(RecvTimeoutError::Timeout) => {
            tracing::warn!(file = %file.display(), "waiting: nobody writes to this pipe yet");
            opened.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
        }
        opened => opened.unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_ends_without_a_word_has_failed() {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let mut batches = Batches(receiver);
        sender.send(Ok(Some(Batch::default()))).await.unwrap();
        sender.send(Ok(None)).await.unwrap();
        drop(sender);
        assert!(matches!(batches.next().await, Ok(Some(_))));
        assert!(matches!(batches.next().await, Ok(None)));
        assert!(batches.next().await.is_err());
    }
}
