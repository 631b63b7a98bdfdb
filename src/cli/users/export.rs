//! Owns `signet users export`.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    cli::{Failure, records::Records},
    config::Config,
    files::create_new,
    install::own_files,
    transfer::Export,
};

#[derive(Args, Debug)]
pub(in crate::cli) struct Arguments {
    /// The file to write, which must not be there yet; it is made for its owner alone, since it holds password hashes. Standard
    /// output if none is named, or `-`; a terminal only if it is `-`.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments, config: &Config) -> Result<(), Failure> {
    let path = arguments.file.as_deref().filter(|path| *path != Path::new("-"));
    if arguments.file.is_none() && io::stdout().is_terminal() {
        let problem = "the hashes of all passwords would be shown on this terminal: name a file, or `-` if that is meant";
        return Err(Failure::Usage(problem.to_owned()));
    }
    if let Some(path) = path {
        own_files(config).refuse_name(path).map_err(|error| unwritable(path, &error))?;
    }
    // Who moves away because the master key is lost has none.
    Records::without_master_key(config, async |records| export(path, records).await).await
}

async fn export(path: Option<&Path>, records: &Records) -> Result<(), Failure> {
    let Some(path) = path else {
        return write(records.export(), BufWriter::new(io::stdout())).await.map(drop);
    };
    let problem = |error| unwritable(path, &error);
    let file = create_new(path).map_err(problem)?;
    let written: File = write(records.export(), BufWriter::new(file)).await?;
    // Whoever moves away deletes the database next.
    written.sync_all().map_err(problem)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::of_new_file(error, format!("{} cannot be written: {error}", path.display()))
}

/// Writes every user, and ends the export.
async fn write<W: Write>(mut export: Export<'_>, mut output: BufWriter<W>) -> Result<W, Failure> {
    let writing = async {
        while let Some(lines) = export.next_page().await? {
            output.write_all(&lines)?;
        }
        output.flush()?;
        output.into_inner().map_err(|error| Failure::from(error.into_error()))
    };
    let written = writing.await;
    export.end();
    written
}
