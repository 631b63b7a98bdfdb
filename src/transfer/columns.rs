//! Owns which column of a source holds which field.

/// The columns of a source, by field. What is not said has a name by default; an empty name says that there is no such column.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Fields of [`super::Record`], and the columns that hold them.
    pub named: Vec<(&'static str, String)>,
}

impl Columns {
    fn named(&self, field: &str) -> Option<&str> {
        self.named.iter().find(|(name, _)| *name == field).map(|(_, column)| column.as_str())
    }

    /// The column of a file that holds `field`, named as the field by default; and whether it must be there.
    pub(super) fn in_file<'a>(&'a self, field: &'a str) -> (&'a str, bool) {
        let named = self.named(field);
        let needed =
            named.is_some_and(|name| !name.is_empty()) || ["username", "password_hash"].contains(&field);
        (named.unwrap_or(field), needed)
    }

    /// The columns of a table, with the fields that they hold: `id`, `username`, `hashed_password` and `is_active`, as services write them that
    /// follow `FastAPI`'s tutorial, and what is named beyond.
    #[must_use]
    pub fn in_table(&self) -> Vec<(&'static str, String)> {
        let default = |field| match field {
            "password_hash" => Some("hashed_password"),
            "id" | "username" | "is_active" => Some(field),
            _ => None,
        };
        let fields = super::Record::FIELDS.into_iter();
        let columns =
            fields.filter_map(|field| Some((field, self.named(field).or(default(field))?.to_owned())));
        columns.filter(|(_, column)| !column.is_empty()).collect()
    }
}
