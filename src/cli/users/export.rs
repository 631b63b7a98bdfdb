//! Owns `signet users export`.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    audit::Event,
    cli::{Failure, records::Records},
    config::Config,
    files::create_new,
    model::UserId,
    server::{Missing, own_files},
    store::Store,
    transfer::{EXPORT_PAGE, Exported},
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The file to write, which must not be there yet; it is made for its owner alone, since it holds password hashes. Standard
    /// output if none is named, or `-`.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> Result<(), Failure> {
    let path = arguments.file.as_deref().filter(|path| *path != Path::new("-"));
    if let Some(path) = path {
        own_files(config).refuse_name(path).map_err(|error| unwritable(path, &error))?;
    }
    let records = Records::open(config, Missing::Refused).await?;
    let result = export(path, &records).await;
    records.close().await;
    result
}

async fn export(path: Option<&Path>, records: &Records) -> Result<(), Failure> {
    let event = Event::UsersExported.done().by_operator();
    let Some(path) = path else {
        let pending = records.audit.begin(event);
        let written = write(&records.store, BufWriter::new(io::stdout())).await;
        // What was written before a failure is out all the same.
        pending.done();
        return written.map(drop);
    };
    let problem = |error| unwritable(path, &error);
    let file = create_new(path).map_err(problem)?;
    let pending = records.audit.begin(event);
    let written: Result<File, _> = write(&records.store, BufWriter::new(file)).await;
    pending.done();
    // Whoever moves away deletes the database next.
    written?.sync_all().map_err(problem)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!("{} cannot be written: {error}", path.display()))
}

/// Writes every user, page by page in the order of their ids: each as it is when its page is read.
async fn write<W: Write>(store: &Store, mut output: BufWriter<W>) -> Result<W, Failure> {
    let mut after: Option<UserId> = None;
    loop {
        let page = store.stored_users(after, EXPORT_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.user.id);
        for user in &page {
            serde_json::to_writer(&mut output, &Exported::from(user)).map_err(io::Error::from)?;
            output.write_all(b"\n")?;
        }
    }
    output.flush()?;
    output.into_inner().map_err(|error| error.into_error().into())
}
