//! Owns the shape of the table `clients`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "clients")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    #[sea_orm(unique)]
    pub name: String,
    pub kind: String,
    pub scopes: String,
    pub audiences: String,
    pub past_audiences: Option<String>,
    pub jwks: Option<String>,
    pub spiffe_id: Option<String>,
    #[sea_orm(unique)]
    pub spiffe_id_hash: Option<Vec<u8>>,
    pub tls_san_dns: Option<String>,
    pub may_claim_address: bool,
    pub token_claims: Option<String>,
    pub secret_makers: Option<String>,
    pub key_makers: Option<String>,
    pub certificate_makers: Option<String>,
    pub is_active: bool,
    pub create_time: i64,
    pub update_time: i64,
}

impl ActiveModelBehavior for ActiveModel {}
