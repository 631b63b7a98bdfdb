//! Owns how values stand in a manifest: as text, in the form that their own rules ask for.

use std::{borrow::Cow, str::FromStr};

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

use crate::{
    base::Timestamp,
    model::{
        AttributeName, AttributeType, AttributeWriter, AudienceName, Description, DnsName, GroupName,
        RoleName, SpiffeId, TokenTyp,
    },
};

/// A value that stands in a manifest as text.
pub(super) trait Text: Sized {
    /// What `text` says, or which rule it breaks.
    fn read(text: &str) -> Result<Self, String>;
    /// It as text.
    fn write(&self) -> String;
}

/// For names and the like, which are parsed by a rule.
macro_rules! by_rule {
    ($($name:ident),+) => {$(
        impl Text for $name {
            fn read(text: &str) -> Result<Self, String> {
                Self::parse(text).map_err(|rule| rule.description)
            }

            fn write(&self) -> String {
                self.as_str().to_owned()
            }
        }
    )+};
}

by_rule!(AttributeName, AudienceName, GroupName, Description, RoleName);

/// For the values of closed sets, which have names.
macro_rules! by_name {
    ($($name:ident),+) => {$(
        impl Text for $name {
            fn read(text: &str) -> Result<Self, String> {
                let known = || Self::ALL.iter().map(|value| value.name());
                Self::named(text).ok_or_else(|| none_of(text, known()))
            }

            fn write(&self) -> String {
                self.name().to_owned()
            }
        }
    )+};
}

by_name!(AttributeType, AttributeWriter, TokenTyp);

/// That `said` is none of the `known` names, and which is meant if one is near; otherwise, which there are.
pub(super) fn none_of<'a>(said: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    // It is whatever somebody wrote.
    let shown: String = said.chars().take(64).flat_map(char::escape_debug).collect();
    if let Some(nearest) = nearest(said, known.clone()) {
        return format!("`{shown}` is not known: is `{nearest}` meant?");
    }
    let known: Vec<_> = known.map(|name| format!("`{name}`")).collect();
    format!("`{shown}` is not known: there are {}", known.join(", "))
}

/// How alike a name is, from 0 to 1, that is meant where another one stands: letters that are swapped, left out or doubled.
const NEAR: f64 = 0.8;

/// The one of the `known` names that is meant by `said`; none if none is near.
pub(super) fn nearest<'a>(said: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let alike =
        known.map(|name| (strsim::jaro_winkler(name, said), name)).filter(|(alike, _)| *alike >= NEAR);
    alike.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

impl Text for SpiffeId {
    fn read(text: &str) -> Result<Self, String> {
        Self::from_str(text).map_err(|problem| problem.to_string())
    }

    fn write(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Text for DnsName {
    fn read(text: &str) -> Result<Self, String> {
        Self::from_str(text).map_err(|problem| problem.to_string())
    }

    fn write(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Text for Timestamp {
    fn read(text: &str) -> Result<Self, String> {
        Self::from_str(text).map_err(ToString::to_string)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// What is there.
pub(super) fn serialize<T: Text, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.write())
}

/// What must be there.
pub(super) fn deserialize<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::read(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// What may be there.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, Serializer, Text};

    #[allow(clippy::ref_option, reason = "serde hands a reference to what is there")]
    pub(crate) fn serialize<T: Text, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => super::serialize(value, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let said = Option::<String>::deserialize(deserializer)?;
        said.map(|text| T::read(&text).map_err(serde::de::Error::custom)).transpose()
    }
}

/// Sets of names, as lists.
pub(super) mod names {
    use super::{Deserialize, Deserializer, Serializer};
    use crate::model::NameSet;

    pub(crate) fn serialize<S: Serializer>(names: &NameSet, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(names.iter())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NameSet, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        NameSet::of(names.iter().map(String::as_str)).map_err(serde::de::Error::custom)
    }
}
