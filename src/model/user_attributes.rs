//! Owns what a user has of attributes as it is stored: by the ids of what is declared, and with all that only a later release reads.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::value::RawValue;
use uuid::Uuid;

use super::attribute::AttributeValue;

/// What a usual row takes in memory where it is remembered: of a user, a session or a client, or of the roles of one with a token.
pub const ROW_BYTES: usize = 500;

/// What a user has, by the ids of the declarations. What belongs to none, or is of another type, is nobody's, and is never shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserAttributes(Option<Arc<Stored>>);

/// The values, of which there is one at least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Stored {
    read: BTreeMap<Uuid, AttributeValue>,
    /// Those that only a later release reads, as it has written them.
    unread: BTreeMap<Uuid, String>,
}

impl UserAttributes {
    /// What [`Self::to_text`] has stored.
    pub(crate) fn from_stored(text: Option<&str>) -> Self {
        let values: BTreeMap<Uuid, Box<RawValue>> =
            text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let mut stored = Stored::default();
        for (id, value) in values {
            match serde_json::from_str(value.get()) {
                Ok(value) => drop(stored.read.insert(id, value)),
                Err(_) => drop(stored.unread.insert(id, value.get().to_owned())),
            }
        }
        Self::of(stored)
    }

    /// They, as they are stored; none if there are none.
    pub(crate) fn to_text(&self) -> Option<String> {
        let Stored { read, unread } = &**self.0.as_ref()?;
        let json = |value: &AttributeValue| serde_json::to_string(value).ok();
        let read = read.iter().filter_map(|(id, value)| Some((id, json(value)?)));
        let all = read.chain(unread.iter().map(|(id, value)| (id, value.clone())));
        let raw = all.filter_map(|(id, value)| Some((*id, RawValue::from_string(value).ok()?)));
        serde_json::to_string(&raw.collect::<BTreeMap<_, _>>()).ok()
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// For how many usual rows a user counts who has them, where rows are remembered.
    #[must_use]
    pub fn weight(&self) -> u64 {
        let Some(stored) = &self.0 else { return 1 };
        let bytes = |value: &AttributeValue| match value {
            AttributeValue::Boolean(_) | AttributeValue::Integer(_) => 0,
            AttributeValue::String(text) => text.len(),
            AttributeValue::StringList(texts) => {
                texts.iter().map(|text| text.len() + size_of::<String>()).sum()
            }
        };
        let bytes = stored.read.values().map(bytes).chain(stored.unread.values().map(String::len));
        // Beside it, the node of the tree.
        let all: usize = bytes.map(|bytes| bytes + 2 * size_of::<(Uuid, AttributeValue)>()).sum();
        1 + all.div_ceil(ROW_BYTES) as u64
    }

    /// The value of what is declared under `id`, if this release reads it.
    pub(super) fn get(&self, id: Uuid) -> Option<&AttributeValue> {
        self.0.as_ref()?.read.get(&id)
    }

    /// The same, with `values` in the place of all but those that this release does not understand, of which `is_kept` says which stay.
    pub(super) fn replaced_by(
        &self,
        values: impl Iterator<Item = (Uuid, AttributeValue)>,
        is_kept: impl Fn(Uuid, Understood) -> bool,
    ) -> Self {
        let mut stored = Stored { read: values.collect(), unread: BTreeMap::new() };
        if let Some(old) = &self.0 {
            for (id, value) in old.read.iter().filter(|(id, _)| is_kept(**id, Understood::Value)) {
                stored.read.entry(*id).or_insert_with(|| value.clone());
            }
            let unread = old.unread.iter().filter(|(id, _)| is_kept(**id, Understood::Nothing));
            let unread = unread.filter(|(id, _)| !stored.read.contains_key(id));
            stored.unread = unread.map(|(id, value)| (*id, value.clone())).collect();
        }
        Self::of(stored)
    }

    fn of(stored: Stored) -> Self {
        let is_empty = stored.read.is_empty() && stored.unread.is_empty();
        Self((!is_empty).then(|| Arc::new(stored)))
    }
}

/// What this release understands of a value that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Understood {
    /// It reads the value.
    Value,
    /// It does not even read it.
    Nothing,
}
