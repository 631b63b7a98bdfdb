//! Owns prehashes: what another system computes of a password before it hashes it. A name is kept with each hash, a key apart from all.

use std::{borrow::Cow, fmt, str::FromStr};

use aws_lc_rs::{digest, hmac};
use base64ct::{Base64, Encoding};
use md5::{Digest as _, Md5};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::HashProblem;
use crate::model::Error;

/// What a hash begins with that has a prehash: `{prehash=sha256-hex}$2b$12$...`, `{prehash=flask-security,key=shop}$2b$12$...`.
const PREFIX: &str = "{prehash=";

/// The longest name of a key.
const MAX_KEY_NAME_CHARS: usize = 32;

/// A secret key of prehashes: wiped when dropped, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PrehashKey(Zeroizing<Vec<u8>>);

/// A prehash, and the name of its key if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prehash {
    recipe: Recipe,
    key: Option<PrehashKeyName>,
}

/// The name of a key, by which many hashes refer to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrehashKeyName(String);

/// How the input of the hash is made of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// A digest of the password, as text.
    Digest(Algorithm, TextForm),
    /// Its HMAC under the key, as text.
    Hmac(Algorithm, TextForm),
    /// Its HMAC-SHA-512 under the key in base64, of its form NFKD or of what was typed: Flask-Security.
    FlaskSecurity,
    /// Its form NFKD (Unicode, annex 15), or what was typed.
    Nfkd,
    /// Its form NFKC, or what was typed.
    Nfkc,
    /// The password, and the key after it: Devise.
    AppendKey,
    /// The key, and the password after it.
    PrependKey,
    /// The password itself; the key is Argon2's own secret (RFC 9106 section 3.1).
    Argon2Secret,
}

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5.
    Md5,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// How a digest becomes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// Hexadecimal, in lower case.
    Hex,
    /// Base64 with padding.
    Base64,
}

/// The names of digests.
const ALGORITHMS: [(&str, Algorithm); 5] = [
    ("md5", Algorithm::Md5),
    ("sha1", Algorithm::Sha1),
    ("sha256", Algorithm::Sha256),
    ("sha384", Algorithm::Sha384),
    ("sha512", Algorithm::Sha512),
];

/// The names of the forms of text.
const TEXT_FORMS: [(&str, TextForm); 2] = [("hex", TextForm::Hex), ("base64", TextForm::Base64)];

impl Recipe {
    /// Whether it needs a key.
    #[must_use]
    pub const fn is_keyed(self) -> bool {
        !matches!(self, Self::Digest(..) | Self::Nfkd | Self::Nfkc)
    }

    /// What may stand in place of `password`, of which one is what was hashed.
    fn inputs(self, password: &[u8], key: &[u8]) -> Result<Vec<Zeroizing<Vec<u8>>>, Error> {
        Ok(match self {
            Self::Digest(algorithm, form) => vec![form.text(&algorithm.digest(password))],
            Self::Hmac(algorithm, form) => vec![form.text(&algorithm.hmac(key, password)?)],
            Self::FlaskSecurity => {
                let forms = Self::Nfkd.inputs(password, key)?;
                let hmac = |form: &Zeroizing<Vec<u8>>| {
                    Ok(TextForm::Base64.text(&Algorithm::Sha512.hmac(key, form)?))
                };
                forms.iter().map(hmac).collect::<Result<_, Error>>()?
            }
            Self::Nfkd => forms(password, |text| text.nfkd().collect()),
            Self::Nfkc => forms(password, |text| text.nfkc().collect()),
            Self::AppendKey => vec![[password, key].concat().into()],
            Self::PrependKey => vec![[key, password].concat().into()],
            Self::Argon2Secret => vec![password.to_vec().into()],
        })
    }
}

impl Algorithm {
    fn digest(self, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        let algorithm = match self {
            Self::Md5 => return Md5::digest(bytes).to_vec().into(),
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec().into()
    }

    fn hmac(self, key: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let algorithm = match self {
            Self::Md5 => return Err(Error::internal("there is no recipe with HMAC-MD5")),
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        Ok(hmac::sign(&hmac::Key::new(algorithm, key), bytes).as_ref().to_vec().into())
    }
}

impl TextForm {
    fn text(self, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => Base64::encode_string(bytes),
        }
        .into_bytes()
        .into()
    }
}

/// What `normal` makes of `password`, and the password itself if it is not the same: systems begin to normalise some day.
fn forms(password: &[u8], normal: impl Fn(&str) -> String) -> Vec<Zeroizing<Vec<u8>>> {
    let typed = Zeroizing::new(password.to_vec());
    let normal = std::str::from_utf8(password).map(|text| Zeroizing::new(normal(text).into_bytes()));
    match normal {
        Ok(normal) if normal != typed => vec![normal, typed],
        _ => vec![typed],
    }
}

impl Prehash {
    /// The prehash of `recipe`, with the key of this name if it needs one.
    #[must_use]
    pub fn new(recipe: Recipe, key: &PrehashKeyName) -> Self {
        Self { recipe, key: recipe.is_keyed().then(|| key.clone()) }
    }

    /// The name of the key that the stored `hash` needs; none if it needs none.
    #[must_use]
    pub fn key_of_hash(hash: &str) -> Option<PrehashKeyName> {
        Self::split(hash)?.ok()?.0.key
    }

    /// What `text` says of a prehash, and the rest of it, which is a hash; none if it does not begin so.
    pub(super) fn split(text: &str) -> Option<Result<(Self, &str), HashProblem>> {
        let rest = text.strip_prefix(PREFIX)?;
        let read = || {
            let (said, hash) = rest.split_once('}')?;
            let (recipe, key) =
                said.split_once(",key=").map_or((said, None), |(recipe, key)| (recipe, Some(key)));
            let recipe: Recipe = recipe.parse().ok()?;
            let key = key.map(str::parse).transpose().ok()?;
            // Each prehash is written in one way, by which imports see whether a hash is there already.
            let prehash = Self { recipe, key };
            let is_whole =
                recipe.is_keyed() == prehash.key.is_some() && text.starts_with(&prehash.to_string());
            is_whole.then_some((prehash, hash))
        };
        Some(read().ok_or(HashProblem::Malformed("its prehash is none that is known")))
    }

    /// That of the hash `text`, in a table of which it is said that its hashes have this one. Flask-Security does no more than normalise
    /// what the schemes of Django hash.
    pub(super) fn of_hash(&self, text: &str) -> Self {
        if self.recipe == Recipe::FlaskSecurity && !text.starts_with('$') {
            return Self { recipe: Recipe::Nfkd, key: None };
        }
        self.clone()
    }

    /// The name of the key; none if it has none.
    #[must_use]
    pub const fn key(&self) -> Option<&PrehashKeyName> {
        self.key.as_ref()
    }

    /// Whether the key is Argon2's secret.
    pub(super) fn is_argon2_secret(&self) -> bool {
        self.recipe == Recipe::Argon2Secret
    }

    /// What may stand in place of `password`, of which one is what was hashed. `key` is the one that it names.
    pub(super) fn inputs(
        &self,
        password: &[u8],
        key: Option<&PrehashKey>,
    ) -> Result<Vec<Zeroizing<Vec<u8>>>, Error> {
        self.recipe.inputs(password, key.map_or(&[][..], PrehashKey::as_bytes))
    }
}

impl fmt::Display for Prehash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.recipe)?;
        if let Some(key) = &self.key {
            write!(f, ",key={}", key.0)?;
        }
        f.write_str("}")
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = match text {
            "flask-security" => Some(Self::FlaskSecurity),
            "flask-bcrypt" => Some(Self::Digest(Algorithm::Sha256, TextForm::Hex)),
            "nfkd" => Some(Self::Nfkd),
            "nfkc" => Some(Self::Nfkc),
            "append-key" | "devise" => Some(Self::AppendKey),
            "prepend-key" => Some(Self::PrependKey),
            "argon2-secret" => Some(Self::Argon2Secret),
            _ => None,
        };
        let computed = || {
            let keyed = text.strip_prefix("hmac-");
            let (algorithm, form) = keyed.unwrap_or(text).split_once('-')?;
            let (_, algorithm) = ALGORITHMS.into_iter().find(|(name, _)| *name == algorithm)?;
            let (_, form) = TEXT_FORMS.into_iter().find(|(name, _)| *name == form)?;
            match keyed {
                Some(_) => (algorithm != Algorithm::Md5).then_some(Self::Hmac(algorithm, form)),
                None => Some(Self::Digest(algorithm, form)),
            }
        };
        named.or_else(computed).ok_or_else(|| {
            let named = "flask-security, flask-bcrypt, devise (which is append-key), prepend-key, argon2-secret, nfkd, nfkc";
            let digests = ALGORITHMS.map(|(name, _)| name).join(", ");
            let forms = TEXT_FORMS.map(|(name, _)| name).join(" or ");
            format!(
                "there is no such recipe: {named}; or DIGEST-FORM, and hmac-DIGEST-FORM with a key, where DIGEST is one of {digests} (md5 \
                 has no hmac) and FORM is {forms}"
            )
        })
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let computed = |algorithm: Algorithm, form: TextForm| {
            let algorithm = ALGORITHMS.iter().find(|(_, known)| *known == algorithm);
            let form = TEXT_FORMS.iter().find(|(_, known)| *known == form);
            algorithm
                .zip(form)
                .map(|((algorithm, _), (form, _))| format!("{algorithm}-{form}"))
                .unwrap_or_default()
        };
        let name: Cow<'_, str> = match *self {
            Self::Digest(algorithm, form) => computed(algorithm, form).into(),
            Self::Hmac(algorithm, form) => Cow::from(format!("hmac-{}", computed(algorithm, form))),
            Self::FlaskSecurity => "flask-security".into(),
            Self::Nfkd => "nfkd".into(),
            Self::Nfkc => "nfkc".into(),
            Self::AppendKey => "append-key".into(),
            Self::PrependKey => "prepend-key".into(),
            Self::Argon2Secret => "argon2-secret".into(),
        };
        f.write_str(&name)
    }
}

impl PrehashKey {
    /// The bytes of the key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Zeroizing<Vec<u8>>> for PrehashKey {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for PrehashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrehashKey(..)")
    }
}

impl PrehashKeyName {
    /// The name as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PrehashKeyName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        if (1..=MAX_KEY_NAME_CHARS).contains(&text.len()) && text.bytes().all(is_allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err("must have 1 to 32 characters, each of them a-z, 0-9, `-`, `_` or `.`")
    }
}
