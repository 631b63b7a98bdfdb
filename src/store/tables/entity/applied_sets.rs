//! Owns the shape of the table `applied_sets`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "applied_sets")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub set_name: String,
    pub owner_kind: String,
    pub owner_id: Uuid,
    pub create_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
