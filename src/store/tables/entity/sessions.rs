//! Owns the shape of the table `sessions`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub client_id: String,
    pub scope: String,
    pub audience: Option<String>,
    pub user_agent: Option<String>,
    pub address: Option<String>,
    pub create_time: i64,
    pub last_use_time: i64,
    pub refresh_newest: Vec<u8>,
    pub refresh_before_newest: Option<Vec<u8>>,
    pub refresh_salt: Vec<u8>,
    pub exchange_time: Option<i64>,
    pub exchange_origin: Option<Vec<u8>>,
    pub exchange_repeats: Option<i32>,
    pub exchange_seen: Option<i64>,
    pub odd_repeat_time: Option<i64>,
    pub amr: Option<String>,
    pub auth_time: Option<i64>,
    pub acr: Option<String>,
    pub asked_scope: Option<String>,
    pub end_time: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
