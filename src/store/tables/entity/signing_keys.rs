//! Owns the shape of the table `signing_keys`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_keys")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub kid: String,
    pub alg: String,
    pub sealed_private_key: Vec<u8>,
    pub create_time: i64,
    pub sign_time: Option<i64>,
    pub retention: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
