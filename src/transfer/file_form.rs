//! Owns telling by its first bytes what a file is: read as something else, each of its rows would be refused for a reason that is wrong.

/// A file of which its beginning says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileForm {
    /// A realm of Keycloak, or its users.
    Keycloak,
    /// Users of Auth0, one a line.
    Auth0,
    /// Users of Firebase.
    Firebase,
    /// A first line of names, and rows.
    Csv,
}

/// How much is looked at, in bytes: a realm may say a lot before its first user.
const LOOKED_AT_BYTES: usize = 256 * 1024;

/// Members of Auth0's users. Each may be anybody's; two of them are not.
const OF_AUTH0: [&str; 9] = [
    "_id",
    "user_id",
    "email_verified",
    "passwordHash",
    "tenant",
    "connection",
    "identities",
    "_tmp_is_unique",
    "password_set_date",
];

/// How deep the members of a user lie in a document with a list `users`.
const IN_USER: usize = 3;

impl FileForm {
    /// That of a file with this `beginning`; none if it does not tell.
    #[must_use]
    pub fn of(beginning: &[u8]) -> Option<Self> {
        let beginning = &beginning[..beginning.len().min(LOOKED_AT_BYTES)];
        let beginning = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
        match beginning.first()? {
            b'{' => Self::of_object(beginning),
            b'[' => None,
            _ => Self::of_header(beginning.split(|byte| matches!(byte, b'\r' | b'\n')).next()?),
        }
    }

    fn of_object(beginning: &[u8]) -> Option<Self> {
        let members = members(beginning);
        let has = |depth, name: &str| members.contains(&(depth, name.as_bytes()));
        let in_user = |names: &[&str]| has(1, "users") && names.iter().any(|name| has(IN_USER, name));
        if in_user(&["localId", "passwordSalt"]) {
            Some(Self::Firebase)
        } else if has(1, "realm") || in_user(&["credentials", "createdTimestamp", "realmRoles"]) {
            Some(Self::Keycloak)
        } else if OF_AUTH0.iter().filter(|name| has(1, name)).count() > 1 {
            Some(Self::Auth0)
        } else {
            None
        }
    }

    fn of_header(line: &[u8]) -> Option<Self> {
        const NAMES: [&[u8]; 4] = [b"username", b"email", b"password_hash", b"hashed_password"];
        let bare =
            |name: &[u8]| name.trim_ascii().iter().copied().filter(|byte| *byte != b'"').collect::<Vec<_>>();
        let names: Vec<_> = line.split(|byte| matches!(byte, b',' | b';' | b'\t')).map(bare).collect();
        let is_csv = names.len() > 1 && names.iter().any(|name| NAMES.contains(&name.as_slice()));
        is_csv.then_some(Self::Csv)
    }
}

/// The names of members in the first document of `text`, which need not be whole, each with how deep it lies: 1 for those of the document.
fn members(text: &[u8]) -> Vec<(usize, &[u8])> {
    let (mut names, mut depth, mut at) = (Vec::new(), 0_usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => break,
            b'}' | b']' => depth -= 1,
            b'"' => {
                let Some(length) = string_bytes(&text[at + 1..]) else { break };
                let (name, rest) = text[at + 1..].split_at(length);
                if rest[1..].trim_ascii_start().first() == Some(&b':') {
                    names.push((depth, name));
                }
                at += length + 1;
            }
            _ => {}
        }
        at += 1;
    }
    names
}

/// How long the string is that `text` continues, without the quotation mark at its end; none if that does not come.
fn string_bytes(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_by_its_beginning_what_it_is() {
        for (beginning, expected) in [
            ("{\n  \"id\" : \"1\",\n  \"realm\" : \"shop\",\n  \"notBefore\" : 0", Some(FileForm::Keycloak)),
            (
                r#"{"users":[{"id":"1","username":"a","createdTimestamp":1,"credentials":["#,
                Some(FileForm::Keycloak),
            ),
            ("{\"users\": [\n{\"localId\": \"1\", \"email\": \"a@b\"}", Some(FileForm::Firebase)),
            (r#"{"users":[{"uid":"1","passwordHash":"x","passwordSalt":"y"}]}"#, Some(FileForm::Firebase)),
            (
                "{\"_id\":{\"$oid\":\"6\"},\"email\":\"a\",\"passwordHash\":\"$2b$\"}\n{",
                Some(FileForm::Auth0),
            ),
            ("\u{feff}username,password_hash\r\nann,x", Some(FileForm::Csv)),
            ("id;\"username\";hash\n", Some(FileForm::Csv)),
            // What Signet exports, whatever stands in it.
            (
                r#"{"id":"1","username":"realm","password_hash":"\"realm\":","attributes":{"realm":1,"users":[{"localId":1}]}}"#,
                None,
            ),
            ("{\"username\":\"a\",\"password_hash\":\"b\"}\n{\"realm\":1}", None),
            (r#"{"user_id":1,"username":"a"}"#, None),
            ("no JSON\n", None),
            ("username\n", None),
            ("[{\"realm\":\"x\"}]", None),
            ("{\"users\":[{]", None),
            ("{\"real", None),
            ("", None),
        ] {
            assert_eq!(FileForm::of(beginning.as_bytes()), expected, "{beginning}");
        }
    }
}
