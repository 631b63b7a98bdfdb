//! Owns the shape of the table `usernames`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "usernames")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub user_id: Uuid,
    #[sea_orm(unique)]
    pub canonical: Option<String>,
    pub skeleton: Vec<u8>,
    #[sea_orm(unique)]
    pub own_skeleton: Option<Vec<u8>>,
    pub is_beyond_ascii: bool,
    pub skeleton_version: i32,
}

impl ActiveModelBehavior for ActiveModel {}
