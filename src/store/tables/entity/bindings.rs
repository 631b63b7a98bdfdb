//! Owns the shape of the table `bindings`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bindings")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub role_id: Uuid,
    pub subject_kind: String,
    pub subject_id: Uuid,
    pub expire_time: Option<i64>,
    pub create_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
