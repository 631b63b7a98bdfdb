//! Owns the shape of the table `copies`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "copies")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub direction: String,
    #[sea_orm(column_type = "Text")]
    pub place: String,
    pub create_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
