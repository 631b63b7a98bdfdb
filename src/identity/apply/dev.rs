//! Owns what a file of `signet dev` can say: a manifest, and besides it users with their passwords, and clients' secrets themselves.
//! Nothing of it is kept.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Map, Value};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    format::parse,
    manifest::{
        AttributeItem, AudienceItem, BindingItem, ClientItem, GroupItem, Manifest, RoleItem, SecretRef,
        UserItem,
    },
    text::{self, Text},
};
use crate::{
    identity::{
        clients::random_secret,
        permissions::{GROUPS_CLAIM, ROLES_CLAIM},
    },
    model::{
        AudienceName, BuiltInRole, Client, ClientId, GroupName, NameSet, RoleName, UserId,
        claims::{BUILT_IN_CLIENT, INTROSPECT_SCOPE},
        role::is_admin_scope,
    },
};

/// Of which set the manifest is if no file says.
const SET: &str = "dev";

/// What files say.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevFile {
    #[serde(with = "text::optional", default)]
    set: Option<GroupName>,
    #[serde(default)]
    users: Vec<DevUserItem>,
    #[serde(default)]
    attributes: Vec<AttributeItem>,
    #[serde(default)]
    audiences: Vec<AudienceItem>,
    #[serde(default)]
    clients: Vec<DevClientItem>,
    #[serde(default)]
    roles: Vec<RoleItem>,
    #[serde(default)]
    groups: Vec<GroupItem>,
    #[serde(default)]
    bindings: Vec<BindingItem>,
}

/// A user, and which roles and groups it has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DevUserItem {
    name: String,
    #[serde(default)]
    id: Option<Uuid>,
    #[serde(default)]
    password: Option<String>,
    /// By the audience.
    #[serde(default)]
    roles: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    groups: Vec<String>,
}

/// A client of a manifest, whose secret may stand there itself, and which may have an `id`.
struct DevClientItem {
    id: ClientId,
    item: ClientItem,
    secret: Option<Zeroizing<String>>,
}

/// What there is to be at the start.
pub struct DevData {
    /// The users, to be made first.
    pub users: Vec<DevUser>,
    /// The manifest that is to be made true then.
    pub manifest: Manifest,
    /// The clients that the files name, but for the built-in one.
    pub clients: Vec<DevClient>,
    /// The secret of each that is confidential, by its name.
    pub secrets: HashMap<String, Zeroizing<String>>,
}

/// A client.
#[derive(Debug)]
pub struct DevClient {
    /// The one that the file says, or that the name leads to: the same at each start.
    pub id: ClientId,
    /// Its name.
    pub name: String,
    /// Whom its tokens may be meant for; none stand for the service itself.
    pub audiences: NameSet,
    /// Whether it can get a token in its own name.
    pub gets_tokens: bool,
    /// Where its secret was found, if that is outside the files: what stands there is not this program's to print.
    pub secret_from: Option<SecretRef>,
}

/// A user.
pub struct DevUser {
    /// The one that the file says, or that the name leads to: the same at each start.
    pub id: UserId,
    /// The login name.
    pub name: String,
    /// The password: where the file says none it is one that nobody knows.
    pub password: Zeroizing<String>,
    /// The scopes that administer Signet and that a token of the user must be asked for by their names.
    pub admin_scopes: NameSet,
}

impl DevFile {
    /// What `text` says.
    ///
    /// # Errors
    /// What is wrong with it, and where: `:LINE:COLUMN: ...`.
    pub fn read(text: &str, is_json: bool) -> Result<Self, String> {
        parse(text, is_json)
    }

    /// Adds what `other` says. Of several sets the first counts: nothing of them is kept.
    pub fn add(&mut self, other: Self) {
        let Self { set, users, attributes, audiences, clients, roles, groups, bindings } = other;
        self.set = self.set.take().or(set);
        self.users.extend(users);
        self.attributes.extend(attributes);
        self.audiences.extend(audiences);
        self.clients.extend(clients);
        self.roles.extend(roles);
        self.groups.extend(groups);
        self.bindings.extend(bindings);
    }

    /// What is to be made of it. `resolve` finds a secret that stands elsewhere; what it does not find, and what no file names, is made
    /// at random.
    ///
    /// # Errors
    /// What cannot be meant.
    pub fn into_data(
        self,
        resolve: impl Fn(&str, &SecretRef) -> Option<Zeroizing<String>>,
    ) -> Result<DevData, String> {
        let Self { set, users, attributes, audiences, clients, roles, mut groups, mut bindings } = self;
        let mut made = Vec::with_capacity(users.len());
        for user in users {
            made.push(user.into_user(&mut bindings, &mut groups)?);
        }
        let (mut items, mut told, mut secrets) = (Vec::new(), Vec::new(), HashMap::new());
        for DevClientItem { id, item, secret } in clients {
            if item.name != BUILT_IN_CLIENT {
                let found =
                    item.secret.as_ref().and_then(|from| Some((from.clone(), resolve(&item.name, from)?)));
                let (secret_from, found) = found.unzip();
                if !item.public {
                    secrets.insert(item.name.clone(), secret.or(found).unwrap_or_else(random_secret));
                }
                let (name, audiences) = (item.name.clone(), item.audiences.clone());
                let gets_tokens = !item.public && item.active;
                told.push(DevClient { id, name, audiences, gets_tokens, secret_from });
            }
            items.push(item);
        }
        let set = set.unwrap_or_else(|| GroupName::from_stored(SET.to_owned()));
        let mut manifest = Manifest { set, attributes, audiences, clients: items, roles, groups, bindings };
        open_built_in_client(&mut manifest);
        Ok(DevData { users: made, manifest, clients: told, secrets })
    }
}

impl DevData {
    /// The audiences that the files name, with Signet itself as the only one if they name none.
    #[must_use]
    pub fn audiences(&self) -> Vec<String> {
        let all = audiences_of(&self.manifest);
        if all.is_empty() {
            vec![AudienceName::SIGNET.to_owned()]
        } else {
            all.iter().map(str::to_owned).collect()
        }
    }
}

impl DevUserItem {
    /// The user; what it is bound to, and which groups it is in, stands among `bindings` and `groups` then.
    fn into_user(
        self,
        bindings: &mut Vec<BindingItem>,
        groups: &mut Vec<GroupItem>,
    ) -> Result<DevUser, String> {
        let Self { name, id, password, roles, groups: of_user } = self;
        let id = id.unwrap_or_else(|| id_of("user", &name));
        let of = |problem: String| format!("the user `{name}`: {problem}");
        let item = || UserItem { id, name: Some(name.clone()) };
        let mut admin_scopes = NameSet::default();
        for (audience, roles) in roles {
            let audience = AudienceName::parse(&audience).map_err(|rule| of(rule.description))?;
            for role in roles {
                if let Some(built_in) = BuiltInRole::ALL.iter().find(|built_in| built_in.name() == role)
                    && audience.is_signet()
                {
                    admin_scopes = admin_scopes.with(built_in.scopes().iter());
                }
                let role = RoleName::parse(&role).map_err(|rule| of(rule.description))?;
                let audience = Some(audience.clone()).filter(|audience| !audience.is_signet());
                let user = Some(item());
                bindings.push(BindingItem {
                    role,
                    audience,
                    user,
                    group: None,
                    client: None,
                    expire_time: None,
                });
            }
        }
        for group in of_user {
            let group = GroupName::parse(&group).map_err(|rule| of(rule.description))?;
            match groups.iter_mut().find(|there| there.name == group) {
                Some(there) => there.members.push(item()),
                None => groups.push(GroupItem { name: group, members: vec![item()] }),
            }
        }
        let password = password.map_or_else(random_secret, Zeroizing::new);
        Ok(DevUser { id: UserId(id), name, password, admin_scopes })
    }
}

impl<'de> Deserialize<'de> for DevClientItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::<String, Value>::deserialize(deserializer)?;
        let id = match fields.remove("id") {
            Some(id) => Uuid::deserialize(id).map_err(D::Error::custom)?,
            None => id_of("client", fields.get("name").and_then(Value::as_str).unwrap_or_default()),
        };
        let said = fields.get("secret").and_then(Value::as_str);
        // What refers to another place has the form of that; anything else is the secret.
        let itself =
            said.filter(|said| SecretRef::read(said).is_err()).map(|said| Zeroizing::new(said.to_owned()));
        if itself.is_some() {
            fields.remove("secret");
        }
        let item = ClientItem::deserialize(Value::Object(fields)).map_err(D::Error::custom)?;
        let id = ClientId(id);
        Ok(Self { id, item: ClientItem { id: Some(id), ..item }, secret: itself })
    }
}

/// The id of the user or client `name`, which is the same at each start: a UUID of version 8 (RFC 9562 section 5.8).
fn id_of(kind: &str, name: &str) -> Uuid {
    let digest = digest(&SHA256, format!("signet dev {kind} {name}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The audiences that `manifest` names, but for Signet itself.
fn audiences_of(manifest: &Manifest) -> NameSet {
    let roles = manifest.roles.iter().filter_map(|role| role.audience.as_ref());
    let named = manifest.audiences.iter().map(|audience| &audience.name);
    let of_clients = manifest.clients.iter().flat_map(|client| client.audiences.iter());
    let all = roles.chain(named).map(AudienceName::as_str).chain(of_clients);
    NameSet::default().with(all.filter(|name| *name != AudienceName::SIGNET))
}

/// Has users get, without naming a client, tokens for every audience of `manifest`, with all that its roles give them, and their names.
fn open_built_in_client(manifest: &mut Manifest) {
    let audiences = audiences_of(manifest);
    let is_asked = |scope: &&str| !is_admin_scope(scope) && *scope != INTROSPECT_SCOPE;
    let scopes: Vec<_> = manifest.roles.iter().flat_map(|role| role.scopes.iter()).filter(is_asked).collect();
    let scopes = Client::built_in().scopes.with(scopes);
    let at = manifest.clients.iter().position(|client| client.name == BUILT_IN_CLIENT);
    let said = at.map(|at| manifest.clients.remove(at));
    let said = said.unwrap_or_else(|| ClientItem::named(BUILT_IN_CLIENT));
    manifest.clients.push(ClientItem {
        scopes: scopes.with(said.scopes.iter()),
        audiences: audiences.with(said.audiences.iter()),
        token_claims: said.token_claims.with([ROLES_CLAIM, GROUPS_CLAIM]),
        ..said
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
users:
  - {name: alice, password: correct horse, roles: {stock: [picker], signet: [admin]}, groups: [night]}
  - {name: bob, id: 01900000-0000-7000-8000-00000000000b}
clients:
  - {name: orders, secret: not-a-reference, audiences: [stock], scopes: [stock.read]}
  - {name: billing, secret: 'env:BILLING'}
  - {name: lost, secret: 'env:LOST'}
  - {name: page, public: true}
roles:
  - {name: picker, audience: stock, scopes: [stock.pick]}
groups:
  - {name: day}
";

    fn data(text: &str) -> DevData {
        let resolve = |_: &str, secret: &SecretRef| {
            (*secret == SecretRef::Env("BILLING".to_owned())).then(|| Zeroizing::new("found".to_owned()))
        };
        DevFile::read(text, false).unwrap().into_data(resolve).unwrap()
    }

    #[test]
    fn users_are_bound_by_ids_that_stay_from_start_to_start() {
        let DevData { users, manifest, .. } = data(FILE);
        let alice = UserId(id_of("user", "alice"));
        assert_eq!((users[0].id, &*users[0].name, &**users[0].password), (alice, "alice", "correct horse"));
        assert!(users[0].admin_scopes.contains("signet.users.read") && users[1].admin_scopes.is_empty());
        assert_eq!(users[1].id.to_string(), "01900000-0000-7000-8000-00000000000b");
        assert_eq!(users[1].password.len(), 43, "nobody knows it");
        assert_eq!((alice.0.get_version_num(), id_of("user", "alice")), (8, alice.0));
        let bound = |at: usize| {
            let BindingItem { role, audience, user, .. } = &manifest.bindings[at];
            (role.as_str(), audience.as_ref().map(AudienceName::as_str), user.as_ref().unwrap().id)
        };
        assert_eq!(bound(0), ("admin", None, alice.0));
        assert_eq!(bound(1), ("picker", Some("stock"), alice.0));
        let groups: Vec<_> = manifest.groups.iter().map(|it| (it.name.as_str(), it.members.len())).collect();
        assert_eq!(groups, [("day", 0), ("night", 1)]);
    }

    #[test]
    fn each_confidential_client_has_a_secret_wherever_it_comes_from() {
        let DevData { secrets, manifest, clients, .. } = data(FILE);
        assert_eq!(&**secrets["orders"], "not-a-reference");
        assert_eq!(&**secrets["billing"], "found");
        assert_eq!(secrets["lost"].len(), 43);
        assert!(!secrets.contains_key("page") && !secrets.contains_key(BUILT_IN_CLIENT));
        assert!(manifest.clients[0].secret.is_none(), "it stands in no manifest");
        let got: Vec<_> = clients.iter().map(|client| (client.name.as_str(), client.gets_tokens)).collect();
        assert_eq!(got, [("orders", true), ("billing", true), ("lost", true), ("page", false)]);
        let from: Vec<_> = clients.iter().filter_map(|client| client.secret_from.as_ref()).collect();
        assert_eq!(from, [&SecretRef::Env("BILLING".to_owned())], "what was found elsewhere");
        assert_eq!(manifest.clients[0].id, Some(ClientId(id_of("client", "orders"))));
        let id = "01900000-0000-7000-8000-00000000000c";
        let said = data(&format!("clients: [{{name: a, id: {id}}}]")).manifest.clients.remove(0);
        assert_eq!(said.id.unwrap().to_string(), id);
    }

    #[test]
    fn users_need_no_client_for_what_the_roles_give() {
        let built_in = data(FILE).manifest.clients.pop().unwrap();
        assert_eq!(built_in.name, BUILT_IN_CLIENT);
        assert!(built_in.audiences.contains("stock") && built_in.scopes.contains("stock.pick"));
        assert!(built_in.scopes.contains("profile") && built_in.token_claims.contains("roles"));
        let said = format!("{FILE}  - {{name: signet, scopes: [openid]}}\n")
            .replace("groups:\n  - {name: day}\n", "");
        let said = said.replace("roles:\n  - {name: picker, audience: stock, scopes: [stock.pick]}\n", "");
        let built_in = data(&said).manifest.clients.pop().unwrap();
        assert!(built_in.scopes.contains("openid") && built_in.scopes.contains("profile"));
        assert_eq!(data("users: [{name: a}]").audiences(), ["signet"]);
        assert_eq!(data(FILE).audiences(), ["stock"]);
    }

    #[test]
    fn a_file_is_read_as_strictly_as_a_manifest() {
        let refused = |text: &str| DevFile::read(text, false).map(drop).unwrap_err();
        assert_eq!(refused("usres: []\n"), ":1:1: unknown field `usres`: is `users` meant?");
        assert!(refused("users: [{nmae: a}]\n").contains("is `name` meant?"));
        let client = refused("clients:\n  - {name: a, scpoes: [b]}\n");
        assert!(client.starts_with(":2:") && client.ends_with("is `scopes` meant?"), "{client}");
        let bad = DevFile::read("users: [{name: a, roles: {'b c': [d]}}]", false).unwrap();
        assert!(
            bad.into_data(|_, _| None).err().unwrap().starts_with("the user `a`: must be of printable ASCII")
        );
    }

    #[test]
    fn files_are_put_together_whatever_their_sets_are() {
        let mut whole = DevFile::read("set: shop\nusers: [{name: a}]", false).unwrap();
        whole.add(DevFile::read(r#"{"set": "more", "users": [{"name": "b"}]}"#, true).unwrap());
        let DevData { users, manifest, .. } = whole.into_data(|_, _| None).unwrap();
        assert_eq!((users.len(), manifest.set.as_str()), (2, "shop"));
    }
}
