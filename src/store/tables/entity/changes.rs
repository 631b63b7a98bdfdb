//! Owns the shape of the table `changes`.

use sea_orm::entity::prelude::*;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "changes")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub subject: Uuid,
    pub create_time: i64,
    pub kind: Option<String>,
    pub effect: Option<String>,
    pub holder: Option<Uuid>,
    pub audience: Option<String>,
    pub scopes: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
