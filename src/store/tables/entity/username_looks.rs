//! Owns the shape of the table `username_looks`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "username_looks")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub look: Vec<u8>,
    #[sea_orm(unique)]
    pub own_look: Option<Vec<u8>>,
}

impl ActiveModelBehavior for ActiveModel {}
