//! Owns the shape of the table `users`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub username: String,
    #[sea_orm(unique)]
    pub username_canonical: String,
    pub email: Option<String>,
    pub display_name: Option<String>,
    pub password_hash: String,
    pub is_active: bool,
    pub create_time: i64,
    pub update_time: i64,
    pub login_time: Option<i64>,
    pub credential_version: Option<Uuid>,
    pub username_key: Option<Vec<u8>>,
    pub email_key: Option<Vec<u8>>,
    pub display_name_key: Option<Vec<u8>>,
    #[sea_orm(column_type = "Text", nullable)]
    pub attributes: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
