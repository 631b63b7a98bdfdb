//! Owns checking what becomes of connections and streams on which nothing happens, within the time that --idle-for says.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Asking,
    finding::{Check, Findings},
    grpc::{self, EMPTY, GRPC},
    http2::Http2,
    proxy::{self, Fixes, Proxy},
    target::Target,
};
use crate::model::error::chain;

/// What watches health: it says how it stands, and then nothing for as long as that lasts.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// How many pings are sent within the time.
const PINGS: u32 = 6;

/// How something ended before its time.
struct Ended {
    after: Duration,
    how: String,
    /// Whether clients were told that they must go on elsewhere.
    is_orderly: bool,
}

/// Why nothing could be seen.
enum Unseen {
    /// It does not begin, and it should.
    Refused(String),
    /// What is in front leads it elsewhere, which may be meant.
    Elsewhere(String),
}

/// What became of what was left to itself: nothing, or its end.
type Left = Result<Option<Ended>, Unseen>;

impl From<String> for Unseen {
    fn from(problem: String) -> Self {
        Self::Refused(problem)
    }
}

/// Checks all of it at `target`, at the same time.
pub(super) async fn check(asking: &Asking, target: &Target, proxy: Option<Proxy>) -> Findings {
    let mut found = Findings::at(target);
    let (pings, stream, idle) =
        tokio::join!(ping(asking, target), watch(asking, target), leave(asking, target));
    let shown = humantime::format_duration(asking.idle_for);
    let told = |found: &mut Findings, check: Check, result: Left, lines: &Fixes, what: &str| match result {
        Ok(None) if asking.idle_for.is_zero() && check == Check::GrpcIdle => {
            found.skip(&[check], "--idle-for 0s leaves nothing idle");
        }
        Ok(None) if asking.idle_for.is_zero() => found.ok(check, format!("{what} begins")),
        Ok(None) => found.ok(check, format!("{what} lasts {shown}{}", hint(asking.idle_for))),
        Ok(Some(Ended { after, how, is_orderly })) => {
            let seen = format!("{what} ends after {}: {how}", tenths(after));
            let mend = format!("{}; in clients a keepalive that is shorter", lines.of(proxy));
            if is_orderly { found.warning(check, seen, mend) } else { found.wrong(check, seen, mend) }
        }
        Err(Unseen::Refused(problem)) => {
            found.wrong(check, format!("{what} does not begin: {problem}"), lines.of(proxy));
        }
        Err(Unseen::Elsewhere(status)) => {
            found.skip(&[check], &format!("{WATCH} is answered {status} by somebody else"));
        }
    };
    told(&mut found, Check::GrpcPings, pings, &proxy::CONNECTION_AGE, "a connection with pings");
    told(&mut found, Check::GrpcStream, stream, &proxy::STREAM, "a stream on which nothing comes");
    told(&mut found, Check::GrpcIdle, idle, &proxy::IDLE, "an idle connection");
    found
}

/// That there is more to see in a longer time.
fn hint(idle_for: Duration) -> &'static str {
    if idle_for < Duration::from_mins(1) {
        " (the usual limits are a minute: --idle-for 70s watches for longer)"
    } else {
        ""
    }
}

fn tenths(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Pings all the time.
async fn ping(asking: &Asking, target: &Target) -> Left {
    let mut http2 = grpc::connect(asking, target).await?;
    let begun = Instant::now();
    for _ in 0..PINGS {
        sleep(asking.idle_for / PINGS).await;
        let ponged = asking.dialer.in_time(http2.ping()).await;
        let seen = http2.seen();
        if let (Err(problem), None) = (&ponged, &seen.goaway) {
            let how = format!("a ping is not answered: {problem}");
            return Ok(Some(Ended { after: begun.elapsed(), how, is_orderly: false }));
        }
        if seen.goaway.is_some() {
            return Ok(Some(how_ended(&http2, begun)));
        }
    }
    Ok(None)
}

/// Makes a call, and leaves the connection to itself.
async fn leave(asking: &Asking, target: &Target) -> Left {
    let mut http2 = grpc::connect(asking, target).await?;
    let called = asking.dialer.in_time(http2.ask(grpc::HEALTH, &GRPC, EMPTY.to_vec())).await;
    called.map_err(|problem| problem.to_string())?;
    let begun = Instant::now();
    Ok(match timeout(asking.idle_for, http2.ended()).await {
        Ok(()) => Some(how_ended(&http2, begun)),
        Err(_) => http2.seen().goaway.is_some().then(|| how_ended(&http2, begun)),
    })
}

/// Opens a stream, whose first message must come at once, and leaves it to itself.
async fn watch(asking: &Asking, target: &Target) -> Left {
    let mut http2 = grpc::connect(asking, target).await?;
    let opening = async {
        let problem = |error: h2::Error| chain(&error);
        let answer = http2.send(WATCH, &GRPC, EMPTY.to_vec()).await?.await.map_err(problem)?;
        if answer.status() != StatusCode::OK {
            return Ok(Err(Unseen::Elsewhere(answer.status().to_string())));
        }
        let mut incoming = answer.into_body();
        match incoming.data().await {
            Some(Ok(data)) => {
                let _ = incoming.flow_control().release_capacity(data.len());
                Ok(Ok(incoming))
            }
            Some(Err(error)) => Err(problem(error)),
            None => Err("it ends with no message".to_owned()),
        }
    };
    let opened = asking.dialer.in_time(opening).await;
    let mut incoming = opened.map_err(|problem| format!("its first message does not come: {problem}"))??;
    let begun = Instant::now();
    let until = begun + asking.idle_for;
    loop {
        let how = match tokio::time::timeout_at(until, incoming.data()).await {
            Err(_) => return Ok(None),
            // Health has changed meanwhile.
            Ok(Some(Ok(data))) => {
                let _ = incoming.flow_control().release_capacity(data.len());
                continue;
            }
            Ok(Some(Err(error))) => chain(&error),
            Ok(None) => "its end is told".to_owned(),
        };
        return Ok(Some(Ended { after: begun.elapsed(), how, is_orderly: false }));
    }
}

/// How the connection ended, which was begun so.
fn how_ended(http2: &Http2, begun: Instant) -> Ended {
    let seen = http2.seen();
    let (how, is_orderly) = match (&seen.goaway, &seen.broken) {
        (Some(goaway), _) => (goaway.described(), goaway.is_orderly()),
        (None, Some(problem)) => {
            (format!("it breaks without GOAWAY ({problem}), and a call that begins then is lost"), false)
        }
        (None, None) => {
            ("it is closed without GOAWAY, and a call that begins then is lost".to_owned(), false)
        }
    };
    Ended { after: begun.elapsed(), how, is_orderly }
}
