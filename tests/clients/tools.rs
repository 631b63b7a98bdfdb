//! Owns where the clients are.

use std::{path::PathBuf, process::Output};

use crate::support::program::{directory, find};

/// grpcurl: what `SIGNET_TEST_GRPCURL` names, or else the one on the `PATH`.
pub(crate) fn grpcurl() -> PathBuf {
    find("SIGNET_TEST_GRPCURL", "grpcurl")
}

/// buf: what `SIGNET_TEST_BUF` names, or else the one on the `PATH`.
pub(crate) fn buf() -> PathBuf {
    find("SIGNET_TEST_BUF", "buf")
}

/// promtool: what `SIGNET_TEST_PROMTOOL` names, or else the one on the `PATH`.
pub(crate) fn promtool() -> PathBuf {
    find("SIGNET_TEST_PROMTOOL", "promtool")
}

/// Prometheus: what `SIGNET_TEST_PROMETHEUS` names, or else the one on the `PATH`.
pub(crate) fn prometheus() -> PathBuf {
    find("SIGNET_TEST_PROMETHEUS", "prometheus")
}

/// What the dashboard is made with, and Node.js: what `SIGNET_TEST_DASHBOARD_BUILDER` names.
pub(crate) fn dashboard_builder() -> PathBuf {
    directory("SIGNET_TEST_DASHBOARD_BUILDER")
}

/// Chromium: what `SIGNET_TEST_CHROMIUM` names, or else the one on the `PATH`.
pub(crate) fn chromium() -> PathBuf {
    find("SIGNET_TEST_CHROMIUM", "chromium")
}

/// The Python environment of the OAuth libraries: what `SIGNET_TEST_OAUTH_CLIENTS` names.
pub(crate) fn oauth_clients() -> PathBuf {
    directory("SIGNET_TEST_OAUTH_CLIENTS")
}

/// The libraries of Connect in Python, Node.js and Go: what `SIGNET_TEST_CONNECT_CLIENTS` names.
pub(crate) fn connect_clients() -> PathBuf {
    directory("SIGNET_TEST_CONNECT_CLIENTS")
}

/// What a web page is built with, and Node.js: what `SIGNET_TEST_WEB_CLIENT` names.
pub(crate) fn web_client() -> PathBuf {
    directory("SIGNET_TEST_WEB_CLIENT")
}

/// What drives the explorer and reads its document, and Node.js: what `SIGNET_TEST_EXPLORER_CLIENT` names.
pub(crate) fn explorer_client() -> PathBuf {
    directory("SIGNET_TEST_EXPLORER_CLIENT")
}

/// The Python environment of a hand-written service: what `SIGNET_TEST_OLD_SERVICE` names.
pub(crate) fn old_service() -> PathBuf {
    directory("SIGNET_TEST_OLD_SERVICE")
}

/// What other systems hash passwords with, in Python and Node.js: what `SIGNET_TEST_OTHER_HASHES` names.
pub(crate) fn other_hashes() -> PathBuf {
    directory("SIGNET_TEST_OTHER_HASHES")
}

/// What a program wrote to `stdout` and `stderr`, as text.
pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("clients write UTF-8");
    (text(&output.stdout), text(&output.stderr))
}
