//! Owns who did it: what kind of actor, and who exactly.

use std::fs;

use super::event::printable;
use crate::model::{ClientId, UserId, named::named};

/// Where the names of the machine's users are.
const PASSWD: &str = "/etc/passwd";

named! {
    /// What kind of actor did it.
    ActorKind {
        /// Nobody who has been proven to be anybody.
        Anonymous = "anonymous",
        /// A user.
        User = "user",
        /// A client in its own name.
        Client = "client",
        /// Whoever may run `signet` on this machine.
        Operator = "operator",
        /// The service of its own accord.
        Service = "service",
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody who has been proven to be anybody.
    Anonymous,
    /// The user whom the entry concerns.
    Oneself,
    /// This user, whomever the entry concerns.
    User(UserId),
    /// This client in its own name, whomever the entry concerns.
    Client(ClientId),
    /// Whoever runs a command on this machine.
    Operator(LocalUser),
    /// The service of its own accord.
    Service,
}

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalUser {
    /// The user's number.
    pub uid: u32,
    /// The user's name, if this machine has it in a file. A directory of users elsewhere is not asked.
    pub name: Option<String>,
}

impl Actor {
    /// The operator who runs this process.
    #[must_use]
    pub fn operator() -> Self {
        Self::Operator(LocalUser::of_process())
    }

    /// What kind of actor it is.
    #[must_use]
    pub const fn kind(&self) -> ActorKind {
        match self {
            Self::Anonymous => ActorKind::Anonymous,
            Self::Oneself | Self::User(_) => ActorKind::User,
            Self::Client(_) => ActorKind::Client,
            Self::Operator(_) => ActorKind::Operator,
            Self::Service => ActorKind::Service,
        }
    }
}

impl LocalUser {
    /// The one who started this process: the real user, and not the one whose rights it has.
    fn of_process() -> Self {
        Self::of_uid(rustix::process::getuid().as_raw())
    }

    /// The one with this number.
    #[must_use]
    pub fn of_uid(uid: u32) -> Self {
        let passwd = fs::read(PASSWD).unwrap_or_default();
        Self { uid, name: name_of(uid, &String::from_utf8_lossy(&passwd)) }
    }
}

/// The name of the user `uid` in `passwd`, whose lines are `name:password:uid:...` (passwd(5)).
fn name_of(uid: u32, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| printable(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_user_has_the_name_that_the_machine_has_in_its_file() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\n# a comment\n\n:x:7::\nbob:x:1000:1000::/:\nbobby:x:1000:1::/:\n";
        assert_eq!(name_of(0, passwd).as_deref(), Some("root"));
        assert_eq!(name_of(1000, passwd).as_deref(), Some("bob"), "the first of two");
        for unknown in [1, 7, 10_001] {
            assert_eq!(name_of(unknown, passwd), None);
        }
    }
}
