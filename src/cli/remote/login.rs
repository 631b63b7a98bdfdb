//! Owns `signet login` and `signet logout`.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use serde_json::json;
use tokio::task::spawn_blocking;
use tonic::transport::Channel;

use super::{
    HEADING, Trust,
    access_token::with_all_scopes,
    address::Address,
    answered,
    login_file::{Kept, LoginFile},
    problem::{failure, reason},
};
use crate::{
    base::Clock,
    cli::{CommandReason, Failure, Output, users::read_password},
    model::NameSet,
    proto::identity::{
        admin::v1::{GetUserRequest, user_service_client::UserServiceClient},
        v1::{
            PasswordGrant, RevokeTokenRequest, identity_service_client::IdentityServiceClient,
            issue_token_request::Grant,
        },
    },
};

/// Where to log in, or out.
#[derive(Args, Debug)]
pub(in crate::cli) struct LoginAt {
    /// The address of the admin API: HOST:PORT of the service's --admin-addr. Beyond this machine it is called by TLS alone; on it, by TLS
    /// if https:// is before it.
    #[arg(long, env = "SIGNET_SERVER", value_name = "ADDR", help_heading = HEADING)]
    server: Address,
    #[command(flatten)]
    trust: Trust,
}

/// Where to log out, and how.
#[derive(Args, Debug)]
pub(in crate::cli) struct LogoutAt {
    #[command(flatten)]
    at: LoginAt,
    /// Only delete the tokens that are kept here, and call nobody: for a service that is away. The session there goes on until it expires
    /// by itself, or somebody ends it (`signet users end-sessions`).
    #[arg(long)]
    local: bool,
}

/// What can be done where the service does not end the session.
const LOCAL_HINT: &str = "the tokens are kept; the same with --local deletes them without the service";

/// Logs `username` in, and keeps the tokens for the commands that work over the service's admin API.
pub(in crate::cli) async fn log_in(
    LoginAt { server, trust }: LoginAt,
    username: Option<String>,
    output: Output,
) -> Result<(), Failure> {
    let kept_at = LoginFile::of(&server)?;
    // Before a password is asked for: it would go nowhere.
    let channel = server.connect(trust.tls_ca.as_deref()).await?;
    must_be_there(channel.clone()).await?;
    let mut issuer = IdentityServiceClient::new(channel);
    let username = username.map_or_else(ask_username, Ok)?;
    let password = read_password()?;
    let grant = || {
        let grant = PasswordGrant { username: username.clone(), password: password.to_string() };
        Ok((Grant::Password(grant), None))
    };
    let granted = with_all_scopes(&mut issuer, grant).await?;
    let scopes = granted.scope.clone();
    let kept = Kept::of(granted, username.clone(), None, Clock::system().now());
    if scopes.is_empty() {
        revoke(&mut issuer, &kept).await?;
        let problem = format!(
            "{username} may administer nothing here, and is not logged in: no role gives the user a `signet.` scope. \
                 Where the database is, `signet roles bind auditor --user {username}` gives those for reading, and `admin` all"
        );
        return Err(Failure::Failed(problem));
    }
    let (locked, kept_at) = locked(kept_at).await?;
    let before = kept_at.read()?;
    kept_at.write(&kept)?;
    drop(locked);
    if let Some(before) = before {
        // Nobody has its tokens any more. One that has ended by itself is no trouble.
        let _ = revoke(&mut issuer, &before).await;
    }
    let names = NameSet::parse(&scopes).unwrap_or_default();
    let object = json!({
        "server": server.to_string(),
        "username": username,
        "scopes": names.iter().collect::<Vec<_>>(),
    });
    output.answer(&format!("Logged {username} in at {server}, for: {scopes}."), &object)
}

/// Succeeds if the admin API is there. Nobody asks, so that it refuses whoever asks, and that is all that it is asked for.
async fn must_be_there(channel: Channel) -> Result<(), Failure> {
    match UserServiceClient::new(channel).get_user(GetUserRequest::default()).await {
        Err(status) if reason(&status) != "TOKEN_MISSING" => Err(failure(&status)),
        _ => Ok(()),
    }
}

/// Ends the login, here and at the service.
pub(in crate::cli) async fn log_out(
    LogoutAt { at: LoginAt { server, trust }, local }: LogoutAt,
    output: Output,
) -> Result<(), Failure> {
    let (locked, kept_at) = locked(LoginFile::of(&server)?).await?;
    let Some(kept) = kept_at.read()? else {
        return Err(Failure::because(
            CommandReason::NotLoggedIn,
            format!("nobody is logged in at {server} from here"),
        ));
    };
    if !local {
        let ended = async {
            revoke(&mut IdentityServiceClient::new(server.connect(trust.tls_ca.as_deref()).await?), &kept)
                .await
        };
        ended.await.map_err(|failure: Failure| failure.with_hint(LOCAL_HINT))?;
    }
    kept_at.remove()?;
    drop(locked);
    let who = &kept.username;
    let text = if local {
        format!(
            "Deleted the tokens of {who} at {server}. The session there goes on until it expires, or is ended there."
        )
    } else {
        format!("Logged {who} out at {server}.")
    };
    let object = json!({ "server": server.to_string(), "username": who, "session_ended": !local });
    output.answer(&text, &object)
}

/// Ends the session of `kept`; one that has ended already stays so.
async fn revoke(issuer: &mut IdentityServiceClient<Channel>, kept: &Kept) -> Result<(), Failure> {
    let request = RevokeTokenRequest { token: kept.refresh_token.to_string(), client: None };
    answered(issuer.revoke_token(request).await).map(|_| ())
}

/// The file, and the right to change it.
async fn locked(kept_at: LoginFile) -> Result<(std::fs::File, LoginFile), Failure> {
    let waited = spawn_blocking(move || kept_at.lock().map(|locked| (locked, kept_at))).await;
    waited.map_err(|error| {
        Failure::because(CommandReason::LoginUnusable, format!("the login could not be locked: {error}"))
    })?
}

fn ask_username() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        // A prompt is no answer.
        let _ = write!(io::stderr(), "Username: ").and_then(|()| io::stderr().flush());
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let name = line.trim_end_matches(['\r', '\n']);
    if name.is_empty() {
        Err(Failure::Usage("the username must be given".to_owned()))
    } else {
        Ok(name.to_owned())
    }
}
