//! Owns what `GetMe` with a token seen before costs as JSON by Connect, beside gRPC, and what it costs to tell of it: by traces and by the
//! request log, beside a service that tells nothing.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::{
    Plan, Result, client,
    h2load::{Call, Form, H2load, Length},
    machine::Machine,
    process::{Program, Server},
    say,
    table::{Table, Target},
    throughput::{self, LIGHT, Question},
};

/// How many pairs there are of each measurement.
const PAIRS: usize = 9;
const QUICK_PAIRS: usize = 3;

/// What JSON over HTTP/2 may cost.
const MAX_JSON: f64 = 1.6;

/// What traces of one call in a hundred, the sampler's default, may cost.
const MAX_TRACED: f64 = 1.05;

/// Whether these are measured.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct WaysArguments {
    /// Instead of all else, measure what `GetMe` costs as JSON by Connect beside gRPC, and with traces and a request log beside neither.
    #[arg(long, conflicts_with_all = ["scale", "guesser", "against", "write"])]
    pub(crate) ways: bool,
}

/// A service with a user, and the user's token.
struct Side {
    server: Server,
    token: String,
}

impl Side {
    fn start(runtime: &Runtime, program: &Program) -> Result<Self> {
        let server = program.start()?;
        let token = runtime.block_on(async {
            let mut client = client::connect(server.grpc_addr).await?;
            client::sign_up(&mut client, "alice").await?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(client::login(&mut client, "alice").await?)
        })?;
        Ok(Self { server, token })
    }

    /// `GetMe` in a form, and how long its answer is, which one call tells.
    fn get_me(&self, form: Form) -> Result<Question> {
        let call = Call::get_me_in(form, &self.token);
        let found = H2load::start(self.server.grpc_addr, &call, LIGHT, Length::Requests(4))?.finish()?;
        let reply_bytes = usize::try_from(found.body_bytes / 4)?;
        Ok(Question { call, reply_bytes })
    }
}

pub(crate) fn measure(runtime: &Runtime, plan: Plan, quick: bool) -> Result<()> {
    let plan = Plan { rounds: if quick { QUICK_PAIRS } else { PAIRS }, ..plan };
    let mut machine = Machine::watch()?;
    println!("{machine}");
    let data = tempfile::tempdir()?;
    let collector = format!("--otlp-endpoint=http://{}", runtime.block_on(collector())?);
    let side = |name: &str, settings: &[&str]| {
        Side::start(runtime, &Program::signet(&data.path().join(name), settings))
    };
    let (silent, traced) = (side("silent", &[])?, side("traced", &[&collector])?);
    let logged = side("logged", &["--request-log=all"])?;

    let grpc = silent.get_me(Form::Grpc)?;
    let mut costs = Table::new(&["CPU per GetMe (µs)", "by gRPC, untold", "this way", "ratio"]);
    let mut targets = Vec::new();
    for (what, side, form, most) in [
        ("as JSON over HTTP/2", &silent, Form::Json, Some(MAX_JSON)),
        ("as JSON over HTTP/1.1", &silent, Form::JsonOverHttp1, None),
        ("with traces of 1 %", &traced, Form::Grpc, Some(MAX_TRACED)),
        ("with a request log of all", &logged, Form::Grpc, None),
    ] {
        say(&format!("GetMe {what}, in pairs"));
        let sides = [(&silent.server, &grpc), (&side.server, &side.get_me(form)?)];
        let found = throughput::compare(sides, throughput::FULL, plan)?;
        let ratio = format!("{:.2}", found.cpu_ratio);
        costs.row([what.to_owned(), found.bare.cpu_us.to_string(), found.signet.cpu_us.to_string(), ratio]);
        targets
            .extend(most.map(|most| Target::ratio(what, found.cpu_ratio, most, "the CPU by gRPC, untold")));
    }
    drop((silent, traced, logged));
    machine.end()?;
    println!(
        "\n{machine}\n\nMedians of {} pairs, and in parentheses the smallest and the largest value.\n\n{costs}\n{}",
        plan.rounds,
        Target::table(targets)
    );
    Ok(())
}

/// Takes whatever is sent to it by HTTP/1.1, and says that it is well.
async fn collector() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(take(connection));
        }
    });
    Ok(addr)
}

async fn take(connection: TcpStream) -> Result<()> {
    let mut connection = BufReader::new(connection);
    let (mut line, mut length) = (String::new(), 0);
    while connection.read_line(&mut line).await? > 0 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.trim().is_empty() {
            let mut body = vec![0; length];
            connection.read_exact(&mut body).await?;
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
        }
        line.clear();
    }
    Ok(())
}
