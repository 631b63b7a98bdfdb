//! Owns `identity.admin.v1.AttributeService` on the wire.

use std::sync::Arc;

use prost_types::FieldMask;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Page, UpdateMask, administrator, at, etag, id, request_key, required};
use crate::{
    identity::attributes::{AttributeChange, AttributeRef, AttributeRegistry, NewAttribute},
    model::{
        AttributeDeclaration, AttributeId, AttributeName, AttributeSource, AttributeUses, Description, Error,
        FieldReason, RuleViolation,
    },
    proto::identity::admin::v1::{
        Attribute, CreateAttributeRequest, CreateAttributeResponse, DeleteAttributeRequest,
        DeleteAttributeResponse, GetAttributeRequest, GetAttributeResponse, ListAttributesRequest,
        ListAttributesResponse, UpdateAttributeRequest, UpdateAttributeResponse,
        attribute_service_server::AttributeService, get_attribute_request::Which,
    },
    rpc::encode::time,
    wire::{attribute_type, attribute_writer, read_attribute_type, read_attribute_writer},
};

/// What an update can change, by the names of the mask.
const UPDATABLE: [&str; 4] = ["in_tokens", "in_userinfo", "in_introspection", "description"];

const NOT_UPDATABLE: &str =
    "may name `in_tokens`, `in_userinfo`, `in_introspection`, `description` or `*`, and nothing else";

/// Serves `AttributeService`.
#[derive(Debug)]
pub(crate) struct AttributeRpc {
    registry: Arc<AttributeRegistry>,
}

impl AttributeRpc {
    pub(crate) const fn new(registry: Arc<AttributeRegistry>) -> Self {
        Self { registry }
    }
}

#[tonic::async_trait]
impl AttributeService for AttributeRpc {
    async fn create_attribute(
        &self,
        request: Request<CreateAttributeRequest>,
    ) -> Result<Response<CreateAttributeResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "CreateAttribute", &message.request_id, &message)?;
        let new = new_attribute(message.attribute.as_ref().ok_or_else(|| required("attribute"))?)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let mut attribute = encode(&self.registry.create(new, &by).await?);
        if message.validate_only {
            (attribute.id, attribute.create_time, attribute.update_time, attribute.etag) = Default::default();
        }
        Ok(Response::new(CreateAttributeResponse { attribute: Some(attribute) }))
    }

    async fn get_attribute(
        &self,
        request: Request<GetAttributeRequest>,
    ) -> Result<Response<GetAttributeResponse>, Status> {
        let which = match request.into_inner().which.ok_or_else(|| required("which"))? {
            Which::Id(text) => AttributeRef::Id(AttributeId(id("id", &text)?)),
            Which::Name(name) => {
                AttributeRef::Name(AttributeName::parse(&name).map_err(|rule| at("name", rule))?)
            }
        };
        let attribute = Some(encode(&self.registry.find(&which).await?));
        Ok(Response::new(GetAttributeResponse { attribute }))
    }

    async fn list_attributes(
        &self,
        request: Request<ListAttributesRequest>,
    ) -> Result<Response<ListAttributesResponse>, Status> {
        let mut filter = request.into_inner();
        let page = Page::<Uuid>::take(&mut filter)?;
        let mut found = self.registry.page(page.after.map(AttributeId), page.size + 1).await?;
        let next_page_token = page.next(&mut found, |attribute| attribute.id.0);
        let attributes = found.iter().map(encode).collect();
        Ok(Response::new(ListAttributesResponse { attributes, next_page_token }))
    }

    async fn update_attribute(
        &self,
        request: Request<UpdateAttributeRequest>,
    ) -> Result<Response<UpdateAttributeResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "UpdateAttribute", &message.request_id, &message)?;
        let attribute = message.attribute.as_ref().ok_or_else(|| required("attribute"))?;
        let which = AttributeRef::Id(AttributeId(id("attribute.id", &attribute.id)?));
        let change = change(attribute, message.update_mask.as_ref())?;
        let by = by.repeatable(key).validating(message.validate_only);
        let changed = self.registry.update(&which, &change, etag(&attribute.etag), &by).await?;
        let mut attribute = encode(&changed);
        if message.validate_only {
            (attribute.update_time, attribute.etag) = Default::default();
        }
        Ok(Response::new(UpdateAttributeResponse { attribute: Some(attribute) }))
    }

    async fn delete_attribute(
        &self,
        request: Request<DeleteAttributeRequest>,
    ) -> Result<Response<DeleteAttributeResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "DeleteAttribute", &message.request_id, &message)?;
        let which = AttributeRef::Id(AttributeId(id("id", &message.id)?));
        let by = by.repeatable(key).validating(message.validate_only);
        self.registry.delete(&which, etag(&message.etag), &by).await?;
        Ok(Response::new(DeleteAttributeResponse {}))
    }
}

/// What `attribute` says of a new one, or all that is wrong with it.
fn new_attribute(attribute: &Attribute) -> Result<NewAttribute, Error> {
    let name = AttributeName::parse(&attribute.name).map_err(|rule| rule.at("attribute.name"));
    let unset = || RuleViolation::new(FieldReason::Required, "must be set");
    let kind = read_attribute_type(attribute.r#type()).ok_or_else(|| unset().at("attribute.type"));
    let writer = read_attribute_writer(attribute.writer()).ok_or_else(|| unset().at("attribute.writer"));
    let description =
        Description::parse(&attribute.description).map_err(|rule| rule.at("attribute.description"));
    match (name, kind, writer, description) {
        (Ok(name), Ok(kind), Ok(writer), Ok(description)) => {
            let uses = AttributeUses {
                source: AttributeSource::of(writer, attribute.in_tokens)?,
                in_userinfo: attribute.in_userinfo,
                in_introspection: attribute.in_introspection,
            };
            Ok(NewAttribute { name, kind, uses, description })
        }
        (name, kind, writer, description) => {
            let all = [name.err(), kind.err(), writer.err(), description.err()];
            Err(Error::InvalidFields(all.into_iter().flatten().collect()))
        }
    }
}

/// What of `attribute` is to become other, by the paths of `mask`.
fn change(attribute: &Attribute, mask: Option<&FieldMask>) -> Result<AttributeChange, Error> {
    let mask = UpdateMask::read(mask)?.required()?.of(&UPDATABLE, NOT_UPDATABLE)?;
    let named = |field| mask.names(field, false);
    let description =
        || Description::parse(&attribute.description).map_err(|rule| at("attribute.description", rule));
    Ok(AttributeChange {
        in_tokens: named("in_tokens").then_some(attribute.in_tokens),
        in_userinfo: named("in_userinfo").then_some(attribute.in_userinfo),
        in_introspection: named("in_introspection").then_some(attribute.in_introspection),
        description: named("description").then(description).transpose()?,
    })
}

fn encode(declared: &AttributeDeclaration) -> Attribute {
    Attribute {
        id: declared.id.to_string(),
        name: declared.name.as_str().to_owned(),
        r#type: attribute_type(declared.kind).into(),
        writer: attribute_writer(declared.uses.writer()).into(),
        in_tokens: declared.uses.in_tokens(),
        in_userinfo: declared.uses.in_userinfo,
        in_introspection: declared.uses.in_introspection,
        description: declared.description.as_str().to_owned(),
        create_time: Some(time(declared.create_time)),
        update_time: Some(time(declared.update_time)),
        etag: declared.etag().as_str().to_owned(),
    }
}
