//! Owns the file that a login is kept in: for this user alone, whole or not there, and changed by one command at a time.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::address::Address;
use crate::{
    base::Timestamp,
    cli::{CommandReason, Failure},
    files::{Draft, check_directory, open, remove},
    proto::identity::v1::IssueTokenResponse,
};

/// The longest such file: two tokens, and a little.
const MAX_BYTES: u64 = 64 * 1024;

/// Where the login at one service is kept.
#[derive(Debug)]
pub(super) struct LoginFile {
    path: PathBuf,
    server: String,
}

/// A login.
pub(super) struct Kept {
    pub(super) username: String,
    pub(super) access_token: Zeroizing<String>,
    /// When the access token ends; none if nothing is known of that.
    pub(super) expire_time: Option<Timestamp>,
    pub(super) refresh_token: Zeroizing<String>,
}

/// The same, as it is written.
#[derive(Deserialize, Serialize)]
struct Written<'a> {
    server: String,
    username: &'a str,
    access_token: &'a str,
    expire_time: Option<String>,
    refresh_token: &'a str,
}

impl Kept {
    /// What `granted` gives to `username` at `now`; `before` is what it was exchanged for.
    pub(super) fn of(
        granted: IssueTokenResponse,
        username: String,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Self {
        let lifetime = u64::try_from(granted.expires_in).ok().map(Duration::from_secs);
        let refresh_token = granted.refresh_token.map(Zeroizing::new);
        let refresh_token = refresh_token.or_else(|| before.map(|kept| kept.refresh_token.clone()));
        Self {
            username,
            access_token: Zeroizing::new(granted.access_token),
            expire_time: lifetime.map(|lifetime| now.after(lifetime)),
            refresh_token: refresh_token.unwrap_or_default(),
        }
    }
}

impl LoginFile {
    /// That of the login at `server`, in the user's own directory, which is made if it is not there.
    pub(super) fn of(server: &Address) -> Result<Self, Failure> {
        let dir = directory()?;
        let unusable = |error: io::Error| {
            Failure::because(CommandReason::LoginUnusable, format!("{}: {error}", dir.display()))
        };
        let mut how = DirBuilder::new();
        how.recursive(true).mode(0o700).create(&dir).map_err(unusable)?;
        if let Some(problem) = check_directory(&dir).map_err(unusable)? {
            return Err(Failure::because(CommandReason::LoginUnusable, problem));
        }
        let server = server.to_string();
        let plain = |letter: char| {
            if letter.is_ascii_alphanumeric() || ".-".contains(letter) { letter } else { '_' }
        };
        let name: String = server.chars().map(plain).collect();
        Ok(Self { path: dir.join(format!("login-{name}.json")), server })
    }

    /// What is kept; none if nobody has logged in.
    pub(super) fn read(&self) -> Result<Option<Kept>, Failure> {
        let mut file = match open(&self.path, OpenOptions::new().read(true)) {
            Ok(file) => file.take(MAX_BYTES),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unusable(&error)),
        };
        let mut text = Zeroizing::new(String::new());
        file.read_to_string(&mut text).map_err(|error| self.unusable(&error))?;
        let Ok(Written { server, username, access_token, expire_time, refresh_token }) =
            serde_json::from_str(&text)
        else {
            return Err(Failure::because(
                CommandReason::LoginUnusable,
                format!("{}: holds no login; delete it", self.path.display()),
            ));
        };
        // Names of two servers can be written alike.
        Ok((server == self.server).then(|| Kept {
            username: username.to_owned(),
            access_token: Zeroizing::new(access_token.to_owned()),
            expire_time: expire_time.and_then(|time| time.parse().ok()),
            refresh_token: Zeroizing::new(refresh_token.to_owned()),
        }))
    }

    /// Waits until no other command changes it, and keeps them waiting until what is returned is dropped.
    pub(super) fn lock(&self) -> Result<File, Failure> {
        let path = self.path.with_extension("lock");
        let locked = open(&path, OpenOptions::new().write(true).create(true)).and_then(|file| {
            file.lock()?;
            Ok(file)
        });
        locked.map_err(|error| {
            Failure::because(CommandReason::LoginUnusable, format!("{}: {error}", path.display()))
        })
    }

    /// Keeps `login` in the place of what was kept. Only who has the lock does.
    pub(super) fn write(&self, login: &Kept) -> Result<(), Failure> {
        let written = Written {
            server: self.server.clone(),
            username: &login.username,
            access_token: &login.access_token,
            expire_time: login.expire_time.map(|time| time.to_string()),
            refresh_token: &login.refresh_token,
        };
        let text = Zeroizing::new(serde_json::to_string(&written).unwrap_or_default());
        let put = Draft::of(&self.path).and_then(|mut draft| {
            draft.file().write_all(text.as_bytes())?;
            draft.put(&self.path, true)
        });
        put.map_err(|error| self.unusable(&error))
    }

    /// Forgets what is kept.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        remove(&self.path).map_err(|error| self.unusable(&error))
    }

    fn unusable(&self, error: &io::Error) -> Failure {
        Failure::because(CommandReason::LoginUnusable, format!("{}: {error}", self.path.display()))
    }
}

/// The user's own directory for what a program keeps (XDG Base Directory Specification).
fn directory() -> Result<PathBuf, Failure> {
    let of = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = of("XDG_STATE_HOME").or_else(|| of("HOME").map(|home| home.join(".local/state")));
    let state = state.ok_or_else(|| {
        Failure::because(
            CommandReason::LoginUnusable,
            "the login is kept nowhere: neither XDG_STATE_HOME nor HOME is set".to_owned(),
        )
    })?;
    // By its real name: no part of the path is a link that somebody changes meanwhile.
    Ok(fs::canonicalize(&state).unwrap_or(state).join("signet"))
}
