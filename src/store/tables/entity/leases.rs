//! Owns the shape of the table `leases`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "leases")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub holder: Option<Uuid>,
    pub expire_time: i64,
    pub begin_time: Option<i64>,
    pub end_time: Option<i64>,
    pub result: Option<String>,
    pub problem: Option<String>,
    pub process_id: Option<Uuid>,
    pub process_name: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
