//! The account of a resolver with its CA: found in the storage, or made and registered when it is first needed.

use super::AcmeError;
use super::client::{Account, Client};
use super::http::HttpClient;
use super::keys::AccountKey;
use super::storage::{Storage, StoredAccount};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::Instant;
use torana_config::install::{AcmeConfig, EabConfig};

pub(super) struct Accounts {
    resolver: Arc<str>,
    /// URL of the directory.
    ca: String,
    email: String,
    eab: Option<EabConfig>,
    http: Arc<HttpClient>,
    storage: Arc<dyn Storage>,
    slot: Mutex<AccountSlot>,
}

#[derive(Default)]
struct AccountSlot {
    stored: Option<StoredAccount>,
    /// Address of the account that the storage has, as far as we know.
    over: String,
    client: Option<Arc<Client>>,
    account: Option<Account>,
    /// What those are told who waited for the same attempt.
    failed: Option<(Instant, AcmeError)>,
}

impl Accounts {
    pub(super) fn new(
        resolver: Arc<str>,
        config: &AcmeConfig,
        http: HttpClient,
        storage: Arc<dyn Storage>,
        stored: Option<StoredAccount>,
    ) -> Self {
        Accounts {
            resolver,
            ca: config.ca_server.clone(),
            email: config.email.clone(),
            eab: config.eab.clone(),
            http: Arc::new(http),
            storage,
            slot: Mutex::new(AccountSlot { over: uri(stored.as_ref()), stored, ..AccountSlot::default() }),
        }
    }

    /// The CA.
    pub(super) async fn client(&self) -> Result<Arc<Client>, AcmeError> {
        let asked = Instant::now();
        let mut slot = self.slot.lock().await;
        self.discover(&mut slot, asked).await
    }

    /// The CA's directory, read once; whoever waited while it failed is told the same.
    async fn discover(&self, slot: &mut AccountSlot, asked: Instant) -> Result<Arc<Client>, AcmeError> {
        if let Some(client) = &slot.client {
            return Ok(Arc::clone(client));
        }
        if let Some((at, e)) = &slot.failed
            && *at >= asked
        {
            return Err(e.clone());
        }
        match Client::discover(Arc::clone(&self.http), &self.ca).await {
            Ok(client) => Ok(Arc::clone(slot.client.insert(client))),
            Err(e) => {
                let e = e.during(format_args!("the CA's directory `{}`", self.ca));
                slot.failed = Some((Instant::now(), e.clone()));
                Err(e)
            }
        }
    }

    /// The account, made and registered when there is none.
    pub(super) async fn account(&self) -> Result<Account, AcmeError> {
        let asked = Instant::now();
        let mut slot = self.slot.lock().await;
        if let Some(account) = &slot.account {
            return Ok(account.clone());
        }
        let client = self.discover(&mut slot, asked).await?;
        if let Some((at, e)) = &slot.failed
            && *at >= asked
        {
            return Err(e.clone());
        }
        match self.register(&mut slot, client).await {
            Ok(account) => Ok(slot.account.insert(account).clone()),
            Err(e) => {
                let e = e.during("the account");
                slot.failed = Some((Instant::now(), e.clone()));
                Err(e)
            }
        }
    }

    async fn register(&self, slot: &mut AccountSlot, client: Arc<Client>) -> Result<Account, AcmeError> {
        if slot.stored.is_none() {
            // another gateway may have made one meanwhile
            let (storage, name) = (Arc::clone(&self.storage), Arc::clone(&self.resolver));
            slot.stored = blocking(move || storage.load(&name)).await?.account;
            slot.over = uri(slot.stored.as_ref());
        }
        if let Some(stored) = &slot.stored
            && !stored.uri.is_empty()
            && host(&stored.uri) != host(&self.ca)
        {
            tracing::warn!(resolver = %self.resolver, account = stored.uri, "the stored account is one of another CA: a new one is made");
            slot.stored = None;
        }
        let key = match &slot.stored {
            Some(stored) => AccountKey::from_der(&stored.key)?,
            None => blocking(AccountKey::generate).await?,
        };
        let key = Arc::new(key);
        if let Some(stored) = slot.stored.as_ref().filter(|s| !s.uri.is_empty()) {
            return Ok(Account { client, key, uri: stored.uri.clone() });
        }
        let email = slot.stored.as_ref().map_or(&self.email, |s| &s.email).clone();
        let eab = self.eab.as_ref().filter(|e| !e.kid.is_empty()).map(|e| (e.kid.as_str(), e.hmac_encoded.expose()));
        tracing::info!(resolver = %self.resolver, ca = self.ca, "registering an account");
        let registration = client.register(&key, &email, eab).await?;
        let stored = StoredAccount { email, uri: registration.uri.clone(), body: registration.body, key: key.der().to_vec() };
        let (storage, name, new, over) = (Arc::clone(&self.storage), Arc::clone(&self.resolver), stored.clone(), slot.over.clone());
        let now = blocking(move || storage.put_account(&name, &new, &over)).await.unwrap_or_else(|e| {
            tracing::error!(resolver = %self.resolver, error = %e, "the account could not be stored");
            stored
        });
        slot.over = now.uri.clone();
        let account = Account { client, key: Arc::new(AccountKey::from_der(&now.key)?), uri: now.uri.clone() };
        slot.stored = Some(now);
        Ok(account)
    }

    /// Begins anew with the CA; `registration` too.
    pub(super) async fn forget(&self, account: &Account, registration: bool) {
        let mut slot = self.slot.lock().await;
        // another order may have done so already
        if slot.account.as_ref().is_some_and(|a| a.uri == account.uri && Arc::ptr_eq(&a.client, &account.client)) {
            (slot.account, slot.client) = (None, None);
            if let Some(stored) = slot.stored.as_mut().filter(|_| registration) {
                stored.uri.clear();
            }
        }
    }
}

fn uri(account: Option<&StoredAccount>) -> String {
    account.map(|a| a.uri.clone()).unwrap_or_default()
}

fn host(url: &str) -> Option<String> {
    url.parse::<http::Uri>().ok()?.authority().map(|a| a.as_str().to_lowercase())
}

/// Runs what computes or touches files where it holds up nobody.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, AcmeError> + Send + 'static) -> Result<T, AcmeError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| AcmeError::local(e.to_string()))?
}
