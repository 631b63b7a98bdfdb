//! Owns following the stream of revocations: which replica is asked, where it goes on, and how long it waits after a refusal.

use std::time::Duration;

use signet::proto::identity::events::v1::{Kind, WatchRequest, event_service_client::EventServiceClient};
use tonic::{Code, Request, Status};

use super::Revocations;
use crate::{
    client::{AccessToken, TokenSource},
    hooks::{RevocationsState, SafeHooks},
    replicas::{CALL_TIMEOUT, Channels, retry_delay},
    time::{Random, Time},
};

/// A stream that says nothing for longer is dead: a heartbeat comes each ten seconds.
const SILENCE: Duration = Duration::from_secs(30);

/// How long is waited after a refusal that an operator has to mend.
const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// How long is waited where there are as many watchers as there may be, and it is not said for how long.
const FULL_PAUSE: Duration = Duration::from_secs(10);

/// What is told of. The rules of this service are its own.
const KINDS: [Kind; 4] = [Kind::Sessions, Kind::Clients, Kind::Scopes, Kind::Keys];

/// Follows the stream of any replica, until the task is aborted, and has `revocations` hear it.
pub(crate) async fn follow(
    revocations: Revocations,
    channels: Channels,
    source: TokenSource,
    time: Time,
    random: Random,
    told: SafeHooks,
) {
    // How many attempts have failed since something was heard.
    let mut failed = 0_usize;
    loop {
        told.tell(|hooks| hooks.revocations(RevocationsState::Connecting));
        let (number, channel) = channels.current();
        let mut heard_something = false;
        let ended = async {
            let token = source.token().await.map_err(|status| (None, status))?;
            let refused = |status| (Some(token.clone()), status);
            let mut client = EventServiceClient::new(channel).max_decoding_message_size(2 * 1024 * 1024);
            let request = request(&revocations, &token).map_err(refused)?;
            let opened = tokio::time::timeout(CALL_TIMEOUT, client.watch(request)).await;
            let opened = opened.unwrap_or_else(|_| Err(Status::unavailable("no stream was opened in time")));
            let mut stream = opened.map_err(refused)?.into_inner();
            loop {
                let silent = || Err(Status::unavailable("the stream has said nothing for too long"));
                let message = time.within(SILENCE, stream.message()).await.unwrap_or_else(silent);
                let Some(message) = message.map_err(refused)? else { return Ok::<_, (_, Status)>(()) };
                let was_complete = heard_something && revocations.is_complete();
                (heard_something, failed) = (true, 0);
                revocations.hear(message);
                if !was_complete && revocations.is_complete() {
                    told.tell(|hooks| hooks.revocations(RevocationsState::Complete));
                }
            }
        }
        .await;
        told.tell(|hooks| hooks.revocations(RevocationsState::Down));
        let mut pause = Duration::ZERO;
        if let Err((token, status)) = ended {
            tracing::debug!(code = ?status.code(), message = status.message(), "the stream of revocations has ended");
            if status.code() == Code::Unauthenticated
                && let Some(token) = token
            {
                source.drop_token(&token);
            }
            if !heard_something {
                failed = failed.saturating_add(1);
                pause = pause_after(&status, failed.is_multiple_of(channels.count()));
                tracing::warn!(
                    code = ?status.code(), message = status.message(), "revocations cannot be followed: it is tried again"
                );
            }
        }
        // By its end, or for good: another replica knows as much.
        channels.pass_over(number);
        // All who watch do so at the same moment, when a replica is restarted.
        time.sleep(pause + Duration::from_secs(1).mul_f64(random.draw())).await;
    }
}

fn request(revocations: &Revocations, token: &AccessToken) -> Result<Request<WatchRequest>, Status> {
    let resume_token = revocations.states().borrow().resume_token.clone();
    let kinds = KINDS.map(i32::from).to_vec();
    let mut request = Request::new(WatchRequest { resume_token, kinds });
    let bearer = format!("Bearer {}", token.as_str()).parse();
    let mut bearer: tonic::metadata::MetadataValue<tonic::metadata::Ascii> =
        bearer.map_err(|_| Status::internal("Signet has issued a token that no header can have"))?;
    bearer.set_sensitive(true);
    request.metadata_mut().insert("authorization", bearer);
    Ok(request)
}

/// How long is waited before the next call, when one was refused by `status` before anything was heard. A replica that is away may ask for
/// a pause: only where `all` have failed there is no other one to be asked at once.
fn pause_after(status: &Status, all: bool) -> Duration {
    match status.code() {
        Code::ResourceExhausted => retry_delay(status).unwrap_or(FULL_PAUSE).max(Duration::from_secs(1)),
        Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument | Code::FailedPrecondition => {
            REFUSED_PAUSE
        }
        Code::Unavailable if all => retry_delay(status).unwrap_or_default(),
        Code::Unavailable => Duration::ZERO,
        _ => Duration::from_secs(1),
    }
}

#[cfg(test)]
mod tests {
    use signet::{auth::Error, proto::ERROR_DOMAIN};
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn it_waits_as_long_as_the_refusal_asks_for() {
        let seconds = |status: &Status| pause_after(status, true).as_secs();
        let full = Error::Overloaded { what: "watchers", retry_after: Duration::from_secs(7) };
        assert_eq!(seconds(&Status::from(full)), 7);
        assert_eq!(seconds(&Status::resource_exhausted("")), 10);
        for error in [Error::TokenRevoked, Error::InsufficientScope("signet.events.watch".to_owned())] {
            assert_eq!(seconds(&Status::from(error)), 30);
        }
        assert_eq!((seconds(&Status::unavailable("")), seconds(&Status::internal(""))), (0, 1));
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_hours(9)));
        details.set_error_info("OVERLOADED", ERROR_DOMAIN, []);
        let forever = Status::with_error_details(Code::ResourceExhausted, "", details);
        assert_eq!(seconds(&forever), 60, "nobody waits for ever");
        let away = Status::with_error_details(Code::Unavailable, "", forever.get_error_details());
        assert_eq!(seconds(&away), 60);
        assert_eq!(pause_after(&away, false), Duration::ZERO, "another replica is asked at once");
    }
}
