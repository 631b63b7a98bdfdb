//! Owns what plans promise: all that goes is told, what only follows is not told again, and what has changed meanwhile refuses.

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::{
    audit::AuditLog,
    base::{Entropy, Timestamp},
    metrics::AuditMetrics,
    model::{
        AttributeEdit, Authority, ClientId, Group, GroupId, GroupName, Origin, Subject, User, UserAttributes,
        UserId, Username,
    },
    store::{Made, NewUser, Present, UserEdit},
};

/// A new database, and what makes manifests true there.
struct There {
    manifests: Manifests,
    _dir: TempDir,
}

const NOW: Timestamp = Timestamp::from_micros(1_795_435_200_000_000);

const SHOP: &str = "set: shop
groups: [{name: night}]
clients: [{name: robot, spiffe_id: 'spiffe://a.example/robot', audiences: [stock]}]
roles: [{name: picker, audience: stock, scopes: [stock.pick]}]
bindings: [{role: picker, audience: stock, group: night}]
";

/// What others hang on what the set `shop` makes.
const OTHER: &str = "set: other
groups: [{name: day}]
audiences: [{name: docs, owners: [{group: night}]}]
bindings:
  - {role: picker, audience: stock, group: day}
  - {role: picker, audience: stock, client: robot}
";

/// That `manifest` is to be there, as `by` asks for it.
const fn asked<'a>(
    manifest: &'a Manifest,
    secrets: &'a HashMap<String, Zeroizing<String>>,
    prune: bool,
    by: &'a Administrator,
) -> Asked<'a> {
    Asked { manifest, secrets, prune, take_over: false, by }
}

impl There {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open_sqlite(dir.path().join("signet.db"), Entropy::seeded(7)).await.unwrap();
        store.migrate(Duration::ZERO).await.unwrap();
        let clock = Clock::manual(NOW);
        let audit = Audit::open(&AuditLog::Off, clock.clone(), AuditMetrics::default()).unwrap();
        Self { manifests: Manifests::new(store, clock, audit, NameSet::default()), _dir: dir }
    }

    async fn plan(&self, text: &str, prune: bool) -> Result<Plan, Error> {
        let manifest = Manifest::read(text, false).unwrap();
        self.manifests.plan(asked(&manifest, &HashMap::new(), prune, &Administrator::operator())).await
    }

    async fn apply(&self, text: &str) {
        let plan = self.plan(text, false).await.unwrap();
        self.manifests.apply(&plan, &Administrator::operator()).await.unwrap();
    }

    /// The plan of what `text` says, by which the client `robot` has the secret that `letter` makes.
    async fn plan_with_secret(&self, text: &str, letter: &str) -> Plan {
        let manifest = Manifest::read(text, false).unwrap();
        let secret = Zeroizing::new(format!("{}A", letter.repeat(42)));
        let secrets = HashMap::from([("robot".to_owned(), secret)]);
        self.manifests.plan(asked(&manifest, &secrets, false, &Administrator::operator())).await.unwrap()
    }

    /// All that is wrong with what `text` says.
    async fn problems(&self, text: &str) -> Vec<String> {
        match self.plan(text, false).await {
            Err(Error::ManifestRefused(problems)) => problems,
            other => panic!("{other:?}"),
        }
    }
}

fn resources(plan: &Plan) -> Vec<&str> {
    plan.changes.iter().map(|change| change.resource.as_str()).collect()
}

/// The fields of one change.
fn fields(plan: &Plan, at: usize) -> Vec<String> {
    let told = |field: &FieldDifference| format!("{}: {} -> {}", field.field, field.old, field.new);
    plan.changes[at].fields.iter().map(told).collect()
}

#[tokio::test]
async fn all_that_goes_with_what_is_pruned_is_told_after_it_and_once() {
    let there = There::new().await;
    there.apply(SHOP).await;
    there.apply(OTHER).await;
    let plan = there.plan("set: shop\n", true).await.unwrap();
    assert!(plan.changes.iter().all(|change| change.action == Action::Delete));
    let mut told = resources(&plan);
    assert_eq!(told[0], "binding of the group `night` to the role `picker` of the audience `stock`");
    assert_eq!(told[1], "role `picker` of the audience `stock`");
    // Their ids are of one moment.
    told[2..4].sort_unstable();
    assert_eq!(
        told[2..],
        [
            "binding of the client `robot` to the role `picker` of the audience `stock`",
            "binding of the group `day` to the role `picker` of the audience `stock`",
            "group `night`",
            "ownership of the audience `docs` by the group `night`",
            "client `robot`",
        ]
    );
    there.manifests.apply(&plan, &Administrator::operator()).await.unwrap();
    assert!(there.plan("set: shop\n", true).await.unwrap().changes.is_empty());
    let left = there.plan("set: other\ngroups: [{name: day}]\n", true).await.unwrap();
    assert!(left.changes.is_empty(), "{left:?}");
}

#[tokio::test]
async fn what_a_binding_or_an_owner_names_is_not_pruned() {
    let there = There::new().await;
    there.apply(SHOP).await;
    let named = "set: shop
audiences: [{name: stock, owners: [{client: robot}]}]
bindings: [{role: picker, audience: stock, group: night}]
";
    let plan = there.plan(named, true).await.unwrap();
    assert_eq!(resources(&plan), ["audience `stock`"]);
    assert!(there.plan(named, false).await.unwrap().left.is_empty());
}

#[tokio::test]
async fn what_comes_to_hang_on_what_is_pruned_outdates_the_plan() {
    let (there, operator) = (There::new().await, Administrator::operator());
    there.apply(SHOP).await;
    let seen = there.plan("set: shop\n", true).await.unwrap();
    let manifest = Manifest::read("set: shop\n", false).unwrap();
    there
        .manifests
        .renew(seen.etag().as_str(), asked(&manifest, &HashMap::new(), true, &operator))
        .await
        .unwrap();
    there.apply(OTHER).await;
    let renewed =
        there.manifests.renew(seen.etag().as_str(), asked(&manifest, &HashMap::new(), true, &operator)).await;
    assert!(matches!(renewed, Err(Error::PlanOutdated)), "{renewed:?}");
    let applied = there.manifests.apply(&seen, &Administrator::operator()).await;
    assert!(matches!(applied, Err(RefusedChange { error: Error::PlanOutdated, .. })), "{applied:?}");
    // Nobody hangs anything on what stays.
    let stays = Manifest::read(SHOP, false).unwrap();
    let seen = there.plan(SHOP, true).await.unwrap();
    there
        .manifests
        .renew(seen.etag().as_str(), asked(&stays, &HashMap::new(), true, &operator))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_only_follows_from_another_problem_is_not_told() {
    let there = There::new().await;
    let problems = there
        .problems(
            "set: shop
groups: [{name: night}]
clients: [{name: billing}]
roles: [{name: bad, audience: stock, scopes: [signet.users.read]}]
bindings:
  - {role: bad, audience: stock, client: billing}
  - {role: auditor, client: billing}
  - {role: bad, audience: stock, group: night}
  - {role: auditor, group: nigth}
  - {role: auditor, client: zebra}
  - {role: bade, audience: stock, client: signet}
",
        )
        .await;
    let beginnings = [
        "the role `bad` of the audience `stock`: ",
        "the client `billing`: is new, and is either ",
        "the binding 4 to the role `auditor` of the audience `signet`: names the group `nigth`, which is neither there nor in the manifest: is \
         `night` meant?",
        "the binding 5 to the role `auditor` of the audience `signet`: names the client `zebra`, which is neither there nor in the manifest",
        "the binding of the client `signet` to the role `bade` of the audience `stock`: there is no such role, and the manifest has none: is \
         `bad` meant?",
    ];
    assert_eq!(problems.len(), beginnings.len(), "{problems:#?}");
    for (problem, beginning) in problems.iter().zip(beginnings) {
        assert!(problem.starts_with(beginning), "{problem}");
    }
    assert!(problems[3].ends_with("in the manifest"), "nothing is near: {}", problems[3]);
}

#[tokio::test]
async fn a_binding_that_has_ended_is_told_and_not_made() {
    let there = There::new().await;
    let ended = "set: shop\nbindings: [{role: auditor, client: signet, expire_time: 2020-01-01T00:00:00Z}]\n";
    let plan = there.plan(ended, false).await.unwrap();
    assert!(plan.changes.is_empty());
    let said = "binding of the client `signet` to the role `auditor` of the audience `signet`, at 2020-01-01T00:00:00Z";
    assert_eq!(plan.ended, [said]);
}

#[tokio::test]
async fn more_than_is_changed_at_once_is_refused_and_what_goes_along_counts() {
    let there = There::new().await;
    let groups: Vec<_> = (0..=5_000).map(|number| format!("- name: g{number}\n")).collect();
    let many = format!("set: shop\ngroups:\n{}", groups.concat());
    assert_eq!(
        there.problems(&many).await,
        ["it changes more than 5000 things at once: first apply a part of it"]
    );
    assert_eq!(there.plan(&many.replacen("- name: g0\n", "", 1), false).await.unwrap().changes.len(), 5_000);

    let entropy = Entropy::seeded(7);
    let group =
        Group { id: GroupId::new(NOW, &entropy), name: GroupName::parse("night").unwrap(), create_time: NOW };
    let manifest = Manifest::read("set: shop\n", false).unwrap();
    for (members, fits) in [(4_999, true), (5_000, false)] {
        let mut present = Present { groups: vec![group.clone()], ..Present::default() };
        present.made.insert(Made::Group(group.id), NOW);
        let users = (0..members).map(|number| (group.id, UserId(uuid::Uuid::from_u128(number))));
        present.hanging.members = users.collect();
        let (secrets, own) = (HashMap::new(), NameSet::default());
        let wanted = plan::Wanted {
            manifest: &manifest,
            secrets: &secrets,
            prune: true,
            taken_by: None,
            own: &own,
            now: NOW,
        };
        let made = plan::plan(wanted, plan::named(&manifest, true, &own), present, &entropy);
        assert_eq!(made.is_ok(), fits, "{members}");
    }
}

#[tokio::test]
async fn what_is_declared_of_an_attribute_changes_but_for_its_type_and_its_writer() {
    let there = There::new().await;
    there.apply("set: shop\nattributes: [{name: team, in_tokens: true}]\n").await;
    for (now, said) in [
        ("{name: team, type: integer}", "has the type `string`, which stays, and not `integer`"),
        ("{name: team, writer: user}", "has the writer `admin`, which stays, and not `user`"),
        (
            "{name: motto, writer: user, in_tokens: true}",
            "must not be set for an attribute that users may write",
        ),
    ] {
        let problems = there.problems(&format!("set: shop\nattributes: [{now}]\n")).await;
        assert!(problems.len() == 1 && problems[0].contains(said), "{problems:?}");
    }
    let plan = there.plan("set: shop\nattributes: [{name: team, in_userinfo: true}]\n", false).await.unwrap();
    let uses =
        FieldDifference { field: "uses".to_owned(), old: "tokens".to_owned(), new: "userinfo".to_owned() };
    assert_eq!(plan.changes[0].fields, [uses]);
    let plan = there.plan("set: shop\n", true).await.unwrap();
    assert_eq!(resources(&plan), ["attribute `team`, and what users have of it"]);
}

#[tokio::test]
async fn all_is_shown_that_a_client_has_and_loses_but_for_secrets_and_keys() {
    let there = There::new().await;
    let clients = "set: shop
clients:
  - {name: app, public: true, active: false}
  - name: robot
    spiffe_id: 'spiffe://a.example/robot'
    public_keys: {kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}
    audiences: [stock]
    may_claim_address: true
";
    let plan = there.plan_with_secret(clients, "B").await;
    assert_eq!(fields(&plan, 0), ["public:  -> true", "active:  -> false"]);
    assert_eq!(
        fields(&plan, 1),
        [
            "audiences:  -> stock",
            "public_keys:  -> ",
            "certificate:  -> spiffe://a.example/robot",
            "may_claim_address:  -> true",
            "secret:  -> another one",
        ]
    );
    there.manifests.apply(&plan, &Administrator::operator()).await.unwrap();
    let keys = clients.lines().find(|line| line.contains("public_keys")).unwrap();
    let plan = there.plan(&clients.replace(keys, ""), false).await.unwrap();
    assert_eq!(resources(&plan), ["client `robot`"]);
    assert_eq!(fields(&plan, 0), ["public_keys: some -> "]);
}

#[tokio::test]
async fn plans_that_read_alike_and_make_others_have_other_etags() {
    let there = There::new().await;
    let robot = "set: shop\nclients: [{name: robot}]\n";
    for round in ["B", "C"] {
        let plan = there.plan_with_secret(robot, round).await;
        let again = there.plan_with_secret(robot, round).await;
        assert_eq!(plan.etag(), again.etag(), "{round}");
        let other = there.plan_with_secret(robot, "D").await;
        assert_eq!(plan.changes, other.changes);
        assert_ne!(plan.etag(), other.etag(), "{round}");
        there.manifests.apply(&plan, &Administrator::operator()).await.unwrap();
    }
}

#[tokio::test]
async fn who_calls_the_admin_api_is_not_told_a_plan_without_end() {
    let there = There::new().await;
    let mut manifest = Manifest::read("set: shop\nclients: [{name: app, public: true}]\n", false).unwrap();
    let mut one = manifest.clients.remove(0);
    one.scopes = NameSet::parse(&"x".repeat(1_000)).unwrap();
    let named = |number: u32| ClientItem { name: format!("c{number}"), ..one.clone() };
    let (id, secrets) = (ClientId::BUILT_IN, HashMap::new());
    let authority = Authority::Caller {
        subject: Subject::Client(id),
        scopes: NameSet::default(),
        is_for_service_alone: true,
    };
    let caller = Administrator::new(Actor::Client(id), authority, Origin::default());
    for (clients, fits) in [(1_000, true), (5_000, false)] {
        manifest.clients = (0..clients).map(&named).collect();
        let operator = Administrator::operator();
        assert!(there.manifests.plan(asked(&manifest, &secrets, false, &operator)).await.is_ok());
        match there.manifests.plan(asked(&manifest, &secrets, false, &caller)).await {
            Ok(_) => assert!(fits),
            Err(Error::LimitReached { .. }) => assert!(!fits),
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Names are free for whoever registers first, at the moment that writes too.
#[tokio::test]
async fn a_user_who_is_called_otherwise_by_then_outdates_the_plan() {
    let (there, operator) = (There::new().await, Administrator::operator());
    let user = User {
        id: UserId(uuid::Uuid::from_u128(7)),
        username: Username::parse("alice").unwrap(),
        email: None,
        display_name: None,
        attributes: UserAttributes::default(),
        is_active: true,
        create_time: NOW,
        update_time: NOW,
    };
    let (store, id) = (&there.manifests.store, user.id);
    let new = NewUser { user, password_hash: "x".to_owned(), resting: None };
    let entry = operator.entry(Event::UserCreated.done().user(id));
    store.add_managed_user(&new, &AttributeEdit::default(), operator.change(&entry, NOW)).await.unwrap();
    let text = format!("set: shop\nbindings: [{{role: admin, user: {{id: {id}, name: alice}}}}]\n");
    let seen = there.plan(&text, false).await.unwrap();
    let entry = operator.entry(Event::UserUpdated.done().user(id));
    let username = Some(Username::parse("mallory").unwrap());
    let edit = UserEdit { username, ..UserEdit::default() };
    store.edit_user(&id.into(), &edit, &|_| None, operator.change(&entry, NOW)).await.unwrap();
    let applied = there.manifests.apply(&seen, &operator).await;
    assert!(matches!(applied, Err(RefusedChange { error: Error::PlanOutdated, .. })), "{applied:?}");
    assert_eq!(there.problems(&text).await.len(), 1);
}
