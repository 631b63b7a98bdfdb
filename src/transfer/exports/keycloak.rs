//! Owns the users of Keycloak, as `kc.sh export` writes them: in one file with their realm, or in files of some users each.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Any, Batches, Count, ExportRules, Exported, Grants, Others, Realm, RealmRole, SecondFactor, document,
    full_name, user_of,
};
use crate::transfer::{Batch, Field, Record};

/// A user (`UserRepresentation`).
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct User {
    id: Any,
    username: Any,
    email: Any,
    first_name: Option<String>,
    last_name: Option<String>,
    enabled: Any,
    created_timestamp: Any,
    email_verified: Count,
    /// Of releases that had no `credentials` in exports of second factors.
    totp: Count,
    credentials: Option<Vec<Credential>>,
    federated_identities: Count,
    federation_link: Count,
    service_account_client_id: Count,
    attributes: Count,
    required_actions: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    realm_roles: Option<Vec<String>>,
    client_roles: Option<BTreeMap<String, Vec<String>>>,
    client_consents: Count,
    #[serde(flatten)]
    others: Others,
}

/// What a user logs in with (`CredentialRepresentation`): in the form of today, or of before release 8.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the export calls them so")]
struct Credential {
    #[serde(rename = "type")]
    kind: String,
    /// JSON in texts.
    credential_data: Option<String>,
    secret_data: Option<String>,
    hashed_salted_value: Option<String>,
    salt: Option<String>,
    hash_iterations: Option<u32>,
    algorithm: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CredentialData {
    hash_iterations: u32,
    algorithm: String,
    additional_parameters: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SecretData {
    value: String,
    salt: Option<String>,
}

/// Credentials that are a password. Any other, of an extension too, may be one without which nobody logs in there who has it.
const PASSWORDS: [&str; 2] = ["password", "password-history"];

/// What users may be asked for at their next login that is no second factor. Anything else may have them set one up.
const HARMLESS_ACTIONS: [&str; 8] = [
    "VERIFY_EMAIL",
    "UPDATE_EMAIL",
    "UPDATE_PROFILE",
    "VERIFY_PROFILE",
    "TERMS_AND_CONDITIONS",
    "terms_and_conditions",
    "update_user_locale",
    NEW_PASSWORD,
];

/// That of users whose password is a temporary one, which an administrator has chosen, or is too old.
const NEW_PASSWORD: &str = "UPDATE_PASSWORD";

/// What stands in exports and says nothing that is to come over.
const OF_NO_MATTER: [&str; 4] = ["notBefore", "disableableCredentialTypes", "access", "origin"];

/// The files of `directory` that hold users, in their order: those of one realm, `NAME-users-0.json` and on, or that of the realm itself,
/// where it has them.
///
/// # Errors
/// Those of reading the directory; of the kind `NotFound` if it holds no such file, `InvalidData` if they are of several realms.
pub fn keycloak_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut users, mut realms, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for entry in directory.read_dir()? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(name) = name.strip_suffix(".json") else { continue };
        if let Some((realm, number)) = name.rsplit_once("-users-")
            && let Ok(number) = number.parse::<u64>()
        {
            names.insert(realm.to_owned());
            users.push((number, path));
        } else if let Some(realm) = name.strip_suffix("-realm") {
            names.insert(realm.to_owned());
            realms.push(path);
        }
    }
    if names.len() > 1 {
        let problem = document::several_realms(names.iter().map(String::as_str));
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    users.sort();
    let files: Vec<_> = users.into_iter().map(|(_, path)| path).collect();
    files.iter().chain(&realms).try_for_each(|file| check_is_file(file))?;
    match (files.is_empty(), realms.is_empty()) {
        (false, _) => Ok(files),
        (true, false) => Ok(realms),
        (true, true) => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "there is no `REALM-users-0.json` and no `REALM-realm.json` in it",
        )),
    }
}

/// The roles and groups of the realm in the file `path`, or in the directory, which must hold one realm.
///
/// # Errors
/// Those of reading it; of the kind `InvalidData` if it is no realm, or more than one.
pub fn keycloak_realm(path: &Path) -> io::Result<Realm> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries: io::Result<Vec<_>> =
            path.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect();
        let is_realm = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with("-realm.json"));
        files = entries?.into_iter().filter(is_realm).collect();
    }
    let [file] = files.as_slice() else {
        let problem = format!("there are {} files `REALM-realm.json` in it, and not one", files.len());
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    };
    let opened = check_is_file(file).and_then(|()| File::open(file));
    let read = opened.and_then(|file| Realm::read(BufReader::new(file)));
    // Of a directory it is not known yet which of its files this is.
    read.map_err(|error| if file == path { error } else { of_file(file, &error) })
}

/// Refuses what is no file: a pipe of that name may have nobody at its other end.
fn check_is_file(path: &Path) -> io::Result<()> {
    if path.metadata().map_err(|error| of_file(path, &error))?.is_file() {
        return Ok(());
    }
    let problem = io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file");
    Err(of_file(path, &problem))
}

/// `error` with the `file` that it is of.
fn of_file(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

/// Reads the documents `inputs` to their end, one after the other, and gives `take` their users in batches; until it wants no more. Each
/// has the file that it is of, if there are several.
///
/// # Errors
/// The inputs', with the file; of the kind `InvalidData` if one is no export, or not of the realm of those before.
pub fn read_keycloak<I: BufRead>(
    inputs: impl IntoIterator<Item = (Option<PathBuf>, io::Result<I>)>,
    rules: ExportRules<'_>,
    take: impl FnMut(Batch) -> bool,
) -> io::Result<()> {
    let mut batches = Batches::new(rules, take);
    let (mut bytes, mut is_wanted, mut realm) = (0, true, None);
    for (file, input) in inputs {
        let named = |error| match file.as_deref() {
            Some(file) => of_file(file, &error),
            None => error,
        };
        batches.begin_file(file.as_deref());
        let take = |value, read| {
            is_wanted = match user_of::<User>(value) {
                // What a client does in its own name, it does here too: it is no user.
                Ok(user) if user.service_account_client_id.0 > 0 => {
                    batches.count("service_accounts");
                    true
                }
                user => batches.push(user.map(exported), bytes + read),
            };
            is_wanted
        };
        bytes += input.and_then(|input| document::read_users(input, &mut realm, take)).map_err(named)?;
        if !is_wanted {
            return Ok(());
        }
    }
    batches.flush(bytes);
    Ok(())
}

fn exported(user: User) -> Exported {
    let credentials = user.credentials.unwrap_or_default();
    let actions = user.required_actions.unwrap_or_default();
    let has_second_factor = user.totp.0 > 0
        || credentials.iter().any(|credential| !PASSWORDS.contains(&credential.kind.as_str()))
        || actions.iter().any(|action| !HARMLESS_ACTIONS.contains(&action.as_str()));
    let mut of = Exported {
        second_factor: if has_second_factor { SecondFactor::Has } else { SecondFactor::None },
        is_password_temporary: actions.iter().any(|action| action == NEW_PASSWORD),
        ..Exported::default()
    };
    let of_kind = |kind: &'static str| credentials.iter().filter(move |credential| credential.kind == kind);
    let password = of_kind("password").next();
    let kinds = [
        ("other_credentials", of_kind("password-history").count()),
        ("attributes", user.attributes.0),
        ("federated_identities", user.federated_identities.0 + user.federation_link.0),
        ("required_actions", actions.len()),
        ("consents", user.client_consents.0),
        ("verified_addresses", user.email_verified.0),
    ];
    of.leave(&kinds, &user.others, &OF_NO_MATTER);
    of.grants = Grants {
        groups: user.groups.unwrap_or_default(),
        roles: RealmRole::all(user.realm_roles.unwrap_or_default(), user.client_roles.unwrap_or_default()),
    };
    of.record = Record {
        id: user.id.0,
        username: user.username.0,
        password_hash: password.map_or(Field::Absent, |password| Field::Text(hash(password))),
        email: user.email.0,
        display_name: full_name(user.first_name, user.last_name),
        is_active: user.enabled.0,
        create_time: user.created_timestamp.0,
        ..Record::default()
    };
    of
}

/// The hash as others write it: a PHC string. What has no such form has one that is not known.
fn hash(credential: &Credential) -> String {
    let json = |text: &Option<String>| text.as_deref().unwrap_or("{}").to_owned();
    let data: CredentialData = serde_json::from_str(&json(&credential.credential_data)).unwrap_or_default();
    let secret: SecretData = serde_json::from_str(&json(&credential.secret_data)).unwrap_or_default();
    let algorithm = credential.algorithm.clone().unwrap_or(data.algorithm);
    let rounds = credential.hash_iterations.unwrap_or(data.hash_iterations);
    let salt = unpadded(&credential.salt.clone().or(secret.salt).unwrap_or_default());
    let value = credential.hashed_salted_value.clone().unwrap_or(secret.value);
    match algorithm.as_str() {
        "pbkdf2" | "pbkdf2-sha1" => format!("$pbkdf2${rounds}${salt}${}", unpadded(&value)),
        "pbkdf2-sha256" | "pbkdf2-sha512" => format!("${algorithm}${rounds}${salt}${}", unpadded(&value)),
        "argon2" => {
            // Each parameter is a list of one text.
            let parameter =
                |name: &str| data.additional_parameters[name][0].as_str().unwrap_or_default().to_owned();
            let version = if parameter("version") == "1.0" { 16 } else { 19 };
            format!(
                "$argon2{}$v={version}$m={},t={rounds},p={}${salt}${}",
                parameter("type"),
                parameter("memory"),
                parameter("parallelism"),
                unpadded(&value)
            )
        }
        // What extensions write, such as bcrypt, is a hash by itself.
        _ => value,
    }
}

fn unpadded(base64: &str) -> String {
    base64.trim_end_matches('=').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hash_of(credential: &Value) -> String {
        hash(&serde_json::from_value(credential.clone()).unwrap())
    }

    fn credential(data: &Value, secret: &Value) -> Value {
        json!({ "type": "password", "credentialData": data.to_string(), "secretData": secret.to_string() })
    }

    #[test]
    fn credentials_of_all_releases_become_phc_strings() {
        let parameters = json!({
            "hashLength": ["32"], "memory": ["7168"], "type": ["id"], "version": ["1.3"], "parallelism": ["1"],
        });
        let argon2 =
            json!({ "hashIterations": 5, "algorithm": "argon2", "additionalParameters": parameters });
        let pbkdf2 =
            json!({ "hashIterations": 27_500, "algorithm": "pbkdf2-sha256", "additionalParameters": {} });
        let old = json!({
            "type": "password", "hashedSaltedValue": "AQI=", "salt": "BA==", "hashIterations": 20_000, "algorithm": "pbkdf2",
        });
        for (credential, expected) in [
            (
                credential(
                    &pbkdf2,
                    &json!({ "value": "AQID", "salt": "BAUGBw==", "additionalParameters": {} }),
                ),
                "$pbkdf2-sha256$27500$BAUGBw$AQID",
            ),
            (
                credential(&argon2, &json!({ "value": "AQI=", "salt": "BA==" })),
                "$argon2id$v=19$m=7168,t=5,p=1$BA$AQI",
            ),
            (old, "$pbkdf2$20000$BA$AQI"),
            (credential(&json!({ "algorithm": "bcrypt" }), &json!({ "value": "$2a$10$x" })), "$2a$10$x"),
            (json!({ "type": "password" }), ""),
        ] {
            assert_eq!(hash_of(&credential), expected);
        }
    }
}
