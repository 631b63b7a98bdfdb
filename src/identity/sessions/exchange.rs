//! Owns the values that follow from an exchange of a refresh token: its time, a digest of where it came from, and the ids of its access
//! tokens.

use std::{net::IpAddr, time::Duration};

use aws_lc_rs::hmac;
use uuid::Uuid;

use crate::{
    base::Timestamp,
    identity::permissions::{Given, RoleNames},
    model::{NameSet, Network, Origin, TokenTyp, id},
    store::{RefreshState, Sha256},
};

/// The least time between two exchanges of one session. Access tokens tell theirs in milliseconds.
const STEP: Duration = Duration::from_millis(1);

/// By how much the time of an exchange may lie ahead of the clock: that of the last one may have been a replica's that is ahead.
const MAX_AHEAD: Duration = Duration::from_secs(1);

/// What is hashed begins with what it is for. None of these begins as the id of a session does, which the tags of refresh tokens are
/// made of with the same key.
const ORIGIN: &[u8] = b"origin\0";
const ACCESS_TOKEN: &[u8] = b"access token\0";

/// The time of an exchange that is made at `now`, the last of the session having been at `last`: another one, so that access tokens tell
/// the two apart.
pub(super) fn exchange_time(now: Timestamp, last: Timestamp) -> Timestamp {
    let next = last.after(STEP);
    if next.since(now) < MAX_AHEAD { now.max(next) } else { now }
}

/// A digest of the network and the user agent of `origin`, by the session's own key. As another user agent is another client, so is
/// another address; but of IPv6 a host has the whole /64, and changes within it.
pub(super) fn origin_digest(state: &RefreshState, origin: &Origin) -> Sha256 {
    let address = origin.user_address().unwrap_or_default();
    let network = address.parse::<IpAddr>().map(|address| Network::of(address).to_string());
    let mut context = context(state, ORIGIN);
    context.update(network.as_deref().unwrap_or(address).as_bytes());
    context.update(b"\0");
    context.update(origin.user_agent.as_deref().unwrap_or_default().as_bytes());
    let mut digest = [0; 32];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}

/// The `jti` of the access token that the exchange at `time`, which made the newest token of `state`, gives for `audience`
/// with what is `given`: the same however often it is repeated, and another one if the user's roles or attributes have changed what the
/// token says.
pub(in crate::identity) fn access_token_id(
    state: &RefreshState,
    time: Timestamp,
    given: &Given,
    audience: &NameSet,
) -> Uuid {
    let Given { scope, end, names: RoleNames { roles, groups }, attributes, typ } = given;
    let mut context = context(state, ACCESS_TOKEN);
    context.update(&state.newest);
    context.update(scope.as_str().as_bytes());
    context.update(b"\0");
    context.update(audience.as_str().as_bytes());
    // As the release before has it where there is nothing of this. No name has any of these bytes.
    if let Some(end) = end {
        context.update(b"\x01");
        context.update(&end.as_micros().to_be_bytes());
    }
    for (kind, names) in [(b"\x02", roles), (b"\x03", groups)] {
        for name in names {
            context.update(kind);
            context.update(name.as_bytes());
        }
    }
    if !attributes.is_empty() {
        context.update(b"\x04");
        // Text takes everything, and in JSON each has its own.
        context.update(&serde_json::to_vec(attributes).unwrap_or_default());
    }
    if *typ != TokenTyp::default() {
        context.update(b"\x05");
    }
    let mut random = [0; 10];
    random.copy_from_slice(&context.sign().as_ref()[..10]);
    id::uuid_v7_of(time, random)
}

fn context(state: &RefreshState, purpose: &[u8]) -> hmac::Context {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &state.salt));
    context.update(purpose);
    context
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AttributeValue;

    const STATE: RefreshState = RefreshState { newest: [1; 32], before_newest: Some([2; 32]), salt: [3; 32] };

    fn digest(user_agent: &str, address: &str) -> Sha256 {
        origin_digest(&STATE, &Origin::of(Some(user_agent), Some(address.parse().unwrap())))
    }

    #[test]
    fn a_place_is_an_address_or_an_ipv6_64_and_a_user_agent() {
        assert_eq!(digest("a", "192.0.2.1"), digest("a", "::ffff:192.0.2.1"));
        assert_eq!(digest("a", "2001:db8::1"), digest("a", "2001:db8::ffff:1"));
        for (user_agent, address) in
            [("b", "192.0.2.1"), ("", "192.0.2.1"), ("a", "192.0.2.2"), ("a", "2001:db8:0:1::1")]
        {
            assert_ne!(digest("a", "192.0.2.1"), digest(user_agent, address), "{user_agent} {address}");
        }
        let claimed = Origin::of(Some("a"), Some("10.0.0.1".parse().unwrap()));
        let claimed = claimed.claiming("192.0.2.1".parse().unwrap());
        assert_eq!(origin_digest(&STATE, &claimed), digest("a", "192.0.2.1"), "the user's, where it is told");
        let other = RefreshState { salt: [4; 32], ..STATE };
        let origin = Origin::of(Some("a"), Some("192.0.2.1".parse().unwrap()));
        assert_ne!(origin_digest(&other, &origin), digest("a", "192.0.2.1"), "no two sessions compare");
    }

    #[test]
    fn an_access_token_is_known_by_its_exchange_what_it_gives_and_its_audience() {
        let names = |text| NameSet::parse(text).unwrap();
        let time = Timestamp::from_micros(1_795_435_200_123_456);
        let given = |scope| Given { scope: names(scope), ..Given::default() };
        let id = |scope, audience| access_token_id(&STATE, time, &given(scope), &names(audience));
        assert_eq!(id("a b", "c"), id("a b", "c"));
        assert_ne!(id("a b", "c"), id("a", "b c"));
        let next = RefreshState { newest: [5; 32], ..STATE };
        assert_ne!(id("a", "c"), access_token_id(&next, time, &given("a"), &names("c")));
        // What roles make of it.
        let of = |end: Option<i64>, roles: &[&str], groups: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let names_of_roles = RoleNames { roles: owned(roles), groups: owned(groups) };
            let given = Given { end: end.map(Timestamp::from_micros), names: names_of_roles, ..given("a") };
            access_token_id(&STATE, time, &given, &names("c"))
        };
        let all = [
            of(None, &[], &[]),
            of(Some(1), &[], &[]),
            of(Some(2), &[], &[]),
            of(None, &["x", "y"], &[]),
            of(None, &["xy"], &[]),
            of(None, &["x"], &["y"]),
        ];
        let of_team = |team: &str| {
            let attributes = [("team".to_owned(), AttributeValue::String(team.to_owned()))].into();
            access_token_id(&STATE, time, &Given { attributes, ..given("a") }, &names("c"))
        };
        let of_typ = |typ| access_token_id(&STATE, time, &Given { typ, ..given("a") }, &names("c"));
        assert_eq!(of_typ(TokenTyp::AtJwt), id("a", "c"));
        let all = all.into_iter().chain(["red", "blue"].map(of_team));
        let all: Vec<_> = all.chain([of_typ(TokenTyp::Jwt)]).collect();
        assert_eq!(all[0], id("a", "c"));
        for (index, id) in all.iter().enumerate() {
            assert!(!all[..index].contains(id), "{index}");
        }
        assert_eq!(id::millis(id("a", "c")), Some(1_795_435_200_123));
    }

    #[test]
    fn the_times_of_exchanges_differ_and_do_not_run_ahead() {
        let at = Timestamp::from_micros;
        assert_eq!(exchange_time(at(10_000), at(5_000)), at(10_000));
        assert_eq!(exchange_time(at(10_000), at(10_000)), at(11_000));
        assert_eq!(exchange_time(at(10_000), at(500_000)), at(501_000), "by a clock that is ahead");
        assert_eq!(exchange_time(at(10_000), at(5_000_000)), at(10_000), "by one that is wrong");
    }
}
