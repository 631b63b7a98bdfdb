//! Owns checking the keys that an issuer publishes: that they are there, are kept no longer than they are published ahead, and are the
//! same for all.

use std::{collections::BTreeSet, time::Duration};

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::{
    Asking,
    finding::{Check, Findings, excerpt},
    http1::{self, Http1Answer},
    proxy::{self, Proxy},
    target::Target,
};

/// The ids of keys.
pub(super) type KeyIds = BTreeSet<String>;

/// Members of keys that must not be published (RFC 7518 sections 6.2.2, 6.3.2 and 6.4).
const SECRET: [&str; 2] = ["d", "k"];

/// Checks the keys of the issuer at `target`, which are where `metadata` say. Returns their ids.
pub(super) async fn check(
    asking: &Asking,
    target: &Target,
    metadata: &Value,
    proxy: Option<Proxy>,
    found: &mut Findings,
) -> Option<KeyIds> {
    let wrong = |found: &mut Findings, seen: String, mend: String| {
        found.wrong(Check::KeysPublished, seen, mend);
        found.skip(&[Check::KeysCache], "there are no keys");
        None
    };
    let Some(url) = metadata["jwks_uri"].as_str() else {
        let mend = "ask the issuer itself: what is in front answers in its place";
        return wrong(found, "the metadata name no jwks_uri".to_owned(), mend.to_owned());
    };
    let shown = excerpt(url);
    let at: Target = match url.parse::<Target>() {
        Ok(at) if at.speaks_tls || !target.speaks_tls => at,
        Ok(_) => {
            let seen = format!("jwks_uri {shown} is not https, though the issuer is");
            return wrong(found, seen, format!("`--issuer {target}` (SIGNET_ISSUER)"));
        }
        Err(problem) => return wrong(found, format!("jwks_uri {shown} {problem}"), "`--issuer`".to_owned()),
    };
    let answer = match http1::get(&asking.dialer, &at, at.path()).await {
        Err(problem) => {
            let mend = problem.mend().map_or_else(|| proxy::WEB_ROUTE.of(proxy), str::to_owned);
            return wrong(found, format!("{shown}: {problem}"), mend);
        }
        Ok(answer) => answer,
    };
    let proxy = proxy.or(answer.proxy());
    match ids(&answer) {
        None => {
            // What this machine alone can reach may be anything, and is nobody's to be told.
            let said = if at.is_beside(target) { answer.described() } else { answer.described_to_others() };
            wrong(found, format!("{shown} answers {said}"), proxy::WEB_ROUTE.of(proxy))
        }
        Some(Err(problem)) => wrong(
            found,
            format!("{shown} {problem}"),
            "`signet keys list` on the service's machine".to_owned(),
        ),
        Some(Ok(ids)) => {
            found.ok(Check::KeysPublished, format!("{} at {shown}", count(&ids)));
            cache(asking, &answer.headers, proxy, found);
            Some(ids)
        }
    }
}

/// The ids of the keys in `answer`; none if it is no key set.
fn ids(answer: &Http1Answer) -> Option<Result<KeyIds, String>> {
    let document: Value = serde_json::from_slice(&answer.body).ok()?;
    let keys = document["keys"].as_array().filter(|_| answer.status == StatusCode::OK)?;
    if keys.iter().any(|key| SECRET.iter().any(|member| key.get(member).is_some())) {
        return Some(Err("publishes a secret key: whoever has read it can sign tokens".to_owned()));
    }
    let ids: KeyIds = keys.iter().filter_map(|key| Some(key["kid"].as_str()?.to_owned())).collect();
    Some(if ids.is_empty() {
        Err("holds no key that a token could name (HS256?)".to_owned())
    } else {
        Ok(ids)
    })
}

fn count(ids: &KeyIds) -> String {
    match ids.len() {
        1 => "1 key".to_owned(),
        count => format!("{count} keys"),
    }
}

/// Whether whoever keeps the keys has the next one by the time that it signs.
fn cache(asking: &Asking, headers: &HeaderMap, proxy: Option<Proxy>, found: &mut Findings) {
    let ahead = asking.publish_ahead;
    let shown = humantime::format_duration(ahead);
    let seconds = |time: Duration| humantime::format_duration(time).to_string();
    let age = headers.get(header::AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok());
    let age = Duration::from_secs(age.unwrap_or(0));
    let check = Check::KeysCache;
    match kept_for(headers) {
        None => {
            let seen =
                "how long the keys may be kept is not told: the service's Cache-Control is lost on the way";
            found.warning(check, seen, proxy::KEY_CACHE.of(proxy));
        }
        Some(kept) if kept >= ahead => {
            let seen = format!(
                "the keys may be kept for {}, and the next key signs {shown} after it is published: its tokens are refused meanwhile",
                seconds(kept)
            );
            found.wrong(
                check,
                seen,
                format!("{}; or a longer --key-publish-ahead", proxy::KEY_CACHE.of(proxy)),
            );
        }
        Some(kept) if age > kept => {
            let seen = format!(
                "a cache on the way gives them out after {}, though they were good for {}",
                seconds(age),
                seconds(kept)
            );
            found.wrong(check, seen, proxy::KEY_CACHE.of(proxy));
        }
        Some(kept) => {
            let seen = format!(
                "they may be kept for {}, and the next key is published {shown} ahead",
                seconds(kept)
            );
            found.ok(check, seen);
        }
    }
}

/// For how long anybody may keep an answer with `headers` (RFC 9111 section 5.2.2): a shared cache, or who has asked.
fn kept_for(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let directives: Vec<_> = values
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives.iter().any(|directive| matches!(directive.as_str(), "no-store" | "no-cache")) {
        return Some(Duration::ZERO);
    }
    let of = |directive: &String| {
        let seconds = directive.strip_prefix("max-age=").or_else(|| directive.strip_prefix("s-maxage="))?;
        seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
    };
    directives.iter().filter_map(of).max()
}

/// Compares the keys by HTTP with those by gRPC, which nobody keeps on the way.
pub(super) fn compare(
    http: Option<&KeyIds>,
    grpc: Option<&KeyIds>,
    proxy: Option<Proxy>,
    found: &mut Findings,
) {
    let check = Check::KeysAgree;
    let (Some(http), Some(grpc)) = (http, grpc) else {
        found.skip(&[check], "the keys were not read over both HTTP and gRPC");
        return;
    };
    if http == grpc {
        found.ok(check, "the same keys over HTTP and over gRPC");
    } else if http.is_disjoint(grpc) {
        let seen = "no key is the same over HTTP and over gRPC: two services, each with a database of its own, have one name";
        found.wrong(
            check,
            seen,
            "one `--database-url` for all replicas, or one --url and --grpc-url of the same service",
        );
    } else {
        let seen = format!(
            "{} over HTTP and {} over gRPC: a cache on the way has old ones",
            count(http),
            count(grpc)
        );
        found.wrong(check, seen, proxy::KEY_CACHE.of(proxy));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn an_answer_is_kept_by_whoever_may_keep_it_longest() {
        let kept = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(value))]);
            kept_for(&headers).map(|time| time.as_secs())
        };
        assert_eq!(kept("public, max-age=300"), Some(300));
        assert_eq!(kept("max-age=300, s-maxage=86400"), Some(86_400));
        assert_eq!(kept("no-store"), Some(0));
        assert_eq!(kept("public"), None);
        assert_eq!(kept_for(&HeaderMap::new()), None);
    }

    #[test]
    fn keys_that_differ_are_those_of_a_cache_or_of_another_service() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<KeyIds>();
        for (http, grpc, verdict, says) in [
            (&["a"][..], &["a"][..], Verdict::Ok, "the same"),
            (&["a"], &["a", "b"], Verdict::Wrong, "a cache"),
            (&["a"], &["b"], Verdict::Wrong, "two services"),
        ] {
            let mut found = Findings::at(&"https://id.example");
            compare(Some(&ids(http)), Some(&ids(grpc)), None, &mut found);
            assert_eq!(found.all[0].result, verdict);
            assert!(found.all[0].seen.contains(says), "{found:?}");
        }
    }
}
