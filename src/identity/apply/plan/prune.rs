//! Owns what a plan deletes: what an earlier apply of the set has made, and the manifest names no longer.

use super::{Planner, access::what_role, attributes::what_attribute, of_role};
use crate::{
    audit::Event,
    model::Principal,
    store::{Made, Step},
};

impl Planner<'_> {
    pub(super) fn prune(&mut self) {
        let made = self.present.made.keys().copied();
        let mut gone: Vec<_> =
            made.filter(|made| self.present.has(*made) && !self.kept.contains(made)).collect();
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
            let goes_too = if matches!(made, Made::Attribute(_)) { ", and what users have of it" } else { "" };
            self.delete(format!("{what}{goes_too}"), step, entry);
        }
    }

    /// What was made, in words.
    fn what(&self, made: Made) -> String {
        match made {
            Made::Client(id) => self.name_of(Principal::Client(id)),
            Made::Group(id) => self.name_of(Principal::Group(id)),
            Made::Attribute(id) => {
                let found = self.present.attributes.iter().find(|known| known.id == id);
                found.map_or_else(|| what_attribute(&id.to_string()), |known| what_attribute(known.name.as_str()))
            }
            Made::Membership(group, user) => {
                let (user, group) =
                    (self.name_of(Principal::User(user)), self.name_of(Principal::Group(group)));
                format!("membership of the {user} in the {group}")
            }
            Made::Role(id) => {
                let found = self.present.roles.iter().find(|role| role.id == id);
                found.map_or_else(|| format!("role `{id}`"), |role| what_role(&role.name, &role.audience))
            }
            Made::Binding(id) => {
                let found = self.present.bindings.iter().find(|binding| binding.id == id);
                found.map_or_else(
                    || format!("binding `{id}`"),
                    |binding| {
                        let role = self.what(Made::Role(binding.role));
                        format!("binding of the {} to the {role}", self.name_of(binding.subject))
                    },
                )
            }
        }
    }
}
