//! Owns a client of the protected service: `protected-client [--calls N] [--interval-ms M] [--take] [--watch]`. It asks for bolts `N`
//! times and prints each answer as a line of JSON; with `--watch` it goes on printing how many there are until it is told to stop.
//!
//! Its settings are variables of the environment: `SIGNET_GRPC_ADDR` is where Signet is, several addresses with commas, `SIGNET_CLIENT_ID`
//! and `SIGNET_CLIENT_SECRET` are what it shows there, and `STOCK_ADDR` is where the service is.

mod proto;

use std::{
    env,
    error::Error,
    io::{IsTerminal, Write},
    time::Duration,
};

use serde_json::{Value, json};
use signet_sdk::{AuthorizedChannel, ClientCredential, Random, Signet, TokenSource};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use proto::{
    DESCRIPTOR_SET, GetItemRequest, TakeItemRequest, WatchItemRequest,
    stock_service_client::StockServiceClient,
};

/// What tokens for the service are meant for (`aud`).
const AUDIENCE: &str = "stock";

/// What is asked for.
const ITEM: &str = "bolt";

/// What the command line asks for.
#[derive(Debug, Default)]
struct Wanted {
    calls: Option<u32>,
    interval: Duration,
    takes: bool,
    watches: bool,
}

type Client = StockServiceClient<AuthorizedChannel>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let to_people = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(to_people).init();
    let wanted = wanted(env::args().skip(1))?;
    let client = connect()?;
    // Whoever watches makes no calls, unless they are asked for.
    let calls = wanted.calls.unwrap_or(u32::from(!wanted.watches));
    let calling = call(client.clone(), calls, &wanted);
    if !wanted.watches {
        return calling.await;
    }
    let mut terminated = signal(SignalKind::terminate())?;
    let watching = async {
        tokio::try_join!(calling, watch(client))?;
        Ok(())
    };
    tokio::select! {
        failed = watching => failed,
        _ = terminated.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

fn wanted(mut arguments: impl Iterator<Item = String>) -> Result<Wanted, Box<dyn Error>> {
    let mut wanted = Wanted::default();
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().ok_or_else(|| format!("{argument} takes a number"));
        match argument.as_str() {
            "--calls" => wanted.calls = Some(number()?.parse()?),
            "--interval-ms" => wanted.interval = Duration::from_millis(number()?.parse()?),
            "--take" => wanted.takes = true,
            "--watch" => wanted.watches = true,
            other => return Err(format!("there is no `{other}`").into()),
        }
    }
    Ok(wanted)
}

fn connect() -> Result<Client, Box<dyn Error>> {
    let set = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let must = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let credential = ClientCredential::secret(must("SIGNET_CLIENT_ID")?, must("SIGNET_CLIENT_SECRET")?);
    let addresses = set("SIGNET_GRPC_ADDR", "127.0.0.1:50051");

    // These lines get tokens, and attach them to the calls of this one service.
    let source = TokenSource::builder(Signet::at(addresses.split(',')), credential, AUDIENCE).build()?;
    let channel = AuthorizedChannel::to(&set("STOCK_ADDR", "127.0.0.1:50052"), &source)?;
    let channel = channel.retry_unary_of(DESCRIPTOR_SET)?.connect_lazy()?;
    Ok(StockServiceClient::new(channel))
}

async fn call(mut client: Client, calls: u32, wanted: &Wanted) -> Result<(), Box<dyn Error>> {
    for number in 0..calls {
        let began = Instant::now();
        let name = ITEM.to_owned();
        let count = if wanted.takes {
            client.take_item(TakeItemRequest { name }).await.map(|taken| taken.into_inner().count)
        } else {
            client.get_item(GetItemRequest { name }).await.map(|item| item.into_inner().count)
        };
        print(&match count {
            Ok(count) => json!({ "code": "OK", "count": count }),
            Err(status) => json!({ "code": code_name(status.code()), "reason": reason(&status) }),
        })?;
        if number + 1 < calls {
            tokio::time::sleep_until(began + wanted.interval).await;
        }
    }
    Ok(())
}

/// Prints how many there are, and watches again whenever the stream ends: with another token, if that is why.
async fn watch(mut client: Client) -> Result<(), Box<dyn Error>> {
    let random = Random::system();
    loop {
        let ended = match client.watch_item(WatchItemRequest { name: ITEM.to_owned() }).await {
            Err(status) => status,
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => print(&json!({ "count": message.count }))?,
                        Ok(None) => break Status::unavailable("the service ended the stream"),
                        Err(status) => break status,
                    }
                }
            }
        };
        print(&json!({ "ended": reason(&ended) }))?;
        tokio::time::sleep(random.part_of(Duration::from_secs(1), 0.1)).await;
    }
}

fn print(line: &Value) -> Result<(), Box<dyn Error>> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// The reason of a refusal; its code, where nobody has said one.
fn reason(status: &Status) -> String {
    status.get_details_error_info().map_or_else(|| code_name(status.code()), |info| info.reason)
}

/// `code` as specifications write it: `INVALID_ARGUMENT`.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}
