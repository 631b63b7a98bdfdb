//! Owns reading the users of a JSON document one after the other, so that none but the one that is read is in memory.

use std::{
    cell::{Cell, RefCell},
    fmt,
    io::{self, Read},
    rc::Rc,
};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// How much of a document may be read for one user, in bytes: it is held in memory.
const MAX_USER_BYTES: u64 = 1024 * 1024;

/// How much may be read of what is passed over until the next member begins: a quotation mark that is not closed would take in the rest.
const MAX_PASSED_OVER_BYTES: u64 = 256 * 1024 * 1024;

/// How much may be read for the name of a member, in bytes: it is held in memory.
pub(super) const MAX_NAME_BYTES: u64 = 64 * 1024;

/// Reads the document `input`, an object, and gives `each` what is in its list `users`, with how many bytes have been read; until it wants
/// no more. The document may name its realm, which must be `realm` if that is one, and is noted there. Returns how many bytes have been
/// read.
///
/// # Errors
/// The input's; of the kind `InvalidData` if it is no such document, or that of another realm, or of several.
pub(super) fn read_users(
    input: impl Read,
    realm: &mut Option<String>,
    mut each: impl FnMut(Value, u64) -> bool,
) -> io::Result<u64> {
    let progress = Rc::new(Progress::default());
    progress.allow(MAX_PASSED_OVER_BYTES);
    let mut parser = serde_json::Deserializer::from_reader(Bounded { input, progress: Rc::clone(&progress) });
    let (mut is_wanted, mut is_found) = (true, false);
    let document = Document {
        progress: &progress,
        realm,
        each: &mut each,
        is_wanted: &mut is_wanted,
        is_found: &mut is_found,
    };
    let read = document.deserialize(&mut parser).and_then(|()| parser.end());
    if let Some(problem) = progress.refusal.take() {
        return Err(invalid(&problem));
    }
    match read {
        Err(_) if !is_wanted => Ok(progress.bytes.get()),
        Err(error) if error.is_io() => Err(error.into()),
        Err(error) if error.is_data() => Err(invalid("it is no export: no list `users` is in it")),
        Err(error) if error.is_eof() => Err(invalid("it ends before its last bracket: is it whole?")),
        Err(error) => {
            Err(invalid(&format!("it is not JSON (line {}, column {})", error.line(), error.column())))
        }
        Ok(()) if !is_found => Err(invalid("it is no export: no list `users` is in it")),
        Ok(()) => Ok(progress.bytes.get()),
    }
}

/// How much has been read, and how much more may be until the next user, or the next member.
#[derive(Default)]
pub(super) struct Progress {
    bytes: Cell<u64>,
    until: Cell<u64>,
    /// Why the document is not taken, if its form is not why.
    refusal: RefCell<Option<String>>,
}

impl Progress {
    /// From now on `more` bytes may be read.
    pub(super) fn allow(&self, more: u64) {
        self.until.set(self.bytes.get().saturating_add(more));
    }

    /// Whether all has been read that may be.
    pub(super) fn is_used_up(&self) -> bool {
        self.bytes.get() >= self.until.get()
    }

    /// The document is not taken, since `problem`.
    fn refuse<E: serde::de::Error>(&self, problem: String) -> E {
        self.refusal.replace(Some(problem));
        E::custom("refused")
    }
}

/// An input of which no more is read than is allowed.
pub(super) struct Bounded<R> {
    pub(super) input: R,
    pub(super) progress: Rc<Progress>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_used_up() {
            let problem = "a user is longer than 1 MiB, or another part than there is room for: is a quotation mark not closed?";
            return Err(invalid(problem));
        }
        let read = self.input.read(buffer)?;
        self.progress.bytes.set(self.progress.bytes.get() + read as u64);
        Ok(read)
    }
}

pub(super) fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// An object with a list `users`.
struct Document<'a, F> {
    progress: &'a Progress,
    realm: &'a mut Option<String>,
    each: &'a mut F,
    is_wanted: &'a mut bool,
    is_found: &'a mut bool,
}

impl<F> Document<'_, F> {
    const fn again(&mut self) -> Document<'_, F> {
        Document {
            progress: self.progress,
            realm: &mut *self.realm,
            each: &mut *self.each,
            is_wanted: &mut *self.is_wanted,
            is_found: &mut *self.is_found,
        }
    }

    /// Notes that the users are those of the realm `name`. Two realms may each have a user of a name, who are not one.
    fn meet<E: serde::de::Error>(&mut self, name: &str) -> Result<(), E> {
        match self.realm.as_deref() {
            Some(other) if other != name => Err(self.progress.refuse(several_realms([other, name]))),
            _ => {
                *self.realm = Some(name.to_owned());
                Ok(())
            }
        }
    }
}

/// Why the users of `realms` do not come over together.
pub(super) fn several_realms<'a>(realms: impl IntoIterator<Item = &'a str>) -> String {
    let realms: Vec<_> = realms.into_iter().map(|realm| format!("`{}`", realm.escape_debug())).collect();
    format!(
        "it holds the realms {}, whose users are not one another's: export one (`kc.sh export --realm NAME`)",
        realms.join(", ")
    )
}

impl<'de, F: FnMut(Value, u64) -> bool> DeserializeSeed<'de> for Document<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Value, u64) -> bool> Visitor<'de> for Document<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list `users`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        let problem = "it is a list, as of several realms: export one (`kc.sh export --realm NAME`)";
        Err(self.progress.refuse(problem.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.progress.allow(MAX_NAME_BYTES);
        while let Some(name) = members.next_key::<String>()? {
            self.progress.allow(MAX_PASSED_OVER_BYTES);
            match name.as_str() {
                "users" if *self.is_found => {
                    return Err(self.progress.refuse("it has two lists `users`".to_owned()));
                }
                "users" => {
                    *self.is_found = true;
                    members.next_value_seed(Users(self.again()))?;
                }
                "realm" => {
                    self.progress.allow(MAX_NAME_BYTES);
                    if let Value::String(realm) = members.next_value()? {
                        self.meet(&realm)?;
                    }
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
            self.progress.allow(MAX_NAME_BYTES);
        }
        Ok(())
    }
}

/// The list.
struct Users<'a, F>(Document<'a, F>);

impl<'de, F: FnMut(Value, u64) -> bool> DeserializeSeed<'de> for Users<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(Value, u64) -> bool> Visitor<'de> for Users<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of users")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut users: A) -> Result<(), A::Error> {
        self.0.progress.allow(MAX_USER_BYTES);
        while let Some(user) = users.next_element::<Value>()? {
            if !(self.0.each)(user, self.0.progress.bytes.get()) {
                *self.0.is_wanted = false;
                return Err(A::Error::custom("no more are wanted"));
            }
            self.0.progress.allow(MAX_USER_BYTES);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(document: &str) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        let read = read_users(document.as_bytes(), &mut None, |user, _| {
            names.push(user["username"].as_str().unwrap_or_default().to_owned());
            true
        });
        read.map(|_| names).map_err(|error| error.to_string())
    }

    #[test]
    fn users_are_found_wherever_they_stand() {
        let realm = |users: &str| {
            format!(r#"{{"realm":"x","roles":{{"users":[1]}},"users":[{users}],"clients":[]}}"#)
        };
        assert_eq!(names(&realm(r#"{"username":"a"}"#)).unwrap(), ["a"]);
        assert_eq!(names(&realm(r#"{"username":"b"},{"username":"c"}"#)).unwrap(), ["b", "c"]);
        assert_eq!(names(&realm("")).unwrap(), [""; 0]);
    }

    #[test]
    fn the_users_of_several_realms_are_not_taken_for_those_of_one() {
        for (document, problem) in [
            (r#"[{"realm":"x","users":[]}]"#, "it is a list"),
            (r#"{"realm":"x","users":[],"users":[]}"#, "two lists `users`"),
            (r#"{"realm":"x","realm":"y","users":[]}"#, "the realms `x`, `y`"),
        ] {
            let told = names(document).unwrap_err();
            assert!(told.contains(problem), "{document}: {told}");
        }
        let mut realm = None;
        let mut read = |document: &str| read_users(document.as_bytes(), &mut realm, |_, _| true);
        assert!(read(r#"{"realm":"x","users":[{}]}"#).is_ok());
        assert!(read(r#"{"realm":"x","users":[{}]}"#).is_ok(), "a second file of it");
        let told = read(r#"{"realm":"y","users":[{}]}"#).unwrap_err().to_string();
        assert!(told.contains("the realms `x`, `y`"), "{told}");
    }

    #[test]
    fn names_of_members_are_not_held_without_end() {
        let document = format!(r#"{{"{}":1,"users":[]}}"#, "x".repeat(100 << 10));
        assert!(names(&document).unwrap_err().contains("than there is room for"));
        let document = format!(r#"{{"x":"{}","users":[]}}"#, "x".repeat(100 << 10));
        assert!(names(&document).is_ok(), "what is passed over is not held");
    }

    #[test]
    fn what_is_no_export_says_so() {
        for (document, problem) in [
            ("", "is it whole?"),
            (r#"{"users":[{"username":"a"}"#, "is it whole?"),
            (r#"{"realm":"x"}"#, "no list `users`"),
            ("3", "no list `users`"),
            (r#"{"users":{}}"#, "no list `users`"),
            (r#"{"users":[}"#, "line 1, column 11"),
        ] {
            let told = names(document).unwrap_err();
            assert!(told.contains(problem), "{document}: {told}");
        }
        let endless = format!(r#"{{"users":[{{"username":"{}"#, "x".repeat(3 << 20));
        assert!(names(&endless).unwrap_err().contains("quotation mark"));
    }

    #[test]
    fn reading_ends_when_no_more_are_wanted() {
        let mut count = 0;
        let read = read_users(&br#"{"users":[{},{},{}]"#[..], &mut None, |_, _| {
            count += 1;
            count < 2
        });
        assert!(read.is_ok() && count == 2);
    }
}
