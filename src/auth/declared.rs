//! Owns reading the rule that a method declares, by the fields of this release: what it does not know refuses the method.

use std::sync::LazyLock;

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};

use crate::{
    model::{Access, CallerKind, Requirements},
    proto::described,
};

/// The method option that declares access (`proto/identity/v1/access.proto`).
pub(super) const ACCESS_OPTION: &str = "identity.v1.access";

/// What `identity.v1.Access` has, as this release knows it. The descriptors that come with a rule may know more, or less.
static ACCESS: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    described::API.get_message_by_name("identity.v1.Access").expect("the proto of this crate defines it")
});

/// The rule that the bytes of an `identity.v1.Access` make.
pub(super) fn read(encoded: &[u8]) -> Access {
    let Ok(access) = DynamicMessage::decode(ACCESS.clone(), encoded) else { return Access::NotUnderstood };
    if !is_understood(&access) {
        return Access::NotUnderstood;
    }
    if access.has_field_by_name("public") {
        return Access::Public;
    }
    if !access.has_field_by_name("authenticated") {
        return Access::Undeclared;
    }
    let rule = access.get_field_by_name("authenticated");
    let rule = rule.as_deref().and_then(Value::as_message).and_then(requirements);
    rule.map_or(Access::NotUnderstood, Access::Authenticated)
}

/// What an `identity.v1.Access.Authenticated` asks for; none if this release cannot tell.
fn requirements(rule: &DynamicMessage) -> Option<Requirements> {
    let names = |field: &str| -> Option<Vec<String>> {
        let value = rule.get_field_by_name(field)?;
        value.as_list()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let audience = rule.get_field_by_name("audience")?;
    Some(Requirements {
        required_scopes: names("required_scopes")?,
        any_scopes: names("any_scopes")?,
        any_roles: names("any_roles")?,
        callers: match rule.get_field_by_name("callers")?.as_enum_number()? {
            0 => None,
            1 => Some(CallerKind::User),
            2 => Some(CallerKind::Client),
            _ => return None,
        },
        audience: audience.as_str().filter(|name| !name.is_empty()).map(str::to_owned),
    })
}

/// Whether nothing in `message` is of a later release: no field, and no value of an enum.
fn is_understood(message: &DynamicMessage) -> bool {
    message.unknown_fields().next().is_none()
        && message.fields().all(|(field, value)| {
            let is_known = |value: &Value| match value {
                Value::Message(inner) => is_understood(inner),
                Value::EnumNumber(number) => {
                    matches!(field.kind(), Kind::Enum(of) if of.get_value(*number).is_some())
                }
                _ => true,
            };
            match value {
                Value::List(values) => values.iter().all(is_known),
                one => is_known(one),
            }
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::proto::identity::v1::{
        Access as Declared,
        access::{Authenticated, Callers, Public, Rule},
    };

    /// The bytes of an `Access` with `rule`, and `more` behind it.
    fn encoded(rule: Rule, more: &[u8]) -> Vec<u8> {
        [Declared { rule: Some(rule) }.encode_to_vec(), more.to_vec()].concat()
    }

    /// The bytes of an `authenticated` that has the bytes `inner`.
    fn authenticated(inner: &[u8]) -> Vec<u8> {
        [&[0x12, u8::try_from(inner.len()).unwrap()][..], inner].concat()
    }

    #[test]
    fn all_that_a_rule_says_is_read() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let rule = Authenticated {
            required_scopes: names(&["a", "b"]),
            any_scopes: names(&["c"]),
            any_roles: names(&["picker"]),
            callers: Callers::Client.into(),
            audience: "orders".to_owned(),
        };
        let expected = Requirements {
            required_scopes: names(&["a", "b"]),
            any_scopes: names(&["c"]),
            any_roles: names(&["picker"]),
            callers: Some(CallerKind::Client),
            audience: Some("orders".to_owned()),
        };
        assert_eq!(read(&encoded(Rule::Authenticated(rule), &[])), Access::Authenticated(expected));
        let unset = Rule::Authenticated(Authenticated::default());
        assert_eq!(read(&encoded(unset, &[])), Access::Authenticated(Requirements::default()));
        assert_eq!(read(&encoded(Rule::Public(Public {}), &[])), Access::Public);
        assert_eq!(read(&[]), Access::Undeclared);
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic_and_what_is_added_never_lets_anybody_in(
            bytes in prop::collection::vec(any::<u8>(), 0..40), scopes in prop::collection::vec("[a-z]{0,3}", 0..3),
        ) {
            let rule = Rule::Authenticated(Authenticated { required_scopes: scopes, ..Authenticated::default() });
            for encoded in [bytes.clone(), authenticated(&bytes), encoded(rule, &bytes)] {
                let access = read(&encoded);
                // Field 15, a varint.
                if access != Access::NotUnderstood {
                    prop_assert_eq!(read(&[&encoded[..], &[0x78, 1]].concat()), Access::NotUnderstood);
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_refuses_the_method() {
        // Field 15, a varint; and field 6, a string.
        for unknown in [&[0x78, 1][..], &[0x32, 1, b'x']] {
            assert_eq!(read(unknown), Access::NotUnderstood, "another kind of rule");
            assert_eq!(read(&encoded(Rule::Public(Public {}), unknown)), Access::NotUnderstood);
            assert_eq!(read(&authenticated(unknown)), Access::NotUnderstood, "within a rule");
            assert_eq!(
                read(&[&[0x0a, 2][..], &unknown[..2]].concat()),
                Access::NotUnderstood,
                "within `public`"
            );
        }
        assert_eq!(read(&authenticated(&[0x20, 3])), Access::NotUnderstood, "a value of `callers` to come");
        assert_eq!(
            read(&authenticated(&[0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1])),
            Access::NotUnderstood
        );
        assert_eq!(read(&authenticated(&[0x08, 1])), Access::NotUnderstood, "a scope that is a number");
        assert_eq!(read(&[0xff]), Access::NotUnderstood, "no message at all");
    }
}
