//! Owns the URL of a database server: which kind, how it is reached, and how it is named without its password.

use std::{fmt, path::PathBuf, str::FromStr};

use sea_orm::sqlx::{self, ConnectOptions as _, mysql::MySqlConnectOptions, postgres::PgConnectOptions};

/// What a PostgreSQL URL may say of the connection, with sqlx's other spellings of the same.
const POSTGRES_PARAMETERS: [&str; 17] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// What a MySQL URL may say of the connection, with sqlx's other spellings of the same.
const MYSQL_PARAMETERS: [&str; 9] =
    ["sslmode", "ssl-mode", "sslca", "ssl-ca", "sslcert", "ssl-cert", "sslkey", "ssl-key", "socket"];

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
            _ => url.parse().map(|url| Self::Server(Box::new(url))),
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

    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS`, `postgresql://...`, `mysql://...` or `mariadb://...`.
    ///
    /// A parameter that is not known is refused: a misspelt `sslmode` must not mean a connection without TLS.
    fn from_str(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or(FORMS)?;
        check_separators(rest)?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let keys = || {
            query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split('=').next().unwrap_or(pair))
        };
        let known = match scheme {
            "postgres" | "postgresql" => POSTGRES_PARAMETERS.as_slice(),
            "mysql" | "mariadb" => MYSQL_PARAMETERS.as_slice(),
            _ => return Err(FORMS.to_owned()),
        };
        if let Some(place) = keys().position(|key| !known.contains(&key) && !key.starts_with("options[")) {
            // By its place: its name may be what follows an `&` in a password.
            return Err(format!(
                "has a parameter that is not known, the one at place {} after the `?`; known are {}. {ENCODE}",
                place + 1,
                known.join(", ")
            ));
        }
        let database = address.split_once('/').map_or("", |(_, path)| path);
        if database.contains('/') {
            return Err(format!("names a database with a `/` in it. {ENCODE}"));
        }
        if database.is_empty() && !keys().any(|key| key == "dbname") {
            return Err("names no database: it must end in `/` and the database's name".to_owned());
        }
        let server = if known == POSTGRES_PARAMETERS {
            let options = PgConnectOptions::from_str(&format!("postgres://{rest}"))
                .map_err(|error| unusable(&error))?;
            Server::Postgres(options.disable_statement_logging())
        } else {
            let options = MySqlConnectOptions::from_str(&format!("mysql://{rest}"))
                .map_err(|error| unusable(&error))?;
            Server::MySql(options.disable_statement_logging())
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
        _ => "cannot be used: a parameter, such as `sslmode`, has a value that is not known".to_owned(),
    }
}

const ENCODE: &str = "In a user name, a password or a parameter, write `/` as %2F, `?` as %3F, `#` as %23, `@` as %40 and `&` as %26";

const FORMS: &str = "must be `sqlite:PATH`, `postgres://USER:PASSWORD@HOST/DATABASE` or `mysql://USER:PASSWORD@HOST/DATABASE`";

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
