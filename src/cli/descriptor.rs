//! Owns `signet descriptor`.

use std::io::{self, Write};

use base64ct::{Base64, Encoding};
use serde_json::json;

use super::{CommandReason, Failure, Output};
use crate::server;

/// Writes the API's descriptor set to standard output: as it is, or in Base64 as a member of a JSON object.
pub(super) fn run(json: bool, output: Output) -> Result<(), Failure> {
    let set = server::descriptor_set()?;
    if json {
        return output.answer("", &json!({ "descriptor_set": Base64::encode_string(&set) }));
    }
    let mut stdout = io::stdout().lock();
    // Half a set would be taken for all of it, so also a reader that has gone is a failure here.
    let written = stdout.write_all(&set).and_then(|()| stdout.flush());
    written.map_err(|error| {
        Failure::because(CommandReason::FileUnusable, format!("the answer cannot be written: {error}"))
    })
}
