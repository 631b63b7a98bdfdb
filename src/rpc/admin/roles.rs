//! Owns `identity.admin.v1.RoleService` on the wire.

use std::sync::Arc;

use prost_types::FieldMask;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Page, UpdateMask, access, administrator, at, etag, id, moment, refused, request_key, required};
use crate::{
    identity::access::{
        AccessRegistry, BindingFilter, NewRole, PrincipalRef, RoleChange, RoleRef, ScopeChange,
    },
    model::{
        AudienceChange, AudienceName, BindingId, Description, Error, FieldReason, FieldViolation, NameSet,
        Principal, RoleId, RoleName,
    },
    proto::identity::admin::v1::{
        Audience, CreateBindingRequest, CreateBindingResponse, CreateRoleRequest, CreateRoleResponse,
        DeleteBindingRequest, DeleteBindingResponse, DeleteRoleRequest, DeleteRoleResponse, GetAccessRequest,
        GetAccessResponse, GetAudienceRequest, GetAudienceResponse, GetBindingRequest, GetBindingResponse,
        GetRoleRequest, GetRoleResponse, ListAudiencesRequest, ListAudiencesResponse, ListBindingsRequest,
        ListBindingsResponse, ListRolesRequest, ListRolesResponse, Role, UpdateAudienceRequest,
        UpdateAudienceResponse, UpdateBindingRequest, UpdateBindingResponse, UpdateRoleRequest,
        UpdateRoleResponse, get_role_request::Which, role_service_server::RoleService,
    },
};

/// Serves `RoleService`.
#[derive(Debug)]
pub(crate) struct RoleRpc {
    registry: Arc<AccessRegistry>,
    /// The names of the service's own audience.
    own: NameSet,
}

impl RoleRpc {
    pub(crate) const fn new(registry: Arc<AccessRegistry>, own: NameSet) -> Self {
        Self { registry, own }
    }

    fn audience(&self, field: &'static str, name: &str) -> Result<AudienceName, Error> {
        access::audience(field, name, &self.own)
    }

    /// The audience in `field`; none if it is empty.
    fn if_said(&self, field: &'static str, name: &str) -> Result<Option<AudienceName>, Error> {
        (!name.is_empty()).then(|| self.audience(field, name)).transpose()
    }

    /// What `role` says of a new one, or all that is wrong with it.
    fn new_role(&self, role: &Role) -> Result<NewRole, Error> {
        let mut violations = Vec::new();
        let audience = AudienceName::parse(&role.audience).map_err(|rule| rule.at("role.audience"));
        let name = RoleName::parse(&role.name).map_err(|rule| rule.at("role.name"));
        let scopes = access::scopes("role.scopes", &role.scopes);
        let description = Description::parse(&role.description).map_err(|rule| rule.at("role.description"));
        let (audience, name) = (good(audience, &mut violations), good(name, &mut violations));
        let (scopes, description) = (good(scopes, &mut violations), good(description, &mut violations));
        match (audience, name, scopes, description) {
            (Some(_), Some(name), Some(scopes), Some(description)) => {
                let audience = self.audience("role.audience", &role.audience)?;
                Ok(NewRole { audience, name, scopes, description })
            }
            _ => Err(Error::InvalidFields(violations)),
        }
    }

    /// Which bindings `request` means.
    async fn filter(&self, request: &ListBindingsRequest) -> Result<BindingFilter, Error> {
        let ListBindingsRequest { role_id, subject, scope, audience, expire_time_until, .. } = request;
        let audience = self.if_said("audience", audience)?;
        let subject = subject.as_ref().map(|subject| access::principal("subject", Some(subject)));
        let role = (!role_id.is_empty()).then(|| id("role_id", role_id).map(RoleId)).transpose()?;
        let roles = if scope.is_empty() {
            role.map(|role| vec![role])
        } else {
            let of = audience.as_ref().ok_or_else(|| required("audience"))?;
            let mut giving = self.registry.directory().roles_with(of, scope).await?;
            giving.retain(|giving| role.is_none_or(|role| role == *giving));
            Some(giving)
        };
        let end_by = moment("expire_time_until", expire_time_until.as_ref())?;
        Ok(BindingFilter { roles, subject: subject.transpose()?, audience, end_by })
    }
}

#[tonic::async_trait]
impl RoleService for RoleRpc {
    async fn create_role(
        &self,
        request: Request<CreateRoleRequest>,
    ) -> Result<Response<CreateRoleResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "CreateRole", &message.request_id, &message)?;
        let new = self.new_role(message.role.as_ref().ok_or_else(|| required("role"))?)?;
        let by = by.repeatable(key).validating(message.validate_only);
        let mut role = access::encode_role(&self.registry.create_role(new, &by).await?);
        if message.validate_only {
            (role.id, role.create_time, role.update_time, role.etag) = Default::default();
        }
        Ok(Response::new(CreateRoleResponse { role: Some(role) }))
    }

    async fn get_role(&self, request: Request<GetRoleRequest>) -> Result<Response<GetRoleResponse>, Status> {
        let which = match request.into_inner().which.ok_or_else(|| required("which"))? {
            Which::Id(text) => RoleRef::Id(RoleId(id("id", &text)?)),
            Which::Name(name) => {
                let audience = self.audience("name.audience", &name.audience)?;
                let name = RoleName::parse(&name.name).map_err(|rule| at("name.name", rule))?;
                RoleRef::Name(audience, name)
            }
        };
        let role = self.registry.directory().role(&which).await?;
        Ok(Response::new(GetRoleResponse { role: Some(access::encode_role(&role)) }))
    }

    async fn list_roles(
        &self,
        request: Request<ListRolesRequest>,
    ) -> Result<Response<ListRolesResponse>, Status> {
        let mut filter = request.into_inner();
        let page = Page::<Uuid>::take(&mut filter)?;
        let audience = self.if_said("audience", &filter.audience)?;
        let (directory, after) = (self.registry.directory(), page.after.map(RoleId));
        let mut roles = if filter.scope.is_empty() {
            directory.roles(audience.as_ref(), after, page.size + 1).await?
        } else {
            let of = audience.ok_or_else(|| required("audience"))?;
            directory.roles_giving(&of, &filter.scope, after, page.size + 1).await?
        };
        let next_page_token = page.next(&mut roles, |role| role.id.0);
        let roles = roles.iter().map(access::encode_role).collect();
        Ok(Response::new(ListRolesResponse { roles, next_page_token }))
    }

    async fn update_role(
        &self,
        request: Request<UpdateRoleRequest>,
    ) -> Result<Response<UpdateRoleResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "UpdateRole", &message.request_id, &message)?;
        let role = message.role.as_ref().ok_or_else(|| required("role"))?;
        let which = RoleRef::Id(RoleId(id("role.id", &role.id)?));
        let change = role_change(role, message.update_mask.as_ref())?;
        let by = by.repeatable(key).validating(message.validate_only);
        let mut role = access::encode_role(&self.registry.update_role(&which, &change, &by).await?);
        if message.validate_only {
            (role.update_time, role.etag) = Default::default();
        }
        Ok(Response::new(UpdateRoleResponse { role: Some(role) }))
    }

    async fn delete_role(
        &self,
        request: Request<DeleteRoleRequest>,
    ) -> Result<Response<DeleteRoleResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "DeleteRole", &message.request_id, &message)?;
        let which = RoleRef::Id(RoleId(id("id", &message.id)?));
        let by = by.repeatable(key).validating(message.validate_only);
        self.registry.delete_role(&which, etag(&message.etag), &by).await?;
        Ok(Response::new(DeleteRoleResponse {}))
    }

    async fn create_binding(
        &self,
        request: Request<CreateBindingRequest>,
    ) -> Result<Response<CreateBindingResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "CreateBinding", &message.request_id, &message)?;
        let new = message.binding.as_ref().ok_or_else(|| required("binding"))?;
        let role = RoleRef::Id(RoleId(id("binding.role_id", &new.role_id)?));
        let subject = PrincipalRef::Id(access::principal("binding.subject", new.subject.as_ref())?);
        let end = moment("binding.expire_time", new.expire_time.as_ref())?;
        let by = by.repeatable(key).validating(message.validate_only);
        let made = self.registry.create_binding(&role, &subject, end, &by).await?;
        let mut binding = access::encode_binding(&made);
        if message.validate_only {
            (binding.id, binding.create_time, binding.etag) = Default::default();
        }
        Ok(Response::new(CreateBindingResponse { binding: Some(binding) }))
    }

    async fn get_binding(
        &self,
        request: Request<GetBindingRequest>,
    ) -> Result<Response<GetBindingResponse>, Status> {
        let id = BindingId(id("id", &request.into_inner().id)?);
        let found = self.registry.directory().binding(id).await?;
        Ok(Response::new(GetBindingResponse { binding: Some(access::encode_binding(&found)) }))
    }

    async fn list_bindings(
        &self,
        request: Request<ListBindingsRequest>,
    ) -> Result<Response<ListBindingsResponse>, Status> {
        let mut filter = request.into_inner();
        let page = Page::<Uuid>::take(&mut filter)?;
        let filter = self.filter(&filter).await?;
        let after = page.after.map(BindingId);
        let mut found = self.registry.directory().bindings(&filter, after, page.size + 1).await?;
        let next_page_token = page.next(&mut found, |listed| listed.binding.id.0);
        let bindings = found.iter().map(access::encode_binding).collect();
        Ok(Response::new(ListBindingsResponse { bindings, next_page_token }))
    }

    async fn update_binding(
        &self,
        request: Request<UpdateBindingRequest>,
    ) -> Result<Response<UpdateBindingResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "UpdateBinding", &message.request_id, &message)?;
        let binding = message.binding.as_ref().ok_or_else(|| required("binding"))?;
        let id = BindingId(id("binding.id", &binding.id)?);
        UpdateMask::read(message.update_mask.as_ref())?.must_be("expire_time")?;
        let end = moment("binding.expire_time", binding.expire_time.as_ref())?;
        let by = by.repeatable(key).validating(message.validate_only);
        let updated = self.registry.update_binding(id, etag(&binding.etag), end, &by).await?;
        let mut binding = access::encode_binding(&updated);
        if message.validate_only {
            binding.etag = String::new();
        }
        Ok(Response::new(UpdateBindingResponse { binding: Some(binding) }))
    }

    async fn delete_binding(
        &self,
        request: Request<DeleteBindingRequest>,
    ) -> Result<Response<DeleteBindingResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "DeleteBinding", &message.request_id, &message)?;
        let id = BindingId(id("id", &message.id)?);
        let by = by.repeatable(key).validating(message.validate_only);
        self.registry.delete_binding(id, etag(&message.etag), &by).await?;
        Ok(Response::new(DeleteBindingResponse {}))
    }

    async fn get_audience(
        &self,
        request: Request<GetAudienceRequest>,
    ) -> Result<Response<GetAudienceResponse>, Status> {
        let name = self.audience("name", &request.into_inner().name)?;
        let audience = self.registry.directory().audience(&name).await?;
        Ok(Response::new(GetAudienceResponse { audience: Some(access::encode_audience(&audience)) }))
    }

    async fn list_audiences(
        &self,
        request: Request<ListAudiencesRequest>,
    ) -> Result<Response<ListAudiencesResponse>, Status> {
        let mut filter = request.into_inner();
        let page = Page::<String>::take(&mut filter)?;
        let after = page.after.as_deref().map(AudienceName::parse).transpose();
        let after = after.map_err(|rule| at("page_token", rule))?;
        let found = self.registry.directory().audiences(after.as_ref(), page.size + 1).await?;
        let mut audiences: Vec<_> =
            found.iter().map(|(audience, _)| access::encode_audience(audience)).collect();
        let next_page_token = page.next(&mut audiences, |audience| audience.name.clone());
        Ok(Response::new(ListAudiencesResponse { audiences, next_page_token }))
    }

    async fn update_audience(
        &self,
        request: Request<UpdateAudienceRequest>,
    ) -> Result<Response<UpdateAudienceResponse>, Status> {
        let by = administrator(&request)?;
        let message = request.into_inner();
        let key = request_key(&by, "UpdateAudience", &message.request_id, &message)?;
        let audience = message.audience.as_ref().ok_or_else(|| required("audience"))?;
        let name = self.audience("audience.name", &audience.name)?;
        let change = audience_change(audience, message.update_mask.as_ref())?;
        let by = by.repeatable(key).validating(message.validate_only);
        let mut audience = access::encode_audience(
            &self.registry.update_audience(&name, etag(&audience.etag), &change, &by).await?,
        );
        if message.validate_only {
            audience.etag = String::new();
        }
        Ok(Response::new(UpdateAudienceResponse { audience: Some(audience) }))
    }

    async fn get_access(
        &self,
        request: Request<GetAccessRequest>,
    ) -> Result<Response<GetAccessResponse>, Status> {
        let GetAccessRequest { subject, audience } = request.into_inner();
        let subject = access::principal("subject", subject.as_ref())?;
        if matches!(subject, Principal::Group(_)) {
            let rule = "must be a user or a client";
            return Err(refused("subject", FieldReason::Malformed, rule).into());
        }
        let audience = self.audience("audience", &audience)?;
        let scopes = self.registry.access(&PrincipalRef::Id(subject), &audience).await?;
        let scopes = scopes.iter().map(access::encode_access).collect();
        Ok(Response::new(GetAccessResponse { scopes }))
    }
}

/// What of `audience` is to be changed, as `mask` says.
fn audience_change(audience: &Audience, mask: Option<&FieldMask>) -> Result<AudienceChange, Error> {
    let mask = UpdateMask::read(mask)?.required()?;
    let mask = mask.of(&["owners", "token_typ"], "must name `owners` or `token_typ`")?;
    let owners = audience.owners.iter().map(|owner| access::principal("audience.owners", Some(owner)));
    let owners = mask.names("owners", false).then(|| owners.collect::<Result<_, _>>()).transpose()?;
    let token_typ = mask.names("token_typ", false).then(|| access::token_typ(audience)).transpose()?;
    Ok(AudienceChange { owners, token_typ })
}

/// What of `role` is to be changed, as `mask` says; without one what is set.
fn role_change(role: &Role, mask: Option<&FieldMask>) -> Result<RoleChange, Error> {
    let names = "must name `scopes`, `description`, or `*` for both";
    let mask = UpdateMask::read(mask)?.of(&["scopes", "description"], names)?;
    let mut change = RoleChange { etag: etag(&role.etag).map(str::to_owned), ..RoleChange::default() };
    if mask.names("scopes", !role.scopes.is_empty()) {
        let scopes = access::scopes("role.scopes", &role.scopes);
        change.scopes =
            Some(ScopeChange::All(scopes.map_err(|violation| Error::InvalidFields(vec![violation]))?));
    }
    if mask.names("description", !role.description.is_empty()) {
        let description = Description::parse(&role.description);
        change.description = Some(description.map_err(|rule| at("role.description", rule))?);
    }
    Ok(change)
}

/// What was parsed, if it is good; what is wrong with it goes to `violations`.
fn good<T>(parsed: Result<T, FieldViolation>, violations: &mut Vec<FieldViolation>) -> Option<T> {
    parsed.map_err(|violation| violations.push(violation)).ok()
}
