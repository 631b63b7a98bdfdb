//! Owns the users of Firebase, as `firebase auth:export --format=json` writes them, and the parameters of their hashes.

use std::io::{self, BufRead};

use serde::Deserialize;

use super::{Any, Batches, Count, ExportRules, Exported, Others, SecondFactor, document, user_of};
use crate::transfer::{Batch, Field, Record};

/// The parameters of a project's hashes, as its console shows them ("Password hash parameters"). The key is a secret.
#[derive(Clone)]
pub struct HashConfig {
    signer_key: String,
    salt_separator: String,
    rounds: u32,
    mem_cost: u32,
}

impl HashConfig {
    /// Reads `text`: lines such as `base64_signer_key: KEY,`, as the console shows them, or JSON with the same names.
    ///
    /// # Errors
    /// What is wrong, as the rest of a sentence. It never repeats a value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value = |name: &str| {
            let mut words = text.split([',', '\n', '{', '}']).filter_map(|line| line.split_once([':', '=']));
            let bare = |word: &str| word.trim().trim_matches('"').to_owned();
            // In base64, `=` ends a value.
            words.find(|(key, _)| bare(key) == name).map(|(_, value)| bare(value))
        };
        let needed = |name: &str| {
            value(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                format!("says no `{name}`: the console shows it under \"Password hash parameters\"")
            })
        };
        let number = |name: &str| {
            needed(name)?.parse::<u32>().map_err(|_| format!("says no whole number as `{name}`"))
        };
        if value("algorithm").is_some_and(|name| name != "SCRYPT") {
            return Err("says an `algorithm` that is not known: known is SCRYPT".to_owned());
        }
        let config = Self {
            signer_key: standard(&needed("base64_signer_key")?),
            salt_separator: standard(&value("base64_salt_separator").unwrap_or_default()),
            rounds: number("rounds")?,
            mem_cost: number("mem_cost")?,
        };
        let is_base64 = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
            text.bytes().all(allowed)
        };
        if [&config.signer_key, &config.salt_separator].iter().all(|text| is_base64(text)) {
            Ok(config)
        } else {
            Err("has a key or a separator that is not base64".to_owned())
        }
    }

    /// The hash, with all that is needed to verify it.
    fn hash(&self, salt: &str, hash: &str) -> String {
        let Self { signer_key, salt_separator, rounds, mem_cost } = self;
        format!(
            "$fbscrypt$v=1,n={mem_cost},r={rounds},p=1,ss={salt_separator},sk={signer_key}${}${}",
            standard(salt),
            standard(hash)
        )
    }
}

/// Base64 in its standard letters: the API of Firebase writes those of URLs, its command line does not.
fn standard(base64: &str) -> String {
    base64.replace('-', "+").replace('_', "/")
}

/// A user (`UserInfo` of the command line; `UserRecord` of the API names three members otherwise).
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct User {
    #[serde(alias = "uid")]
    local_id: Any,
    email: Any,
    email_verified: Count,
    password_hash: Option<String>,
    #[serde(alias = "passwordSalt")]
    salt: Option<String>,
    display_name: Any,
    disabled: Any,
    created_at: Any,
    #[serde(alias = "lastSignedInAt")]
    last_login_at: Any,
    /// Of the API: the command line writes none, whoever has a second factor.
    mfa_info: Option<Count>,
    provider_user_info: Option<Vec<Provider>>,
    custom_attributes: Count,
    phone_number: Count,
    photo_url: Count,
    #[serde(flatten)]
    others: Others,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Provider {
    provider_id: String,
}

/// What stands in exports and says nothing that is to come over.
const OF_NO_MATTER: [&str; 4] = ["lastRefreshAt", "passwordUpdatedAt", "validSince", "version"];

/// Reads the document `input` to its end, and gives `take` its users in batches, with hashes by `config`; until it wants no more.
///
/// # Errors
/// The input's; of the kind `InvalidData` if it is no export.
pub fn read_firebase(
    input: impl BufRead,
    config: &HashConfig,
    rules: ExportRules<'_>,
    take: impl FnMut(Batch) -> bool,
) -> io::Result<()> {
    let (mut batches, mut is_wanted) = (Batches::new(rules, take), true);
    let bytes = document::read_users(input, &mut None, |value, read| {
        is_wanted = batches.push(user_of::<User>(value).map(|user| exported(user, config)), read);
        is_wanted
    })?;
    if is_wanted {
        batches.flush(bytes);
    }
    Ok(())
}

fn exported(user: User, config: &HashConfig) -> Exported {
    let second_factor = SecondFactor::counted(user.mfa_info.as_ref());
    let mut of = Exported { second_factor, ..Exported::default() };
    let is_other = |provider: &&Provider| !["password", "phone"].contains(&provider.provider_id.as_str());
    let kinds = [
        ("federated_identities", user.provider_user_info.iter().flatten().filter(is_other).count()),
        ("custom_claims", usize::from(user.custom_attributes.0 > 0)),
        ("phone_numbers", user.phone_number.0),
        ("pictures", user.photo_url.0),
        ("verified_addresses", user.email_verified.0),
    ];
    of.leave(&kinds, &user.others, &OF_NO_MATTER);
    let hash = user.password_hash.filter(|hash| !hash.is_empty());
    let hash = hash.map(|hash| config.hash(user.salt.as_deref().unwrap_or_default(), &hash));
    of.record = Record {
        id: user.local_id.0,
        password_hash: hash.map_or(Field::Absent, Field::Text),
        email: user.email.0,
        display_name: user.display_name.0,
        is_active: user.disabled.opposite(),
        create_time: user.created_at.0,
        login_time: user.last_login_at.0,
        ..Record::default()
    };
    of
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That of the tests of <https://github.com/firebase/scrypt>.
    const KEY: &str =
        "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==";

    fn console() -> String {
        let key = format!("  base64_signer_key: {KEY},\n  base64_salt_separator: Bw==,\n");
        format!("hash_config {{\n  algorithm: SCRYPT,\n{key}  rounds: 8,\n  mem_cost: 14,\n}}\n")
    }

    #[test]
    fn the_parameters_are_read_as_the_console_shows_them_and_as_json() {
        let expected = format!("$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk={KEY}$42+/$l/++");
        assert_eq!(HashConfig::parse(&console()).unwrap().hash("42-_", "l_--"), expected);
        let json = serde_json::json!({
            "algorithm": "SCRYPT", "base64_signer_key": KEY, "base64_salt_separator": "Bw==", "rounds": 8, "mem_cost": 14,
        });
        assert_eq!(HashConfig::parse(&json.to_string()).unwrap().hash("42-_", "l_--"), expected);
        let indented = serde_json::to_string_pretty(&json).unwrap();
        assert_eq!(HashConfig::parse(&indented).unwrap().hash("42-_", "l_--"), expected);
    }

    #[test]
    fn what_is_missing_is_named_and_no_key_is_repeated() {
        for (from, to, problem) in [
            ("base64_signer_key", "other", "`base64_signer_key`"),
            ("rounds: 8", "rounds: many", "`rounds`"),
            ("mem_cost: 14,", "", "`mem_cost`"),
            ("SCRYPT", "HMAC_SHA256", "known is SCRYPT"),
            ("algorithm: SCRYPT", "algorithm: jxspr8", "`algorithm`"),
            ("jxspr8", "j*spr8", "not base64"),
        ] {
            let told = HashConfig::parse(&console().replace(from, to)).err().expect(problem);
            assert!(told.contains(problem) && !told.contains("spr8"), "{told}");
        }
    }
}
