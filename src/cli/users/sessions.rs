//! Owns `signet users sessions`.

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::{
    super::{
        Failure, Output,
        listing::Listing,
        records::Records,
        table::{TIME, Table, WHOLE, short, when},
    },
    Who,
};
use crate::{
    base::{Clock, Timestamp},
    model::{Session, SessionId, SessionLifetime},
};

/// How sessions are shown. Their ids, and those of their clients, are whole in the JSON.
const TABLE: Table<4> = Table([("OPENED", TIME), ("LAST USE", TIME), ("CLIENT", 13), ("ADDRESS", WHOLE)]);

#[derive(Args, Debug)]
pub(in crate::cli) struct Sessions {
    #[command(flatten)]
    pub(super) who: Who,
    /// The maximum number of sessions to list.
    #[arg(long, value_name = "COUNT")]
    pub(super) limit: Option<u64>,
    /// Only those opened after the session with this id, which --json shows.
    #[arg(long, value_name = "ID")]
    pub(super) after: Option<Uuid>,
}

pub(super) async fn list(
    Sessions { who, limit, after }: Sessions,
    lifetime: SessionLifetime,
    records: &Records,
    output: Output,
) -> Result<(), Failure> {
    let users = records.user_directory();
    let (user, now) = (users.find(&who.into()).await?.id, Clock::system().now());
    heading(output)?;
    let tell = |session: &Session| tell(session, session.expire_time(lifetime), output);
    let read = async |after, limit| users.sessions(user, after, limit, (lifetime, now)).await;
    Listing { limit, after: after.map(SessionId) }.each(read, |session| session.id, tell).await
}

pub(super) fn heading(output: Output) -> Result<(), Failure> {
    output.heading(&TABLE.heading())
}

pub(super) fn tell(session: &Session, expire_time: Timestamp, output: Output) -> Result<(), Failure> {
    let (began, last) = (session.create_time, session.last_use_time);
    let (address, client) = (session.origin.user_address(), session.client_id.as_str());
    let of = Uuid::try_parse(client).map_or_else(|_| client.to_owned(), short);
    let row = TABLE.row([&when(began), &when(last), &of, address.unwrap_or("-")]);
    let object = json!({
        "id": session.id.to_string(),
        "user_id": session.user_id.to_string(),
        "client_id": client,
        "scope": session.scope.as_str(),
        "create_time": began.to_string(),
        "last_use_time": last.to_string(),
        "expire_time": expire_time.to_string(),
        "address": address,
        "user_agent": session.origin.user_agent,
    });
    output.row(&row, &object)
}
