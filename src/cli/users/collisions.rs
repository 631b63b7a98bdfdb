//! Owns `signet users list --collisions`.

use serde_json::json;

use super::object;
use crate::{
    cli::{Failure, Output, listing::state},
    identity::{UserDirectory, users::NameCollision},
    model::{User, UserId},
};

pub(super) async fn list(
    after: Option<UserId>,
    users: &UserDirectory,
    output: Output,
) -> Result<(), Failure> {
    let mut collisions = users.name_collisions(after).await?;
    output.heading(&format!("{:<36}  {:<8}  {:<27}  USERNAME", "ID", "STATE", "CREATED"))?;
    while let Some(page) = collisions.next_page().await? {
        page.iter().try_for_each(|collision| tell(collision, output))?;
    }
    Ok(())
}

fn tell(collision: &NameCollision, output: Output) -> Result<(), Failure> {
    let NameCollision { user, needs_exact_spelling, others } = collision;
    let mut text = line("", user);
    if *needs_exact_spelling {
        text.push_str("  (logs in by exactly this spelling)");
    }
    for other in others {
        text.push('\n');
        text.push_str(&line("  like ", other));
    }
    let others: Vec<_> = others
        .iter()
        .map(|other| json!({ "id": other.id.to_string(), "username": other.username.typed() }))
        .collect();
    let mut object = object(user);
    object["needs_exact_spelling"] = json!(needs_exact_spelling);
    object["collides_with"] = json!(others);
    output.answer(&text, &object)
}

fn line(prefix: &str, user: &User) -> String {
    let (created, name) = (user.create_time.to_string(), user.username.typed());
    format!("{prefix}{}  {:<8}  {created:<27}  {name}", user.id, state(user.is_active))
}
