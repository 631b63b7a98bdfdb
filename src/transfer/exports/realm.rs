//! Owns what a realm of Keycloak says of roles and groups: which there are, and which give others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, Read},
    rc::Rc,
    sync::Arc,
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};

use super::document::{Bounded, MAX_NAME_BYTES, Progress, invalid};

/// A role of a realm: its own, or a client's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RealmRole {
    /// The client whose role it is; none if it is the realm's. Its roles share the name: each would hold as much again.
    pub client: Option<Arc<str>>,
    /// Its name.
    pub name: String,
}

/// What a user has of roles and groups, by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// The paths of its groups: `/staff/admins`.
    pub groups: Vec<String>,
    /// Its roles.
    pub roles: Vec<RealmRole>,
}

/// The roles and groups of a realm.
#[derive(Clone, Debug, Default)]
pub struct Realm {
    /// Its name.
    pub name: String,
    /// The roles, but for those that Keycloak makes by itself, each with what it is for and the roles that it gives.
    roles: BTreeMap<RealmRole, (String, Vec<RealmRole>)>,
    /// The groups by their paths: which of [`Self::nodes`] each is.
    groups: BTreeMap<String, usize>,
    nodes: Vec<Node>,
}

/// A group: what it gives by itself. What it gives by the groups above it is asked for when it is needed: in all groups below, it would be
/// as much again for each.
#[derive(Clone, Debug)]
struct Node {
    above: Option<usize>,
    roles: Vec<RealmRole>,
}

/// How much may be read for the roles of a realm, and for its groups, in bytes: they are held in memory.
const MAX_ACCESS_BYTES: u64 = 16 * 1024 * 1024;

/// How many roles and groups of a realm are taken in, together.
const MAX_ROLES_AND_GROUPS: usize = 100_000;

/// How long the path of a group may be, in bytes: each group holds all of its own.
const MAX_PATH_BYTES: usize = 4096;

/// Clients that each realm has: their roles administer Keycloak, or the account there.
const BUILT_IN_CLIENTS: [&str; 6] =
    ["account", "account-console", "admin-cli", "broker", "realm-management", "security-admin-console"];

/// Roles that each realm has.
const BUILT_IN_ROLES: [&str; 2] = ["offline_access", "uma_authorization"];

/// What the name of the role begins with that gives every user the others.
const DEFAULT_ROLES: &str = "default-roles-";

#[derive(Default)]
struct Document {
    realm: String,
    roles: Roles,
    groups: Vec<GroupRepresentation>,
}

/// What is read of a [`Document`], as far as that is allowed.
struct Members<'a>(&'a Progress);

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a realm")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Document, A::Error> {
        let mut document = Document::default();
        self.0.allow(MAX_NAME_BYTES);
        while let Some(name) = members.next_key::<String>()? {
            self.0.allow(MAX_ACCESS_BYTES);
            match name.as_str() {
                "realm" => document.realm = members.next_value()?,
                "roles" => document.roles = members.next_value()?,
                "groups" => document.groups = members.next_value()?,
                // The users are among it: it is passed over, and nothing of it is held.
                _ => {
                    self.0.allow(u64::MAX);
                    members.next_value::<IgnoredAny>()?;
                }
            }
            self.0.allow(MAX_NAME_BYTES);
        }
        Ok(document)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Roles {
    realm: Vec<RoleRepresentation>,
    client: BTreeMap<String, Vec<RoleRepresentation>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RoleRepresentation {
    name: String,
    description: Option<String>,
    composites: Composites,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Composites {
    realm: Vec<String>,
    client: BTreeMap<String, Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GroupRepresentation {
    name: String,
    realm_roles: Vec<String>,
    client_roles: BTreeMap<String, Vec<String>>,
    sub_groups: Vec<GroupRepresentation>,
}

impl RealmRole {
    /// The roles of these names.
    pub(super) fn all(realm: Vec<String>, clients: BTreeMap<String, Vec<String>>) -> Vec<Self> {
        let of_realm = realm.into_iter().map(|name| Self { client: None, name });
        let of_clients = clients.into_iter().flat_map(|(client, names)| {
            let client: Arc<str> = client.into();
            names.into_iter().map(move |name| Self { client: Some(Arc::clone(&client)), name })
        });
        of_realm.chain(of_clients).collect()
    }

    /// Whether Keycloak makes it by itself.
    fn is_built_in(&self) -> bool {
        match self.client.as_deref() {
            // The realm `master` has a client for each other realm.
            Some(client) => BUILT_IN_CLIENTS.contains(&client) || client.ends_with("-realm"),
            None => BUILT_IN_ROLES.contains(&self.name.as_str()) || self.name.starts_with(DEFAULT_ROLES),
        }
    }
}

impl Realm {
    /// Reads the roles and groups of the document `input`, whose users are passed over.
    ///
    /// # Errors
    /// The input's; of the kind `InvalidData` if it is no realm, or not one alone, or has more roles and groups than are held in memory.
    pub fn read(input: impl Read) -> io::Result<Self> {
        let progress = Rc::new(Progress::default());
        progress.allow(MAX_NAME_BYTES);
        let bounded = Bounded { input, progress: Rc::clone(&progress) };
        let mut parser = serde_json::Deserializer::from_reader(bounded);
        let read = Members(&progress).deserialize(&mut parser);
        let read = read.and_then(|document| parser.end().map(|()| document));
        let document = read.map_err(|error| {
            if progress.is_used_up() {
                return invalid(&format!(
                    "its roles, its groups or the name of a member are more than there is room for: {MAX_ROLES_AND_GROUPS} roles and \
                     groups, and 16 MiB for each of the two"
                ));
            }
            if error.is_io() {
                return error.into();
            }
            // That of the parser: a group is a list and an object.
            if error.to_string().starts_with("recursion limit exceeded") {
                return invalid("its groups lie more than 60 deep in one another");
            }
            invalid(&format!(
                "it is no realm of Keycloak's (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        if document.realm.is_empty() {
            return Err(invalid("it names no realm"));
        }
        let mut realm = Self { name: document.realm, ..Self::default() };
        let of_realm = document.roles.realm.into_iter().map(|role| (None, role));
        let of_clients = document.roles.client.into_iter();
        let of_clients = of_clients.flat_map(|(client, roles)| {
            let client: Arc<str> = client.into();
            roles.into_iter().map(move |role| (Some(Arc::clone(&client)), role))
        });
        for (client, role) in of_realm.chain(of_clients) {
            let RoleRepresentation { name, description, composites } = role;
            let gives = RealmRole::all(composites.realm, composites.client);
            realm.roles.insert(RealmRole { client, name }, (description.unwrap_or_default(), gives));
        }
        realm.add_groups("", None, document.groups)?;
        if realm.roles.len() + realm.nodes.len() > MAX_ROLES_AND_GROUPS {
            return Err(too_many());
        }
        Ok(realm)
    }

    /// Adds groups that lie in the group `above`, which is at `path`.
    fn add_groups(
        &mut self,
        path: &str,
        above: Option<usize>,
        groups: Vec<GroupRepresentation>,
    ) -> io::Result<()> {
        for group in groups {
            if self.roles.len() + self.nodes.len() >= MAX_ROLES_AND_GROUPS {
                return Err(too_many());
            }
            if path.len() + group.name.len() >= MAX_PATH_BYTES {
                return Err(invalid(&format!("the path of a group is longer than {MAX_PATH_BYTES} bytes")));
            }
            let path = format!("{path}/{}", group.name);
            let node = self.nodes.len();
            if self.groups.insert(path.clone(), node).is_some() {
                // Whoever is in one would be in the other.
                return Err(invalid(&format!("two groups have the path `{}`", path.escape_debug())));
            }
            let roles = RealmRole::all(group.realm_roles, group.client_roles);
            self.nodes.push(Node { above, roles });
            self.add_groups(&path, Some(node), group.sub_groups)?;
        }
        Ok(())
    }

    /// Its roles, each with what it is for, without those that Keycloak makes by itself.
    pub fn roles(&self) -> impl Iterator<Item = (&RealmRole, &str)> {
        let own = self.roles.iter().filter(|(role, _)| !role.is_built_in());
        own.map(|(role, (description, _))| (role, description.as_str()))
    }

    /// The paths of its groups.
    pub fn groups(&self) -> impl Iterator<Item = &String> {
        self.groups.keys()
    }

    /// The roles that the members of the group at `path` have: those of the groups above it, too.
    #[must_use]
    pub fn given_by_group(&self, path: &str) -> BTreeSet<RealmRole> {
        let (mut roles, mut next) = (Vec::new(), self.groups.get(path).copied());
        while let Some(node) = next.and_then(|node| self.nodes.get(node)) {
            roles.extend(node.roles.iter().cloned());
            next = node.above;
        }
        self.given_by(&roles)
    }

    /// `roles`, and those that they give, without what Keycloak makes by itself.
    #[must_use]
    pub fn given_by(&self, roles: &[RealmRole]) -> BTreeSet<RealmRole> {
        let (mut all, mut open) = (BTreeSet::new(), roles.to_vec());
        while let Some(role) = open.pop() {
            if let Some((_, gives)) = self.roles.get(&role).filter(|_| !all.contains(&role)) {
                open.extend(gives.iter().cloned());
            }
            all.insert(role);
        }
        all.retain(|role| !role.is_built_in());
        all
    }
}

fn too_many() -> io::Error {
    invalid(&format!("it has more than {MAX_ROLES_AND_GROUPS} roles and groups"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REALM: &str = r#"{
        "realm": "shop", "users": [{"username": "a"}],
        "roles": {
            "realm": [
                {"name": "offline_access"},
                {"name": "default-roles-shop", "composite": true, "composites": {
                    "realm": ["offline_access", "reader"], "client": {"account": ["view-profile"]}
                }},
                {"name": "reader", "description": "Reads"},
                {"name": "editor", "composite": true, "composites": {"realm": ["reader", "editor"], "client": {"stock": ["pick"]}}}
            ],
            "client": {"stock": [{"name": "pick"}], "realm-management": [{"name": "realm-admin"}]}
        },
        "groups": [{"name": "staff", "path": "/staff", "realmRoles": ["reader"], "clientRoles": {}, "subGroups": [
            {"name": "heads", "path": "/staff/heads", "clientRoles": {"stock": ["pick"]}}
        ]}]
    }"#;

    fn of_realm(name: &str) -> RealmRole {
        RealmRole { client: None, name: name.to_owned() }
    }

    fn pick() -> RealmRole {
        RealmRole { client: Some("stock".into()), name: "pick".to_owned() }
    }

    #[test]
    fn roles_give_others_and_groups_those_of_the_groups_above() {
        let realm = Realm::read(REALM.as_bytes()).unwrap();
        let roles: Vec<_> = realm.roles().map(|(role, _)| role.clone()).collect();
        assert_eq!(roles, [of_realm("editor"), of_realm("reader"), pick()]);
        assert_eq!(
            realm.given_by(&[of_realm("editor")]),
            BTreeSet::from([of_realm("editor"), of_realm("reader"), pick()])
        );
        assert_eq!(realm.given_by(&[of_realm("default-roles-shop")]), BTreeSet::from([of_realm("reader")]));
        let groups: Vec<_> = realm.groups().map(|path| (path.as_str(), realm.given_by_group(path))).collect();
        assert_eq!(
            groups,
            [
                ("/staff", BTreeSet::from([of_realm("reader")])),
                ("/staff/heads", BTreeSet::from([of_realm("reader"), pick()])),
            ]
        );
        assert!(realm.given_by_group("/heads").is_empty());
    }

    #[test]
    fn groups_in_groups_hold_no_roles_but_their_own() {
        let roles: Vec<_> = (0..500).map(|number| format!("\"role-{number}\"")).collect();
        let below: Vec<_> = (0..5_000).map(|number| format!(r#"{{"name":"{number}"}}"#)).collect();
        let document = format!(
            r#"{{"realm":"x","groups":[{{"name":"a","realmRoles":[{}],"subGroups":[{}]}}]}}"#,
            roles.join(","),
            below.join(",")
        );
        let realm = Realm::read(document.as_bytes()).unwrap();
        assert_eq!(realm.groups().count(), 5_001);
        assert_eq!(realm.nodes.iter().map(|node| node.roles.len()).sum::<usize>(), 500);
        assert_eq!(realm.given_by_group("/a/2").len(), 500);
    }

    #[test]
    fn a_realm_holds_no_more_than_there_is_room_for() {
        let long = "x".repeat(5_000);
        for (groups, problem) in [
            (format!(r#"{{"name":"{long}"}}"#), "longer than 4096 bytes"),
            (r#"{"name":"a"},{"name":"a"}"#.to_owned(), "two groups have the path `/a`"),
            (r#"{"name":"a/b"},{"name":"a","subGroups":[{"name":"b"}]}"#.to_owned(), "the path `/a/b`"),
            (format!(r#"{{"name":"{}"}}"#, "x".repeat(17 << 20)), "than there is room for"),
        ] {
            let document = format!(r#"{{"realm":"x","groups":[{groups}]}}"#);
            let told = Realm::read(document.as_bytes()).unwrap_err().to_string();
            assert!(told.contains(problem), "{problem}: {told}");
        }
        let numbered: Vec<_> =
            (0..=MAX_ROLES_AND_GROUPS).map(|number| format!(r#"{{"name":"{number}"}}"#)).collect();
        let document = format!(r#"{{"realm":"x","groups":[{}]}}"#, numbered.join(","));
        let told = Realm::read(document.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("more than 100000 roles and groups"), "{told}");
        let deep = format!(r#"{{"realm":"x","groups":{}"#, r#"[{"name":"a","subGroups":"#.repeat(1_000));
        let told = Realm::read(deep.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("more than 60 deep in one another"), "{told}");
        let document = format!(r#"{{"realm":"x","{}":1}}"#, "x".repeat(100 << 10));
        assert!(Realm::read(document.as_bytes()).is_err(), "the name of a member");
    }

    #[test]
    fn what_is_no_realm_is_refused() {
        for text in ["", "[]", "{\"realm\": 3}"] {
            assert_eq!(
                Realm::read(text.as_bytes()).unwrap_err().kind(),
                io::ErrorKind::InvalidData,
                "{text}"
            );
        }
    }
}
