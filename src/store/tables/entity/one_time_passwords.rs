//! Owns the shape of the table `one_time_passwords`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "one_time_passwords")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    pub sha256: Vec<u8>,
    pub scopes: String,
    pub maker_scopes: Option<String>,
    pub password_hash: String,
    pub is_used: bool,
    pub is_void: bool,
    pub expire_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
