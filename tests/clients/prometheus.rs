//! Owns the promise that Prometheus reads the metrics, has nothing to say against them, and raises the alerts that are published.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{grpcurl, signet::Signet, tools};

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let signet = Signet::start();
    // Series of every kind have values then.
    let token = grpcurl::sign_up(&signet, "alice", "correct horse");
    grpcurl::call(&signet, Some(&token), "GetMe", &json!({})).expect("she is there");
    grpcurl::refusal(&signet, None, "GetMe", &json!({}));
    get(&signet.http_addr, "/livez");
    let metrics = get(&signet.operations_addr, "/metrics");
    assert!(metrics.contains("\ngrpc_server_handled_total{"), "{metrics}");

    let mut promtool = Command::new(tools::promtool())
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    promtool.stdin.take().expect("it is piped").write_all(metrics.as_bytes()).expect("it reads");
    let said = promtool.wait_with_output().expect("it ends");
    let (stdout, stderr) = tools::texts(&said);
    assert!(said.status.success() && stdout.is_empty() && stderr.is_empty(), "{stdout}{stderr}");
}

/// The body of what HTTP answers.
pub(crate) fn get(addr: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).expect("it listens");
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {addr}\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers in UTF-8");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    body.to_owned()
}

/// What promtool proves of the alerts in examples/observability.
const RULES_TEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/prometheus/rules.test.yaml");
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/observability/signet.rules.yaml");

#[test]
fn every_alert_comes_when_it_should_and_not_while_all_is_well() {
    for arguments in [["check", "rules", RULES], ["test", "rules", RULES_TEST]] {
        let said = Command::new(tools::promtool()).args(arguments).output().expect("promtool runs");
        let (stdout, stderr) = tools::texts(&said);
        assert!(said.status.success(), "{stdout}{stderr}");
    }
    let (rules, test) = (read(RULES), read(RULES_TEST));
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in alerts {
        for proof in [
            format!("alertname: {alert}, exp_alerts: []"),
            format!("alertname: {alert}\n        exp_alerts:\n          - exp_labels:"),
        ] {
            assert!(test.contains(&proof), "{alert} is not proved");
        }
    }
}

/// The anchor of the heading `text`, as GitHub makes it.
fn anchor(text: &str) -> String {
    let kept = text.to_lowercase().replace(' ', "-");
    kept.chars().filter(|char| char.is_alphanumeric() || "-_".contains(*char)).collect()
}

#[test]
fn what_to_do_about_each_alert_stands_where_it_leads() {
    let operations = read(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md"));
    let headings = operations.lines().filter(|line| line.starts_with('#'));
    let headings: BTreeSet<_> = headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
    let rules = read(RULES);
    let of_each = rules.split("- alert: ").skip(1);
    for (count, alert) in (1..).zip(of_each) {
        let name = alert.lines().next().expect("its name");
        let runbooks =
            alert.lines().filter_map(|line| line.trim().strip_prefix("runbook: docs/OPERATIONS.md#"));
        let runbooks: Vec<_> = runbooks.collect();
        assert!(
            matches!(runbooks[..], [one] if headings.contains(one)),
            "alert {count}, {name}: {runbooks:?}"
        );
    }
    // And none is left there of which no alert tells any more.
    for heading in operations.lines().filter_map(|line| line.strip_prefix("### Signet")) {
        assert!(rules.contains(&format!("- alert: Signet{heading}\n")), "there is no alert Signet{heading}");
    }
}

/// A series by its name, its labels, and those of their values that are known before anything happens.
type Series = (String, BTreeMap<String, Option<String>>);

/// The series that `text` names: `name{label="value"}`.
fn series(text: &str) -> Series {
    const KNOWN: [&str; 9] =
        ["cache", "exported_job", "job", "lane", "le", "listener", "pool", "result", "state"];
    let (name, labels) = text.split_once('{').unwrap_or((text, "}"));
    let labels = labels.trim_end_matches('}').split("\",").filter_map(|label| label.split_once("=\""));
    let labels = labels.map(|(label, value)| {
        let value = KNOWN.contains(&label).then(|| value.trim_end_matches('"').to_owned());
        (label.to_owned(), value)
    });
    (name.to_owned(), labels.collect())
}

#[test]
fn the_alerts_are_proved_on_series_that_are_served() {
    let signet = Signet::start();
    let token = grpcurl::sign_up(&signet, "alice", "correct horse");
    grpcurl::call(&signet, Some(&token), "GetMe", &json!({})).expect("she is there");
    get(&signet.http_addr, "/livez");
    let metrics = get(&signet.operations_addr, "/metrics");
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let served: BTreeSet<_> = lines.filter_map(|line| Some(series(line.rsplit_once(' ')?.0))).collect();
    let test = read(RULES_TEST);
    let used = test.lines().filter_map(|line| line.split_once("series: '")?.1.split_once('\''));
    let mut count = 0;
    for (text, _) in used {
        count += 1;
        let (name, mut labels) = series(text);
        // Prometheus adds these two, and calls what a series says of a job by another name then.
        assert!(labels.remove("instance").is_some() && labels.remove("job").is_some(), "{text}");
        if let Some(job) = labels.remove("exported_job") {
            labels.insert("job".to_owned(), job);
        }
        // Where there is no TLS, no certificate can expire.
        if name == "signet_tls_certificate_expiry_timestamp_seconds" {
            assert!(labels.is_empty(), "{text}");
            continue;
        }
        assert!(served.contains(&(name.clone(), labels.clone())), "{name} {labels:?} is not served");
    }
    assert!(count > 40, "{count}");
}

fn read(path: &str) -> String {
    fs::read_to_string(path).expect("a file of the repository")
}
