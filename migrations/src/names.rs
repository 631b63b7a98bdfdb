//! Owns what the name of a migration says: its number, and which programs can use the schema after it.

/// The number of a migration, and the number of the newest one that a program must know to use the schema after it; none if any
/// program can that could use the schema before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) number: u32,
    pub(crate) needs: Option<u32>,
}

impl Name {
    /// Reads `m20261123_000001_users`, or `m20270201_000009_drop_names_needs_000007`. None if it is neither: what it says of older
    /// programs is then unknown.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix('m')?.splitn(3, '_');
        parts.next().and_then(|date| digits(date, 8))?;
        let number = parts.next().and_then(|number| digits(number, 6))?;
        let rest = parts.next()?;
        let (what, needs) = match rest.rsplit_once("_needs_") {
            Some((what, number)) => (what, Some(digits(number, 6)?)),
            None => (rest, None),
        };
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        // A suffix that is misspelt must not pass for none.
        let is_clear = !what.is_empty() && what.bytes().all(is_plain) && !what.contains("need");
        is_clear.then_some(Self { number, needs })
    }
}

/// The number that exactly `count` digits spell.
fn digits(text: &str, count: usize) -> Option<u32> {
    let are_digits = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Migrator, MigratorTrait};

    #[test]
    fn every_migration_says_its_number_and_what_it_needs() {
        let mut last = 0;
        for migration in Migrator::migrations() {
            let name = migration.name();
            let Some(Name { number, needs }) = Name::parse(name) else {
                panic!("{name} is not of the form that README.md says");
            };
            assert!(number > last, "{name}: the numbers grow");
            last = number;
            assert!(needs.is_none_or(|needs| (1..=number).contains(&needs)), "{name} needs what comes later");
        }
    }

    #[test]
    fn a_name_is_read_whole_or_not_at_all() {
        for (name, number, needs) in [
            ("m20261123_000001_users", 1, None),
            ("m20270201_000012_drop_2_names", 12, None),
            ("m20270201_000009_drop_names_needs_000007", 9, Some(7)),
        ] {
            assert_eq!(Name::parse(name), Some(Name { number, needs }), "{name}");
        }
        for name in [
            "",
            "m20261123_000001",
            "m20261123_000001_",
            "20261123_000001_users",
            "m2026112_000001_users",
            "m20261123_1_users",
            "m20261123_000001_Users",
            "m20261123_000001_users_needs_7",
            "m20261123_000001_users_needs_",
            "m20261123_000001_needs_000007",
            "m20261123_000001_users_need_000007",
            "m20261123_000001_users_needs_000007_needs_000008",
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }
}
