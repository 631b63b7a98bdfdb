//! Owns what `users import` is told of prehashes: the recipe of all hashes, and the key of it.

use std::path::PathBuf;

use base64ct::{Base64, Encoding};
use clap::Args;
use zeroize::Zeroizing;

use crate::{
    cli::{Failure, records::Records},
    files::read_text,
    identity::passwords::{Prehash, PrehashKey, PrehashKeyName, Prehashes, Recipe},
    transfer::Row,
};

/// The longest key, in bytes: those of the systems that are known have some dozens.
const MAX_KEY_BYTES: usize = 4096;

#[derive(Args, Debug)]
#[command(next_help_heading = "Hashes of a digest")]
pub(super) struct PrehashArguments {
    /// What is made of a password before it is hashed. One of flask-security, flask-bcrypt (where `BCRYPT_HANDLE_LONG_PASSWORDS` is set),
    /// devise (with a pepper), prepend-key, argon2-secret, nfkd, nfkc, or a digest as text: md5, sha1, sha256, sha384 or sha512, `-`, and
    /// hex or base64, with `hmac-` before it if there is a key. The name is kept with each hash.
    #[arg(id = "password_prehash", long = "password-prehash", value_name = "RECIPE")]
    recipe: Option<Recipe>,
    /// A file that holds the key. It is `SECURITY_PASSWORD_SALT` of Flask-Security, the pepper of Devise, and read as text, or after
    /// `base64:` or `hex:` as bytes. The service keeps it, sealed by the master key.
    #[arg(id = "password_prehash_key_file", long = "password-prehash-key-file", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The name of the key. A second one needs another name (1 to 32 characters: a-z, 0-9, `-`, `_`, `.`).
    #[arg(
        id = "password_prehash_key",
        long = "password-prehash-key",
        value_name = "NAME",
        default_value = "default"
    )]
    key_name: PrehashKeyName,
}

/// The key of an import, which is kept as soon as a row needs it.
pub(super) struct KeptKey<'a> {
    given: &'a GivenPrehash,
    records: &'a Records,
    /// None until it was needed; then whether it is new.
    is_new: Option<bool>,
}

/// What the arguments say.
pub(super) struct GivenPrehash {
    prehash: Option<Prehash>,
    name: PrehashKeyName,
    key: Option<PrehashKey>,
}

impl PrehashArguments {
    /// Reads the key.
    ///
    /// # Errors
    /// [`Failure::Usage`] if there is no such file, or no key in it.
    pub(super) fn read(self) -> Result<GivenPrehash, Failure> {
        let name = self.key_name;
        let prehash = self.recipe.map(|recipe| Prehash::new(recipe, &name));
        let key = self.key_file.map(|file| {
            let flag = "--password-prehash-key-file";
            let failure = |problem: &dyn std::fmt::Display| {
                Failure::Usage(format!("{flag}: {} {problem}", file.display()))
            };
            let text = read_text(&file).map_err(|error| Failure::of_input(flag, &file, &error))?;
            let key = key_of(text.trim_end_matches(['\r', '\n'])).map_err(|problem| failure(&problem))?;
            match key.as_bytes().len() {
                0 => Err(failure(&"is empty")),
                1..=MAX_KEY_BYTES => Ok(key),
                _ => Err(failure(&format!("has a key of more than {MAX_KEY_BYTES} bytes"))),
            }
        });
        Ok(GivenPrehash { prehash, name, key: key.transpose()? })
    }
}

/// The key that `text` spells.
fn key_of(text: &str) -> Result<PrehashKey, &'static str> {
    let bytes = Zeroizing::new(if let Some(base64) = text.strip_prefix("base64:") {
        Base64::decode_vec(base64).map_err(|_| "has no base64 with padding after `base64:`")?
    } else if let Some(digits) = text.strip_prefix("hex:") {
        hex::decode(digits).map_err(|_| "has no hexadecimal digits after `hex:`")?
    } else {
        text.as_bytes().to_vec()
    });
    Ok(bytes.into())
}

impl GivenPrehash {
    /// What is known of prehashes by this and what `records` has.
    ///
    /// # Errors
    /// [`Failure::Usage`] if a key is needed and not there, or another one has its name.
    pub(super) async fn settle(&self, records: &Records) -> Result<Prehashes, Failure> {
        let mut keys = records.prehash_key_names().await?;
        if let Some(key) = &self.key {
            if keys.contains(&self.name) && records.prehash_key(&self.name).await?.as_ref() != Some(key) {
                return Err(self.name_is_taken());
            }
            keys.insert(self.name.clone());
        }
        let given = self.prehash.clone();
        let missing = given.as_ref().and_then(Prehash::key).filter(|key| !keys.contains(key));
        if missing.is_some() {
            let problem = "this recipe needs a key: --password-prehash-key-file";
            return Err(Failure::Usage(format!("--password-prehash: {problem}")));
        }
        Ok(Prehashes { given, keys })
    }

    fn name_is_taken(&self) -> Failure {
        let name = self.name.as_str();
        let problem = format!("another key has the name `{name}` here: this one needs a name of its own");
        Failure::Usage(format!("--password-prehash-key: {problem}"))
    }

    /// Whether there is a key that no hash has by the recipe: some must name it themselves.
    pub(super) fn has_key_for_named_alone(&self) -> bool {
        self.key.is_some() && self.prehash.as_ref().and_then(Prehash::key).is_none()
    }

    /// Whether the hash of `row` names the key.
    pub(super) fn is_named_by(&self, row: &Row) -> bool {
        let hash = row.candidate.as_ref().ok().map(|candidate| &candidate.user.password_hash);
        self.key.is_some() && hash.and_then(|hash| Prehash::key_of_hash(hash)).as_ref() == Some(&self.name)
    }

    /// That there is a key which nothing needs: whoever gives one thinks that the hashes were made under it.
    pub(super) fn unneeded_key(&self) -> Failure {
        let problem = match &self.prehash {
            Some(_) => "this recipe takes no key, and no row names it",
            None => "no row names the key: --password-prehash says what was made of the passwords under it",
        };
        Failure::Usage(format!("--password-prehash-key-file: {problem}"))
    }

    /// The key, if it has the name `name`.
    pub(super) fn key(&self, name: &PrehashKeyName) -> Option<&PrehashKey> {
        self.key.as_ref().filter(|_| self.name == *name)
    }
}

impl<'a> KeptKey<'a> {
    /// The key that is `given`, of which `records` has nothing yet.
    pub(super) const fn new(given: &'a GivenPrehash, records: &'a Records) -> Self {
        Self { given, records, is_new: None }
    }

    /// Keeps it if one of `rows` needs it, which are about to be taken in: who logs in then must find it.
    ///
    /// # Errors
    /// [`Failure::Usage`] if another import has given its name to another key.
    pub(super) async fn keep_for(&mut self, rows: &[Row]) -> Result<(), Failure> {
        let GivenPrehash { name, key, .. } = self.given;
        let Some(key) = key.as_ref().filter(|_| self.is_new.is_none()) else { return Ok(()) };
        if !rows.iter().any(|row| self.given.is_named_by(row)) {
            return Ok(());
        }
        let is_new = self.records.add_prehash_key(name, key).await?;
        if !is_new && self.records.prehash_key(name).await?.as_ref() != Some(key) {
            return Err(self.given.name_is_taken());
        }
        self.is_new = Some(is_new);
        Ok(())
    }

    /// Forgets it again if it is new, and none of the rows that needed it has become a user: a wrong one would have its name for good.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn settle(self) -> Result<(), Failure> {
        if self.is_new == Some(true) {
            self.records.remove_unneeded_prehash_key(&self.given.name).await?;
        }
        Ok(())
    }
}
