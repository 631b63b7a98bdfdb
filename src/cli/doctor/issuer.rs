//! Owns checking the issuer as others see it: whether it is there, what it calls itself, where it leads, and what time it is there.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use super::{
    Asking, certificate,
    finding::{Check, Findings, excerpt},
    http1::{self, Http1Answer},
    keys::{self, KeyIds},
    proxy::{self, Proxy},
    target::Target,
};
use crate::{
    base::Timestamp,
    model::well_known::{OAUTH_AUTHORIZATION_SERVER, OPENID_CONFIGURATION},
};

/// Clocks further apart than this have tokens refused whatever the leeway.
const FAR_APART: Duration = Duration::from_mins(1);

/// Why the rest is skipped where a connection cannot be used.
const NOTHING: &str = "nothing can be asked there";

/// `Date` has whole seconds.
const SECOND: Duration = Duration::from_secs(1);

/// What was found of an issuer.
pub(super) struct Issuer {
    pub(super) found: Findings,
    pub(super) proxy: Option<Proxy>,
    /// The keys that it publishes over HTTP.
    pub(super) keys: Option<KeyIds>,
    pub(super) is_reached: bool,
}

/// Checks the issuer at `target`.
pub(super) async fn check(asking: &Asking, target: &Target) -> Issuer {
    let mut issuer = Issuer { found: Findings::at(target), proxy: None, keys: None, is_reached: false };
    let rest = [
        Check::IssuerDiscovery,
        Check::IssuerName,
        Check::IssuerEndpoints,
        Check::IssuerClock,
        Check::KeysPublished,
        Check::KeysCache,
    ];
    match asking.dialer.dial(target, &["http/1.1"]).await {
        Err(problem) => {
            issuer.is_reached = !problem.is_silence();
            let mend =
                problem.mend().unwrap_or("start it, open its port, or name another by --url (SIGNET_ISSUER)");
            issuer.found.wrong(Check::IssuerReached, problem.to_string(), mend);
            issuer.found.skip(&rest, if issuer.is_reached { NOTHING } else { "nobody answers there" });
            return issuer;
        }
        Ok(connected) => {
            issuer.is_reached = true;
            issuer.found.ok(Check::IssuerReached, "a connection is taken");
            if let Some(shown) = &connected.shown {
                certificate::check(
                    Check::IssuerCertificate,
                    target,
                    shown,
                    asking.clock.now(),
                    &mut issuer.found,
                );
            }
        }
    }
    let Some(metadata) = discover(asking, target, &mut issuer).await else {
        issuer.found.skip(&[rest[1], rest[2], rest[4], rest[5]], "there are no metadata");
        return issuer;
    };
    name(target, &metadata, &mut issuer);
    endpoints(asking, target, &metadata, &mut issuer).await;
    issuer.keys = keys::check(asking, target, &metadata, issuer.proxy, &mut issuer.found).await;
    issuer
}

/// Reads the metadata at both places, and the time that is told with them.
async fn discover(asking: &Asking, target: &Target, issuer: &mut Issuer) -> Option<Value> {
    let oauth = if target.path() == "/" {
        OAUTH_AUTHORIZATION_SERVER.to_owned()
    } else {
        format!("{OAUTH_AUTHORIZATION_SERVER}{}", target.path())
    };
    let (mut read, mut problems) = (Vec::new(), Vec::new());
    let mut is_clock_told = false;
    let mut own_mend = None;
    for path in [target.below(OPENID_CONFIGURATION), oauth] {
        let asked = asking.clock.now();
        match http1::get(&asking.dialer, target, &path).await {
            Err(problem) => {
                own_mend = own_mend.or(problem.mend());
                problems.push(format!("{path}: {problem}"));
            }
            Ok(answer) => {
                issuer.proxy = issuer.proxy.or(answer.proxy());
                if !std::mem::replace(&mut is_clock_told, true) {
                    clock(asking, asked, &answer, &mut issuer.found);
                }
                match metadata(&answer) {
                    Some(metadata) => read.push(metadata),
                    None => problems.push(format!("{path} answers {}", answer.described())),
                }
            }
        }
    }
    if !is_clock_told {
        issuer.found.skip(&[Check::IssuerClock], "nothing was answered");
    }
    let mend = || own_mend.map_or_else(|| proxy::WEB_ROUTE.of(issuer.proxy), str::to_owned);
    let check = Check::IssuerDiscovery;
    match (read.is_empty(), problems.is_empty()) {
        (false, true) => issuer
            .found
            .ok(check, format!("{OPENID_CONFIGURATION} and {OAUTH_AUTHORIZATION_SERVER} are there")),
        (false, false) => {
            let mend = mend();
            issuer.found.warning(check, problems.join("; "), mend);
        }
        (true, _) => {
            let mend = mend();
            issuer.found.wrong(check, problems.join("; "), mend);
        }
    }
    read.into_iter().next()
}

/// The metadata of an issuer, if `answer` has them.
fn metadata(answer: &Http1Answer) -> Option<Value> {
    let metadata: Value = serde_json::from_slice(&answer.body).ok()?;
    (answer.status == StatusCode::OK && metadata.get("issuer").is_some()).then_some(metadata)
}

/// Whether the issuer calls itself as it is called: verifiers compare letter for letter (RFC 8414 section 3.3).
fn name(target: &Target, metadata: &Value, issuer: &mut Issuer) {
    let named = metadata["issuer"].as_str().unwrap_or_default();
    let asked = target.to_string();
    if named == asked {
        issuer.found.ok(Check::IssuerName, "it calls itself so");
        return;
    }
    let why = match (asked.starts_with("https://"), named.starts_with("https://")) {
        (true, false) => ": TLS ends in front of it, and it does not know",
        _ if named.trim_end_matches('/') == asked.trim_end_matches('/') => ": a slash at the end differs",
        _ => "",
    };
    let named = excerpt(named);
    let seen = format!("it calls itself {named}{why}, so verifiers that are given {asked} refuse it");
    issuer.found.wrong(
        Check::IssuerName,
        seen,
        format!("`--issuer {asked}` (SIGNET_ISSUER), or ask for {named}"),
    );
}

/// Whether what the metadata name leads to the issuer.
async fn endpoints(asking: &Asking, target: &Target, metadata: &Value, issuer: &mut Issuer) {
    let (mut problems, mut elsewhere) = (Vec::new(), Vec::new());
    let token = ("token_endpoint", Method::POST, says_error as fn(&Http1Answer) -> bool);
    let userinfo = ("userinfo_endpoint", Method::GET, asks_bearer as fn(&Http1Answer) -> bool);
    for (member, method, is_own) in [token, userinfo] {
        let Some(url) = metadata[member].as_str() else {
            problems.push(format!("the metadata name no {member}"));
            continue;
        };
        let shown = excerpt(url);
        // Whoever answers here must not send a request of this machine to where it wants.
        if url.parse::<Target>().is_ok_and(|at| !at.is_beside(target)) {
            elsewhere
                .push(format!("{member} {shown} is at another place than the issuer, and was not asked"));
            continue;
        }
        match endpoint(asking, url, method).await {
            Ok(answer) if !(is_refusal(&answer) && is_own(&answer)) => {
                issuer.proxy = issuer.proxy.or(answer.proxy());
                problems.push(format!("{member} {shown} answers {}", answer.described()));
            }
            Ok(answer) => issuer.proxy = issuer.proxy.or(answer.proxy()),
            Err(problem) => problems.push(format!("{member} {shown} {problem}")),
        }
    }
    if problems.is_empty() && elsewhere.is_empty() {
        issuer.found.ok(Check::IssuerEndpoints, "the token endpoint and userinfo answer as they should");
    } else if problems.is_empty() {
        let mend = format!("`--issuer {target}` (SIGNET_ISSUER): its endpoints are below it");
        issuer.found.warning(Check::IssuerEndpoints, elsewhere.join("; "), mend);
    } else {
        let mend = proxy::WEB_ROUTE.of(issuer.proxy);
        issuer.found.wrong(Check::IssuerEndpoints, problems.join("; "), mend);
    }
}

/// What an endpoint answers to a request for nothing, with no credential.
async fn endpoint(asking: &Asking, url: &str, method: Method) -> Result<Http1Answer, String> {
    let at: Target = url.parse()?;
    let request = Request::builder().method(method).uri(at.path());
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = http1::ask(&asking.dialer, &at, request, Vec::new()).await;
    answer.map_err(|problem| format!("cannot be asked: {problem}"))
}

fn is_refusal(answer: &Http1Answer) -> bool {
    matches!(answer.status, StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// Whether it is an error of the token endpoint (RFC 6749 section 5.2): a proxy that asks for a password of its own writes none.
fn says_error(answer: &Http1Answer) -> bool {
    serde_json::from_slice::<Value>(&answer.body).is_ok_and(|body| body["error"].is_string())
}

/// Whether it asks for a bearer token (RFC 6750 section 3), and for nothing else.
fn asks_bearer(answer: &Http1Answer) -> bool {
    let asked = answer.headers.get_all(header::WWW_AUTHENTICATE);
    let mut schemes =
        asked.iter().filter_map(|asked| asked.to_str().ok()?.split_whitespace().next()).peekable();
    schemes.peek().is_some() && schemes.all(|scheme| scheme.eq_ignore_ascii_case("bearer"))
}

/// Whether the clock there, as `answer` tells it, is this machine's, which showed `asked` when it was asked.
fn clock(asking: &Asking, asked: Timestamp, answer: &Http1Answer, found: &mut Findings) {
    let Some(there) = answer.header("date").and_then(date) else {
        found.skip(&[Check::IssuerClock], "no Date is told");
        return;
    };
    let answered = asking.clock.now();
    // It may have been told at any moment in between, and the rest of a second is cut off.
    let (ahead, behind) = (asked.since(there.after(SECOND)), there.since(answered));
    let (apart, seen) = if behind > ahead {
        (behind, format!("this machine's clock is {} behind", certificate::days(behind)))
    } else {
        (ahead, format!("this machine's clock is {} ahead", certificate::days(ahead)))
    };
    let mend = "`chronyc makestep` on the machine that is off (or `timedatectl set-ntp true`): this one, or the proxy's or service's there";
    if apart <= asking.clock_leeway {
        found.ok(Check::IssuerClock, "the same time as here, to the second or --clock-leeway");
    } else if apart <= FAR_APART {
        found.warning(Check::IssuerClock, format!("{seen}: more than --clock-leeway"), mend);
    } else {
        found.wrong(
            Check::IssuerClock,
            format!("{seen}: tokens are refused as expired, or as not valid yet"),
            mend,
        );
    }
}

/// The time that `Date` tells (RFC 9110 section 5.6.7).
fn date(text: &str) -> Option<Timestamp> {
    let time = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    Some(Timestamp::from_micros(time.unix_timestamp().checked_mul(1_000_000)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_read() {
        let time = date("Sun, 06 Nov 1994 08:49:37 GMT").expect("the example of RFC 9110");
        assert_eq!(time.to_string(), "1994-11-06T08:49:37Z");
        assert_eq!(date("now"), None);
    }
}
