//! Owns what replicas cost that have nothing to do: each reads the feed of changes, and whether the database is there.

use std::{thread, time::Duration};

use super::server::DatabaseServer;
use crate::{
    Result,
    process::{Program, Server},
    stats::{float, micros},
};

/// How many replicas there are at once: CPU time is told in hundredths of a second, and one alone takes less.
pub(crate) const REPLICAS: usize = 10;

/// How long they are left to themselves before, and while it is measured.
const SETTLING: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(10);

/// What one idle replica takes a second, in microseconds of CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// With the default settings: the feed is read twice a second.
    pub(crate) default: Cost,
    /// The feed is read every half minute: what is left is everything else.
    pub(crate) seldom: Cost,
    /// The database alone.
    pub(crate) none: f64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) signet: f64,
    pub(crate) database: f64,
}

pub(crate) fn measure(program: &Program, database: &DatabaseServer) -> Result<Idle> {
    let none = replicas(program, database, 0, "--standing-cache-max-age=1s")?;
    Ok(Idle {
        default: replicas(program, database, REPLICAS, "--standing-cache-max-age=1s")?,
        seldom: replicas(program, database, REPLICAS, "--standing-cache-max-age=1m")?,
        none: none.database,
    })
}

fn replicas(program: &Program, database: &DatabaseServer, count: usize, setting: &str) -> Result<Cost> {
    let program = program.clone().with(setting);
    let replicas: Vec<Server> = (0..count).map(|_| program.start()).collect::<Result<_>>()?;
    let cpu = || replicas.iter().map(Server::cpu).sum::<Result<Duration>>();
    thread::sleep(SETTLING);
    let (signet_before, database_before) = (cpu()?, database.cpu()?);
    thread::sleep(MEASURED);
    let per_replica = |time: Duration| micros(time) / MEASURED.as_secs_f64() / float(count.max(1));
    Ok(Cost {
        signet: per_replica(cpu()?.saturating_sub(signet_before)),
        database: per_replica(database.cpu()?.saturating_sub(database_before)),
    })
}
