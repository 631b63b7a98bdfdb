//! Owns `signet policy` over the admin API.

use std::path::Path;

use super::{
    Change, Command, Diff, Explain, NAME_HINT, Push, Which, done, read_file,
    shown::{self, heading, list_one, show, tell, tell_differences, warn_of_closed, warn_of_retired},
    widening_hint,
};
use crate::{
    cli::{
        Failure, Output,
        remote::{Remote, answered, each, from_the_start, read},
    },
    files::read_text,
    identity::policies::PushedRules,
    model::{PolicyState, policy::POLICY_MAX_VERSIONS},
    proto::identity::policy::v1::{
        ActivatePolicyVersionRequest, DiffPolicyVersionsRequest, ExplainCallRequest, GetPolicyVersionRequest,
        ListPolicyVersionsRequest, PolicyVersion, PushPolicyVersionRequest, RetirePolicyVersionRequest,
        ShadowPolicyVersionRequest,
    },
    wire::read_policy_state,
};

pub(super) async fn run(command: Command, remote: &Remote, output: Output) -> Result<(), Failure> {
    match command {
        Command::Push(push) => push_over(push, remote, output).await,
        Command::List { service, limit, after } => {
            from_the_start("--after", after)?;
            let service = service.unwrap_or_default();
            let read = async |page_size, page_token| {
                let request = ListPolicyVersionsRequest { page_size, page_token, service: service.clone() };
                let page = answered(remote.policies().list_policy_versions(request).await)?;
                Ok((page.policy_versions, page.next_page_token))
            };
            let tell = async |version| list_one(&read::policy_version(version)?, output);
            each(limit, || heading(output), read, tell).await
        }
        Command::Show(Which { service, version }) => {
            let request = GetPolicyVersionRequest { service, version: version.to_string() };
            let found = answered(remote.policies().get_policy_version(request).await)?;
            show(&read::policy_version(found.policy_version.unwrap_or_default())?, &found.rules, output)
        }
        Command::Diff(Diff { service, old, new }) => {
            let (old_version, new_version) = (old.to_string(), new.to_string());
            let request = DiffPolicyVersionsRequest { service, old_version, new_version };
            let found = answered(remote.policies().diff_policy_versions(request).await)?;
            tell_differences(&found.differences, output)
        }
        Command::Activate(change) => with_state(change, PolicyState::Active, remote, output).await,
        Command::Shadow(change) => with_state(change, PolicyState::Shadow, remote, output).await,
        Command::Retire(change) => with_state(change, PolicyState::Retired, remote, output).await,
        Command::Explain(explain) => explain_over(explain, remote, output).await,
        Command::Lint(_) => Ok(()),
    }
}

/// Sends what is read of the file alone: names and options of methods.
async fn push_over(
    Push { which: Which { service, version }, public_services, file }: Push,
    remote: &Remote,
    output: Output,
) -> Result<(), Failure> {
    let set = read_file(&file)?;
    let request = PushPolicyVersionRequest {
        service,
        version: version.to_string(),
        descriptor_set: PushedRules::reduced(&set, &public_services)?,
        sha256: PushedRules::sha256_of(&set),
        public_services,
        ..PushPolicyVersionRequest::default()
    };
    let pushed = answered(remote.policies().push_policy_version(request).await)
        .map_err(|failure| hinted(failure, "POLICY_VERSION_EXISTS", NAME_HINT))?;
    warn_of_closed(&pushed.closed_rules, output);
    tell("pushed", &read::policy_version(pushed.policy_version.unwrap_or_default())?, output)
}

async fn with_state(
    Change { which: Which { service, version }, allow_widening }: Change,
    state: PolicyState,
    remote: &Remote,
    output: Output,
) -> Result<(), Failure> {
    let (retired, version) = (service.clone(), version.to_string());
    let mut policies = remote.policies();
    let changed: Result<Option<PolicyVersion>, Failure> = match state {
        PolicyState::Active => {
            let request =
                ActivatePolicyVersionRequest { service, version, allow_widening, ..Default::default() };
            answered(policies.activate_policy_version(request).await).map(|answer| answer.policy_version)
        }
        PolicyState::Shadow => {
            let request =
                ShadowPolicyVersionRequest { service, version, allow_widening, ..Default::default() };
            answered(policies.shadow_policy_version(request).await).map(|answer| answer.policy_version)
        }
        PolicyState::Retired | PolicyState::Pushed => {
            let request =
                RetirePolicyVersionRequest { service, version, allow_widening, ..Default::default() };
            answered(policies.retire_policy_version(request).await).map(|answer| answer.policy_version)
        }
    };
    let hint = widening_hint(allow_widening);
    let changed = changed.map_err(|failure| hinted(failure, "POLICY_WIDENS", hint))?;
    if state == PolicyState::Retired {
        let page_size = i32::try_from(POLICY_MAX_VERSIONS).unwrap_or(i32::MAX);
        let request = ListPolicyVersionsRequest { page_size, service: retired.clone(), ..Default::default() };
        // Who may retire a version need not read them.
        if let Ok(found) = answered(remote.policies().list_policy_versions(request).await) {
            let states =
                found.policy_versions.iter().filter_map(|version| read_policy_state(version.state()));
            warn_of_retired(&retired, &states.collect::<Vec<_>>(), output);
        }
    }
    tell(done(state), &read::policy_version(changed.unwrap_or_default())?, output)
}

/// The failure, with `hint` if it has this reason.
fn hinted(failure: Failure, reason: &str, hint: &str) -> Failure {
    let is_it = matches!(&failure, Failure::Named(named) if named.reason.as_deref() == Some(reason));
    if is_it { failure.with_hint(hint) } else { failure }
}

async fn explain_over(
    Explain { service, method, token_file }: Explain,
    remote: &Remote,
    output: Output,
) -> Result<(), Failure> {
    let token = match token_file {
        None => String::new(),
        Some(file) => {
            // Standard input is a file, too.
            let path = if file.as_os_str() == "-" { Path::new("/dev/stdin") } else { &file };
            let text = read_text(path).map_err(|error| Failure::of_input("--token-file", &file, &error))?;
            text.trim().to_owned()
        }
    };
    let request = ExplainCallRequest { service, method: method.clone(), token };
    let found = answered(remote.policies().explain_call(request).await)?;
    shown::explain(&method, &found, output)
}
