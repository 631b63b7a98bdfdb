//! Owns what a plan changes of what is declared of attributes.

use super::{Action, FieldDifference, Planner, clients::in_words};
use crate::{
    audit::{Entry, Event, FieldChange},
    model::{AttributeDeclaration, AttributeId, AttributeSource, AttributeUses},
    store::{Step, attribute_differences},
};

use super::super::manifest::AttributeItem;

impl Planner<'_> {
    pub(super) fn attributes(&mut self) {
        for item in &self.wanted.manifest.attributes {
            let what = what_attribute(item.name.as_str());
            if !self.is_first(&what) {
                continue;
            }
            if let Err(problem) = self.attribute(&what, item) {
                self.refuse(&what, &problem);
            }
        }
    }

    fn attribute(&mut self, what: &str, item: &AttributeItem) -> Result<(), String> {
        let now = self.wanted.now;
        let source = AttributeSource::of(item.writer, item.in_tokens).map_err(|error| in_words(&error))?;
        let uses =
            AttributeUses { source, in_userinfo: item.in_userinfo, in_introspection: item.in_introspection };
        let description = item.description.clone().unwrap_or_default();
        let Some(old) = self.present.attributes.iter().find(|known| known.name == item.name) else {
            let new = AttributeDeclaration {
                id: AttributeId::new(now, self.entropy),
                name: item.name.clone(),
                kind: item.kind,
                uses,
                description,
                create_time: now,
                update_time: now,
            };
            let fields = attribute_differences(None, Some(&new));
            let step = (Step::AddAttribute(new), Event::AttributeCreated.done());
            self.declared(Action::Create, what, &fields, step);
            return Ok(());
        };
        for (field, is, wanted) in [
            ("type", old.kind.name(), item.kind.name()),
            ("writer", old.uses.writer().name(), item.writer.name()),
        ] {
            if is != wanted {
                return Err(format!(
                    "has the {field} `{is}`, which stays, and not `{wanted}`: what users have of it is of that {field}"
                ));
            }
        }
        if old.uses == uses && old.description == description {
            return Ok(());
        }
        let new = AttributeDeclaration { uses, description, update_time: now, ..old.clone() };
        let fields = attribute_differences(Some(old), Some(&new));
        let step = (Step::UpdateAttribute(new), Event::AttributeUpdated.done());
        self.declared(Action::Update, what, &fields, step);
        Ok(())
    }

    /// `what` comes to be declared so. Its event always tells the name, and the plan what becomes another.
    fn declared(&mut self, action: Action, what: &str, fields: &[FieldChange], step: (Step, Entry)) {
        let told = fields.iter().map(|change| change.field).collect();
        let others = fields.iter().skip(1).filter(|change| change.old != change.new);
        let shown = others.map(FieldDifference::from).collect();
        self.add((action, what.to_owned()), shown, told, step);
    }
}

/// An attribute, in words.
pub(super) fn what_attribute(name: &str) -> String {
    format!("attribute `{name}`")
}
