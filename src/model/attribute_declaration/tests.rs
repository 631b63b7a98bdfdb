//! Owns the tests of what is declared, and of what users have.

use super::*;
use crate::model::Description;

fn declared(number: u128, name: &str, kind: AttributeType, writer: AttributeWriter) -> AttributeDeclaration {
    AttributeDeclaration {
        id: AttributeId(Uuid::from_u128(number)),
        name: AttributeName::parse(name).unwrap(),
        kind,
        uses: AttributeUses {
            source: AttributeSource::of(writer, false).unwrap(),
            in_userinfo: false,
            in_introspection: false,
        },
        description: Description::default(),
        create_time: Timestamp::from_micros(0),
        update_time: Timestamp::from_micros(0),
    }
}

fn all() -> Declarations {
    let known = vec![
        declared(1, "team", AttributeType::String, AttributeWriter::Admin),
        declared(2, "level", AttributeType::Integer, AttributeWriter::Admin),
        declared(3, "nickname", AttributeType::String, AttributeWriter::User),
        declared(4, "sites", AttributeType::StringList, AttributeWriter::Admin),
    ];
    Declarations::new(known, &[AttributeId(Uuid::from_u128(5))])
}

fn edit(values: &[(&str, Option<AttributeValue>)]) -> AttributeEdit {
    let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    AttributeEdit { replaces: false, values }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::String(text.to_owned())
}

fn refused(result: Result<(UserAttributes, Vec<String>), Error>) -> FieldReason {
    match result {
        Err(Error::InvalidFields(violations)) => violations[0].reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_stored_comes_out_under_its_name_while_it_is_declared_and_of_that_type() {
    let (declarations, none) = (all(), UserAttributes::default());
    let asked = edit(&[("team", Some(text("blue"))), ("level", Some(AttributeValue::Integer(7)))]);
    let (kept, changed) = declarations.edit(&none, &asked, AttributeWriter::Admin).unwrap();
    assert_eq!(changed, ["level", "team"]);
    let read = UserAttributes::from_stored(kept.to_text().as_deref());
    assert_eq!(read, kept);
    assert_eq!(declarations.names(&read, |_| true).len(), 2);
    // One is declared anew, the other with another type under the same id, which no release does.
    let others = vec![
        declared(9, "team", AttributeType::String, AttributeWriter::Admin),
        declared(2, "level", AttributeType::String, AttributeWriter::Admin),
    ];
    let others = Declarations::new(others, &[]);
    assert!(others.names(&read, |_| true).is_empty());
    let (after, changed) = others.edit(&read, &edit(&[]), AttributeWriter::Admin).unwrap();
    assert!(after.is_empty() && changed.is_empty(), "and it goes with the next change");
}

#[test]
fn what_breaks_a_rule_is_refused() {
    let (declarations, none) = (all(), UserAttributes::default());
    let by_admin = |values: &[(&str, Option<AttributeValue>)]| {
        refused(declarations.edit(&none, &edit(values), AttributeWriter::Admin))
    };
    assert_eq!(by_admin(&[("tea\u{1b}m", Some(text("x")))]), FieldReason::NotUpdatable);
    assert_eq!(by_admin(&[("level", Some(text("x")))]), FieldReason::Malformed);
    let large = Some(AttributeValue::Integer(MAX_INTEGER + 1));
    assert_eq!(by_admin(&[("level", large)]), FieldReason::Malformed);
    assert_eq!(by_admin(&[("level", Some(AttributeValue::Integer(i64::MIN)))]), FieldReason::Malformed);
    assert_eq!(by_admin(&[("team", Some(text("a\nb")))]), FieldReason::ForbiddenCharacter);
    let list = Some(AttributeValue::StringList(vec!["a".to_owned(), "\u{7}".to_owned()]));
    assert_eq!(by_admin(&[("sites", list)]), FieldReason::ForbiddenCharacter);
    assert_eq!(by_admin(&[("team", Some(text(&"x".repeat(USER_MAX_BYTES))))]), FieldReason::TooLong);
    let fits = USER_MAX_BYTES - r#"{"team":""}"#.len();
    assert!(
        declarations
            .edit(&none, &edit(&[("team", Some(text(&"x".repeat(fits))))]), AttributeWriter::Admin)
            .is_ok()
    );
}

#[test]
fn a_user_writes_what_is_declared_for_users_and_hears_of_nothing_hidden() {
    let declarations = all();
    let asked = edit(&[("team", Some(text("blue"))), ("nickname", Some(text("Al")))]);
    let (old, _) = declarations.edit(&UserAttributes::default(), &asked, AttributeWriter::Admin).unwrap();
    let by_user = |edit: &AttributeEdit| declarations.edit(&old, edit, AttributeWriter::User);
    let (new, changed) = by_user(&edit(&[("nickname", None)])).unwrap();
    assert_eq!(changed, ["nickname"]);
    assert_eq!(declarations.names(&new, |_| true).keys().collect::<Vec<_>>(), ["team"]);
    let (same, changed) = by_user(&AttributeEdit { replaces: true, ..AttributeEdit::default() }).unwrap();
    assert_eq!(
        (same, changed),
        (new, vec!["nickname".to_owned()]),
        "the others are not the user's to take away"
    );
    // Whatever it is: nobody finds out by guessing.
    for value in [Some(text("blue")), Some(text("red")), None] {
        let Err(Error::InvalidFields(rules)) = by_user(&edit(&[("team", value)])) else { panic!() };
        assert_eq!(rules[0].description, undeclared("team"));
    }
}

#[test]
fn what_users_write_never_goes_into_tokens() {
    for (writer, expected) in [(AttributeWriter::Admin, true), (AttributeWriter::User, false)] {
        assert_eq!(AttributeSource::of(writer, true).is_ok(), expected);
        let source = AttributeSource::from_stored(writer, true);
        let uses = AttributeUses { source, in_userinfo: true, in_introspection: false };
        assert_eq!((uses.writer(), uses.in_tokens()), (writer, expected));
    }
}

#[test]
fn what_only_a_later_release_understands_stays_as_it_is() {
    let id = |number| Uuid::from_u128(number).to_string();
    // A value that no release has yet of a known one, values of one whose type is not known, and one that was deleted.
    let text_of = |five: &str| {
        format!(r#"{{"{}":"red","{}":1.50,"{}":{five},"{}":"gone"}}"#, id(1), id(2), id(5), id(6))
    };
    let declarations = all();
    for five in [r#"{"from":1e400,"to":[null]}"#, r#""2026-11-29""#] {
        let old = UserAttributes::from_stored(Some(&text_of(five)));
        assert_eq!(UserAttributes::from_stored(old.to_text().as_deref()), old);
        assert_eq!(declarations.names(&old, |_| true).keys().collect::<Vec<_>>(), ["team"]);
        let replacing = AttributeEdit::replacing(NamedAttributes::new());
        for edit in [edit(&[("team", None), ("level", None)]), replacing] {
            let (new, changed) = declarations.edit(&old, &edit, AttributeWriter::Admin).unwrap();
            assert_eq!(changed, ["team"]);
            let left = format!(r#"{{"{}":1.50,"{}":{five}}}"#, id(2), id(5));
            assert_eq!(new.to_text(), Some(left));
        }
        let edit = edit(&[("level", Some(AttributeValue::Integer(7)))]);
        let (new, _) = declarations.edit(&old, &edit, AttributeWriter::Admin).unwrap();
        let set = format!(r#"{{"{}":"red","{}":7,"{}":{five}}}"#, id(1), id(2), id(5));
        assert_eq!(new.to_text(), Some(set));
    }
}

#[test]
fn a_row_weighs_what_it_has() {
    assert_eq!(UserAttributes::default().weight(), 1);
    let asked = edit(&[("team", Some(text(&"x".repeat(2_000))))]);
    let (kept, _) = all().edit(&UserAttributes::default(), &asked, AttributeWriter::Admin).unwrap();
    assert!((5..7).contains(&kept.weight()), "{}", kept.weight());
}
