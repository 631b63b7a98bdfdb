//! Owns the shape of the table `audit_events`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_events")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub time: i64,
    pub event: String,
    pub outcome: String,
    pub reason: Option<String>,
    pub method: Option<String>,
    pub actor_kind: String,
    pub actor_id: Option<Uuid>,
    pub local_uid: Option<i64>,
    pub local_user: Option<String>,
    pub user_id: Option<Uuid>,
    pub session_id: Option<Uuid>,
    pub client_id: Option<Uuid>,
    pub role_id: Option<Uuid>,
    pub group_id: Option<Uuid>,
    pub key_id: Option<String>,
    pub audience: Option<String>,
    #[sea_orm(column_type = "Text", nullable)]
    pub changes: Option<String>,
    pub address: Option<String>,
    pub claimed_address: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    pub repeats: i64,
}

impl ActiveModelBehavior for ActiveModel {}
