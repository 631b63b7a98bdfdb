//! Owns the rules of new usernames beyond RFC 8265. Names that were given before them, or are imported, need not satisfy them.

use uuid::Uuid;

use super::{FieldReason, RuleViolation, Username};

impl Username {
    /// Checks `typed` as the name of a new account: by [`Self::parse`], and by the rules that keep it from passing for something else.
    ///
    /// # Errors
    /// The rule that `typed` breaks.
    pub fn parse_new(typed: &str) -> Result<Self, RuleViolation> {
        let name = Self::parse(typed)?;
        name.check_new()?;
        Ok(name)
    }

    /// Checks the rules of new names.
    ///
    /// # Errors
    /// The rule that the name breaks.
    pub fn check_new(&self) -> Result<(), RuleViolation> {
        if Uuid::try_parse(self.canonical()).is_ok() {
            let rule = "must not be a UUID, in any of its forms: that is how users' ids are written";
            return Err(RuleViolation::new(FieldReason::Malformed, rule));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_uuid_is_a_name() {
        let id = "01a20a05-adfd-7f0f-a948-424ae62fc105";
        let simple = id.replace('-', "");
        let fullwidth: String =
            simple.chars().map(|char| char::from_u32(u32::from(char) - 0x20 + 0xff00).unwrap()).collect();
        let braced = format!("{{{id}}}");
        for bad in [id, &simple, &braced, &format!("urn:uuid:{id}"), &id.to_uppercase(), &fullwidth] {
            assert_eq!(Username::parse_new(bad).unwrap_err().reason, FieldReason::Malformed, "{bad}");
            assert!(Username::parse(bad).is_ok(), "{bad}: whoever has it from before logs in");
        }
        for good in [&simple[1..], &format!("{simple}0"), "01a20a05-adfd-7f0f-a948"] {
            assert!(Username::parse_new(good).is_ok(), "{good}");
        }
    }
}
