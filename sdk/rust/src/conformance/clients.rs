//! Owns the client half's part of the corpus: clients.json.

use std::time::Duration;

use base64ct::{Base64Unpadded, Encoding};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::{code_name, compare, judge, read};
use crate::client::{FailedCall, is_worth_another, may_attach, renewal};

/// How a case is run.
type Run = fn(&Value) -> Result<(), String>;

fn code(name: &Value) -> Code {
    (0..17).map(Code::from).find(|code| *name == json!(code_name(*code))).unwrap_or(Code::Unknown)
}

fn retry(case: &Value) -> Result<(), String> {
    let (call, refusal) = (&case["call"], &case["refusal"]);
    let details = refusal["details"].as_str().unwrap_or_default().trim_end_matches('=');
    let details = Base64Unpadded::decode_vec(details).map_err(|problem| problem.to_string())?;
    let failed = FailedCall {
        method: call["method"].as_str().unwrap(),
        audience: call["audience"].as_str().unwrap(),
        is_unary: call["kind"] == "unary",
        was_answered: call["messages_received"] != 0,
        attempt: u32::try_from(case["attempt"].as_u64().unwrap_or(1)).unwrap(),
    };
    let status = Status::with_details(code(&refusal["code"]), "refused", details.into());
    compare("retry", &json!(is_worth_another(&failed, &status)), &case["expect"]["retry"])
}

fn renew(case: &Value) -> Result<(), String> {
    let number = |name: &str| case[name].as_f64().unwrap();
    let found = renewal(Duration::from_secs_f64(number("lifetime")), number("random")).as_secs_f64();
    let expected = number("renew_at");
    if (found - expected).abs() <= 0.001 { Ok(()) } else { Err(format!("{found} s, and not {expected}")) }
}

fn attach(case: &Value) -> Result<(), String> {
    let is = |name: &str| case[name] == json!(true);
    let (target, authority) = (case["target"].as_str().unwrap(), case["authority"].as_str().unwrap());
    let attaches = may_attach(target, authority, is("secure"), is("peer_is_loopback"), is("allow_plaintext"));
    compare("it", &json!(if attaches { "attach" } else { "refuse" }), &case["expect"])
}

#[test]
fn every_call_of_a_client_is_made_again_and_has_its_token_as_it_must() {
    let clients: Value = read("clients.json");
    let mut outcomes = Vec::new();
    let kinds: [(&str, Run); 3] = [("retry", retry), ("renew", renew), ("attach", attach)];
    for (kind, run) in kinds {
        let cases = clients[kind].as_array().expect("cases");
        assert!(!cases.is_empty(), "{kind}");
        for (number, case) in cases.iter().enumerate() {
            let name = case["name"].as_str().map_or_else(|| number.to_string(), str::to_owned);
            outcomes.push((format!("{kind}: {name}"), run(case)));
        }
    }
    judge("clients.json", outcomes);
}
