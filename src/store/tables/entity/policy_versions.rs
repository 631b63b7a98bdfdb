//! Owns the shape of the table `policy_versions`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "policy_versions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub service: String,
    pub version: String,
    pub state: String,
    pub sha256: String,
    pub methods: i64,
    pub create_time: i64,
    pub update_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
