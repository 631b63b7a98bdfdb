//! Owns the shape of the table `password_failures_by_address`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_failures_by_address")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Vec<u8>,
    pub failures: i32,
    pub last_time: i64,
    pub familiar_failures: Option<i32>,
    pub familiar_time: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
