//! Owns the shape of the table `refresh_tokens`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refresh_tokens")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Vec<u8>,
    pub session_id: Uuid,
    pub successor_salt: Vec<u8>,
    pub create_time: i64,
    pub consume_time: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
