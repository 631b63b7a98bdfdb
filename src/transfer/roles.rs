//! Owns taking in a realm's roles and groups, and giving them to the users who have them there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::exports::{Grants, Realm, RealmRole};
use crate::{
    identity::{
        AccessRegistry, Administrator,
        access::{BindingFilter, GroupRef, NewRole, PrincipalRef, RoleRef},
        users::UserRef,
    },
    model::{AudienceName, Description, Error, GroupName, NameSet, Principal, RoleName, UserId},
};

/// How many bindings and audiences are looked at together.
const PAGE: u64 = super::BATCH as u64;

/// How much of a realm came over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessCounts {
    /// New roles.
    pub roles: u64,
    /// New groups.
    pub groups: u64,
    /// Users who were put into groups.
    pub members: u64,
    /// Roles that were given, to groups and users.
    pub bindings: u64,
}

/// Why the roles and groups of a realm are not taken in.
#[derive(Debug, thiserror::Error)]
pub enum AccessProblem {
    /// They would give somebody more than the realm does, of which this is the sentence.
    #[error("{0}")]
    Conflict(String),
    /// What is here cannot be read.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// What a realm has, and how it is called here. What has no name here is none.
#[derive(Debug)]
struct Plan {
    roles: BTreeMap<RealmRole, (AudienceName, RoleName)>,
    groups: BTreeMap<String, GroupName>,
}

/// A realm whose roles and groups are taken in.
#[derive(Debug)]
pub struct AccessImport<'a> {
    registry: AccessRegistry,
    by: &'a Administrator,
    realm: Realm,
    plan: Plan,
    groups: HashMap<String, GroupRef>,
    counts: AccessCounts,
    not_taken: BTreeMap<&'static str, u64>,
}

impl<'a> AccessImport<'a> {
    /// Looks at what is to become of the roles and groups of `realm`, and makes nothing yet. The roles of the realm itself are those of the
    /// audience that has its name, a client's those of the audience that has the client's. A role of Keycloak is a name alone, so each
    /// gives the one scope that is called as it is.
    ///
    /// # Errors
    /// [`AccessProblem::Conflict`] if two roles, or two groups, would have one name here, or one that is here gives what the realm's does
    /// not; [`AccessProblem::Failed`], with the cause.
    pub async fn begin(
        registry: AccessRegistry,
        by: &'a Administrator,
        realm: Realm,
        own: &str,
    ) -> Result<Self, AccessProblem> {
        let (plan, not_taken) = Plan::of(&realm, own)?;
        let counts = AccessCounts::default();
        let import = Self { registry, by, realm, plan, groups: HashMap::new(), counts, not_taken };
        for (audience, name) in import.plan.roles.values() {
            import.look_at_role(audience, name).await?;
        }
        let owners = import.owners().await?;
        for (path, name) in &import.plan.groups {
            import.look_at_group(path, name, &owners).await?;
        }
        Ok(import)
    }

    /// Makes the roles and groups that are not there, and gives the groups their roles. What is there stays as it is: it was looked at.
    ///
    /// # Errors
    /// Those of making them.
    pub async fn make(&mut self) -> Result<(), Error> {
        self.add_roles().await?;
        self.add_groups().await
    }

    /// Refuses a role that is there and gives what nobody has by its name.
    async fn look_at_role(&self, audience: &AudienceName, name: &RoleName) -> Result<(), AccessProblem> {
        let which = RoleRef::Name(audience.clone(), name.clone());
        match self.registry.directory().role(&which).await {
            Ok(role) if role.scopes == scopes_of(name) => Ok(()),
            Ok(_) => {
                let (name, audience) = (name.as_str(), audience.as_str());
                Err(AccessProblem::Conflict(format!(
                    "the role `{name}` of the audience `{audience}` is here already, and does not give the one scope `{name}`: whoever has \
                     it in the realm would have what it gives here"
                )))
            }
            Err(Error::RoleNotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Refuses a group that is there and gives its members what the one at `path` does not, or is one of the `owners` of an audience.
    async fn look_at_group(
        &self,
        path: &str,
        name: &GroupName,
        owners: &HashMap<Principal, AudienceName>,
    ) -> Result<(), AccessProblem> {
        let directory = self.registry.directory();
        let group = match directory.group(&GroupRef(name.as_str().to_owned())).await {
            Ok(group) => Principal::Group(group.id),
            Err(Error::GroupNotFound(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if let Some(audience) = owners.get(&group) {
            return Err(gives_more(name, &format!("owns the audience `{}`", audience.as_str())));
        }
        let given = self.realm.given_by_group(path);
        let planned: BTreeSet<_> = given.iter().filter_map(|role| self.plan.roles.get(role)).collect();
        let filter = BindingFilter { subject: Some(group), ..BindingFilter::default() };
        let mut after = None;
        loop {
            let bindings = directory.bindings(&filter, after, PAGE).await?;
            for listed in &bindings {
                let role = (listed.role.audience.clone(), listed.role.name.clone());
                if !planned.contains(&role) {
                    let (audience, role) = (role.0.as_str(), role.1.as_str());
                    let grant = format!("has the role `{role}` of the audience `{audience}`");
                    return Err(gives_more(name, &grant));
                }
            }
            if (bindings.len() as u64) < PAGE {
                return Ok(());
            }
            after = bindings.last().map(|listed| listed.binding.id);
        }
    }

    /// Who owns audiences, each with one of them.
    async fn owners(&self) -> Result<HashMap<Principal, AudienceName>, Error> {
        let (mut owners, mut after) = (HashMap::new(), None);
        loop {
            let page = self.registry.directory().audiences(after.as_ref(), PAGE).await?;
            for (audience, _) in &page {
                owners.extend(audience.owners.iter().map(|owner| (*owner, audience.name.clone())));
            }
            if (page.len() as u64) < PAGE {
                return Ok(owners);
            }
            after = page.last().map(|(audience, _)| audience.name.clone());
        }
    }

    async fn add_roles(&mut self) -> Result<(), Error> {
        for (role, description) in self.realm.roles() {
            let Some((audience, name)) = self.plan.roles.get(role).cloned() else { continue };
            let scopes = scopes_of(&name);
            let description = Description::parse(description).unwrap_or_default();
            let new = NewRole { audience, name, scopes, description };
            match self.registry.create_role(new, self.by).await {
                Ok(_) => self.counts.roles += 1,
                Err(Error::RoleExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn add_groups(&mut self) -> Result<(), Error> {
        let groups: Vec<_> = self.realm.groups().cloned().collect();
        for path in groups {
            let Some(name) = self.plan.groups.get(&path).cloned() else { continue };
            let group = GroupRef(name.as_str().to_owned());
            match self.registry.create_group(name, self.by).await {
                Ok(_) => self.counts.groups += 1,
                Err(Error::GroupExists(_)) => {}
                Err(error) => return Err(error),
            }
            for role in self.realm.given_by_group(&path) {
                self.bind(&role, &PrincipalRef::Group(group.clone())).await?;
            }
            self.groups.insert(path, group);
        }
        Ok(())
    }

    /// Gives the user `id` what it has in the realm.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Internal`], with the cause. What a limit forbids is counted.
    pub async fn give(&mut self, id: UserId, grants: &Grants) -> Result<(), Error> {
        let user = UserRef::Id(id);
        for path in &grants.groups {
            let Some(group) = self.groups.get(path) else {
                *self.not_taken.entry("memberships").or_default() += 1;
                continue;
            };
            match self.registry.add_member(group, &user, self.by).await {
                Ok(_) => self.counts.members += 1,
                Err(Error::LimitReached { .. }) => *self.not_taken.entry("memberships").or_default() += 1,
                Err(error) => return Err(error),
            }
        }
        for role in self.realm.given_by(&grants.roles) {
            self.bind(&role, &PrincipalRef::User(user.clone())).await?;
        }
        Ok(())
    }

    async fn bind(&mut self, role: &RealmRole, who: &PrincipalRef) -> Result<(), Error> {
        let Some((audience, name)) = self.plan.roles.get(role).cloned() else {
            *self.not_taken.entry("bindings").or_default() += 1;
            return Ok(());
        };
        match self.registry.bind(&RoleRef::Name(audience, name), who, None, self.by).await {
            Ok(_) => self.counts.bindings += 1,
            Err(Error::LimitReached { .. }) => *self.not_taken.entry("bindings").or_default() += 1,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// How much came over, and how much of each kind did not.
    #[must_use]
    pub fn end(self) -> (AccessCounts, BTreeMap<&'static str, u64>) {
        (self.counts, self.not_taken)
    }
}

impl Plan {
    /// How what `realm` has is called here, and how much has no name here. At the audience `own`, which is the service's, nothing is made.
    fn of(realm: &Realm, own: &str) -> Result<(Self, BTreeMap<&'static str, u64>), AccessProblem> {
        let (mut plan, mut not_taken) =
            (Self { roles: BTreeMap::new(), groups: BTreeMap::new() }, BTreeMap::<_, u64>::new());
        let mut names = BTreeMap::new();
        for (role, _) in realm.roles() {
            let audience = role.client.as_deref().unwrap_or(&realm.name);
            let audience =
                AudienceName::parse(audience).ok().filter(|name| name.as_str() != own && !name.is_signet());
            let name = RoleName::parse(&simple(&role.name)).ok().filter(|name| !name.is_everyone());
            let (Some(audience), Some(name)) = (audience, name) else {
                *not_taken.entry("roles").or_default() += 1;
                continue;
            };
            if let Some(other) = names.insert((audience.clone(), name.clone()), &role.name) {
                return Err(one_name("roles", other, &role.name, name.as_str()));
            }
            plan.roles.insert(role.clone(), (audience, name));
        }
        let mut names = BTreeMap::new();
        for path in realm.groups() {
            let Ok(name) = GroupName::parse(&simple(path.trim_start_matches('/'))) else {
                *not_taken.entry("groups").or_default() += 1;
                continue;
            };
            if let Some(other) = names.insert(name.clone(), path) {
                return Err(one_name("groups", other, path, name.as_str()));
            }
            plan.groups.insert(path.clone(), name);
        }
        Ok((plan, not_taken))
    }
}

/// What the role `name` gives: a role of Keycloak is a name alone.
fn scopes_of(name: &RoleName) -> NameSet {
    NameSet::default().with([name.as_str()])
}

/// Users who are put into a group have what it gives, whoever gave it that.
fn gives_more(group: &GroupName, what: &str) -> AccessProblem {
    AccessProblem::Conflict(format!(
        "the group `{}` is here already, and {what}, which the realm does not give it: its members there would have it here",
        group.as_str()
    ))
}

/// `name` in the letters that names have here: lower-case, a point between a group and the one in it, a hyphen for anything else.
fn simple(name: &str) -> String {
    let letter = |char: char| match char.to_ascii_lowercase() {
        '/' => '.',
        char if char.is_ascii_alphanumeric() || "-_.".contains(char) => char,
        _ => '-',
    };
    name.chars().map(letter).collect()
}

/// Two roles that become one would each give what the other does.
fn one_name(what: &str, one: &str, other: &str, name: &str) -> AccessProblem {
    AccessProblem::Conflict(format!(
        "the {what} `{}` and `{}` would both be called `{name}` here: rename one of them",
        one.escape_debug(),
        other.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(roles: &str, groups: &str) -> Result<Plan, String> {
        let realm = format!(r#"{{"realm":"shop","roles":{{"realm":[{roles}]}},"groups":[{groups}]}}"#);
        Plan::of(&Realm::read(realm.as_bytes()).unwrap(), "own").map(|(plan, _)| plan).map_err(|problem| {
            match problem {
                AccessProblem::Conflict(sentence) => sentence,
                AccessProblem::Failed(error) => panic!("{error}"),
            }
        })
    }

    #[test]
    fn names_become_those_that_there_are_here_and_none_becomes_anothers() {
        let made = plan(
            r#"{"name":"Order Desk"},{"name":"everyone"},{"name":"signet.admin"}"#,
            r#"{"name":"Staff","subGroups":[{"name":"a b"}]}"#,
        );
        let made = made.unwrap();
        let roles: Vec<_> =
            made.roles.values().map(|(audience, name)| (audience.as_str(), name.as_str())).collect();
        assert_eq!(
            roles,
            [("shop", "order-desk")],
            "what gives everybody something, or administers, comes from nowhere"
        );
        let groups: Vec<_> = made.groups.values().map(GroupName::as_str).collect();
        assert_eq!(groups, ["staff", "staff.a-b"]);
        assert!(plan(r#"{"name":"a b"},{"name":"a-b"}"#, "").unwrap_err().contains("`a-b` here"));
        assert!(
            plan("", r#"{"name":"a.b"},{"name":"a","subGroups":[{"name":"b"}]}"#)
                .unwrap_err()
                .contains("`a.b` here")
        );
    }

    #[test]
    fn nothing_is_made_at_the_audience_of_the_service() {
        for name in ["own", "signet"] {
            let realm = format!(r#"{{"realm":"{name}","roles":{{"realm":[{{"name":"reader"}}]}}}}"#);
            let (plan, not_taken) = Plan::of(&Realm::read(realm.as_bytes()).unwrap(), "own").unwrap();
            assert!(plan.roles.is_empty());
            assert_eq!(not_taken.get("roles"), Some(&1));
        }
    }
}
