//! Owns `signet attributes` over the admin API.

use prost_types::FieldMask;

use super::{Command, heading, show, tell, tell_deleted};
use crate::{
    cli::{
        Failure, Output,
        remote::{Remote, answered, each, from_the_start, read},
    },
    identity::attributes::{AttributeRef, NewAttribute},
    proto::identity::admin::v1::{
        Attribute, CreateAttributeRequest, DeleteAttributeRequest, GetAttributeRequest,
        ListAttributesRequest, UpdateAttributeRequest, get_attribute_request::Which,
    },
    wire::{attribute_type, attribute_writer},
};

pub(super) async fn run(command: Command, remote: &Remote, output: Output) -> Result<(), Failure> {
    let mut attributes = remote.attributes();
    match command {
        Command::Create(create) => {
            let attribute = Some(wire(&create.try_into()?));
            let request = CreateAttributeRequest { attribute, ..CreateAttributeRequest::default() };
            let answer = answered(attributes.create_attribute(request).await)?;
            show(&read::attribute(answer.attribute.unwrap_or_default())?, output)
        }
        Command::List { limit, after } => {
            from_the_start("--after", after)?;
            let read = async |page_size, page_token| {
                let request = ListAttributesRequest { page_size, page_token };
                let page = answered(remote.attributes().list_attributes(request).await)?;
                Ok((page.attributes, page.next_page_token))
            };
            let tell = async |attribute| tell(&read::attribute(attribute)?, output);
            each(limit, || heading(output), read, tell).await
        }
        Command::Show(which) => show(&read::attribute(find(&which.try_into()?, remote).await?)?, output),
        Command::Update(update) => {
            let (which, change) = update.parts();
            let mut attribute = find(&which.try_into()?, remote).await?;
            // What somebody else has changed meanwhile stays: only what is named is another from now on.
            attribute.etag.clear();
            let mut paths = Vec::new();
            let mut name = |path: &str| paths.push(path.to_owned());
            for (path, new, field) in [
                ("in_tokens", change.in_tokens, &mut attribute.in_tokens),
                ("in_userinfo", change.in_userinfo, &mut attribute.in_userinfo),
                ("in_introspection", change.in_introspection, &mut attribute.in_introspection),
            ] {
                if let Some(new) = new {
                    *field = new;
                    name(path);
                }
            }
            if let Some(description) = change.description {
                description.as_str().clone_into(&mut attribute.description);
                name("description");
            }
            if paths.is_empty() {
                return show(&read::attribute(attribute)?, output);
            }
            let (attribute, update_mask) = (Some(attribute), Some(FieldMask { paths }));
            let request =
                UpdateAttributeRequest { attribute, update_mask, ..UpdateAttributeRequest::default() };
            let answer = answered(attributes.update_attribute(request).await)?;
            show(&read::attribute(answer.attribute.unwrap_or_default())?, output)
        }
        Command::Delete(which) => {
            let attribute = find(&which.try_into()?, remote).await?;
            let id = attribute.id.clone();
            let request = DeleteAttributeRequest { id, ..DeleteAttributeRequest::default() };
            answered(attributes.delete_attribute(request).await)?;
            tell_deleted(&read::attribute(attribute)?, output)
        }
    }
}

async fn find(which: &AttributeRef, remote: &Remote) -> Result<Attribute, Failure> {
    let which = match which {
        AttributeRef::Id(id) => Which::Id(id.to_string()),
        AttributeRef::Name(name) => Which::Name(name.as_str().to_owned()),
    };
    let request = GetAttributeRequest { which: Some(which) };
    Ok(answered(remote.attributes().get_attribute(request).await)?.attribute.unwrap_or_default())
}

fn wire(new: &NewAttribute) -> Attribute {
    Attribute {
        name: new.name.as_str().to_owned(),
        r#type: attribute_type(new.kind).into(),
        writer: attribute_writer(new.uses.writer()).into(),
        in_tokens: new.uses.in_tokens(),
        in_userinfo: new.uses.in_userinfo,
        in_introspection: new.uses.in_introspection,
        description: new.description.as_str().to_owned(),
        ..Attribute::default()
    }
}
