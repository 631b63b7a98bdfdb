//! Owns what a plan changes of groups, audiences, roles and bindings.

use std::collections::BTreeSet;

use super::{Planner, all_new, of_role};
use crate::{
    audit::{Event, Field, FieldChange},
    identity::access::event_of,
    model::{
        AudienceChange, AudienceName, Binding, BindingId, Description, Group, GroupId, NameSet, Principal,
        Role, RoleId, RoleName,
    },
    store::{Made, Step},
};

impl Planner<'_> {
    pub(super) fn groups(&mut self) {
        for item in &self.wanted.manifest.groups {
            let name = item.name.as_str().to_owned();
            let what = format!("group `{name}`");
            if !self.is_first(&what) {
                continue;
            }
            if self.groups.contains_key(&name) {
                continue;
            }
            let id = GroupId::new(self.wanted.now, self.entropy);
            self.groups.insert(name, id);
            let group = Group { id, name: item.name.clone(), create_time: self.wanted.now };
            self.create(what, Vec::new(), Step::AddGroup(group), Event::GroupCreated.done().group(id));
        }
    }

    /// Audiences that are new, by what every user has there: first, since whatever else is made at one makes it too.
    pub(super) fn audiences(&mut self) {
        let manifest = self.wanted.manifest;
        let is_everyone = |role: &&super::super::manifest::RoleItem| role.name.is_everyone();
        let mut new: Vec<_> = manifest.audiences.iter().map(|item| self.audience(Some(&item.name))).collect();
        let of_roles = manifest.roles.iter().filter(is_everyone);
        new.extend(of_roles.map(|role| self.audience(role.audience.as_ref())));
        for audience in new.into_iter().collect::<BTreeSet<_>>() {
            if self.roles.contains_key(&(audience.clone(), RoleName::everyone())) {
                continue;
            }
            let mut of_it = manifest.roles.iter().filter(is_everyone);
            let item = of_it.find(|role| self.audience(role.audience.as_ref()) == audience);
            let scopes = item.map(|item| item.scopes.clone()).unwrap_or_default();
            let description = item.and_then(|item| item.description.clone()).unwrap_or_default();
            self.add_role(RoleName::everyone(), audience, scopes, description);
        }
    }

    pub(super) fn roles(&mut self) {
        for item in &self.wanted.manifest.roles {
            let audience = self.audience(item.audience.as_ref());
            let what = what_role(&item.name, &audience);
            if !self.is_first(&what) {
                continue;
            }
            let description = item.description.clone().unwrap_or_default();
            let Some(old) = self.roles.get(&(audience.clone(), item.name.clone())).cloned() else {
                self.add_role(item.name.clone(), audience, item.scopes.clone(), description);
                continue;
            };
            if old.is_built_in() {
                self.refuse(&what, "is built in: nobody makes, changes or deletes it");
                continue;
            }
            if same(&old.scopes, &item.scopes) && old.description == description {
                continue;
            }
            let scopes =
                if same(&old.scopes, &item.scopes) { old.scopes.clone() } else { item.scopes.clone() };
            if let Err(error) = old.may_come_to_give(&scopes.without(&old.scopes)) {
                self.refuse(&what, &error.to_string());
                continue;
            }
            let new = Role { scopes, description, update_time: self.wanted.now, ..old.clone() };
            let fields = [
                FieldChange::of(Field::Scopes, old.scopes.as_str(), new.scopes.as_str()),
                FieldChange::of(Field::Description, old.description.as_str(), new.description.as_str()),
            ];
            let entry = of_role(Event::RoleUpdated, &new);
            let fields: Vec<_> = fields.into_iter().flatten().collect();
            self.update(what, &fields, Step::UpdateRole(new), entry);
        }
    }

    fn add_role(
        &mut self,
        name: RoleName,
        audience: AudienceName,
        scopes: NameSet,
        description: Description,
    ) {
        let what = what_role(&name, &audience);
        let (id, now) = (RoleId::new(self.wanted.now, self.entropy), self.wanted.now);
        let role = Role { id, name, audience, scopes, description, create_time: now, update_time: now };
        if role.name.is_built_in(&role.audience) {
            self.refuse(&what, "is built in: nobody makes, changes or deletes it");
            return;
        }
        if let Err(error) = role.may_come_to_give(&role.scopes) {
            self.refuse(&what, &error.to_string());
            return;
        }
        self.roles.insert((role.audience.clone(), role.name.clone()), role.clone());
        let fields =
            all_new([(Field::Scopes, role.scopes.as_str()), (Field::Description, role.description.as_str())]);
        let entry = of_role(Event::RoleCreated, &role);
        self.create(what, fields, Step::AddRole(role), entry);
    }

    /// Who owns audiences, and what their tokens are called.
    pub(super) fn owners(&mut self) {
        for item in &self.wanted.manifest.audiences {
            let audience = self.audience(Some(&item.name));
            let what = format!("audience `{}`", audience.as_str());
            if !self.is_first(&what) {
                continue;
            }
            let found: Vec<_> = item.owners.iter().filter_map(|who| self.who(&what, who)).collect();
            let wanted: BTreeSet<_> = found.iter().map(|(owner, _)| *owner).collect();
            let of_name = |there: &&crate::model::OwnedAudience| there.name == audience;
            let there = self.present.audiences.iter().find(of_name);
            let old: BTreeSet<_> = there.into_iter().flat_map(|there| there.owners.iter().copied()).collect();
            let (old_typ, typ) = (there.map(|there| there.token_typ).unwrap_or_default(), item.token_typ);
            if let Err(rule) = audience.may_ask_for(typ) {
                self.refuse(&what, &format!("`token_typ` {}", rule.description));
                continue;
            }
            let change = AudienceChange {
                owners: (wanted != old).then(|| wanted.iter().copied().collect()),
                token_typ: (typ != old_typ).then_some(typ),
            };
            if change.owners.is_none() && change.token_typ.is_none() {
                continue;
            }
            let words = |owners: &BTreeSet<Principal>| {
                let names: Vec<_> = owners.iter().map(|owner| self.name_of(*owner)).collect();
                names.join(", ")
            };
            let fields = [
                FieldChange::of(Field::Owners, &words(&old), &words(&wanted)),
                FieldChange::of(Field::TokenTyp, old_typ.name(), typ.name()),
            ];
            let entry = event_of(&change).done().audience(audience.as_str());
            let fields: Vec<_> = fields.into_iter().flatten().collect();
            self.update(what, &fields, Step::UpdateAudience(audience, change), entry);
        }
    }

    pub(super) fn members(&mut self) {
        for item in &self.wanted.manifest.groups {
            let name = item.name.as_str();
            let Some(group) = self.groups.get(name).copied() else { continue };
            for member in &item.members {
                let of = format!("group `{name}`");
                let Some(user) = self.user(&of, member) else { continue };
                let what = format!("membership of the {} in the {of}", self.name_of(Principal::User(user)));
                if !self.is_first(&what) {
                    continue;
                }
                if self.present.memberships.contains_key(&(group, user)) {
                    self.kept.insert(Made::Membership(group, user));
                    continue;
                }
                let entry = Event::GroupMemberAdded.done().group(group).user(user);
                self.create(what, Vec::new(), Step::AddMember(group, user), entry);
            }
        }
    }

    pub(super) fn bindings(&mut self) {
        for (at, item) in self.wanted.manifest.bindings.iter().enumerate() {
            let audience = self.audience(item.audience.as_ref());
            let role = what_role(&item.role, &audience);
            let Some((subject, name)) = self.who(&format!("binding {} to the {role}", at + 1), &item.who())
            else {
                continue;
            };
            let what = format!("binding of the {name} to the {role}");
            if !self.is_first(&what) {
                continue;
            }
            let Some(role) = self.roles.get(&(audience.clone(), item.role.clone())).cloned() else {
                self.refuse_without_role(&what, &item.role, &audience);
                continue;
            };
            if role.is_everyone() {
                self.refuse(&what, "every user has the role `everyone`");
                continue;
            }
            self.bind(what, &role, subject, item.expire_time);
        }
    }

    /// Refuses `what`, since its role is not there; not if the manifest has it, which was refused for itself.
    fn refuse_without_role(&mut self, what: &str, name: &RoleName, audience: &AudienceName) {
        if self.own.roles.contains(&(audience.clone(), name.as_str())) {
            return;
        }
        let of_audience = self.own.roles.iter().filter(|(of, _)| of == audience);
        let hint = self.hint(name.as_str(), of_audience.map(|(_, known)| *known));
        self.refuse(what, &format!("there is no such role, and the manifest has none{hint}"));
    }

    fn bind(&mut self, what: String, role: &Role, subject: Principal, end: Option<crate::base::Timestamp>) {
        let now = self.wanted.now;
        let is_it = |there: &&Binding| there.role == role.id && there.subject == subject;
        let old = self.present.bindings.iter().find(is_it).copied();
        if let Some(end) = end.filter(|end| *end <= now) {
            self.ended.push(format!("{what}, at {end}"));
            // What has ended a job deletes: it is not made again.
            if old.is_none() {
                return;
            }
        }
        let text = |end: Option<crate::base::Timestamp>| end.map(|end| end.to_string()).unwrap_or_default();
        let entry = of_role(Event::RoleBound, role).principal(subject);
        let new = Binding {
            id: old.map_or_else(|| BindingId::new(now, self.entropy), |old| old.id),
            role: role.id,
            subject,
            expire_time: end,
            create_time: old.map_or(now, |old| old.create_time),
        };
        let Some(old) = old else {
            let fields = all_new([(Field::ExpireTime, &text(end))]);
            self.create(what, fields, Step::Bind(new), entry);
            return;
        };
        self.kept.insert(Made::Binding(old.id));
        if let Some(change) = FieldChange::of(Field::ExpireTime, &text(old.expire_time), &text(end)) {
            self.update(what, &[change], Step::Bind(new), entry);
        }
    }
}

/// A role, in words.
pub(super) fn what_role(name: &RoleName, audience: &AudienceName) -> String {
    format!("role `{}` of the audience `{}`", name.as_str(), audience.as_str())
}

/// Whether the two have the same names, in whatever order.
pub(super) fn same(one: &NameSet, other: &NameSet) -> bool {
    one.without(other).is_empty() && other.without(one).is_empty()
}
