//! Owns one filled database and the servers on it.

use std::{path::Path, time::Duration};

use signet::{
    config::Config,
    identity::UserDirectory,
    install::{Missing, OpenDatabase},
    model::{Error, UserId},
    store::Store,
};

use super::{
    server::{DatabaseServer, Direct},
    users,
    work::{PAGE, Search},
};
use crate::{
    Result,
    process::{Program, Server},
    stats::float,
};

/// What private data are sealed with: nobody else ever has them.
pub(crate) const MASTER_KEY: &str =
    "--master-key=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// How often it is looked whether the indexes for searching are built, and how long that is waited for: those of a million users take
/// minutes.
const LOOK: Duration = Duration::from_secs(1);
const MAX_LOOKS: usize = 1_800;

/// A database with so many users, each with a session, and two servers on it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) users: usize,
    pub(crate) program: Program,
    /// Remembers no user and no session.
    pub(crate) forgetful: Server,
    /// Remembers all.
    pub(crate) remembering: Server,
    /// The same database in this process.
    pub(crate) store: Store,
    /// The same, as the admin API and `signet users search` find users.
    pub(crate) directory: UserDirectory,
    /// The names of users who have [`BINDINGS`](super::access::BINDINGS) bindings each; the others have none.
    pub(crate) holders: Vec<String>,
    /// After this one comes the last page of users.
    pub(crate) near_the_end: UserId,
    pub(crate) filled: Filled,
}

/// What filling the database showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filled {
    /// Users imported per second.
    pub(crate) rows_per_second: f64,
    /// On the disk: with no user, with the users, and with a session for each.
    pub(crate) empty_bytes: f64,
    pub(crate) users_bytes: f64,
    pub(crate) sessions_bytes: f64,
}

impl Site {
    /// Makes a database with `count` users in `folder` or on `server`.
    pub(crate) async fn fill(server: &DatabaseServer, folder: &Path, count: usize) -> Result<Self> {
        let url = server.create(&format!("users_{count}"), folder).await?;
        let url_setting = format!("--database-url={url}");
        let data_dir = format!("--data-dir={}", folder.display());
        let settings: Vec<&str> = users::CHEAPEST
            .into_iter()
            .chain([&*url_setting, &*data_dir, MASTER_KEY, "--auto-migrate"])
            .collect();
        let program = Program::signet_with(settings.iter().copied());
        program.run(&["migrate", "up"])?;
        let direct = Direct::to(&url, server.kind).await?;
        let empty_bytes = bytes(&direct).await?;
        let file = folder.join("users.ndjson");
        users::write(&file, count)?;
        let rows_per_second = users::import(&program, &file, count)?;
        std::fs::remove_file(&file)?;
        let users_bytes = bytes(&direct).await?;
        direct.add_sessions().await?;
        let sessions_bytes = bytes(&direct).await?;
        let holders = direct.add_access(count).await?;
        direct.tidy().await?;
        let near_the_end = direct.user_before_the_last(PAGE).await?;
        direct.close().await?;
        let variant = |setting| Program::signet_with(settings.iter().copied().chain([setting])).start();
        let (forgetful, remembering) =
            (variant("--standing-cache-size=0")?, variant("--standing-cache-size=1000000")?);
        let store = store(&settings).await?;
        let directory = UserDirectory::new(store.clone());
        until_it_can_be_searched(&directory).await?;
        Ok(Self {
            users: count,
            forgetful,
            remembering,
            program,
            store,
            directory,
            holders,
            near_the_end,
            filled: Filled { rows_per_second, empty_bytes, users_bytes, sessions_bytes },
        })
    }

    /// What a user takes on the disk beside this database's first page, in bytes.
    pub(crate) fn bytes_per_user(&self) -> f64 {
        (self.filled.users_bytes - self.filled.empty_bytes) / float(self.users)
    }

    /// The same of a session.
    pub(crate) fn bytes_per_session(&self) -> f64 {
        (self.filled.sessions_bytes - self.filled.users_bytes) / float(self.users)
    }
}

/// Waits until a server has built the indexes that searching needs, which it does by a job.
async fn until_it_can_be_searched(directory: &UserDirectory) -> Result<()> {
    for search in Search::ALL {
        let (filter, mut looks) = (search.filter(0), 0);
        while let Err(error) = directory.search(&filter, None, 1).await {
            looks += 1;
            if !matches!(error, Error::IndexBeingBuilt { .. }) || looks == MAX_LOOKS {
                return Err(error.to_string().into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// How large the database is once it has been tidied.
async fn bytes(direct: &Direct) -> Result<f64> {
    direct.tidy().await?;
    #[expect(clippy::cast_precision_loss, reason = "no database here comes near 2^52 bytes")]
    let bytes = direct.bytes().await? as f64;
    Ok(bytes)
}

/// The database that `settings` name, opened as the service opens it.
async fn store(settings: &[&str]) -> Result<Store> {
    #[derive(clap::Parser)]
    struct Settings {
        #[command(flatten)]
        config: Config,
    }
    let parsed = <Settings as clap::Parser>::try_parse_from(std::iter::once(&"signet").chain(settings))?;
    let open = OpenDatabase::for_command(&parsed.config.storage, Missing::Refused).await;
    Ok(open.map_err(|error| error.to_string())?.store)
}
