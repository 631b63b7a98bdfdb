//! Owns writing all users out: each is a line that [`super::read_ndjson`] takes back.

use serde::Serialize;

use crate::{
    audit::{Actor, Audit, Event, Pending},
    model::{
        Error, NamedAttributes, UserId,
        profile::{DisplayName, Email},
    },
    store::{Store, StoredUser},
};

/// How many users are read at a time.
const PAGE: u64 = super::BATCH as u64;

/// One run, which is recorded at its end.
#[derive(Debug)]
pub struct Export<'a> {
    event: Pending<'a>,
    store: Store,
    after: Option<UserId>,
}

impl<'a> Export<'a> {
    /// A run that reads the users in `store`, and of which `audit` is told.
    #[must_use]
    pub fn begin(store: Store, audit: &'a Audit, by: &Actor) -> Self {
        let event = audit.begin(Event::UsersExported.done().by(by.clone()));
        Self { event, store, after: None }
    }

    /// The lines of the next page, in the order of the users' ids: each user as it is when its page is read. None at the end.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause.
    pub async fn next_page(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let page = self.store.stored_users(self.after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.after = Some(last.user.id);
        let (declared, mut lines) = (self.store.declarations().await?, Vec::new());
        for user in &page {
            let attributes = declared.names(&user.user.attributes, |_| true);
            serde_json::to_writer(&mut lines, &Exported::of(user, &attributes)).map_err(Error::internal)?;
            lines.push(b'\n');
        }
        Ok(Some(lines))
    }

    /// Ends the run, which need not have come to the end of the users: what was written before a failure is out all the same.
    pub fn end(self) {
        self.event.done();
    }
}

/// The members of a line, in their order.
#[derive(Serialize)]
struct Exported<'a> {
    id: String,
    username: &'a str,
    password_hash: &'a str,
    email: Option<&'a str>,
    display_name: Option<&'a str>,
    is_active: bool,
    create_time: String,
    update_time: String,
    login_time: Option<String>,
    attributes: &'a NamedAttributes,
}

impl<'a> Exported<'a> {
    fn of(stored: &'a StoredUser, attributes: &'a NamedAttributes) -> Self {
        let StoredUser { user, password_hash, login_time } = stored;
        Self {
            id: user.id.to_string(),
            username: user.username.typed(),
            password_hash,
            email: user.email.as_ref().map(Email::as_str),
            display_name: user.display_name.as_ref().map(DisplayName::as_str),
            is_active: user.is_active,
            create_time: user.create_time.to_string(),
            update_time: user.update_time.to_string(),
            login_time: login_time.map(|time| time.to_string()),
            attributes,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use uuid::Uuid;

    use crate::{
        base::{Clock, Entropy, Timestamp},
        identity::passwords::{Argon2Params, DEFAULT_IMPORT_MAX_COST, Prehashes},
        model::{
            AttributeDeclaration, AttributeEdit, AttributeId, AttributeName, AttributeSource, AttributeType,
            AttributeUses, AttributeWriter, Declarations, Description, User, UserAttributes, UserId,
            Username,
            attribute::AttributeValue,
            profile::{DisplayName, Email},
        },
        store::StoredUser,
        transfer::{RowRules, read_ndjson},
    };

    use super::*;

    const HASH: &str =
        "$argon2id$v=19$m=64,t=1,p=1$MkaIMWZsLaVUypnTmhNibA$gt0w96nqjuOGLWDDiLqd27+8vYhkaG4OtqORkRZpKg4";

    fn declared() -> Declarations {
        let time = Timestamp::from_micros(0);
        let of = |number, name: &str, kind| AttributeDeclaration {
            id: AttributeId(Uuid::from_u128(number)),
            name: AttributeName::parse(name).unwrap(),
            kind,
            uses: AttributeUses {
                source: AttributeSource::Administrators { in_tokens: false },
                in_userinfo: false,
                in_introspection: false,
            },
            description: Description::default(),
            create_time: time,
            update_time: time,
        };
        let all = [
            ("team", AttributeType::String),
            ("level", AttributeType::Integer),
            ("sites", AttributeType::StringList),
        ];
        let known = (1..).zip(all).map(|(number, (name, kind))| of(number, name, kind)).collect();
        Declarations::new(known, &[])
    }

    fn attributes() -> impl Strategy<Value = UserAttributes> {
        let text = "\\PC{0,20}";
        let all = (
            proptest::option::of(text.prop_map(AttributeValue::String)),
            proptest::option::of(
                (-9_007_199_254_740_991..=9_007_199_254_740_991_i64).prop_map(AttributeValue::Integer),
            ),
            proptest::option::of(proptest::collection::vec(text, 0..3).prop_map(AttributeValue::StringList)),
        );
        all.prop_map(|(team, level, sites)| {
            let values = [("team", team), ("level", level), ("sites", sites)];
            let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let edit = AttributeEdit { replaces: false, values };
            declared().edit(&UserAttributes::default(), &edit, AttributeWriter::Admin).unwrap().0
        })
    }

    fn rules() -> RowRules {
        let argon2 = Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 };
        let clock = Clock::manual(Timestamp::from_micros(1_795_472_368_123_456));
        let reserved = "admin".parse().unwrap();
        RowRules {
            argon2,
            import_max_cost: DEFAULT_IMPORT_MAX_COST,
            prehashes: Prehashes::default(),
            reserved,
            clock,
            entropy: Entropy::system(),
            declared: Arc::new(declared()),
            renames: Arc::default(),
        }
    }

    /// The whole range of years that RFC 3339 can write.
    fn time() -> impl Strategy<Value = Timestamp> {
        (-62_135_596_800_000_000..=253_402_300_799_999_999_i64).prop_map(Timestamp::from_micros)
    }

    fn users() -> impl Strategy<Value = StoredUser> {
        let text =
            ("\\PC{1,20}", proptest::option::of("[a-z]{1,9}@[a-z]{1,9}"), proptest::option::of("\\PC{0,20}"));
        let rest = (any::<u128>(), any::<bool>(), time(), time(), proptest::option::of(time()), attributes());
        (text, rest).prop_filter_map("rules of fields", |((name, email, display_name), rest)| {
            let (id, is_active, create_time, update_time, login_time, attributes) = rest;
            let user = User {
                id: UserId(uuid::Builder::from_random_bytes(id.to_be_bytes()).into_uuid()),
                username: Username::parse(&name).ok()?,
                email: email.and_then(|email| Email::parse(&email).ok()),
                display_name: display_name.and_then(|name| DisplayName::parse(&name).ok()),
                attributes,
                is_active,
                create_time,
                update_time,
            };
            Some(StoredUser { user, password_hash: HASH.to_owned(), login_time })
        })
    }

    fn line(user: &StoredUser) -> String {
        let attributes = declared().names(&user.user.attributes, |_| true);
        serde_json::to_string(&Exported::of(user, &attributes)).unwrap()
    }

    proptest! {
        #[test]
        fn whoever_is_written_out_is_taken_back_the_same(users in proptest::collection::vec(users(), 1..5)) {
            let file: String = users.iter().map(|user| line(user) + "\n").collect();
            let mut read = Vec::new();
            read_ndjson(file.as_bytes(), &rules(), |batch| {
                read.extend(batch.rows);
                true
            })
            .unwrap();
            let read: Vec<_> = read.into_iter().map(|row| row.candidate.map(|candidate| candidate.user)).collect();
            prop_assert_eq!(read, users.into_iter().map(Ok).collect::<Vec<_>>());
        }

        #[test]
        fn no_line_panics(line in any::<Vec<u8>>(), text in "[{}\\[\\]\",:a-z0-9_ \\\\]{0,60}") {
            for line in [&line[..], text.as_bytes(), format!("{{{text}}}").as_bytes()] {
                read_ndjson(line, &rules(), |_| true).unwrap();
            }
        }
    }
}
