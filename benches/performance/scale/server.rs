//! Owns the database servers: starting a private one of each kind, and what they and their files take.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use sea_orm::{ConnectionTrait, Database, DatabaseConnection, Statement};
use signet::model::UserId;

use super::access;
use crate::{Result, process};

/// What a database server may keep in its memory: all that is measured, as whoever sizes one for its users would see to.
const MEMORY: &str = "2048M";

/// The kinds of database that Signet runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
    MySql,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::MySql];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MariaDB",
        }
    }
}

/// A private database server; it ends when it goes out of scope. SQLite has none.
#[derive(Debug)]
pub(crate) struct DatabaseServer {
    pub(crate) kind: Kind,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// `scripts/databases`, which stops the server once its standard input ends.
    script: Child,
    /// A URL of the server, which ends in a database that is always there.
    url: String,
    pid: u32,
}

impl DatabaseServer {
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        let argument = match kind {
            Kind::Sqlite => return Ok(Self { kind, running: None }),
            Kind::Postgres => "postgres",
            Kind::MySql => "mysql",
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/databases");
        let told = r#"echo "$SIGNET_TEST_DATABASE_URL $SIGNET_TEST_DATABASE_PID"; exec cat"#;
        let mut script = Command::new(script)
            .args([argument, "sh", "-c", told])
            .env("SIGNET_TEST_DATABASE_MEMORY", MEMORY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = script.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let (url, pid) =
            line.trim().split_once(' ').ok_or("scripts/databases did not say where the server is")?;
        let running = Running { url: url.to_owned(), pid: pid.parse()?, script };
        Ok(Self { kind, running: Some(running) })
    }

    /// The URL of a new database `name`; for SQLite, of a file in `folder`.
    pub(crate) async fn create(&self, name: &str, folder: &Path) -> Result<String> {
        let Some(Running { url, .. }) = &self.running else {
            return Ok(format!("sqlite:{}", folder.join(name).display()));
        };
        let db = Database::connect(url).await?;
        db.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
        db.close().await?;
        let (server, _) = url.rsplit_once('/').ok_or("the server's URL ends in no database")?;
        Ok(format!("{server}/{name}"))
    }

    /// The CPU time that the server has taken: none if there is no server.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        self.running.as_ref().map_or(Ok(Duration::ZERO), |running| process::cpu_of_family(running.pid))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}

/// A connection to a database behind Signet's back.
#[derive(Debug)]
pub(crate) struct Direct {
    db: DatabaseConnection,
    kind: Kind,
}

impl Direct {
    pub(crate) async fn to(url: &str, kind: Kind) -> Result<Self> {
        Ok(Self { db: Database::connect(url).await?, kind })
    }

    /// Gives every user a session, as if each had logged in once and gone away. It has the id of its user.
    pub(crate) async fn add_sessions(&self) -> Result<()> {
        let random = match self.kind {
            Kind::Sqlite => "randomblob(32)",
            Kind::Postgres => "sha256(id::text::bytea || random()::text::bytea)",
            Kind::MySql => "RANDOM_BYTES(32)",
        };
        let add = format!(
            "INSERT INTO sessions (id, user_id, client_id, scope, user_agent, address, create_time, last_use_time, \
             refresh_newest, refresh_before_newest, refresh_salt) \
             SELECT id, id, 'signet', 'profile', 'grpc-go/1.70.0', '10.1.2.3', {now}, {now}, {random}, {random}, {random} \
             FROM users",
            now = signet::base::Clock::system().now().as_micros(),
        );
        self.db.execute_unprepared(&add).await?;
        Ok(())
    }

    /// Adds roles, groups and bindings as there are of `users` users, and returns the names of those who have many.
    pub(crate) async fn add_access(&self, users: usize) -> Result<Vec<String>> {
        access::add(&self.db, users).await
    }

    /// Has the database do now what it would do some time after so many insertions.
    pub(crate) async fn tidy(&self) -> Result<()> {
        let statements: &[&str] = match self.kind {
            Kind::Sqlite => &["PRAGMA wal_checkpoint(TRUNCATE)"],
            Kind::Postgres => {
                &["VACUUM (ANALYZE) users", "VACUUM (ANALYZE) sessions", "ANALYZE", "CHECKPOINT"]
            }
            Kind::MySql => &["ANALYZE TABLE users, sessions, roles, `groups`, memberships, bindings"],
        };
        for statement in statements {
            self.db.query_all_raw(Statement::from_string(self.db.get_database_backend(), *statement)).await?;
        }
        Ok(())
    }

    /// The user who has `count` users after it.
    pub(crate) async fn user_before_the_last(&self, count: u64) -> Result<UserId> {
        let query = format!("SELECT id FROM users ORDER BY id DESC LIMIT 1 OFFSET {count}");
        let found =
            self.db.query_one_raw(Statement::from_string(self.db.get_database_backend(), query)).await?;
        Ok(UserId(found.ok_or("too few users")?.try_get_by_index(0)?))
    }

    /// What the database takes on the disk, in bytes.
    pub(crate) async fn bytes(&self) -> Result<i64> {
        let size = match self.kind {
            Kind::Sqlite => "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
            Kind::Postgres => "SELECT pg_database_size(current_database())",
            Kind::MySql => {
                "SELECT CAST(SUM(file_size) AS SIGNED) FROM information_schema.innodb_sys_tablespaces \
                 WHERE name LIKE CONCAT(DATABASE(), '/%')"
            }
        };
        let found =
            self.db.query_one_raw(Statement::from_string(self.db.get_database_backend(), size)).await?;
        Ok(found.ok_or("the database does not say how large it is")?.try_get_by_index(0)?)
    }

    pub(crate) async fn close(self) -> Result<()> {
        Ok(self.db.close().await?)
    }
}
