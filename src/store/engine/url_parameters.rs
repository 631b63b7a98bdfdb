//! Owns what the parameters of a database URL mean, as the programs that use such URLs write them.
//!
//! PostgreSQL's own are libpq's (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>). Beside them stand
//! those of SQLAlchemy's drivers, Django, Prisma and node-postgres, which Neon, Supabase and Heroku hand out in their URLs. What says how
//! a connection is protected is understood, or refused; what tunes a pool, or a client that is not this one, is taken and does nothing.

mod values;

use url::form_urlencoded::{self, Serializer};

use values::{
    authority_if, channel_binding, disabled_if, gss, min_version, mode, name_if, negotiation, required_if,
    ssl, ssl_accept,
};

/// How a connection is protected: each is more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protection {
    /// No TLS.
    Off,
    /// TLS if the server offers it, and its certificate is not checked.
    Preferred,
    /// TLS, whatever the certificate is.
    Required,
    /// TLS, and the certificate is one of an authority that is known: of any public one, too, for any name.
    VerifyAuthority,
    /// The same, and it is for the host of the URL.
    VerifyName,
}

/// What the parameters come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UrlParameters {
    /// Those that the driver reads, by its names, as a query.
    pub(super) query: String,
    /// How the connection is protected, if they say it.
    pub(super) protection: Option<Protection>,
    /// Whether the authorities that the system trusts are asked for.
    pub(super) system_roots: bool,
    /// The schema that names without one mean.
    pub(super) schema: Option<String>,
}

/// What a parameter says of the protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Nothing,
    /// It is to be this one.
    Mode(Protection),
    /// It is to be no less.
    AtLeast(Protection),
}

use Says::{AtLeast, Mode, Nothing};

/// What a parameter is for.
#[derive(Clone, Copy)]
enum Meaning {
    /// The driver reads it, by this name.
    Driver(&'static str),
    /// The same, and it may be given more than once.
    DriverEach(&'static str),
    /// It says something of the protection; no value that is not understood.
    Protection(fn(&str) -> Option<Says>),
    /// The authority to trust.
    Root(&'static str),
    /// The client's certificate. Prisma's `sslcert` is the authority's.
    Certificate(&'static str),
    Schema,
    /// What another client does, or this one in its own way.
    NoEffect,
}

use Meaning::{Certificate, Driver, DriverEach, NoEffect, Root, Schema};

const POSTGRES: [(&[&str], Meaning); 17] = [
    (&["sslmode", "ssl-mode"], Meaning::Protection(mode)),
    (&["ssl"], Meaning::Protection(ssl)),
    (&["ssl_require"], Meaning::Protection(required_if)),
    (&["sslaccept"], Meaning::Protection(ssl_accept)),
    (&["channel_binding"], Meaning::Protection(channel_binding)),
    (&["sslnegotiation"], Meaning::Protection(negotiation)),
    (&["gssencmode"], Meaning::Protection(gss)),
    (&["ssl_min_protocol_version"], Meaning::Protection(min_version)),
    (&["sslrootcert", "ssl-root-cert", "ssl-ca"], Root("sslrootcert")),
    (&["sslcert", "ssl-cert"], Certificate("sslcert")),
    (&["sslkey", "ssl-key"], Driver("sslkey")),
    (&["host", "hostaddr"], Driver("host")),
    (&["port"], Driver("port")),
    (&["dbname"], Driver("dbname")),
    (&["user"], Driver("user")),
    (&["password"], Driver("password")),
    (&["schema", "currentSchema"], Schema),
];

/// What of libpq's this service does in its own way: the time that a connection may take, UTF-8, and that it writes.
const POSTGRES_NO_EFFECT: [&str; 13] = [
    "connect_timeout",
    "client_encoding",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "target_session_attrs",
    "load_balance_hosts",
    "sslcompression",
    "sslsni",
    "uselibpqcompat",
];

const MYSQL: [(&[&str], Meaning); 12] = [
    (&["ssl-mode", "sslmode", "ssl_mode"], Meaning::Protection(mode)),
    (&["ssl"], Meaning::Protection(ssl)),
    (&["ssl_require"], Meaning::Protection(required_if)),
    (&["sslaccept"], Meaning::Protection(ssl_accept)),
    (&["ssl_disabled"], Meaning::Protection(disabled_if)),
    (&["ssl_verify_cert"], Meaning::Protection(authority_if)),
    (&["ssl_verify_identity", "ssl_check_hostname"], Meaning::Protection(name_if)),
    (&["ssl-ca", "sslca", "ssl_ca"], Root("ssl-ca")),
    (&["ssl-cert", "sslcert", "ssl_cert"], Certificate("ssl-cert")),
    (&["ssl-key", "sslkey", "ssl_key"], Driver("ssl-key")),
    (&["socket", "unix_socket"], Driver("socket")),
    (&["application_name", "program_name"], NoEffect),
];

/// What this service does in its own way: it speaks utf8mb4, and UTC.
const MYSQL_NO_EFFECT: [&str; 14] = [
    "charset",
    "collation",
    "use_unicode",
    "binary_prefix",
    "connect_timeout",
    "connection_timeout",
    "read_timeout",
    "write_timeout",
    "timezone",
    "time_zone",
    "autocommit",
    "local_infile",
    "reconnect",
    "compress",
];

/// What tunes pools and clients that are not this one: of Prisma, Django, asyncpg, psycopg, and what Vercel and Supabase hand out.
const OF_OTHER_CLIENTS: [&str; 19] = [
    "connection_limit",
    "pool_timeout",
    "pool_size",
    "socket_timeout",
    "statement_cache_size",
    "prepared_statement_cache_size",
    "single_use_connections",
    "max_connection_lifetime",
    "max_idle_connection_lifetime",
    "pgbouncer",
    "supa",
    "workaround",
    "conn_max_age",
    "conn_health_checks",
    "disable_server_side_cursors",
    "atomic_requests",
    "async_fallback",
    "command_timeout",
    "executemany_mode",
];

/// Which database's parameters are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    MySql,
}

impl Dialect {
    fn meaning(self, key: &str) -> Option<Meaning> {
        let (own, no_effect) = match self {
            Self::Postgres => (POSTGRES.as_slice(), POSTGRES_NO_EFFECT.as_slice()),
            Self::MySql => (MYSQL.as_slice(), MYSQL_NO_EFFECT.as_slice()),
        };
        match key {
            "application_name" if self == Self::Postgres => return Some(Driver("application_name")),
            "options" if self == Self::Postgres => return Some(DriverEach("options")),
            _ => {}
        }
        let named = own.iter().find(|(names, _)| names.contains(&key)).map(|(_, meaning)| *meaning);
        let has_none = || no_effect.contains(&key) || OF_OTHER_CLIENTS.contains(&key);
        named.or_else(|| has_none().then_some(NoEffect))
    }

    /// The names of the parameters that do something.
    fn known(self) -> String {
        let own = if self == Self::Postgres { POSTGRES.as_slice() } else { MYSQL.as_slice() };
        let mut names: Vec<_> = own.iter().map(|(names, _)| names[0]).collect();
        if self == Self::Postgres {
            names.extend(["application_name", "options"]);
        }
        names.join(", ")
    }
}

/// What was read so far.
struct ParametersRead {
    query: Serializer<'static, String>,
    given: Vec<&'static str>,
    mode: Option<Protection>,
    at_least: Option<Protection>,
    /// The client's certificate, by the driver's name for it.
    certificate: Option<(&'static str, String)>,
    is_prisma: bool,
    system_roots: bool,
    schema: Option<String>,
}

/// Reads the parameters `query` of a URL.
///
/// # Errors
/// What is wrong with one of them: a value is never repeated, and the name of one that is not known neither, since it may be what follows
/// an `&` in a password.
pub(super) fn read(query: &str, dialect: Dialect) -> Result<UrlParameters, String> {
    let mut reading = ParametersRead {
        query: Serializer::new(String::new()),
        given: Vec::new(),
        mode: None,
        at_least: None,
        certificate: None,
        is_prisma: false,
        system_roots: false,
        schema: None,
    };
    for (index, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        let (key, value) = form_urlencoded::parse(pair.as_bytes()).next().unwrap_or_default();
        match dialect.meaning(&key) {
            Some(meaning) => reading.take(&key, &value, meaning)?,
            None if dialect == Dialect::Postgres && key.starts_with("options[") => {
                reading.query.append_pair(&key, &value);
            }
            None => {
                return Err(format!(
                    "has a parameter that is not known, the one at place {} after the `?`; known are {}, and those that \
                     docs/OPERATIONS.md lists. {}",
                    index + 1,
                    dialect.known(),
                    super::location::ENCODE
                ));
            }
        }
    }
    reading.settle(dialect)
}

impl ParametersRead {
    fn take(&mut self, key: &str, value: &str, meaning: Meaning) -> Result<(), String> {
        match meaning {
            NoEffect => {}
            Meaning::Protection(understand) => {
                let says = understand(value).ok_or_else(|| {
                    format!("cannot be used: the parameter `{key}` has a value that is not known")
                })?;
                self.is_prisma |= key == "sslaccept";
                self.system_roots |= key == "channel_binding" && says != Nothing;
                self.say(says)?;
            }
            // libpq's word for the authorities of the system, which it takes together with `verify-full` alone.
            Root("sslrootcert") if value == "system" => {
                self.system_roots = true;
                self.say(AtLeast(Protection::VerifyName))?;
            }
            // libpq tries one after the other; the driver would look for one of this name.
            Driver("host") if value.contains(',') => return Err(super::location::several_hosts()),
            Driver(name) | Root(name) => {
                self.once(name)?;
                self.query.append_pair(name, value);
            }
            DriverEach(name) => {
                self.query.append_pair(name, value);
            }
            Certificate(name) => {
                self.once(name)?;
                self.certificate = Some((name, value.to_owned()));
            }
            Schema => {
                self.once("schema")?;
                self.schema = Some(value.to_owned());
            }
        }
        Ok(())
    }

    /// Refuses a second value: of two hosts, or two authorities, one would be passed over.
    fn once(&mut self, name: &'static str) -> Result<(), String> {
        if self.given.contains(&name) {
            return Err(format!("has the parameter `{name}` twice: one value must be chosen"));
        }
        self.given.push(name);
        Ok(())
    }

    fn say(&mut self, says: Says) -> Result<(), String> {
        match says {
            Mode(mode) if self.mode.is_some_and(|other| other != mode) => {
                return Err("says twice how the connection is protected, and each time otherwise".to_owned());
            }
            Mode(mode) => self.mode = Some(mode),
            AtLeast(least) => self.at_least = self.at_least.max(Some(least)),
            Nothing => {}
        }
        Ok(())
    }

    fn settle(mut self, dialect: Dialect) -> Result<UrlParameters, String> {
        if let Some((name, value)) = self.certificate.take() {
            let has_key = self.given.iter().any(|given| given.ends_with("key"));
            let root = if dialect == Dialect::Postgres { "sslrootcert" } else { "ssl-ca" };
            match (has_key, self.is_prisma) {
                (true, _) => self.query.append_pair(name, &value),
                (false, true) => {
                    self.once(root)?;
                    self.query.append_pair(root, &value)
                }
                (false, false) => {
                    return Err(format!(
                        "has a certificate of the client's and no key (`{name}`); the authority's is `{root}`"
                    ));
                }
            };
        }
        let has_root = self.given.iter().any(|name| ["sslrootcert", "ssl-ca"].contains(name));
        // An authority that is named is asked: libpq does so where TLS is required, MySQL's own clients where no mode is said. The driver
        // takes it beside the public ones, of whom anybody gets a certificate for a name of one's own: so the name must be right as well.
        match (dialect, self.mode) {
            (Dialect::Postgres, Some(Protection::Required)) | (Dialect::MySql, None) if has_root => {
                self.at_least = self.at_least.max(Some(Protection::VerifyName));
            }
            _ => {}
        }
        if self.mode == Some(Protection::Off) && self.at_least.is_some() {
            return Err(
                "says that the connection is not protected, and asks with another parameter that it is"
                    .to_owned(),
            );
        }
        Ok(UrlParameters {
            query: self.query.finish(),
            protection: self.mode.max(self.at_least),
            // An authority that is named is the one that was meant.
            system_roots: self.system_roots && !has_root,
            // It is PostgreSQL's own default.
            schema: self.schema.filter(|schema| schema != "public"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_protects_a_connection_is_understood_and_the_most_that_is_asked_for_counts() {
        use Dialect::{MySql, Postgres};
        use Protection::{Off, Preferred, Required, VerifyAuthority, VerifyName};
        for (dialect, query, protection, system_roots) in [
            (Postgres, "", None, false),
            (Postgres, "sslmode=disable", Some(Off), false),
            (Postgres, "sslmode=allow", Some(Preferred), false),
            (Postgres, "sslmode=require", Some(Required), false),
            (Postgres, "sslmode=no-verify", Some(Required), false),
            (Postgres, "sslmode=require&sslrootcert=ca.pem", Some(VerifyName), false),
            (Postgres, "sslmode=verify-ca&sslrootcert=ca.pem", Some(VerifyAuthority), false),
            // Neon.
            (Postgres, "sslmode=require&channel_binding=require", Some(VerifyName), true),
            (Postgres, "channel_binding=prefer", None, false),
            (Postgres, "channel_binding=require&sslrootcert=ca.pem", Some(VerifyName), false),
            (Postgres, "sslrootcert=system", Some(VerifyName), true),
            (Postgres, "sslmode=require&sslnegotiation=direct", Some(Required), false),
            // node-postgres, asyncpg, Django, Prisma.
            (Postgres, "ssl=true", Some(VerifyName), false),
            (Postgres, "ssl=require", Some(Required), false),
            (Postgres, "ssl=0", Some(Off), false),
            (Postgres, "ssl_require=True", Some(Required), false),
            (Postgres, "sslmode=prefer&sslaccept=strict", Some(VerifyName), false),
            (MySql, "ssl_mode=VERIFY_IDENTITY", Some(VerifyName), false),
            (MySql, "ssl_ca=ca.pem", Some(VerifyName), false),
            (MySql, "ssl_ca=ca.pem&ssl_check_hostname=true", Some(VerifyName), false),
            (MySql, "ssl-mode=REQUIRED&ssl-ca=ca.pem", Some(Required), false),
            (MySql, "sslaccept=strict", Some(VerifyName), false),
            (MySql, "ssl=%7B%22rejectUnauthorized%22%3Atrue%7D", Some(VerifyName), false),
            (MySql, "ssl_disabled=true", Some(Off), false),
        ] {
            let read = read(query, dialect).unwrap();
            assert_eq!((read.protection, read.system_roots), (protection, system_roots), "{query}");
        }
    }

    #[test]
    fn what_the_driver_does_not_know_is_not_handed_to_it() {
        let query = "application_name=app&connect_timeout=10&options=-c%20geqo%3Doff&options=endpoint%3Dx&schema=auth&pgbouncer=true";
        let read_ = read(query, Dialect::Postgres).unwrap();
        assert_eq!(read_.query, "application_name=app&options=-c+geqo%3Doff&options=endpoint%3Dx");
        assert_eq!(read_.schema.as_deref(), Some("auth"));
        assert_eq!(read("schema=public", Dialect::Postgres).unwrap().schema, None);
        let read_ =
            read("charset=utf8mb4&unix_socket=/run/m.sock&connection_limit=5", Dialect::MySql).unwrap();
        assert_eq!(read_.query, "socket=%2Frun%2Fm.sock");
        let read_ = read("sslcert=ca.pem&sslaccept=strict", Dialect::MySql).unwrap();
        assert_eq!(read_.query, "ssl-ca=ca.pem", "Prisma's is the authority's");
    }

    #[test]
    fn what_would_weaken_a_connection_or_be_passed_over_is_refused() {
        use Dialect::{MySql, Postgres};
        for (dialect, query, problem) in [
            (Postgres, "sslmode=hunter2", "`sslmode`"),
            (Postgres, "channel_binding=hunter2", "`channel_binding`"),
            (Postgres, "gssencmode=require", "`gssencmode`"),
            (Postgres, "ssl_min_protocol_version=TLSv1.3", "`ssl_min_protocol_version`"),
            (Postgres, "sslmode=disable&channel_binding=require", "is not protected"),
            (Postgres, "sslmode=verify-full&sslmode=disable", "twice"),
            (Postgres, "host=hunter2&host=b", "`host` twice"),
            (Postgres, "host=hunter2,b", "several hosts"),
            (Postgres, "hostaddr=hunter2%2Cb", "several hosts"),
            (Postgres, "require_auth=scram-sha-256", "at place 1 "),
            (Postgres, "sslcrl=hunter2", "at place 1 "),
            (Postgres, "sslcert=hunter2", "`sslrootcert`"),
            (MySql, "sslaccept=hunter2", "`sslaccept`"),
            (MySql, "ssl=%7B%22ca%22%3A%22hunter2%22%7D", "`ssl`"),
            (MySql, "charset=utf8mb4&channel_binding=require", "at place 2 "),
        ] {
            let refused = read(query, dialect).unwrap_err();
            assert!(refused.contains(problem) && !refused.contains("hunter2"), "{query}: {refused}");
        }
    }
}
