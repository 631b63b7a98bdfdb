//! Owns `signet users list --collisions`.

use serde_json::json;

use super::{list_heading, object, row};
use crate::{
    cli::{Failure, Output},
    identity::{UserDirectory, users::NameCollision},
    model::UserId,
};

pub(super) async fn list(
    after: Option<UserId>,
    users: &UserDirectory,
    output: Output,
) -> Result<(), Failure> {
    let mut collisions = users.name_collisions(after).await?;
    list_heading(output)?;
    while let Some(page) = collisions.next_page().await? {
        page.iter().try_for_each(|collision| tell(collision, output))?;
    }
    Ok(())
}

fn tell(collision: &NameCollision, output: Output) -> Result<(), Failure> {
    let NameCollision { user, needs_exact_spelling, others } = collision;
    let mut text = row(user);
    if *needs_exact_spelling {
        text.push_str("  (spelt exactly so)");
    }
    for other in others {
        text.push('\n');
        text.push_str("  like ");
        text.push_str(&row(other));
    }
    let others: Vec<_> = others
        .iter()
        .map(|other| json!({ "id": other.id.to_string(), "username": other.username.typed() }))
        .collect();
    let mut object = object(user);
    object["needs_exact_spelling"] = json!(needs_exact_spelling);
    object["collides_with"] = json!(others);
    output.row(&text, &object)
}
