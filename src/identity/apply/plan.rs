//! Owns the plan: from what is there, and what a manifest wants, the changes that lead from the one to the other.

mod access;
mod attributes;
mod clients;
mod prune;

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    manifest::{Manifest, RoleItem, UserItem, WhoItem},
    text::nearest,
};
use crate::{
    audit::{Entry, Event, Field, FieldChange},
    base::{Entropy, Timestamp},
    model::{
        AudienceName, Client, ClientId, Error, Etag, GroupId, GroupName, NameSet, Principal, Role, RoleName,
        UserId,
    },
    store::{Made, Named, PlannedStep, Present, SetOwner, Step},
};

/// What is done to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is created.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
}

/// One change of a plan, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// To what, in words.
    pub resource: String,
    /// What of it becomes another.
    pub fields: Vec<FieldDifference>,
}

/// What of something becomes another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// The field.
    pub field: String,
    /// What it is; empty if it is nothing, or is not shown.
    pub old: String,
    /// What it is to be.
    pub new: String,
}

/// What a manifest changes of what is there.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) named: Named,
    pub(super) basis: Present,
    pub(super) steps: Vec<PlannedStep>,
    /// What of each step its event tells.
    pub(super) fields: Vec<Vec<Field>>,
    /// When it was made: what it creates is of that moment.
    pub(super) time: Timestamp,
    /// The changes, in their order.
    pub changes: Vec<Change>,
    /// What an earlier apply of the set has made and the manifest names no longer, if it is not to be deleted.
    pub left: Vec<String>,
    /// Bindings that the manifest names and that have ended: they are not made.
    pub ended: Vec<String>,
}

/// What a plan is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) manifest: &'a Manifest,
    /// The secrets of clients, by their names.
    pub(super) secrets: &'a HashMap<String, Zeroizing<String>>,
    /// Whether to delete what the set has made and the manifest names no longer.
    pub(super) prune: bool,
    /// Whose the set is to be from now on, if it is to be taken over.
    pub(super) taken_by: Option<SetOwner>,
    /// The service's own audience.
    pub(super) own: &'a NameSet,
    pub(super) now: Timestamp,
}

/// What the manifest has of the kinds that others name.
struct Own<'a> {
    groups: HashSet<&'a str>,
    clients: HashSet<&'a str>,
    roles: HashSet<(AudienceName, &'a str)>,
}

/// For how many problems it is looked for what is meant: each costs a look at all names, and whoever calls the API is told no more.
const MAX_HINTS: usize = 10;

/// A plan that is being made.
struct Planner<'a> {
    wanted: Wanted<'a>,
    named: &'a Named,
    present: &'a Present,
    entropy: &'a Entropy,
    groups: HashMap<String, GroupId>,
    clients: HashMap<String, ClientId>,
    roles: HashMap<(AudienceName, RoleName), Role>,
    /// The members and bindings that the set has made and the manifest still has.
    kept: HashSet<Made>,
    seen: HashSet<String>,
    own: Own<'a>,
    problems: Vec<String>,
    changes: Vec<Change>,
    steps: Vec<PlannedStep>,
    fields: Vec<Vec<Field>>,
    left: Vec<String>,
    ended: Vec<String>,
}

/// What `manifest` names; and what hangs on what it names no longer, if that is to be deleted.
pub(super) fn named(manifest: &Manifest, prune: bool, own: &NameSet) -> Named {
    let bound: Vec<_> = manifest.bindings.iter().map(super::manifest::BindingItem::who).collect();
    let owners = manifest.audiences.iter().flat_map(|audience| &audience.owners);
    let who: Vec<_> = bound.iter().chain(owners).collect();
    let members = manifest.groups.iter().flat_map(|group| &group.members);
    let users = who.iter().filter_map(|who| who.user.as_ref()).chain(members);
    let audiences = manifest.roles.iter().map(|role| role.audience.as_ref());
    let audiences = audiences.chain(manifest.bindings.iter().map(|binding| binding.audience.as_ref()));
    let audiences = audiences.chain(manifest.audiences.iter().map(|audience| Some(&audience.name)));
    let group = |name: &GroupName| name.as_str().to_owned();
    let groups = manifest.groups.iter().map(|item| group(&item.name));
    let clients = manifest.clients.iter().map(|item| item.name.clone());
    let roles = manifest.roles.iter().map(|role| (role.audience.as_ref(), &role.name));
    let roles =
        roles.chain(manifest.bindings.iter().map(|binding| (binding.audience.as_ref(), &binding.role)));
    let attributes = manifest.attributes.iter().map(|item| item.name.as_str().to_owned());
    Named {
        set: manifest.set.as_str().to_owned(),
        users: users.map(|user| UserId(user.id)).collect(),
        attributes: attributes.collect(),
        clients: clients.chain(who.iter().filter_map(|who| who.client.clone())).collect(),
        groups: groups.chain(who.iter().filter_map(|who| who.group.as_ref().map(group))).collect(),
        audiences: audiences.map(|name| audience(name, own).as_str().to_owned()).collect::<BTreeSet<_>>(),
        roles: roles.map(|(name, role)| (audience(name, own), role.clone())).collect(),
        // One more than can be deleted: then nothing is.
        hanging: prune.then_some(MAX_CHANGES as u64 + 1),
    }
}

/// How many changes are made at once. Meanwhile nobody else changes who may do what, and on SQLite nobody writes at all: some seconds.
const MAX_CHANGES: usize = 5_000;

/// The plan that leads from `present` to what is wanted.
///
/// # Errors
/// [`Error::ManifestRefused`] with all that cannot be meant.
pub(super) fn plan(
    wanted: Wanted<'_>,
    named: Named,
    present: Present,
    entropy: &Entropy,
) -> Result<Plan, Error> {
    let mut planner = Planner::new(wanted, &named, &present, entropy);
    planner.set();
    planner.attributes();
    planner.groups();
    planner.audiences();
    planner.roles();
    planner.clients();
    planner.owners();
    planner.members();
    planner.bindings();
    planner.prune();
    let Planner { problems, changes, steps, fields, left, ended, .. } = planner;
    if !problems.is_empty() {
        return Err(Error::ManifestRefused(problems));
    }
    if changes.len() > MAX_CHANGES {
        let problem = format!("it changes more than {MAX_CHANGES} things at once: first apply a part of it");
        return Err(Error::ManifestRefused(vec![problem]));
    }
    Ok(Plan { named, basis: present, steps, fields, time: wanted.now, changes, left, ended })
}

impl Plan {
    /// What tells its changes from those of another plan.
    #[must_use]
    pub fn etag(&self) -> Etag {
        let of_change = |(change, planned): (&Change, &PlannedStep)| {
            let fields = change
                .fields
                .iter()
                .flat_map(|field| [&*field.field, &*field.old, &*field.new].map(str::to_owned));
            // How many there are comes before them, so that no two plans read alike.
            let head = [
                change.action.name().to_owned(),
                change.resource.clone(),
                self.written(&planned.step),
                change.fields.len().to_string(),
            ];
            head.into_iter().chain(fields).collect::<Vec<_>>()
        };
        let texts: Vec<_> = self.changes.iter().zip(&self.steps).flat_map(of_change).collect();
        Etag::of(texts.iter().map(String::as_str))
    }

    /// What of `step` its words do not tell: a digest of all that a client is and becomes, and which users are meant. What comes to be has
    /// another id and another time in each plan: neither counts.
    fn written(&self, step: &Step) -> String {
        let of_user = |who: &Principal| match who {
            Principal::User(id) => Some(id.to_string()),
            Principal::Group(_) | Principal::Client(_) => None,
        };
        match step {
            Step::AddClient(made) => {
                let (id, time) = (ClientId::BUILT_IN, Timestamp::from_micros(0));
                let client = Client { id, create_time: time, update_time: time, ..made.client.clone() };
                client.etag().as_str().to_owned()
            }
            Step::ChangeClient(made) => {
                let old = self.basis.clients.iter().find(|client| client.id == made.client.id);
                let both = old.into_iter().chain([&made.client]);
                both.map(|client| client.etag().as_str().to_owned()).collect()
            }
            Step::AddMember(_, user) | Step::RemoveMember(_, user) => user.to_string(),
            Step::Bind(binding) => of_user(&binding.subject).unwrap_or_default(),
            Step::UpdateAudience(_, change) => change.owners.iter().flatten().filter_map(of_user).collect(),
            _ => String::new(),
        }
    }

    /// How many bytes it has at most where it is told over the admin API.
    pub(super) fn told_bytes(&self) -> usize {
        /// What each text and each message has before it, at most.
        const HEAD: usize = 8;
        /// The etag, with what it has before it.
        const ETAG: usize = 80;
        let of_text = |text: &String| HEAD + text.len();
        let of_field = |field: &FieldDifference| {
            HEAD + of_text(&field.field) + of_text(&field.old) + of_text(&field.new)
        };
        let of_change = |change: &Change| {
            // The action is a number.
            2 * HEAD + of_text(&change.resource) + change.fields.iter().map(of_field).sum::<usize>()
        };
        let texts = self.left.iter().chain(&self.ended).map(of_text).sum::<usize>();
        ETAG + texts + self.changes.iter().map(of_change).sum::<usize>()
    }
}

impl Action {
    /// Its name, as programs are told it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// The audience that is said, under the name that it is kept.
fn audience(said: Option<&AudienceName>, own: &NameSet) -> AudienceName {
    match said {
        Some(name) if !own.contains(name.as_str()) => name.clone(),
        _ => AudienceName::signet(),
    }
}

impl<'a> Own<'a> {
    fn of(manifest: &'a Manifest, own: &NameSet) -> Self {
        let role = |role: &'a RoleItem| (audience(role.audience.as_ref(), own), role.name.as_str());
        Self {
            groups: manifest.groups.iter().map(|group| group.name.as_str()).collect(),
            clients: manifest.clients.iter().map(|client| &*client.name).collect(),
            roles: manifest.roles.iter().map(role).collect(),
        }
    }
}

impl<'a> Planner<'a> {
    fn new(wanted: Wanted<'a>, named: &'a Named, present: &'a Present, entropy: &'a Entropy) -> Self {
        let groups = present.groups.iter().map(|group| (group.name.as_str().to_owned(), group.id));
        let clients = present.clients.iter().map(|client| (client.name.as_str().to_owned(), client.id));
        let roles =
            present.roles.iter().map(|role| ((role.audience.clone(), role.name.clone()), role.clone()));
        Self {
            wanted,
            named,
            present,
            entropy,
            groups: groups.collect(),
            clients: clients.collect(),
            roles: roles.collect(),
            kept: HashSet::new(),
            seen: HashSet::new(),
            own: Own::of(wanted.manifest, wanted.own),
            problems: Vec::new(),
            changes: Vec::new(),
            steps: Vec::new(),
            fields: Vec::new(),
            left: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// That the set is to be another's.
    fn set(&mut self) {
        let (Some(new), Some(old)) = (self.wanted.taken_by, self.present.owner) else { return };
        if new != old {
            let set = self.wanted.manifest.set.as_str();
            let fields = FieldChange::of(Field::Owners, &old.to_string(), &new.to_string());
            let step = Step::TakeSet(set.to_owned(), old);
            self.update(format!("set `{set}`"), fields.as_slice(), step, Event::ManifestSetTaken.done());
        }
    }

    fn audience(&self, said: Option<&AudienceName>) -> AudienceName {
        audience(said, self.wanted.own)
    }

    /// Whether `what` comes for the first time; a second time is a problem.
    fn is_first(&mut self, what: &str) -> bool {
        let is_new = self.seen.insert(what.to_owned());
        if !is_new {
            self.problems.push(format!("the {what} comes twice"));
        }
        is_new
    }

    fn refuse(&mut self, what: &str, problem: &str) {
        self.problems.push(format!("the {what}: {problem}"));
    }

    /// `what` is to be created.
    fn create(&mut self, what: String, fields: Vec<FieldDifference>, step: Step, entry: Entry) {
        self.add((Action::Create, what), fields, Vec::new(), (step, entry));
    }

    /// `what` is to be changed.
    fn update(&mut self, what: String, fields: &[FieldChange], step: Step, entry: Entry) {
        let shown = fields.iter().map(FieldDifference::from).collect();
        let told = fields.iter().map(|change| change.field).collect();
        self.add((Action::Update, what), shown, told, (step, entry));
    }

    /// `what` is to be deleted.
    fn delete(&mut self, what: String, step: Step, entry: Entry) {
        self.add((Action::Delete, what), Vec::new(), Vec::new(), (step, entry));
    }

    fn add(
        &mut self,
        (action, resource): (Action, String),
        fields: Vec<FieldDifference>,
        told: Vec<Field>,
        (step, entry): (Step, Entry),
    ) {
        // One too many tells that the plan is refused: nothing is kept of more, of which there may be three times as much.
        if self.changes.len() > MAX_CHANGES {
            return;
        }
        self.steps.push(PlannedStep { step, entry, what: resource.clone() });
        self.changes.push(Change { action, resource, fields });
        self.fields.push(told);
    }

    /// The user who is meant, if there is one, and the pair belongs together.
    fn user(&mut self, of: &str, item: &UserItem) -> Option<UserId> {
        let id = UserId(item.id);
        match (self.present.users.get(&id), &item.name) {
            (None, _) => {
                self.refuse(of, &format!("there is no user `{id}`"));
                None
            }
            (Some(is), Some(said)) if is != said => {
                self.refuse(of, &format!("the user `{id}` is not called `{said}`: whom is it to be?"));
                None
            }
            (Some(_), _) => Some(id),
        }
    }

    /// Who is meant, and in words.
    fn who(&mut self, of: &str, item: &WhoItem) -> Option<(Principal, String)> {
        let found = match (&item.user, &item.group, &item.client) {
            (Some(user), None, None) => {
                let id = self.user(of, user)?;
                let name = self.present.users.get(&id).cloned().unwrap_or_default();
                Some((Principal::User(id), format!("user `{name}`")))
            }
            (None, Some(group), None) => {
                let name = group.as_str();
                self.groups.get(name).map(|id| (Principal::Group(*id), format!("group `{name}`")))
            }
            (None, None, Some(name)) => {
                self.clients.get(name).map(|id| (Principal::Client(*id), format!("client `{name}`")))
            }
            _ => {
                self.refuse(of, "names not one of `user`, `group` and `client`");
                return None;
            }
        };
        if found.is_none() {
            self.refuse_missing(of, item);
        }
        found
    }

    /// Refuses `of`, since whom it names is not there; not if the manifest has it, which was refused for itself.
    fn refuse_missing(&mut self, of: &str, item: &WhoItem) {
        let (kind, said, known) = match (&item.group, &item.client) {
            (Some(group), _) => ("group", group.as_str(), &self.own.groups),
            (None, Some(client)) => ("client", &**client, &self.own.clients),
            (None, None) => return,
        };
        if known.contains(said) {
            return;
        }
        let hint = self.hint(said, known.iter().copied());
        self.refuse(
            of,
            &format!("names the {kind} `{said}`, which is neither there nor in the manifest{hint}"),
        );
    }

    /// Which of the `known` names is meant by `said`, if one is near; of the first problems alone.
    fn hint<'b>(&self, said: &str, known: impl Iterator<Item = &'b str>) -> String {
        let meant = (self.problems.len() < MAX_HINTS).then(|| nearest(said, known)).flatten();
        meant.map(|name| format!(": is `{name}` meant?")).unwrap_or_default()
    }

    /// What `principal` is called.
    fn name_of(&self, principal: Principal) -> String {
        let name = match principal {
            Principal::User(id) => self.present.users.get(&id).cloned(),
            Principal::Group(id) => {
                self.groups.iter().find(|(_, is)| **is == id).map(|(name, _)| name.clone())
            }
            Principal::Client(id) => {
                let of_id = |client: &&Client| client.id == id;
                self.present.clients.iter().find(of_id).map(|client| client.name.as_str().to_owned())
            }
        };
        let name = name.or_else(|| self.present.hanging.names.get(&principal).cloned());
        let (kind, name) = (principal.kind(), name.unwrap_or_else(|| principal.id().to_string()));
        format!("{kind} `{name}`")
    }
}

impl From<&FieldChange> for FieldDifference {
    fn from(change: &FieldChange) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self { field: change.field.name().to_owned(), old: text(&change.old), new: text(&change.new) }
    }
}

/// The fields of something new that say something.
fn all_new<const N: usize>(fields: [(Field, &str); N]) -> Vec<FieldDifference> {
    let said = fields.into_iter().filter_map(|(field, new)| FieldChange::of(field, "", new));
    said.map(|change| FieldDifference::from(&change)).collect()
}

/// What is told of a role.
fn of_role(event: Event, role: &Role) -> Entry {
    event.done().role(role.id).audience(role.audience.as_str())
}
