//! Owns telling the databases apart by whether the feed's ids ascend, which each says by its version.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::model::Error;
use crate::store::Store;

/// The order in which a database gives ids to the rows of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeOrder {
    /// A later row has a higher id, except for transactions at the same time, which [`Store::late_changes`] bounds.
    Ascending,
    /// Any: nodes of a cluster may take ids ahead, and use them much later.
    Any {
        /// The version that the database tells.
        version: String,
    },
}

/// Clusters that call themselves PostgreSQL and give ids in their own way.
const CLUSTERS_LIKE_POSTGRES: [&str; 6] =
    ["Cloudberry", "GaussDB", "Greenplum", "Postgres-XL", "Redshift", "Yugabyte"];

/// Words in the comment of a version that tell a cluster, whatever the version is.
const CLUSTERS_LIKE_MYSQL: [&str; 4] = ["MySQL Cluster", "OceanBase", "TiDB", "Vitess"];

/// What may follow the number in the version of MySQL, beside the numbers of a packager. MySQL Cluster and forks say other words.
const BUILDS_OF_MYSQL: [&str; 8] =
    ["advanced", "azure", "commercial", "debug", "enterprise", "google", "log", "rds"];

impl Store {
    /// In which order this database gives the rows of the feed their ids.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn change_order(&self) -> Result<ChangeOrder, Error> {
        let db = &self.lanes.service.reader;
        let backend = db.get_database_backend();
        let (query, ascends): (_, fn(&str) -> bool) = match backend {
            DbBackend::Postgres => ("SELECT version()", ascends_on_postgres),
            // TiDB may be told to give another version (`server-version`), but says its name in the comment.
            DbBackend::MySql => ("SELECT CONCAT(version(), ' ', @@version_comment)", ascends_on_mysql),
            // SQLite has one writer at a time.
            _ => return Ok(ChangeOrder::Ascending),
        };
        let version: String = self
            .ask(|| async {
                let row = db.query_one_raw(Statement::from_string(backend, query)).await?;
                row.ok_or_else(|| DbErr::RecordNotFound("the database told no version".to_owned()))?
                    .try_get_by_index(0)
            })
            .await?;
        Ok(if ascends(&version) { ChangeOrder::Ascending } else { ChangeOrder::Any { version } })
    }
}

/// Whether `version` is that of PostgreSQL itself, whoever built it. A name that is not known is not.
fn ascends_on_postgres(version: &str) -> bool {
    let Some(number) = version.strip_prefix("PostgreSQL ").and_then(|rest| rest.split(' ').next()) else {
        return false;
    };
    is_number(number) && !CLUSTERS_LIKE_POSTGRES.iter().any(|name| version.contains(name))
}

/// Whether `version` is that of MySQL or MariaDB, Galera's nodes included, whoever built it. A name that is not known is not.
fn ascends_on_mysql(version: &str) -> bool {
    let (version, comment) = version.split_once(' ').unwrap_or((version, ""));
    if CLUSTERS_LIKE_MYSQL.iter().any(|name| comment.contains(name)) {
        return false;
    }
    let mut parts = version.split('-');
    let is_release = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !parts.next().is_some_and(|number| is_number(number) && is_release(number)) {
        return false;
    }
    let mut parts = parts.peekable();
    parts.peek().is_some_and(|part| *part == "MariaDB")
        || parts.all(|part| {
            part.starts_with(|first: char| first.is_ascii_digit()) || BUILDS_OF_MYSQL.contains(&part)
        })
}

/// Whether `text` is the number of a version: `17.6`, `18beta1`.
fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_is_told_from_what_calls_itself_so() {
        for version in [
            "PostgreSQL 17.6 (Debian 17.6-0+deb13u1) on x86_64-pc-linux-gnu, compiled by gcc (Debian 14.2.0-19) 14.2.0, 64-bit",
            "PostgreSQL 16.4 on aarch64-unknown-linux-gnu, compiled by aarch64-unknown-linux-gnu-gcc (GCC) 9.5.0, 64-bit",
            "PostgreSQL 18beta1 on x86_64-pc-linux-musl, compiled by gcc (Alpine 14.2.0) 14.2.0, 64-bit",
        ] {
            assert!(ascends_on_postgres(version), "{version}");
        }
        for version in [
            "CockroachDB CCL v24.3.1 (x86_64-pc-linux-gnu, built 2024/11/26 18:16:27, go1.22.8)",
            "PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64-pc-linux-gnu, compiled by clang version 16.0.6, 64-bit",
            "PostgreSQL 15.12-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu, compiled by clang version 17.0.6, 64-bit",
            "PostgreSQL 9.4.26 (Greenplum Database 6.27.1 build dev) on x86_64-unknown-linux-gnu, compiled by gcc",
            "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2, Redshift 1.0.75388",
            "EdgeDB 5.0",
            "PostgreSQL",
            "PostgreSQL ",
            "",
        ] {
            assert!(!ascends_on_postgres(version), "{version}");
        }
    }

    #[test]
    fn mysql_and_mariadb_are_told_from_what_speaks_their_protocol() {
        for version in [
            "8.4.6",
            "8.0.43-0ubuntu0.24.04.1",
            "8.0.42-33",
            "8.0.42-33.1",
            "8.0.31-google",
            "8.0.41-azure",
            "8.4.5-log",
            "9.1.0-commercial",
            "11.8.3-MariaDB-0+deb13u1 from Debian",
            "10.11.14-MariaDB-ubu2204-log",
            "11.4.7-MariaDB",
            "8.4.6 MySQL Community Server - GPL",
            "8.0.42-33.1 Percona XtraDB Cluster (GPL), Release rel33, WSREP version 26.1.4.3",
            "11.8.3-MariaDB-0+deb13u1 from Debian -- Please help get to 10k stars at https://github.com/MariaDB/Server",
        ] {
            assert!(ascends_on_mysql(version), "{version}");
        }
        for version in [
            "8.0.11-TiDB-v8.5.1",
            "5.7.25-TiDB-v6.5.0",
            "8.0.42-cluster",
            "8.4.6-Vitess",
            "5.7.25-OceanBase-v4.3.5",
            "8.0.mysql_aurora.3.08.2",
            "8.0.36 TiDB Server (Apache License 2.0) Community Edition, MySQL 8.0 compatible",
            "8.0.42-cluster MySQL Cluster Community Server - GPL",
            "",
            "-MariaDB",
            "MariaDB",
        ] {
            assert!(!ascends_on_mysql(version), "{version}");
        }
    }
}
