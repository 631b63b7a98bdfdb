//! Owns `signet attributes`.

mod remote;
mod values;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) use values::{SetAttribute, edit, object as values_object, text as values_text};

use super::{
    Failure, Output,
    listing::Listing,
    records::Records,
    remote::Over,
    table::{Table, WHOLE},
};
use crate::{
    config::Config,
    identity::attributes::{AttributeChange, AttributeRef, AttributeRegistry, NewAttribute},
    install::Missing,
    model::{
        AttributeDeclaration, AttributeId, AttributeName, AttributeSource, AttributeType, AttributeUses,
        AttributeWriter, Description, Error, RuleViolation,
    },
};

const TABLE: Table<4> = Table([("NAME", 30), ("TYPE", 11), ("WRITER", 6), ("SAID IN", WHOLE)]);

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Declare an attribute that users may have. Its name, its type and who writes it stay.
    Create(Create),
    /// List attributes in the order of their declaration.
    List {
        /// The maximum number of attributes to list.
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
        /// Only those declared after the attribute with this id.
        #[arg(long, value_name = "ID")]
        after: Option<Uuid>,
    },
    /// Show an attribute.
    Show(Which),
    /// Change where an attribute is said, or what it is for. Tokens that have been issued stay what they are.
    Update(Update),
    /// Delete an attribute. What users have of it is never shown again, also if one of this name is declared anew.
    Delete(Which),
}

/// What the values of an attribute are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// Texts.
    String,
    /// Whole numbers, of at most 53 bits.
    Integer,
    /// true or false.
    Boolean,
    /// Lists of texts.
    StringList,
}

/// Who may write an attribute.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Writer {
    /// Administrators alone.
    Admin,
    /// The user too.
    User,
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// What to call it: lower-case letters, digits, `-`, `_` and `.`.
    #[arg(value_name = "NAME", value_parser = attribute_name)]
    name: AttributeName,
    /// What its values are.
    #[arg(long = "type", value_name = "TYPE", default_value = "string")]
    kind: Kind,
    /// Who may write it.
    #[arg(long, value_name = "WHO", default_value = "admin")]
    writer: Writer,
    /// Say it in each access token of a user, in the claim `attributes`: whoever has the token can read it. Not if users may write it.
    #[arg(long)]
    in_tokens: bool,
    /// Say it at the userinfo endpoint, and show it to the user.
    #[arg(long)]
    in_userinfo: bool,
    /// Say it to services that ask what a user's access token is worth.
    #[arg(long)]
    in_introspection: bool,
    /// What it is for.
    #[arg(long, value_name = "TEXT", value_parser = description)]
    description: Option<Description>,
}

#[derive(Args, Debug)]
pub(super) struct Which {
    /// The attribute's id or name.
    #[arg(value_name = "ID|NAME")]
    attribute: String,
}

#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a flag of the command line each")]
pub(super) struct Update {
    #[command(flatten)]
    which: Which,
    /// Say it in tokens from now on.
    #[arg(long)]
    in_tokens: bool,
    /// Do not say it in tokens from now on.
    #[arg(long, conflicts_with = "in_tokens")]
    not_in_tokens: bool,
    /// Say it at the userinfo endpoint from now on.
    #[arg(long)]
    in_userinfo: bool,
    /// Do not say it at the userinfo endpoint from now on.
    #[arg(long, conflicts_with = "in_userinfo")]
    not_in_userinfo: bool,
    /// Say it to services that ask what a token is worth from now on.
    #[arg(long)]
    in_introspection: bool,
    /// Do not say it to services that ask what a token is worth from now on.
    #[arg(long, conflicts_with = "in_introspection")]
    not_in_introspection: bool,
    /// What it is for.
    #[arg(long, value_name = "TEXT", value_parser = description)]
    description: Option<Description>,
}

impl From<Kind> for AttributeType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::String => Self::String,
            Kind::Integer => Self::Integer,
            Kind::Boolean => Self::Boolean,
            Kind::StringList => Self::StringList,
        }
    }
}

impl TryFrom<Create> for NewAttribute {
    type Error = Error;

    fn try_from(create: Create) -> Result<Self, Error> {
        let writer = match create.writer {
            Writer::Admin => AttributeWriter::Admin,
            Writer::User => AttributeWriter::User,
        };
        Ok(Self {
            name: create.name,
            kind: create.kind.into(),
            uses: AttributeUses {
                source: AttributeSource::of(writer, create.in_tokens)?,
                in_userinfo: create.in_userinfo,
                in_introspection: create.in_introspection,
            },
            description: create.description.unwrap_or_default(),
        })
    }
}

impl Update {
    fn parts(self) -> (Which, AttributeChange) {
        let of = |is: bool, is_not: bool| (is || is_not).then_some(is);
        let change = AttributeChange {
            in_tokens: of(self.in_tokens, self.not_in_tokens),
            in_userinfo: of(self.in_userinfo, self.not_in_userinfo),
            in_introspection: of(self.in_introspection, self.not_in_introspection),
            description: self.description,
        };
        (self.which, change)
    }
}

impl TryFrom<Which> for AttributeRef {
    type Error = Failure;

    fn try_from(Which { attribute }: Which) -> Result<Self, Failure> {
        Ok(Self::parse(&attribute)?)
    }
}

pub(super) async fn run(
    Over { command, place }: Over<Command>,
    config: &Config,
    output: Output,
) -> Result<(), Failure> {
    if let Some(remote) = place.connect(config).await? {
        return remote::run(command, &remote, output).await;
    }
    let work = async |records: &Records| with_attributes(command, records, output).await;
    Records::within(config, Missing::Refused, work).await
}

async fn with_attributes(command: Command, records: &Records, output: Output) -> Result<(), Failure> {
    let (registry, by) = (records.attribute_registry(), &records.operator);
    match command {
        Command::Create(create) => show(&registry.create(create.try_into()?, by).await?, output),
        Command::List { limit, after } => {
            list(Listing { limit, after: after.map(AttributeId) }, &registry, output).await
        }
        Command::Show(which) => show(&registry.find(&which.try_into()?).await?, output),
        Command::Update(update) => {
            let (which, change) = update.parts();
            show(&registry.update(&which.try_into()?, &change, None, by).await?, output)
        }
        Command::Delete(which) => {
            let deleted = registry.delete(&which.try_into()?, None, by).await?;
            // A command is nobody's repetition.
            deleted.map_or(Ok(()), |deleted| tell_deleted(&deleted, output))
        }
    }
}

async fn list(
    listing: Listing<AttributeId>,
    registry: &AttributeRegistry,
    output: Output,
) -> Result<(), Failure> {
    heading(output)?;
    let read = async |after, limit| registry.page(after, limit).await;
    listing.each(read, |declared| declared.id, |declared| tell(declared, output)).await
}

fn heading(output: Output) -> Result<(), Failure> {
    output.heading(&TABLE.heading())
}

fn tell(declared: &AttributeDeclaration, output: Output) -> Result<(), Failure> {
    let (name, kind, writer) = (declared.name.as_str(), declared.kind.name(), declared.uses.writer().name());
    let said_in = said_in(declared);
    output.row(&TABLE.row([name, kind, writer, or_none(&said_in)]), &object(declared))
}

fn show(declared: &AttributeDeclaration, output: Output) -> Result<(), Failure> {
    let text = format!(
        "id:          {}\nname:        {}\ntype:        {}\nwriter:      {}\nsaid in:     {}\ndescription: {}\ncreated:     {}\nupdated:     {}",
        declared.id,
        declared.name.as_str(),
        declared.kind.name(),
        declared.uses.writer().name(),
        or_none(&said_in(declared)),
        or_none(declared.description.as_str()),
        declared.create_time,
        declared.update_time,
    );
    output.answer(&text, &object(declared))
}

fn tell_deleted(declared: &AttributeDeclaration, output: Output) -> Result<(), Failure> {
    output.answer(
        &format!("Deleted {} ({}).", declared.name.as_str(), declared.id),
        &json!({ "deleted": declared.id.to_string() }),
    )
}

fn said_in(declared: &AttributeDeclaration) -> String {
    declared.uses.to_string()
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

/// An attribute, for programs.
fn object(declared: &AttributeDeclaration) -> Value {
    json!({
        "id": declared.id.to_string(),
        "name": declared.name.as_str(),
        "type": declared.kind.name(),
        "writer": declared.uses.writer().name(),
        "in_tokens": declared.uses.in_tokens(),
        "in_userinfo": declared.uses.in_userinfo,
        "in_introspection": declared.uses.in_introspection,
        "description": declared.description.as_str(),
        "create_time": declared.create_time.to_string(),
        "update_time": declared.update_time.to_string(),
    })
}

fn attribute_name(text: &str) -> Result<AttributeName, RuleViolation> {
    AttributeName::parse(text)
}

fn description(text: &str) -> Result<Description, RuleViolation> {
    Description::parse(text)
}
