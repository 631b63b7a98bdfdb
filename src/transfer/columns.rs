//! Owns which column of a source holds which field.

use super::{Field, Record};

/// Names of columns that say who may *not* log in, without an `is_` before them. One of them read as `is_active` would let in whoever was
/// kept out, and keep out everybody else.
const DISABLED: [&str; 9] = [
    "disabled",
    "inactive",
    "deactivated",
    "blocked",
    "locked",
    "banned",
    "suspended",
    "deleted",
    "archived",
];

/// The columns of a source, by field. What is not said has a name by default; an empty name says that there is no such column.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Fields of [`super::Record`], and the columns that hold them.
    pub named: Vec<(&'static str, String)>,
    /// The column that holds the opposite of `is_active`, if there is one: `disabled`, as `FastAPI`'s tutorial has it.
    pub disabled: Option<String>,
    /// What stands in a file of CSV where there is no value, beside nothing: `\N`, as MySQL and PostgreSQL write it.
    pub null: Vec<String>,
}

impl Columns {
    fn named(&self, field: &str) -> Option<&str> {
        if field == "is_active" && self.disabled.is_some() {
            return self.disabled.as_deref();
        }
        self.named.iter().find(|(name, _)| *name == field).map(|(_, column)| column.as_str())
    }

    /// The column of a file that holds `field`, named as the field by default; and whether it must be there.
    pub(super) fn in_file<'a>(&'a self, field: &'a str) -> (&'a str, bool) {
        let named = self.named(field);
        let needed =
            named.is_some_and(|name| !name.is_empty()) || ["username", "password_hash"].contains(&field);
        (named.unwrap_or(field), needed)
    }

    /// The columns of a table, with the fields that they hold: `id`, `username`, `hashed_password` and `is_active`, as many services write
    /// them, and what is named beyond.
    #[must_use]
    pub fn in_table(&self) -> Vec<(&'static str, String)> {
        let default = |field| match field {
            "password_hash" => Some("hashed_password"),
            "id" | "username" | "is_active" => Some(field),
            _ => None,
        };
        let fields = Record::FIELDS.into_iter();
        let columns =
            fields.filter_map(|field| Some((field, self.named(field).or(default(field))?.to_owned())));
        columns.filter(|(_, column)| !column.is_empty()).collect()
    }

    /// Whether the column `name` says, by its name, who may not log in.
    #[must_use]
    pub fn says_disabled(name: &str) -> bool {
        let name = name.trim_ascii().to_ascii_lowercase();
        DISABLED.contains(&name.strip_prefix("is_").unwrap_or(&name))
    }

    /// Whether the source was asked who may log in: by a column that is named, or said not to be there.
    pub(super) fn know_who_is_active(&self) -> bool {
        self.named("is_active").is_some()
    }

    /// `record` as read from these columns, with `is_active` the right way round.
    pub(super) fn settle(&self, mut record: Record) -> Record {
        if self.disabled.is_some() {
            record.is_active = match record.is_active.flag() {
                // Nobody has disabled a user of whom nothing is said.
                _ if record.is_active.is_empty() => Field::Flag(true),
                Ok(Some(disabled)) => Field::Flag(!disabled),
                Ok(None) | Err(_) => record.is_active,
            };
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_says_who_is_disabled_is_read_the_other_way_round() {
        let columns = Columns { disabled: Some("locked".to_owned()), ..Columns::default() };
        assert_eq!(columns.in_file("is_active"), ("locked", true));
        for (value, active) in [
            (Field::Text("1".to_owned()), Field::Flag(false)),
            (Field::Text("f".to_owned()), Field::Flag(true)),
            (Field::Null, Field::Flag(true)),
            (Field::Text(String::new()), Field::Flag(true)),
            (Field::Text("perhaps".to_owned()), Field::Text("perhaps".to_owned())),
        ] {
            let record = columns.settle(Record { is_active: value, ..Record::default() });
            assert_eq!(record.is_active, active);
        }
        let untouched = Record { is_active: Field::Null, ..Record::default() };
        assert_eq!(Columns::default().settle(untouched.clone()), untouched);
    }

    #[test]
    fn names_that_say_who_may_not_log_in_are_known() {
        for name in ["disabled", "is_disabled", " Locked ", "IS_BANNED"] {
            assert!(Columns::says_disabled(name), "{name}");
        }
        for name in ["is_active", "active", "enabled", "unlocked", "disabled_at", ""] {
            assert!(!Columns::says_disabled(name), "{name}");
        }
    }
}
