//! Owns that a token has what the rule says, for any roles.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_795_435_200_000_000);

/// Scopes of services, of Signet's own RPCs, and of its administration; and one of a later release's.
const SCOPES: [&str; 8] =
    ["a", "b", "c", "profile", "account", "introspect", "signet.users.read", "signet.of-tomorrow"];

fn set(names: &str) -> NameSet {
    NameSet::parse(names).unwrap()
}

fn rule(everyone: &str, known: &str) -> AudienceRule {
    let names = |text| set(text).iter().map(str::to_owned).collect();
    AudienceRule { everyone: names(everyone), known: names(known), ..AudienceRule::default() }
}

fn signet(known: &str) -> AudienceRule {
    AudienceRule { is_signet: true, ..rule("profile account", known) }
}

fn held(name: &str, scopes: &str) -> HeldRole {
    let role = RoleScopes {
        id: RoleId(uuid::Uuid::nil()),
        name: RoleName::parse(name).unwrap(),
        audience: AudienceName::parse("stock").unwrap(),
        scopes: set(scopes),
    };
    HeldRole { role: Arc::new(role), group: None, end: None }
}

fn at<'a>(audience: &'a AudienceRule, roles: &[&'a HeldRole]) -> Holding<'a> {
    Holding { audience, roles: roles.to_vec() }
}

const ISSUED: Moment = Moment::Issued(NOW);

#[test]
fn nothing_asked_for_is_all_that_is_not_given_by_name_alone_and_what_may_not_be_had_is_named() {
    let may = set("a signet.users.read b");
    assert_eq!(asked(&set(""), &may), Ok(set("a b")));
    assert_eq!(asked(&set("b signet.users.read"), &may), Ok(set("b signet.users.read")));
    assert_eq!(asked(&set("c a d"), &may), Err(set("c d")));
    assert_eq!(for_users(&set("a introspect profile")), set("a profile"));
    assert_eq!(for_users(&set("a signet.users.read signet.of-tomorrow")), set("a signet.users.read"));
    // A later role may give a session more of what it asked for, but nothing that administers.
    assert_eq!(kept(&set("a signet.users.read b"), &set("b")), set("a b"));
    assert_eq!(kept(&set("a signet.users.read"), &set("signet.users.read")), set("a signet.users.read"));
}

#[test]
fn a_user_has_what_everyone_has_and_what_roles_give() {
    let (stock, picker) = (rule("stock.read", "stock.pick"), held("picker", "stock.pick"));
    let all = set("stock.read stock.pick stock.write");
    assert_eq!(of_user(&all, &[at(&stock, &[])], ISSUED), set("stock.read"));
    assert_eq!(of_user(&all, &[at(&stock, &[&picker])], ISSUED), set("stock.read stock.pick"));
    assert_eq!(of_user(&set("stock.pick"), &[at(&stock, &[&picker])], ISSUED), set("stock.pick"));
}

#[test]
fn a_name_that_two_services_know_comes_by_neither_alone() {
    let (orders, stock) = (rule("", "write"), rule("", "write"));
    let writer = held("writer", "write");
    let wish = set("write");
    let of = |holdings: &[Holding<'_>]| of_user(&wish, holdings, ISSUED);
    assert_eq!(of(&[at(&orders, &[&writer])]), wish);
    assert_eq!(of(&[at(&orders, &[&writer]), at(&stock, &[])]), set(""));
    assert_eq!(of(&[at(&orders, &[&writer]), at(&stock, &[&writer])]), wish);
    // Where nobody knows the name it means nothing.
    let other = rule("", "read");
    assert_eq!(of(&[at(&orders, &[&writer]), at(&other, &[])]), wish);
}

#[test]
fn scopes_that_administer_come_for_signet_alone_and_by_roles_alone() {
    let admin = held("admin", "signet.users.read");
    let wish = set("signet.users.read profile");
    let (own, stock) = (signet("signet.users.read"), rule("", ""));
    assert_eq!(of_user(&wish, &[at(&own, &[&admin])], ISSUED), wish);
    assert_eq!(of_user(&wish, &[at(&own, &[&admin]), at(&stock, &[])], ISSUED), set("profile"));
    assert_eq!(of_user(&wish, &[at(&stock, &[&admin])], ISSUED), set(""));
    let generous = AudienceRule { is_signet: true, ..rule("profile signet.users.read", "") };
    assert_eq!(of_user(&wish, &[at(&generous, &[])], ISSUED), set("profile"));
}

#[test]
fn a_client_has_what_it_is_registered_with_and_what_its_roles_give() {
    let (stock, picker) = (rule("read", "pick"), held("picker", "pick profile"));
    assert_eq!(
        of_client(&set("write introspect profile account"), &[at(&stock, &[])], ISSUED),
        set("write introspect")
    );
    assert_eq!(of_client(&set("write"), &[at(&stock, &[&picker])], ISSUED), set("write pick"));
    // What it is registered with it has wherever it goes, as ever; what a role gives is the role's audience's.
    let other = rule("", "pick");
    assert_eq!(of_client(&set("pick"), &[at(&other, &[]), at(&stock, &[])], ISSUED), set("pick"));
    assert_eq!(of_client(&set(""), &[at(&other, &[]), at(&stock, &[&picker])], ISSUED), set(""));
    let nameless = rule("", "");
    assert_eq!(of_client(&set(""), &[at(&nameless, &[]), at(&stock, &[&picker])], ISSUED), set(""));
    assert_eq!(of_client(&set(""), &[at(&other, &[&picker]), at(&stock, &[&picker])], ISSUED), set("pick"));
}

#[test]
fn who_judges_tokens_signets_own_roles_say_and_what_its_methods_ask_for_no_other_gives() {
    let (own, stock) = (signet(""), rule("", "introspect account"));
    let (judge, manager) = (held("judge", "introspect"), held("manager", "account"));
    let of_client = |holdings: &[Holding<'_>]| of_client(&set(""), holdings, ISSUED);
    assert_eq!(of_client(&[at(&own, &[&judge])]), set("introspect"));
    assert_eq!(of_client(&[at(&stock, &[&judge])]), set(""));
    assert_eq!(of_client(&[at(&stock, &[&judge]), at(&own, &[])]), set(""));
    assert_eq!(of_client(&[at(&stock, &[&judge]), at(&own, &[&judge])]), set(""));
    // Also where the operator lets nobody change the own account.
    let strict = AudienceRule { is_signet: true, ..rule("profile", "profile") };
    let wish = set("profile account");
    assert_eq!(of_user(&wish, &[at(&stock, &[&manager]), at(&strict, &[])], ISSUED), set("profile"));
}

#[test]
fn a_binding_that_ends_within_a_minute_gives_no_token_and_one_that_has_ended_counts_no_more() {
    let stock = rule("", "pick");
    let of = |left: u64, moment: Moment| {
        let held = HeldRole { end: Some(NOW.after(Duration::from_secs(left))), ..held("picker", "pick") };
        !of_user(&set("pick"), &[at(&stock, &[&held])], moment).is_empty()
    };
    assert!(of(60, ISSUED) && !of(59, ISSUED));
    assert!(of(59, Moment::Shown(NOW)) && of(1, Moment::Shown(NOW)) && !of(0, Moment::Shown(NOW)));
}

#[test]
fn the_end_is_that_of_the_binding_that_ends_first_of_those_that_give_something() {
    let stock = rule("read", "pick pack");
    let after = |minutes| Some(NOW.after(Duration::from_mins(minutes)));
    let picker = HeldRole { end: after(9), ..held("picker", "pick") };
    let loader = HeldRole { end: after(5), ..held("loader", "pack") };
    let gone = HeldRole { end: Some(NOW), ..held("gone", "pick pack") };
    let holdings = [at(&stock, &[&picker, &loader, &gone])];
    let end = |scope| end_of_user(&set(scope), &holdings, ISSUED);
    assert_eq!((end("read"), end("pick"), end("pick pack")), (None, after(9), after(5)));
    assert_eq!(next_end(&holdings, ISSUED), after(5));
    let names = |roles: &[&str]| RoleNames {
        roles: roles.iter().map(|name| (*name).to_owned()).collect(),
        groups: vec![],
    };
    let end = |roles: &[&str]| end_of_names(&names(roles), &holdings[0], ISSUED);
    assert_eq!((end(&[]), end(&["picker"]), end(&["loader", "picker"])), (None, after(9), after(5)));

    // What another binding gives too lasts as long as that.
    let again = HeldRole { end: after(30), group: GroupName::parse("night").ok(), ..picker.clone() };
    let ever = HeldRole { end: None, ..loader.clone() };
    let holdings = [at(&stock, &[&picker, &loader, &again])];
    assert_eq!(end_of_user(&set("pick"), &holdings, ISSUED), after(30));
    assert_eq!(end_of_names(&names(&["picker"]), &holdings[0], ISSUED), after(30));
    let holdings = [at(&stock, &[&picker, &ever, &loader, &again])];
    assert_eq!(end_of_user(&set("pick pack read"), &holdings, ISSUED), after(30));
    assert_eq!(end_of_user(&set("pack"), &holdings, ISSUED), None);
    // At each audience by itself.
    let other = rule("pick", "pick");
    let both = [at(&other, &[]), at(&stock, &[&picker])];
    assert_eq!(end_of_user(&set("pick"), &both, ISSUED), after(9));
    assert_eq!(
        end_of_client(&set("pick pack"), &set("pick"), &both, ISSUED),
        None,
        "it is registered with it"
    );
}

#[test]
fn roles_and_the_groups_by_which_they_come_are_named_once() {
    let stock = rule("", "");
    let group = |name| Some(GroupName::parse(name).unwrap());
    let by = |name, role| HeldRole { group: group(name), ..held(role, "") };
    let roles = [by("night", "picker"), held("picker", ""), by("day", "picker"), held("guard", "")];
    let gone = HeldRole { end: Some(NOW), ..by("old", "king") };
    let holding = at(&stock, &roles.iter().chain([&gone]).collect::<Vec<_>>());
    let names = role_names(&holding, ISSUED);
    assert!(names.has_role("guard") && !names.has_role("king") && !names.is_empty());
    assert_eq!(
        (names.roles, names.groups),
        (vec!["guard".to_owned(), "picker".to_owned()], vec!["day".to_owned(), "night".to_owned()],)
    );
}

/// What is drawn: for each audience what everyone has, what is known, and the roles of the holder with what is left of their bindings.
type Drawn = Vec<(NameSet, BTreeSet<String>, Vec<HeldRole>)>;

fn scopes() -> impl Strategy<Value = NameSet> {
    prop::collection::vec(prop::sample::select(&SCOPES[..]), 0..5)
        .prop_map(|names| NameSet::of(names).unwrap())
}

fn roles() -> impl Strategy<Value = Vec<HeldRole>> {
    let left = prop::option::of(prop::sample::select(&[0_u64, 30, 59, 60, 61, 600][..]));
    let one = (scopes(), left).prop_map(|(scopes, left)| HeldRole {
        end: left.map(|left| NOW.after(Duration::from_secs(left))),
        ..held("role", scopes.as_str())
    });
    prop::collection::vec(one, 0..4)
}

fn drawn() -> impl Strategy<Value = Drawn> {
    // Whatever the holder's own roles have is known: all that a role has is.
    let one = (scopes(), scopes(), roles()).prop_map(|(everyone, others, roles)| {
        let of_roles = roles.iter().flat_map(|held| held.role.scopes.iter());
        let known = others.iter().chain(of_roles).map(str::to_owned).collect();
        (everyone, known, roles)
    });
    prop::collection::vec(one, 1..4)
}

/// The rules of what was drawn, the first of them Signet's if it `has_signet`.
fn rules(drawn: &Drawn, has_signet: bool) -> Vec<AudienceRule> {
    let rule = |(index, (everyone, known, _)): (usize, &(NameSet, BTreeSet<String>, Vec<HeldRole>))| {
        let everyone = everyone.iter().map(str::to_owned).collect();
        let is_signet = has_signet && index == 0;
        AudienceRule { is_signet, everyone, known: known.clone(), ..AudienceRule::default() }
    };
    drawn.iter().enumerate().map(rule).collect()
}

fn holdings<'a>(drawn: &'a Drawn, rules: &'a [AudienceRule]) -> Vec<Holding<'a>> {
    let pairs = drawn.iter().zip(rules);
    pairs.map(|((_, _, roles), audience)| Holding { audience, roles: roles.iter().collect() }).collect()
}

/// The rule once more, scope by scope, in the words of docs/TOKENS.md.
fn as_it_reads(scope: &str, holdings: &[Holding<'_>], now: Timestamp) -> bool {
    let by_role = |at: &Holding<'_>| {
        at.roles.iter().any(|held| {
            held.end.is_none_or(|end| end.as_micros() - now.as_micros() >= 60_000_000)
                && held.role.scopes.contains(scope)
        })
    };
    if scope == "introspect" {
        return false;
    }
    if scope.starts_with("signet.") {
        return scope != "signet.of-tomorrow"
            && holdings.len() == 1
            && holdings[0].audience.is_signet
            && by_role(&holdings[0]);
    }
    let has = |at: &Holding<'_>| at.audience.everyone.contains(scope) || by_role(at);
    let is_known = |at: &AudienceRule| {
        at.known.contains(scope) || (at.is_signet && ["profile", "account"].contains(&scope))
    };
    let lacks = |at: &Holding<'_>| is_known(at.audience) && !has(at);
    holdings.iter().any(has) && !holdings.iter().any(lacks)
}

proptest! {
    #[test]
    fn what_administers_is_asked_for_by_name_and_what_a_login_did_not_get_no_refresh_gets(
        asked in scopes(), may in scopes(), at_login in drawn(), later in drawn(), has_signet: bool,
    ) {
        prop_assert!(!unasked(&may).iter().any(is_admin_scope));
        let of = |asked: &NameSet, drawn: &Drawn| {
            let rules = rules(drawn, has_signet);
            of_user(asked, &holdings(drawn, &rules), ISSUED)
        };
        let given = of(&asked, &at_login);
        let session = kept(&asked, &given);
        let refreshed = of(&session, &later);
        for scope in SCOPES {
            // Of the rest it keeps what was asked for, whatever came of it.
            let is_kept = asked.contains(scope) && (!scope.starts_with("signet.") || given.contains(scope));
            prop_assert_eq!(session.contains(scope), is_kept, "{}", scope);
            prop_assert!(!refreshed.contains(scope) || session.contains(scope));
        }
    }

    #[test]
    fn a_users_token_has_what_the_rule_says_and_nothing_else(
        asked in scopes(), drawn in drawn(), has_signet: bool,
    ) {
        let rules = rules(&drawn, has_signet);
        let holdings = holdings(&drawn, &rules);
        let given = of_user(&asked, &holdings, ISSUED);
        for scope in SCOPES {
            let expected = asked.contains(scope) && as_it_reads(scope, &holdings, NOW);
            prop_assert_eq!(given.contains(scope), expected, "{}", scope);
        }
    }

    #[test]
    fn a_token_for_several_audiences_has_nothing_that_no_token_for_one_would_have(
        asked in scopes(), drawn in drawn(), has_signet: bool,
    ) {
        let rules = rules(&drawn, has_signet);
        let holdings = holdings(&drawn, &rules);
        for scope in of_user(&asked, &holdings, ISSUED).iter() {
            let alone = |at: &Holding<'_>| of_user(&asked, std::slice::from_ref(at), ISSUED).contains(scope);
            prop_assert!(holdings.iter().any(alone), "{}", scope);
            // And whoever knows the name agrees.
            let agrees = |at: &Holding<'_>| alone(at) || !at.audience.known.contains(scope);
            prop_assert!(holdings.iter().all(agrees), "{}", scope);
        }
    }

    #[test]
    fn the_owners_of_one_audience_give_nothing_at_another(
        wish in scopes(), before in drawn(), theirs in drawn(), has_signet: bool, which: prop::sample::Index,
    ) {
        // Whatever the owners of one audience do to its roles, their bindings and what everyone has there.
        let which = which.index(before.len());
        let mut after = before.clone();
        after[which] = theirs[0].clone();
        let rules = rules(&after, has_signet);
        let holdings = holdings(&after, &rules);
        let others = || holdings.iter().enumerate().filter(|(at, _)| *at != which).map(|(_, holding)| holding);
        for scope in of_client(&wish, &holdings, ISSUED).without(&wish).iter() {
            for other in others() {
                prop_assert!(other.live_roles(ISSUED).any(|held| held.role.scopes.contains(scope)), "{}", scope);
            }
            prop_assert!(scope != "introspect" || holdings.iter().all(|at| at.audience.is_signet));
        }
        for scope in of_user(&wish, &holdings, ISSUED).iter() {
            for other in others().filter(|other| other.audience.known.contains(scope)) {
                let alone = of_user(&wish, std::slice::from_ref(other), ISSUED);
                prop_assert!(alone.contains(scope), "{}", scope);
            }
        }
    }

    #[test]
    fn a_role_less_never_gives_more(asked in scopes(), drawn in drawn(), has_signet: bool) {
        let rules = rules(&drawn, has_signet);
        let before = of_user(&asked, &holdings(&drawn, &rules), ISSUED);
        for audience in 0..drawn.len() {
            for role in 0..drawn[audience].2.len() {
                let mut fewer = drawn.clone();
                fewer[audience].2.remove(role);
                let after = of_user(&asked, &holdings(&fewer, &rules), ISSUED);
                prop_assert!(after.without(&before).is_empty());
            }
        }
    }

    #[test]
    fn what_a_token_was_given_is_held_until_the_earliest_end(
        wish in scopes(), drawn in drawn(), has_signet: bool, is_client: bool,
    ) {
        let rules = rules(&drawn, has_signet);
        let holdings = holdings(&drawn, &rules);
        let of = |moment| if is_client { of_client(&wish, &holdings, moment) } else { of_user(&wish, &holdings, moment) };
        let given = of(ISSUED);
        let end = if is_client {
            end_of_client(&given, &wish, &holdings, ISSUED)
        } else {
            end_of_user(&given, &holdings, ISSUED)
        };
        let last = end.map_or(NOW.after(Duration::from_hours(1)), |end| end.before(Duration::from_micros(1)));
        prop_assert!(end.is_none_or(|end| end >= NOW.after(LEAST_LEFT)));
        prop_assert!(given.without(&of(Moment::Shown(NOW))).is_empty());
        prop_assert!(given.without(&of(Moment::Shown(last))).is_empty());
        // And no longer.
        prop_assert!(end.is_none_or(|end| !given.without(&of(Moment::Shown(end))).is_empty()));
    }

    #[test]
    fn a_client_without_a_binding_has_what_it_is_registered_with_and_never_what_is_for_users(
        registered in scopes(), drawn in drawn(), has_signet: bool,
    ) {
        let rules = rules(&drawn, has_signet);
        let given = of_client(&registered, &holdings(&drawn, &rules), ISSUED);
        prop_assert!(!given.contains("profile") && !given.contains("account"));
        let bare: Drawn = drawn.iter().map(|(all, known, _)| (all.clone(), known.clone(), Vec::new())).collect();
        let given = of_client(&registered, &holdings(&bare, &rules), ISSUED);
        for scope in SCOPES {
            let is_for_users = ["profile", "account"].contains(&scope);
            let is_here = has_signet && drawn.len() == 1 && scope != "signet.of-tomorrow";
            let is_far = scope.starts_with("signet.") && !is_here;
            let expected = registered.contains(scope) && !is_for_users && !is_far;
            prop_assert_eq!(given.contains(scope), expected, "{}", scope);
        }
    }
}
