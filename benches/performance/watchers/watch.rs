//! Owns one who watches.

use std::net::SocketAddr;

use signet::proto::identity::{
    events::v1::{
        Kind, WatchRequest, WatchResponse, event_service_client::EventServiceClient, watch_response::Part,
    },
    v1::{ClientCredentialsGrant, IssueTokenRequest, issue_token_request::Grant},
};
use tonic::{Request, Streaming, transport::Channel};

use crate::{
    Result,
    client::{self, Service},
    process::Program,
};

/// A stream of the sessions that end, whose snapshot was read.
pub(super) struct Stream(Streaming<WatchResponse>);

impl Stream {
    /// Begins to watch over `channel` with `token`.
    pub(super) async fn begin(channel: Channel, token: &str) -> Result<Self> {
        let kinds = vec![Kind::Sessions.into()];
        let mut request = Request::new(WatchRequest { kinds, ..WatchRequest::default() });
        request.metadata_mut().insert("authorization", client::authorization(token)?);
        let mut stream = Self(EventServiceClient::new(channel).watch(request).await?.into_inner());
        while let Some(part) = stream.part().await? {
            if matches!(part, Part::Snapshot(part) if part.is_last) {
                return Ok(stream);
            }
        }
        Err("the stream has ended before its snapshot had".into())
    }

    /// What is told next; none once the stream has ended.
    pub(super) async fn part(&mut self) -> Result<Option<Part>> {
        Ok(self.0.message().await?.and_then(|message| message.part))
    }
}

/// The token of a new client of `program`, which runs at `addr`, by which it may watch what happens at Signet's own audience.
pub(super) async fn watch_token(program: &Program, addr: SocketAddr) -> Result<String> {
    let made = program.run(&["clients", "create", "benchmark", "--scope=signet.events.watch"])?;
    let text = |member: &str| made[member].as_str().map(str::to_owned).ok_or("the client was not made");
    let service = Service { id: text("id")?, secret: text("secret")? };
    let request = IssueTokenRequest {
        grant: Some(Grant::ClientCredentials(ClientCredentialsGrant {})),
        client: Some(service.authentication()),
        scope: "signet.events.watch".to_owned(),
        ..IssueTokenRequest::default()
    };
    Ok(client::connect(addr).await?.issue_token(request).await?.into_inner().access_token)
}
