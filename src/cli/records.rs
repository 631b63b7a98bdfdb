//! Owns what commands work on: the database, and the audit log that tells what they changed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Failure, audit, principal::own_audience};
use crate::{
    audit::Audit,
    base::Clock,
    config::Config,
    identity::{
        AccessDirectory, AccessRegistry, Administrator, AttributeRegistry, AuditTrail, ClientDirectory,
        ClientRegistry, MasterKey, NameKey, NewAccounts, Passwords, UserDirectory, UserRegistry,
        UsernameRests,
        apply::Manifests,
        guessing::{AccountAllowances, GuessSettings},
        passwords::{self, Argon2Params, PrehashKey, PrehashKeyName},
        policies::PolicyRegistry,
        users::UserPasswords,
    },
    install::{Missing, OpenDatabase, Unsealed},
    model::{Declarations, Error, NameSet, PasswordRules, SessionLifetime},
    transfer::{Export, Import, ImportSettings},
};

/// The database and the audit log, open.
pub(super) struct Records {
    database: Unsealed,
    /// None where nothing is needed that it seals.
    master_key: Option<MasterKey>,
    audit: Audit,
    /// Who runs the command.
    pub(super) operator: Administrator,
    username_rest: Duration,
    guessing: GuessSettings,
    /// The service's own audience, where `--audience` is no option of the command's own.
    own: NameSet,
}

impl Records {
    /// Opens both: the audit log first, since what cannot be recorded is not done.
    pub(super) async fn open(config: &Config, missing: Missing) -> Result<Self, Failure> {
        let audit = audit::open(config)?;
        // On the heap: every command waits for this.
        let database = Box::pin(OpenDatabase::for_command(&config.storage, missing)).await?;
        Ok(Self::of(database, audit, config))
    }

    /// The same without the master key, which may be lost, for what needs nothing that it seals.
    pub(super) async fn without_master_key<T>(
        config: &Config,
        work: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let audit = audit::open(config)?;
        let database = Box::pin(OpenDatabase::without_master_key(&config.storage)).await?;
        let records = Self::with(database, None, audit, config);
        let result = Box::pin(work(&records)).await;
        records.close().await;
        result
    }

    /// What `work` makes of both, which are closed then, whatever comes of it.
    pub(super) async fn within<T>(
        config: &Config,
        missing: Missing,
        work: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let records = Self::open(config, missing).await?;
        // On the heap: it holds what every one of its commands waits for.
        let result = Box::pin(work(&records)).await;
        records.close().await;
        result
    }

    /// The same of a database that is there, with the schema of this version, for a command that changes nothing: neither is made, nor an
    /// audit log.
    pub(super) async fn open_as_it_is(config: &Config) -> Result<Self, Failure> {
        let database = Box::pin(OpenDatabase::as_it_is(&config.storage)).await?;
        let audit = audit::none()?;
        Ok(Self::of(database, audit, config))
    }

    fn of(database: OpenDatabase, audit: Audit, config: &Config) -> Self {
        let OpenDatabase { store, master_key, description, .. } = database;
        Self::with(Unsealed { store, description }, Some(master_key), audit, config)
    }

    fn with(database: Unsealed, master_key: Option<MasterKey>, audit: Audit, config: &Config) -> Self {
        Self {
            database,
            master_key,
            audit,
            operator: Administrator::operator(),
            username_rest: config.accounts.username_rest,
            guessing: config.guessing.settings(config.session_lifetime()),
            own: NameSet::default().with([config.tokens.audience.as_str()]),
        }
    }

    /// What finds users.
    pub(super) fn user_directory(&self) -> UserDirectory {
        UserDirectory::new(self.database.store.clone())
    }

    /// What changes users.
    pub(super) fn user_registry(&self) -> UserRegistry {
        UserRegistry::new(self.database.store.clone(), Clock::system(), self.audit.clone())
    }

    /// What gives users other passwords, whose hashes cost `argon2`.
    pub(super) fn user_passwords(&self, argon2: Argon2Params) -> UserPasswords {
        UserPasswords::new(self.database.store.clone(), argon2, Clock::system(), self.audit.clone())
    }

    /// What makes users, with passwords that satisfy `rules`.
    pub(super) fn new_accounts(&self, passwords: Passwords, rules: PasswordRules) -> NewAccounts {
        let (store, audit) = (self.database.store.clone(), self.audit.clone());
        NewAccounts::new(store, Arc::new(passwords), rules, Clock::system(), audit)
    }

    /// What finds clients.
    pub(super) fn client_directory(&self) -> ClientDirectory {
        ClientDirectory::new(self.database.store.clone(), self.own.clone())
    }

    /// What registers and changes clients.
    pub(super) fn client_registry(&self) -> ClientRegistry {
        let (store, audit) = (self.database.store.clone(), self.audit.clone());
        ClientRegistry::new(store, Clock::system(), audit, self.own.clone())
    }

    /// What finds roles, groups, bindings and audiences.
    pub(super) fn access_directory(&self) -> AccessDirectory {
        AccessDirectory::new(self.database.store.clone(), own_audience())
    }

    /// What makes and changes roles, groups and bindings.
    pub(super) fn access_registry(&self) -> AccessRegistry {
        let (store, audit) = (self.database.store.clone(), self.audit.clone());
        AccessRegistry::new(store, Clock::system(), audit, own_audience())
    }

    /// What declares attributes of users.
    pub(super) fn attribute_registry(&self) -> AttributeRegistry {
        AttributeRegistry::new(self.database.store.clone(), Clock::system(), self.audit.clone())
    }

    /// What keeps policies, and changes what they do.
    pub(super) fn policy_registry(&self) -> PolicyRegistry {
        let (store, audit) = (self.database.store.clone(), self.audit.clone());
        PolicyRegistry::new(store, Clock::system(), audit, self.own.clone())
    }

    /// What makes manifests true.
    pub(super) fn manifests(&self) -> Manifests {
        let (store, audit) = (self.database.store.clone(), self.audit.clone());
        Manifests::new(store, Clock::system(), audit, self.own.clone())
    }

    /// What lists the audit events.
    pub(super) fn audit_trail(&self) -> Box<AuditTrail> {
        let outbox = self.audit.outbox().cloned();
        Box::new(AuditTrail::of_command(self.database.store.clone(), outbox))
    }

    /// An import of users that begins.
    ///
    /// # Errors
    /// If there is no room for a temporary file.
    pub(super) async fn import(&self, settings: ImportSettings) -> Result<Import<'_>, Error> {
        let store = self.database.store.clone();
        Import::begin(store, settings, Clock::system(), &self.audit, self.operator.actor()).await
    }

    /// Which attributes users may have.
    pub(super) async fn declarations(&self) -> Result<Arc<Declarations>, Error> {
        self.database.store.declarations().await.map(Arc::new)
    }

    /// The names of the keys of prehashes.
    pub(super) async fn prehash_key_names(&self) -> Result<BTreeSet<PrehashKeyName>, Error> {
        passwords::prehash_key_names(&self.database.store).await
    }

    /// The key of prehashes that is called `name`.
    pub(super) async fn prehash_key(&self, name: &PrehashKeyName) -> Result<Option<PrehashKey>, Error> {
        passwords::open_prehash_key(&self.database.store, self.master_key()?, name).await
    }

    /// Adds a key of prehashes, where none has its name; false if one has.
    pub(super) async fn add_prehash_key(
        &self,
        name: &PrehashKeyName,
        key: &PrehashKey,
    ) -> Result<bool, Error> {
        passwords::add_prehash_key(&self.database.store, self.master_key()?, name, key).await
    }

    /// Removes a key of prehashes that no user's hash names.
    pub(super) async fn remove_unneeded_prehash_key(&self, name: &PrehashKeyName) -> Result<(), Error> {
        passwords::remove_unneeded_prehash_key(&self.database.store, name).await
    }

    /// An export of all users that begins.
    pub(super) fn export(&self) -> Export<'_> {
        Export::begin(self.database.store.clone(), &self.audit, self.operator.actor())
    }

    /// How the names of deleted users rest.
    ///
    /// # Errors
    /// If the master key is not the one of the service: names that it marked would not rest there.
    pub(super) async fn rests(&self) -> Result<UsernameRests, Failure> {
        if self.username_rest.is_zero() {
            return Ok(UsernameRests::OFF);
        }
        Ok(UsernameRests::new(self.names().await?, self.username_rest))
    }

    /// How long sessions live.
    pub(super) const fn lifetime(&self) -> SessionLifetime {
        self.guessing.sessions
    }

    /// What is left of accounts' allowances of failed passwords.
    ///
    /// # Errors
    /// If the master key is not the one of the service, under which their names are kept.
    pub(super) async fn allowances(&self) -> Result<AccountAllowances, Failure> {
        let names = self.names().await?;
        Ok(AccountAllowances::new(self.database.store.clone(), &self.guessing, names, Clock::system()))
    }

    /// The key under which names are kept that nobody has.
    async fn names(&self) -> Result<NameKey, Error> {
        NameKey::open_or_add(&self.database.store, self.master_key()?).await
    }

    fn master_key(&self) -> Result<&MasterKey, Error> {
        let needed = || Error::internal("the master key is needed, and was not asked for");
        self.master_key.as_ref().ok_or_else(needed)
    }

    /// Closes both, when everything is written.
    pub(super) async fn close(self) {
        audit::flush(&self.audit).await;
        let trail = self.audit_trail();
        // On the heap: every command ends with this.
        audit::tell(Box::pin(audit::keep(&trail)).await);
        self.database.store.close().await;
    }
}
