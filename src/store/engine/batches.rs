//! Owns deleting any number of rows, in batches of one statement each: none takes long, and finished ones stay done if a later one fails.

use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, sea_query::Value};

use crate::model::Error;
use crate::store::{BATCH, Store};

impl Store {
    /// Deletes the rows with these `keys`, if they are `still` what is to be deleted: they may have changed since they were read.
    ///
    /// # Errors
    /// As with [`Store::ask`].
    pub(in crate::store) async fn delete_rows<E, K>(
        &self,
        key: E::Column,
        keys: &[K],
        still: Condition,
    ) -> Result<(), Error>
    where
        E: EntityTrait,
        K: Into<Value> + Clone + Sync,
    {
        for keys in keys.chunks(BATCH) {
            let delete = E::delete_many().filter(key.is_in(keys.iter().cloned())).filter(still.clone());
            self.ask(|| delete.clone().exec(&self.writer)).await?;
        }
        Ok(())
    }
}
