//! Owns the shape of the table `resting_usernames`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "resting_usernames")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub mark: Vec<u8>,
    pub expire_time: i64,
    pub is_admins: bool,
}

impl ActiveModelBehavior for ActiveModel {}
