//! Owns what calls with a token seen before cost beside another build of Signet, in pairs: what a change costs is seen by them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::runtime::Runtime;

use crate::{
    Plan, Result, client,
    h2load::Call,
    machine::Machine,
    process::{Program, Server},
    say,
    scale::{
        server::{Direct, Kind},
        users,
    },
    stats::{Spread, float, number},
    table::{Table, Target},
    throughput::{self, Question},
};

/// How many pairs there are of each measurement.
const PAIRS: usize = 9;
const QUICK_PAIRS: usize = 3;

/// What no change may add to a call, unless it says so.
const MAX_RATIO: f64 = 1.05;

/// How many pairs of imports there are, each of which takes a minute or so.
const IMPORT_PAIRS: usize = 3;

/// What no change may take from how fast users are imported, unless it says so.
const LEAST_IMPORT: f64 = 0.8;

/// What a side is asked by one of the calls that are measured.
type Asked = fn(&Side) -> &Question;

/// How many users each database has.
const USERS: usize = 1_000;

/// The roles, groups and bindings of so many users are added: all of [`USERS`] have a hundred bindings, by 10,000 groups among others.
const AS_OF_USERS: usize = 1_000_000;

/// What this build is measured beside.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct AgainstArguments {
    /// Instead of all else, measure `GetMe` and `Check` beside BINARY, a `signet` of another commit: this build with users who have no
    /// roles, and with users who have a hundred bindings each, of 1,000 roles, ten of them by groups, of which there are 10,000.
    #[arg(long, value_name = "BINARY", conflicts_with_all = ["scale", "guesser", "write"])]
    pub(crate) against: Option<PathBuf>,

    /// Measure how fast each build imports a million users into a new SQLite database instead.
    #[arg(long, requires = "against")]
    pub(crate) import: bool,
}

/// One build on a database of its own, and what it is asked.
struct Side {
    server: Server,
    get_me: Question,
    check: Question,
}

impl Side {
    /// `program` on a new database in `folder`, whose users have roles if `with_roles`.
    fn start(runtime: &Runtime, program: &Program, folder: &Path, with_roles: bool) -> Result<Self> {
        program.run(&["migrate", "up"])?;
        let file = folder.join("users.ndjson");
        users::write(&file, USERS)?;
        users::import(program, &file, USERS)?;
        if with_roles {
            runtime.block_on(async {
                let url = format!("sqlite:{}", folder.join("signet.db").display());
                let direct = Direct::to(&url, Kind::Sqlite).await?;
                direct.add_access(AS_OF_USERS).await?;
                direct.close().await
            })?;
        }
        let server = program.start()?;
        runtime.block_on(async {
            let mut client = client::connect(server.grpc_addr).await?;
            let token = client::login(&mut client, &users::name(0)).await?;
            let me = client::get_me(server.grpc_addr, &token).await?;
            let (request, answer) = client::check(server.grpc_addr, &token).await?;
            let get_me = Question::new(Call::get_me(&token), &me);
            let check = Question::new(Call::check(&request), &answer);
            Ok(Self { server, get_me, check })
        })
    }
}

/// The run with `--import`.
pub(crate) fn measure_import(binary: &Path, quick: bool) -> Result<()> {
    let (pairs, count) = if quick { (QUICK_PAIRS, 100_000) } else { (IMPORT_PAIRS, AS_OF_USERS) };
    let mut machine = Machine::watch()?;
    println!("{machine}");
    let data = tempfile::tempdir()?;
    let file = data.path().join("users.ndjson");
    users::write(&file, count)?;
    // Everything of a database goes with its folder, so that the disk holds one.
    let rate = |binary: Option<&Path>| {
        let folder = tempfile::tempdir_in(&data)?;
        let program = Program::signet(folder.path(), &[]);
        let program = binary.map_or(program.clone(), |binary| program.built_as(binary));
        program.run(&["migrate", "up"])?;
        users::import(&program, &file, count)
    };
    let (mut others, mut these, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        say(&format!("{} users, pair {} of {pairs}", number(float(count), 0), pair + 1));
        // Who goes first takes turns.
        let (other, this) = if pair % 2 == 0 {
            let other = rate(Some(binary))?;
            (other, rate(None)?)
        } else {
            let this = rate(None)?;
            (rate(Some(binary))?, this)
        };
        others.push(other);
        these.push(this);
        shares.push(this / other);
    }
    machine.end()?;
    let mut rates = Table::new(&["rows per second", "the other build", "this build"]);
    let [others, these] = [others, these].map(|rates| format!("{:.0}", Spread::of(rates)));
    rates.row(["users import".to_owned(), others, these]);
    let target = Target::share("the other build's rate", Spread::of(shares), LEAST_IMPORT);
    println!(
        "\n{machine}\n\nMedians of {pairs} pairs, and in parentheses the smallest and the largest value.\n\n{rates}\n{}",
        Target::table([target])
    );
    Ok(())
}

/// The run without `--import`.
pub(crate) fn measure(binary: &Path, runtime: &Runtime, plan: Plan, quick: bool) -> Result<()> {
    let plan = Plan { rounds: if quick { QUICK_PAIRS } else { PAIRS }, ..plan };
    let mut machine = Machine::watch()?;
    println!("{machine}");
    let data = tempfile::tempdir()?;
    say("three databases of 1,000 users");
    let settings: Vec<&str> = users::CHEAPEST.into_iter().chain(["--ext-authz=on"]).collect();
    let side = |name: &str, binary: Option<&Path>, with_roles| {
        let folder = data.path().join(name);
        fs::create_dir(&folder)?;
        let program = Program::signet(&folder, &settings);
        let program = binary.map_or(program.clone(), |binary| program.built_as(binary));
        Side::start(runtime, &program, &folder, with_roles)
    };
    let other = side("other", Some(binary), false)?;
    let (nobody, holder) = (side("nobody", None, false)?, side("holder", None, true)?);

    let mut costs = Table::new(&["CPU per call (µs)", "the other build", "this build"]);
    let mut targets = Vec::new();
    let calls: [(&str, Asked); 2] = [("GetMe", |side| &side.get_me), ("Check", |side| &side.check)];
    for (this, whose) in [(&nobody, "of a user without roles"), (&holder, "of a user with 100 bindings")] {
        for (call, question) in calls {
            let what = format!("{call} {whose}");
            say(&format!("{what}, in pairs"));
            let sides = [(&other.server, question(&other)), (&this.server, question(this))];
            let found = throughput::compare(sides, throughput::FULL, plan)?;
            costs.row([what.clone(), found.bare.cpu_us.to_string(), found.signet.cpu_us.to_string()]);
            targets.push(Target::ratio(what, found.cpu_ratio, MAX_RATIO, "the other build's CPU"));
        }
    }
    drop((other, nobody, holder));
    machine.end()?;
    let pairs = plan.rounds;
    println!(
        "\n{machine}\n\nMedians of {pairs} pairs, and in parentheses the smallest and the largest value.\n\n{costs}\n{}",
        Target::table(targets)
    );
    Ok(())
}
