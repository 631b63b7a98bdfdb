//! Owns how commands are told whom they mean: which user, group or client, which audience, which role.

use std::ffi::OsString;

use clap::Args;

use super::Failure;
use crate::{
    identity::{
        access::{GroupRef, PrincipalRef, RoleRef},
        users::UserRef,
    },
    model::{AudienceName, Error, NameSet, RoleName, RuleViolation, name_set::one_name},
};

/// Who is meant: one of the three.
#[derive(Args, Debug)]
#[group(required = true, multiple = false, id = "principal")]
pub(super) struct Who {
    /// The user with this id or username.
    #[arg(long, value_name = "ID|USERNAME")]
    user: Option<String>,
    /// The group with this id or name.
    #[arg(long, value_name = "ID|NAME")]
    group: Option<String>,
    /// The client with this id or name.
    #[arg(long, value_name = "ID|NAME")]
    client: Option<String>,
}

impl From<Who> for PrincipalRef {
    fn from(Who { user, group, client }: Who) -> Self {
        match (user, group, client) {
            (Some(user), ..) => Self::User(UserRef::IdOrName(user)),
            (None, Some(group), _) => Self::Group(GroupRef(group)),
            (None, None, client) => Self::Client(client.unwrap_or_default().into()),
        }
    }
}

/// The same, if anybody is meant.
#[derive(Args, Debug)]
#[group(multiple = false, id = "principal_if_any")]
pub(super) struct IfAny {
    /// Only of the user with this id or username.
    #[arg(long, value_name = "ID|USERNAME")]
    user: Option<String>,
    /// Only of the group with this id or name.
    #[arg(long, value_name = "ID|NAME")]
    group: Option<String>,
    /// Only of the client with this id or name.
    #[arg(long, value_name = "ID|NAME")]
    client: Option<String>,
}

impl From<IfAny> for Option<PrincipalRef> {
    fn from(IfAny { user, group, client }: IfAny) -> Self {
        let is_said = user.is_some() || group.is_some() || client.is_some();
        is_said.then(|| Who { user, group, client }.into())
    }
}

/// Which audience is meant. The service's own setting of this name is not taken here: what is written is the audience of the role.
#[derive(Args, Debug)]
pub(super) struct OfAudience {
    /// The audience, by the name that stands in the `aud` of tokens. Without it the service itself is meant; `roles list`, and `bindings
    /// list` without --role and --scope, list all.
    #[arg(long, value_name = "NAME", value_parser = one_name)]
    audience: Option<String>,
}

impl OfAudience {
    /// The audience.
    pub(super) fn or_signet(self) -> Result<AudienceName, Failure> {
        Ok(self.if_said()?.unwrap_or_else(AudienceName::signet))
    }

    /// The audience; none if nothing is said. The parser hands down the service's own setting where nothing is.
    pub(super) fn if_said(self) -> Result<Option<AudienceName>, Failure> {
        let said = self.audience.filter(|_| is_said("--audience"));
        said.map(|name| audience(&name)).transpose()
    }
}

/// The audience that is called `name`.
pub(super) fn audience(name: &str) -> Result<AudienceName, Failure> {
    let checked =
        AudienceName::parse(name).map_err(|rule| Error::InvalidFields(vec![rule.at("audience")]))?;
    // `signet` is the service's own, too, however that is called.
    Ok(if own_audience().contains(name) { AudienceName::signet() } else { checked })
}

/// The service's own audience where `--audience` is a role's: of it the environment alone tells there.
pub(super) fn own_audience() -> NameSet {
    let own = std::env::var("SIGNET_AUDIENCE").ok().and_then(|own| NameSet::parse(&own).ok());
    own.unwrap_or_default()
}

/// Whether the command line has the option `flag`.
pub(super) fn is_said(flag: &str) -> bool {
    let is_it = |arg: OsString| {
        let arg = arg.to_string_lossy().into_owned();
        arg.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    std::env::args_os().any(is_it)
}

/// Which role is meant.
#[derive(Args, Debug)]
pub(super) struct WhichRole {
    /// The role's name.
    #[arg(value_name = "ROLE", value_parser = role_name)]
    pub(super) name: RoleName,
    #[command(flatten)]
    pub(super) audience: OfAudience,
}

impl TryFrom<WhichRole> for RoleRef {
    type Error = Failure;

    fn try_from(WhichRole { name, audience }: WhichRole) -> Result<Self, Failure> {
        Ok(Self::Name(audience.or_signet()?, name))
    }
}

/// The name of a role.
pub(super) fn role_name(text: &str) -> Result<RoleName, RuleViolation> {
    RoleName::parse(text)
}
