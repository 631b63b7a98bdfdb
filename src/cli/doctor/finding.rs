//! Owns what a check has found: its name, whether it is well, what was seen, and what mends it.

#![allow(unreachable_pub, reason = "what `named!` makes is public, and this module is not")]

use serde::Serialize;

use crate::model::named::named;

named! {
    /// What is checked, in the order in which it is told (docs/DOCTOR.md).
    Check {
        /// Whether the issuer answers at all.
        IssuerReached = "issuer.reached",
        /// Whether its certificate is good.
        IssuerCertificate = "issuer.certificate",
        /// Whether it is found by its metadata.
        IssuerDiscovery = "issuer.discovery",
        /// Whether it calls itself as it is called.
        IssuerName = "issuer.name",
        /// Whether what it names can be asked.
        IssuerEndpoints = "issuer.endpoints",
        /// Whether its clock is this machine's.
        IssuerClock = "issuer.clock",
        /// Whether it publishes keys.
        KeysPublished = "keys.published",
        /// Whether nobody keeps them for longer than they are published ahead.
        KeysCache = "keys.cache",
        /// Whether they are the same over HTTP and over gRPC.
        KeysAgree = "keys.agree",
        /// Whether anybody answers where gRPC is called.
        GrpcReached = "grpc.reached",
        /// Whether its certificate is good.
        GrpcCertificate = "grpc.certificate",
        /// Whether it agrees on HTTP/2 by TLS.
        GrpcAlpn = "grpc.alpn",
        /// Whether it speaks HTTP/2.
        GrpcHttp2 = "grpc.http2",
        /// Whether a call arrives.
        GrpcCall = "grpc.call",
        /// Whether the trailers of its answer do.
        GrpcTrailers = "grpc.trailers",
        /// Whether the details of errors do.
        GrpcErrors = "grpc.errors",
        /// Whether a header as large as a token passes.
        GrpcHeaders = "grpc.headers",
        /// Whether a connection serves more than a few calls.
        GrpcGoaway = "grpc.goaway",
        /// Whether clients may ping.
        GrpcPings = "grpc.pings",
        /// Whether a stream arrives piece by piece, and stays.
        GrpcStream = "grpc.stream",
        /// Whether an idle connection stays.
        GrpcIdle = "grpc.idle",
        /// Whether gRPC-Web passes.
        GrpcWeb = "grpc.web",
        /// Whether Connect passes over HTTP/1.1.
        GrpcConnect = "grpc.connect",
        /// Whether the token of --token-file is taken.
        GrpcToken = "grpc.token",
        /// Whether the settings here fit each other, and what is in front.
        HereSettings = "here.settings",
        /// Whether the files here are kept from others.
        HereFiles = "here.files",
        /// Whether the database of the settings can be used.
        HereDatabase = "here.database",
        /// Whether its clock is this machine's.
        HereClock = "here.clock",
        /// Whether the service here is ready.
        HereReady = "here.ready",
    }
}

/// The longest sentence: one for each of the proxies fits.
const MOST_LETTERS: usize = 2_000;

/// The longest quotation.
const MOST_QUOTED: usize = 200;

/// How it stands with what was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// Well.
    Ok,
    /// Not checked, since something else is wrong or was not given.
    Skipped,
    /// Well today, or well for some.
    Warning,
    /// Not well.
    Wrong,
}

/// What one check has found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    #[serde(serialize_with = "by_name")]
    pub(super) check: Check,
    pub(super) result: Verdict,
    /// What was asked; nothing of this machine.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) url: String,
    pub(super) seen: String,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

/// What the checks of one place have found.
#[derive(Debug)]
pub(super) struct Findings {
    url: String,
    pub(super) all: Vec<Finding>,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Wrong => "WRONG",
        }
    }
}

impl Finding {
    /// The line for people.
    pub(super) fn text(&self) -> String {
        let Self { check, result, url, seen, mend } = self;
        let place = if url.is_empty() { String::new() } else { format!("{url}: ") };
        let mend = mend.as_ref().map_or_else(String::new, |mend| format!(" -> {mend}"));
        format!("{:<8} {:<18} {place}{seen}{mend}", result.word(), check.name())
    }
}

impl Findings {
    /// None yet, of what is at `url`.
    pub(super) fn at(url: &impl ToString) -> Self {
        Self { url: url.to_string(), all: Vec::new() }
    }

    pub(super) fn ok(&mut self, check: Check, seen: impl Into<String>) {
        self.push(check, Verdict::Ok, seen, None);
    }

    pub(super) fn warning(&mut self, check: Check, seen: impl Into<String>, mend: impl Into<String>) {
        self.push(check, Verdict::Warning, seen, Some(&mend.into()));
    }

    pub(super) fn wrong(&mut self, check: Check, seen: impl Into<String>, mend: impl Into<String>) {
        self.push(check, Verdict::Wrong, seen, Some(&mend.into()));
    }

    /// That `checks` were not made, and why.
    pub(super) fn skip(&mut self, checks: &[Check], why: &str) {
        for check in checks {
            self.push(*check, Verdict::Skipped, why, None);
        }
    }

    fn push(&mut self, check: Check, result: Verdict, seen: impl Into<String>, mend: Option<&str>) {
        let (seen, mend) = (one_line(&seen.into()), mend.map(one_line));
        self.all.push(Finding { check, result, url: self.url.clone(), seen, mend });
    }
}

/// `text` as one line that has an end: what another server says must not be taken for a finding of its own.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MOST_LETTERS));
    for c in text.chars().take(MOST_LETTERS) {
        if c.is_control() { line.extend(c.escape_unicode()) } else { line.push(c) }
    }
    if text.chars().nth(MOST_LETTERS).is_some() {
        line.push('…');
    }
    line
}

/// The beginning of what another server says.
pub(super) fn excerpt(text: &str) -> String {
    let begin: String = text.chars().take(MOST_QUOTED).collect();
    if begin.len() < text.len() { format!("{begin}…") } else { begin }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn by_name<S: serde::Serializer>(check: &Check, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(check.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_tells_of_each_check() {
        let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/DOCTOR.md")).unwrap();
        for check in Check::ALL {
            assert_eq!(page.matches(&format!("| `{}` |", check.name())).count(), 1, "{}", check.name());
        }
    }

    #[test]
    fn each_check_is_shown_by_a_fault_in_a_test() {
        let read = |name: &str| {
            let path = format!("{}/tests/{name}/doctor.rs", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).unwrap()
        };
        let tests: String = [read("process"), read("mesh")].concat().split_whitespace().collect();
        for check in Check::ALL.iter().map(|check| check.name()) {
            let is_shown = ["wrong", "warning"]
                .iter()
                .any(|result| tests.contains(&format!(".is(\"{check}\",\"{result}\",")));
            assert!(is_shown, "no test shows a fault that {check} sees");
        }
    }

    #[test]
    fn what_another_server_says_is_no_finding_of_its_own_and_has_an_end() {
        let mut found = Findings::at(&"https://id.example");
        let says = format!(
            "it says {}",
            excerpt(&format!("a\nok       grpc.token\t\u{1b}[2J{}", "x".repeat(9_000)))
        );
        found.wrong(Check::IssuerName, says, "y".repeat(9_000));
        let text = found.all[0].text();
        assert!(!text.contains(char::is_control) && text.contains("a\\u{a}ok "), "{text}");
        assert!(found.all[0].seen.ends_with("x…") && text.chars().count() < 2_500, "{text}");
    }

    #[test]
    fn a_finding_is_one_line_and_one_object() {
        let mut found = Findings::at(&"https://id.example");
        found.warning(Check::GrpcHeaders, "7 KiB are refused", "nginx: `large_client_header_buffers 4 16k;`");
        found.ok(Check::GrpcWeb, "passes");
        let [first, second] = &found.all[..] else { panic!("{found:?}") };
        assert_eq!(
            first.text(),
            "warning  grpc.headers       https://id.example: 7 KiB are refused -> nginx: `large_client_header_buffers 4 16k;`"
        );
        let expected = serde_json::json!({
            "check": "grpc.web", "result": "ok", "url": "https://id.example", "seen": "passes",
        });
        assert_eq!(serde_json::to_value(second).unwrap(), expected);
    }
}
