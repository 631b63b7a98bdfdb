//! Owns the shape of the table `audiences`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audiences")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub organization_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub create_time: i64,
    pub revision: i64,
    pub token_typ: Option<String>,
    pub jwt_until: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
