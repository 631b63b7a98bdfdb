//! Owns the users that a database is filled with: `signet users import` takes them from a file.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64Unpadded, Encoding};

use crate::{Result, client::PASSWORD, process::Program};

/// Argon2id's least memory (KiB), passes and lanes that Signet takes: a login costs what it costs without the hash, and some microseconds.
pub(crate) const CHEAPEST: [&str; 4] =
    ["--argon2-memory-kib=8", "--argon2-iterations=1", "--argon2-parallelism=1", "--argon2-below-owasp"];

/// The name of the user `number`.
pub(crate) fn name(number: usize) -> String {
    format!("user-{number:09}")
}

/// Writes `count` users into the file `path`, as NDJSON. All have the same password.
pub(crate) fn write(path: &Path, count: usize) -> Result<()> {
    let hash = password_hash()?;
    let mut file = BufWriter::new(File::create(path)?);
    for number in 0..count {
        let name = name(number);
        writeln!(
            file,
            r#"{{"username":"{name}","email":"{name}@example.com","display_name":"Alice Example","password_hash":"{hash}","is_active":true}}"#
        )?;
    }
    Ok(file.flush()?)
}

/// The hash of the password that the benchmark's clients know.
fn password_hash() -> Result<String> {
    const SALT: &[u8] = b"0123456789abcdef";
    let params = Params::new(8, 1, 1, None).map_err(|error| error.to_string())?;
    let mut hash = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(PASSWORD.as_bytes(), SALT, &mut hash)
        .map_err(|error| error.to_string())?;
    let [salt, hash] = [SALT, &hash].map(Base64Unpadded::encode_string);
    Ok(format!("$argon2id$v=19$m=8,t=1,p=1${salt}${hash}"))
}

/// Has `signet` import the file `path` of `count` users, and returns how many rows it took a second.
pub(crate) fn import(signet: &Program, path: &Path, count: usize) -> Result<f64> {
    let imported = signet.run(&["users", "import", &path.display().to_string()])?;
    if imported["added"] != count {
        return Err(format!("of {count} users: {imported}").into());
    }
    Ok(imported["rows_per_second"].as_f64().ok_or("the import does not say how fast it was")?)
}
