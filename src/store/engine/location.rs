//! Owns the URL of a database server: which kind, how it is reached, and how it is named without its password.

use std::{fmt, path::PathBuf, str::FromStr};

use pkcs8::der::pem::{self, LineEnding};
use rustls::RootCertStore;
use rustls_native_certs::load_native_certs;
use sea_orm::sqlx::{
    self, ConnectOptions as _,
    mysql::{MySqlConnectOptions, MySqlSslMode},
    postgres::{PgConnectOptions, PgSslMode},
};

use super::url_parameters::{Dialect, Protection, UrlParameters, read};

/// What a database URL names.
#[derive(Clone, Debug)]
pub enum Location {
    /// A SQLite file.
    File(PathBuf),
    /// A database server.
    Server(Box<ServerUrl>),
}

impl FromStr for Location {
    type Err = String;

    /// Reads `sqlite:PATH`, or what [`ServerUrl`] reads.
    fn from_str(url: &str) -> Result<Self, String> {
        match url.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            _ => match url.parse() {
                Ok(url) => Ok(Self::Server(Box::new(url))),
                Err(problem) if problem == SERVERS => {
                    Err(problem.replacen("must be ", "must be `sqlite:PATH`, ", 1))
                }
                Err(problem) => Err(problem),
            },
        }
    }
}

/// A database server, and the database in it. Its password is shown by nothing.
#[derive(Clone)]
pub struct ServerUrl {
    pub(in crate::store) server: Server,
    shown: String,
}

#[derive(Clone)]
pub(in crate::store) enum Server {
    Postgres(PgConnectOptions),
    MySql(MySqlConnectOptions),
}

impl ServerUrl {
    /// The program of the database's own that writes a backup of it.
    #[must_use]
    pub const fn dump_program(&self) -> &'static str {
        match self.server {
            Server::Postgres(_) => "pg_dump",
            Server::MySql(_) => "mariadb-dump or mysqldump",
        }
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS`, `mysql://...`, and other schemes of the same, such as SQLAlchemy's.
    ///
    /// A parameter that is not known is refused: a misspelt `sslmode` must not mean a connection without TLS. So is a driver that is not
    /// known: `postgres+ssl` may be meant to say more than a driver.
    fn from_str(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or(SERVERS)?;
        let (scheme, driver) =
            scheme.split_once('+').map_or((scheme, None), |(scheme, driver)| (scheme, Some(driver)));
        check_separators(rest)?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let dialect = match scheme {
            "postgres" | "postgresql" | "psql" | "pgsql" | "postgis" => Dialect::Postgres,
            "mysql" | "mariadb" | "mysql2" | "mysqlgis" => Dialect::MySql,
            _ => return Err(SERVERS.to_owned()),
        };
        if driver.is_some_and(|driver| !DRIVERS.contains(&driver)) {
            return Err(UNKNOWN_DRIVER.to_owned());
        }
        let parameters = read(query, dialect)?;
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        if authority.rsplit('@').next().is_some_and(|hosts| hosts.contains(',')) {
            return Err(several_hosts());
        }
        if database.contains('/') {
            return Err(format!("names a database with a `/` in it. {ENCODE}"));
        }
        if database.is_empty() && !parameters.query.split('&').any(|pair| pair.starts_with("dbname=")) {
            return Err("names no database: it must end in `/` and the database's name".to_owned());
        }
        let url = format!("{address}?{}", parameters.query);
        let server = match dialect {
            Dialect::Postgres => Server::Postgres(postgres(&url, &parameters)?),
            Dialect::MySql => Server::MySql(mysql(&url, &parameters)?),
        };
        let shown = match &server {
            Server::Postgres(options) => {
                format!(
                    "postgres://{}:{}/{}",
                    options.get_host(),
                    options.get_port(),
                    options.get_database().unwrap_or(database)
                )
            }
            Server::MySql(options) => {
                format!(
                    "mysql://{}:{}/{}",
                    options.get_host(),
                    options.get_port(),
                    options.get_database().unwrap_or(database)
                )
            }
        };
        Ok(Self { server, shown })
    }
}

/// How a PostgreSQL server is reached.
fn postgres(url: &str, parameters: &UrlParameters) -> Result<PgConnectOptions, String> {
    let options: Result<PgConnectOptions, _> = format!("postgres://{url}").parse();
    let mut options = options.map_err(|error| unusable(&error))?.disable_statement_logging();
    if let Some(protection) = parameters.protection {
        options = options.ssl_mode(match protection {
            Protection::Off => PgSslMode::Disable,
            Protection::Preferred => PgSslMode::Prefer,
            Protection::Required => PgSslMode::Require,
            Protection::VerifyAuthority => PgSslMode::VerifyCa,
            Protection::VerifyName => PgSslMode::VerifyFull,
        });
    }
    if parameters.system_roots {
        options = options.ssl_root_cert_from_pem(system_roots().into_bytes());
    }
    if let Some(schema) = &parameters.schema {
        options = options.options([("search_path", format!("\"{}\"", schema.replace('"', "\"\"")))]);
    }
    Ok(options)
}

/// How a MySQL server is reached.
fn mysql(url: &str, parameters: &UrlParameters) -> Result<MySqlConnectOptions, String> {
    let options: Result<MySqlConnectOptions, _> = format!("mysql://{url}").parse();
    let options = options.map_err(|error| unusable(&error))?.disable_statement_logging();
    let Some(protection) = parameters.protection else { return Ok(options) };
    Ok(options.ssl_mode(match protection {
        Protection::Off => MySqlSslMode::Disabled,
        Protection::Preferred => MySqlSslMode::Preferred,
        Protection::Required => MySqlSslMode::Required,
        Protection::VerifyAuthority => MySqlSslMode::VerifyCa,
        Protection::VerifyName => MySqlSslMode::VerifyIdentity,
    }))
}

/// The authorities that this system trusts (those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, where they are set), in PEM: the driver knows the
/// public ones of Mozilla's list by itself. One that the driver could not use would end every connection.
fn system_roots() -> String {
    let roots = load_native_certs().certs.into_iter();
    let usable = roots.filter(|root| RootCertStore::empty().add(root.clone()).is_ok());
    usable.filter_map(|root| pem::encode_string("CERTIFICATE", LineEnding::LF, &root).ok()).collect()
}

/// Refuses what would end the password where its writer did not mean it to: the rest of it would be taken for something that is shown.
fn check_separators(rest: &str) -> Result<(), String> {
    // What stands after it would be passed over, a `sslmode` too.
    if rest.contains('#') {
        return Err(format!("has a `#`. {ENCODE}"));
    }
    let after_address = rest.split_once(['/', '?']).map_or("", |(_, after)| after);
    if after_address.contains('@') {
        return Err(format!("has an `@` after its first `/` or `?`. {ENCODE}"));
    }
    Ok(())
}

/// Why the driver cannot use a URL. Only what it says of the URL as a whole is of a fixed form: of a parameter it repeats the value.
fn unusable(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(cause) if cause.is::<url::ParseError>() => {
            format!("cannot be used: {cause}")
        }
        _ => "cannot be used: a parameter, such as `port`, has a value that is not known".to_owned(),
    }
}

pub(super) fn several_hosts() -> String {
    format!("names several hosts: one must be chosen. {ENCODE}")
}

pub(super) const ENCODE: &str = "In a user name, a password or a parameter, write `/` as %2F, `?` as %3F, `#` as %23, `@` as %40 \
                                 and `&` as %26";

/// What stands after the `+` of a scheme in SQLAlchemy's URLs, and says nothing but which driver is meant.
const DRIVERS: [&str; 20] = [
    "aiomysql",
    "aiopg",
    "asyncmy",
    "asyncpg",
    "cymysql",
    "gaerdbms",
    "mariadbconnector",
    "mysqlconnector",
    "mysqldb",
    "oursql",
    "pg8000",
    "psycopg",
    "psycopg2",
    "psycopg2cffi",
    "psycopg_async",
    "pygresql",
    "pymysql",
    "pyodbc",
    "pypostgresql",
    "zxjdbc",
];

const UNKNOWN_DRIVER: &str =
    "names no driver that is known after the `+` of its scheme: leave it out, and ask for TLS by a parameter";

const SERVERS: &str =
    "must be `postgres://USER:PASSWORD@HOST/DATABASE` or `mysql://USER:PASSWORD@HOST/DATABASE`";

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({})", self.shown)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_server_is_shown_without_its_user_and_password() {
        for (url, shown) in [
            ("postgres://signet:hunter2@db/signet", "postgres://db:5432/signet"),
            ("postgresql://signet:hunter2@db:1/signet?sslmode=verify-full", "postgres://db:1/signet"),
            ("postgres://db/?dbname=signet&user=u&password=hunter2", "postgres://db:5432/signet"),
            ("mysql://signet:hunter2@db/signet?ssl-mode=VERIFY_IDENTITY", "mysql://db:3306/signet"),
            ("mariadb://signet:hunter2@[::1]:7/signet", "mysql://[::1]:7/signet"),
            // As Neon, Supabase, SQLAlchemy, Prisma and Django write them.
            (
                "postgresql://u:hunter2@ep-pooler.neon.tech/db?sslmode=require&channel_binding=require",
                "postgres://ep-pooler.neon.tech:5432/db",
            ),
            (
                "postgres://u.ref:hunter2@aws-0.pooler.supabase.com:6543/postgres?pgbouncer=true",
                "postgres://aws-0.pooler.supabase.com:6543/postgres",
            ),
            ("mysql+pymysql://u:hunter2@db/app?charset=utf8mb4", "mysql://db:3306/app"),
            ("mariadb+mariadbconnector://u:hunter2@db/app", "mysql://db:3306/app"),
            ("postgresql+psycopg_async://u:hunter2@db/app", "postgres://db:5432/app"),
            ("mysql://u:hunter2@db/app?sslaccept=strict&connection_limit=5", "mysql://db:3306/app"),
            ("psql://u:hunter2@db/app?schema=public&connect_timeout=10", "postgres://db:5432/app"),
        ] {
            let url: ServerUrl = url.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(!format!("{url:?}").contains("hunter2"));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (url, problem) in [
            ("", "must be"),
            ("oracle://hunter2@db/signet", "must be"),
            // What could be meant to ask for TLS.
            ("postgres+ssl://signet:hunter2@db/signet", "no driver that is known"),
            ("mysql+tls+pymysql://signet:hunter2@db/signet", "no driver that is known"),
            ("mysql+hunter2://signet@db/signet", "no driver that is known"),
            ("postgresql+://signet:hunter2@db/signet", "no driver that is known"),
            ("postgres://signet:hunter2@db", "names no database"),
            ("mysql://signet:hunter2@db/", "names no database"),
            ("postgres://signet:hunter2@db/signet?ssl_mode=verify-full", "at place 1 "),
            ("postgres://signet:x@db/signet?sslmode=hunter2", "`sslmode`"),
            ("mysql://signet:hunter2@db/signet?ssl-mode=REQUIRED&tls=true", "at place 2 "),
            ("mysql://signet:hunter2@db:port/signet", "cannot be used: invalid port"),
            // What a password has in it that must be encoded.
            ("postgres://signet:abc?hunter2@db/signet", "`?` as %3F"),
            ("postgres://signet:abc?sslmode=hunter2@db/signet", "`?` as %3F"),
            ("postgres://signet:12/hunter2@db/signet", "`/` as %2F"),
            ("mysql://signet:12/hunter2/signet", "`/` as %2F"),
            ("mysql://signet:abc#hunter2@db/signet", "`#` as %23"),
            ("postgres://db/signet?password=abc&hunter2", "`&` as %26"),
            ("postgres://db/signet?password=abc#&hunter2", "`#` as %23"),
            ("postgres://signet:hunter2@a,b/signet", "several hosts"),
            ("postgres://signet:hunter2@a:1,b:2/signet", "several hosts"),
            ("postgres://signet:hunter2@/signet?host=a,b", "several hosts"),
            ("postgres://signet:hunter2@db/signet?hostaddr=10.0.0.1%2C10.0.0.2", "several hosts"),
            // What would be passed over.
            ("postgres://signet:hunter2@db/signet#?sslmode=verify-full", "`#` as %23"),
        ] {
            let refused = url.parse::<ServerUrl>().unwrap_err();
            assert!(refused.contains(problem) && !refused.contains("hunter2"), "{url}: {refused}");
        }
    }

    #[test]
    fn a_password_that_is_encoded_is_taken_whatever_is_in_it() {
        for scheme in ["postgres", "mysql"] {
            let url: ServerUrl =
                format!("{scheme}://signet:%2F%3F%23%40%26hunter2@db/signet").parse().unwrap();
            assert!(!format!("{url} {url:?}").contains("hunter2"));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_password_is_repeated(
            text in any::<String>(),
            (before, after) in ("[a-z0-9?&/#@:=%]{0,4}", "[a-z0-9?&/#@:=%]{0,4}"),
            rest in "[ -~]{0,40}",
        ) {
            let _ = text.parse::<ServerUrl>();
            let password = format!("{before}Zt7pQw{after}");
            for url in [
                format!("postgres://signet:{password}@{rest}"),
                format!("mysql://signet:{password}@{rest}"),
                format!("mysql://signet:{password}@db/signet"),
                format!("postgres://signet:{password}@db/signet"),
                format!("postgres://db/signet?password={password}"),
                format!("postgres://db/signet?password={password}&sslmode=require"),
            ] {
                match url.parse::<ServerUrl>() {
                    Ok(url) => {
                        let shown = format!("{url} {url:?}");
                        prop_assert!(!shown.contains("Zt7pQw"));
                    }
                    Err(problem) => prop_assert!(!problem.contains("Zt7pQw")),
                }
            }
        }
    }
}
