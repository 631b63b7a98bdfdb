//! Owns the examples that the comments of the proto do not give: which fields of a resource must be set where it is created.

use serde_json::{Value, json};

/// An id that nothing has.
const ID: &str = "019a0000-0000-7000-8000-000000000000";

/// The example of the request `name`, a full one, if there is one here.
pub(super) fn of(name: &str) -> Option<Value> {
    let name = name.strip_prefix("identity.admin.v1.")?;
    Some(match name {
        "CreateUserRequest" => json!({ "user": { "username": "alice" } }),
        "CreateClientRequest" => {
            json!({ "client": { "name": "example", "kind": "KIND_CONFIDENTIAL", "scopes": ["introspect"] } })
        }
        "CreateGroupRequest" => json!({ "group": { "name": "example" } }),
        "CreateMembershipRequest" => json!({ "membership": { "groupId": ID, "userId": ID } }),
        "CreateRoleRequest" => {
            let role = json!({ "name": "example", "audience": "orders", "scopes": ["orders.read"] });
            json!({ "role": role })
        }
        "CreateBindingRequest" => json!({ "binding": { "roleId": ID, "subject": { "userId": ID } } }),
        "CreateAttributeRequest" => {
            let attribute = json!({ "name": "department", "type": "TYPE_STRING", "writer": "WRITER_ADMIN", "inUserinfo": true });
            json!({ "attribute": attribute })
        }
        _ => return None,
    })
}
