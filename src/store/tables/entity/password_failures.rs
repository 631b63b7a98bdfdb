//! Owns the shape of the table `password_failures`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_failures")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Vec<u8>,
    pub full_time: i64,
    pub spare_start_time: i64,
    pub spare_used: i32,
}

impl ActiveModelBehavior for ActiveModel {}
