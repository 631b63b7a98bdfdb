//! Owns what a plan deletes: what an earlier apply of the set has made, and the manifest names no longer.

use super::{Action, Change, Planner, access::what_role, attributes::what_attribute, of_role};
use crate::{
    audit::Event,
    model::{AudienceName, Binding, Principal},
    store::{Made, Step},
};

impl Planner<'_> {
    pub(super) fn prune(&mut self) {
        let made = self.present.made.keys().copied();
        let is_kept = |made: Made| self.kept.contains(&made) || self.named.names(made, self.present);
        let mut gone: Vec<_> = made.filter(|made| self.present.has(*made) && !is_kept(*made)).collect();
        // What hangs on something goes before it.
        gone.sort_by_key(|made| match made {
            Made::Binding(_) => 0,
            Made::Membership(..) => 1,
            Made::Role(_) => 2,
            Made::Group(_) => 3,
            Made::Client(_) => 4,
            Made::Attribute(_) => 5,
        });
        for made in gone {
            let what = self.what(made);
            if !self.wanted.prune {
                self.left.push(what);
                continue;
            }
            let (step, entry) = match made {
                Made::Binding(id) => {
                    let found = self.present.bindings.iter().find(|binding| binding.id == id);
                    let entry = found.map_or_else(
                        || Event::RoleUnbound.done(),
                        |binding| {
                            let entry =
                                Event::RoleUnbound.done().role(binding.role).principal(binding.subject);
                            let role = self.roles.values().find(|role| role.id == binding.role);
                            role.map_or(entry.clone(), |role| entry.audience(role.audience.as_str()))
                        },
                    );
                    (Step::Unbind(id), entry)
                }
                Made::Membership(group, user) => {
                    let entry = Event::GroupMemberRemoved.done().group(group).user(user);
                    (Step::RemoveMember(group, user), entry)
                }
                Made::Role(id) => {
                    let found = self.present.roles.iter().find(|role| role.id == id);
                    let entry = found.map_or_else(
                        || Event::RoleDeleted.done().role(id),
                        |role| of_role(Event::RoleDeleted, role),
                    );
                    (Step::DeleteRole(id), entry)
                }
                Made::Group(id) => (Step::DeleteGroup(id), Event::GroupDeleted.done().group(id)),
                Made::Client(id) => {
                    (Step::DeleteClient(id), Event::ClientDeleted.done().client(id.to_string()))
                }
                Made::Attribute(id) => (Step::DeleteAttribute(id), Event::AttributeDeleted.done()),
            };
            let goes_too =
                if matches!(made, Made::Attribute(_)) { ", and what users have of it" } else { "" };
            self.delete(format!("{what}{goes_too}"), step, entry);
            self.seen.insert(what);
            for with_it in self.hanging_on(made) {
                // Whatever hangs on two of them goes once, and what the set has made goes by itself before.
                if self.seen.insert(with_it.clone()) {
                    let (action, fields) = (Action::Delete, Vec::new());
                    self.changes.push(Change { action, resource: with_it, fields });
                }
            }
        }
    }

    /// What goes with `made`, in words: by its step, and told by its event.
    fn hanging_on(&self, made: Made) -> Vec<String> {
        let hanging = &self.present.hanging;
        let holder = match made {
            Made::Group(id) => Some(Principal::Group(id)),
            Made::Client(id) => Some(Principal::Client(id)),
            _ => None,
        };
        let role = if let Made::Role(id) = made { Some(id) } else { None };
        let members = hanging.members.iter().filter(|(group, _)| holder == Some(Principal::Group(*group)));
        let members = members.map(|(group, user)| self.what(Made::Membership(*group, *user)));
        let bound = hanging.bindings.iter();
        let bound = bound.filter(|bound| role == Some(bound.role) || holder == Some(bound.subject));
        let bound = bound.map(|binding| self.what_binding(binding));
        let owned = hanging.owned.iter().filter(|(_, owner)| holder == Some(*owner));
        // Of those that the manifest names all owners are said.
        let is_named = |name: &AudienceName| {
            self.wanted.manifest.audiences.iter().any(|item| self.audience(Some(&item.name)) == *name)
        };
        let owned = owned.filter(|(audience, _)| !is_named(audience)).map(|(audience, owner)| {
            format!("ownership of the audience `{}` by the {}", audience.as_str(), self.name_of(*owner))
        });
        members.chain(bound).chain(owned).collect()
    }

    /// What was made, in words.
    fn what(&self, made: Made) -> String {
        match made {
            Made::Client(id) => self.name_of(Principal::Client(id)),
            Made::Group(id) => self.name_of(Principal::Group(id)),
            Made::Attribute(id) => {
                let found = self.present.attributes.iter().find(|known| known.id == id);
                found.map_or_else(
                    || what_attribute(&id.to_string()),
                    |known| what_attribute(known.name.as_str()),
                )
            }
            Made::Membership(group, user) => {
                let (user, group) =
                    (self.name_of(Principal::User(user)), self.name_of(Principal::Group(group)));
                format!("membership of the {user} in the {group}")
            }
            Made::Role(id) => {
                let mut all = self.present.roles.iter().chain(&self.present.hanging.roles);
                let found = all.find(|role| role.id == id);
                found.map_or_else(|| format!("role `{id}`"), |role| what_role(&role.name, &role.audience))
            }
            Made::Binding(id) => {
                let found = self.present.bindings.iter().find(|binding| binding.id == id);
                found.map_or_else(|| format!("binding `{id}`"), |binding| self.what_binding(binding))
            }
        }
    }

    fn what_binding(&self, binding: &Binding) -> String {
        let role = self.what(Made::Role(binding.role));
        format!("binding of the {} to the {role}", self.name_of(binding.subject))
    }
}
