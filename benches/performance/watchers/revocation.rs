//! Owns how soon a service that verifies tokens by itself refuses one whose session was ended: at the replica that it watches, and at
//! another.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use signet::proto::identity::{
    events::v1::watch_response::Part,
    v1::{RevokeSessionRequest, identity_service_client::IdentityServiceClient},
};
use tokio::{task::JoinHandle, time::sleep};
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};

use super::watch::{Stream, watch_token};
use crate::{
    Result, client,
    process::Program,
    scale::{
        MASTER_KEY,
        server::{DatabaseServer, Kind},
        users::CHEAPEST,
    },
    stats::millis,
};

/// How long is waited between two: no divisor of the pause between two looks at the feed.
const PAUSE: Duration = Duration::from_millis(37);

/// How long a service may take to hear of one.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it took, in milliseconds, in ascending order.
pub(super) struct Delays {
    /// Where the session was ended.
    pub(super) here: Vec<f64>,
    /// Where another replica is watched.
    pub(super) elsewhere: Vec<f64>,
}

/// A service that follows the stream: when it heard of which session.
struct Service {
    heard: Arc<Mutex<HashMap<String, Instant>>>,
    following: JoinHandle<Result<()>>,
}

/// Ends `times` sessions at one of two replicas on PostgreSQL.
pub(super) async fn measure(times: usize) -> Result<Delays> {
    let folder = tempfile::tempdir()?;
    let database = DatabaseServer::start(Kind::Postgres)?;
    let url = database.create("watched", folder.path()).await?;
    let (url, data_dir) =
        (format!("--database-url={url}"), format!("--data-dir={}", folder.path().display()));
    let settings = CHEAPEST.into_iter().chain([&*url, &*data_dir, MASTER_KEY, "--auto-migrate"]);
    let program = Program::signet_with(settings);
    let (one, other) = (program.start()?, program.start()?);
    let token = watch_token(&program, one.grpc_addr).await?;
    let here = Service::follow(one.grpc_addr, &token).await?;
    let elsewhere = Service::follow(other.grpc_addr, &token).await?;
    let mut user = client::connect(one.grpc_addr).await?;
    client::sign_up(&mut user, "alice").await?;
    let ending = client::login(&mut user, "alice").await?;
    let mut delays = Delays { here: Vec::new(), elsewhere: Vec::new() };
    for _ in 0..times {
        sleep(PAUSE).await;
        let session = sid(&client::login(&mut user, "alice").await?)?;
        let ended = end(&mut user, &ending, &session).await?;
        delays.here.push(here.refused_after(&session, ended).await?);
        delays.elsewhere.push(elsewhere.refused_after(&session, ended).await?);
    }
    delays.here.sort_by(f64::total_cmp);
    delays.elsewhere.sort_by(f64::total_cmp);
    Ok(delays)
}

/// Ends the session with the access token `by`. Returns when that was answered.
async fn end(user: &mut IdentityServiceClient<Channel>, by: &str, session: &str) -> Result<Instant> {
    let mut request = Request::new(RevokeSessionRequest { session_id: session.to_owned() });
    request.metadata_mut().insert("authorization", client::authorization(by)?);
    user.revoke_session(request).await?;
    Ok(Instant::now())
}

/// The session of `token`.
fn sid(token: &str) -> Result<String> {
    let claims = token.split('.').nth(1).ok_or("what was issued is no JWT")?;
    let claims: serde_json::Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims)?)?;
    Ok(claims["sid"].as_str().ok_or("the token says of no session")?.to_owned())
}

impl Service {
    async fn follow(addr: SocketAddr, token: &str) -> Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{addr}"))?.tcp_nodelay(true).connect().await?;
        let mut stream = Stream::begin(channel, token).await?;
        let heard = Arc::<Mutex<HashMap<_, _>>>::default();
        let noted = Arc::clone(&heard);
        let following = tokio::spawn(async move {
            while let Some(part) = stream.part().await? {
                if let Part::Changes(changes) = part {
                    let now = Instant::now();
                    let sessions = changes.ended_sessions.into_iter().map(|session| (session, now));
                    noted.lock().unwrap_or_else(PoisonError::into_inner).extend(sessions);
                }
            }
            Ok(())
        });
        Ok(Self { heard, following })
    }

    /// How long after `ended` it refused the tokens of `session`.
    async fn refused_after(&self, session: &str, ended: Instant) -> Result<f64> {
        while ended.elapsed() < PATIENCE {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(session).copied();
            if let Some(heard) = heard {
                return Ok(millis(heard.saturating_duration_since(ended)));
            }
            sleep(Duration::from_millis(1)).await;
        }
        Err("a service did not hear of a session that was ended".into())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.following.abort();
    }
}
