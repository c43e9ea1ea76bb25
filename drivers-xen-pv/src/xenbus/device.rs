//! A device's two ends.

use super::state::XenbusState;
use crate::types::DomId;
use crate::xenstore::{StoreError, Watch, XenStore};
use alloc::format;
use alloc::string::{String, ToString};
use core::any::type_name;
use core::fmt::Display;
use core::str::FromStr;

/// This guest's end of a device: its directory.
#[derive(Clone)]
pub struct Device {
    store: XenStore,
    path: String,
}

impl Device {
    /// Device `number` of a kind (`vif`, `vbd`).
    pub fn new(store: &XenStore, kind: &str, number: u32) -> Self {
        Self { store: store.clone(), path: format!("device/{kind}/{number}") }
    }

    /// Its directory.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The store it is in.
    pub fn store(&self) -> &XenStore {
        &self.store
    }

    /// Reads a key of this end.
    pub async fn read<T: FromStr>(&self, key: &str) -> Result<T, StoreError> {
        read_key(&self.store, &self.path, key).await
    }

    /// Reads a key of this end that may be absent.
    pub async fn read_optional<T: FromStr>(&self, key: &str) -> Result<Option<T>, StoreError> {
        optional(self.read(key).await)
    }

    /// Writes a key of this end.
    pub async fn write(&self, key: &str, value: impl Display) -> Result<(), StoreError> {
        self.write_in(&self.store, key, value).await
    }

    /// Writes a key of this end in a transaction.
    pub async fn write_in(
        &self,
        within: &XenStore,
        key: &str,
        value: impl Display,
    ) -> Result<(), StoreError> {
        within.write(&join(&self.path, key), &value.to_string()).await
    }

    /// Shows the other end a state. Fails with `ENOENT` if the device was removed: a write alone would make a part of it anew.
    pub async fn switch_state(&self, state: XenbusState) -> Result<(), StoreError> {
        let key = join(&self.path, "state");
        let text = state.to_string();
        self.store
            .transaction(async |store| {
                if store.read(&key).await? == text {
                    return Ok(());
                }
                store.write(&key, &text).await
            })
            .await
    }

    /// The other end, as this end's directory names it now.
    pub async fn backend(&self) -> Result<Backend, StoreError> {
        let domid: u16 = self.read("backend-id").await?;
        let path: String = self.read("backend").await?;
        if !path.starts_with('/') || domid >= DomId::SELF.0 {
            let key = join(&self.path, "backend");
            let value = format!("{path} of domain {domid}");
            return Err(StoreError::BadValue { key, value, expected: "device of a domain" });
        }
        Ok(Backend { store: self.store.clone(), domid: DomId(domid), path })
    }
}

/// The other end of a device. All that is read from it is a claim.
#[derive(Clone)]
pub struct Backend {
    store: XenStore,
    domid: DomId,
    path: String,
}

impl Backend {
    /// Its domain: the one to grant pages and open channels to.
    pub fn domid(&self) -> DomId {
        self.domid
    }

    /// Its directory.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads a key of the other end.
    pub async fn read<T: FromStr>(&self, key: &str) -> Result<T, StoreError> {
        read_key(&self.store, &self.path, key).await
    }

    /// Reads a key of the other end that may be absent.
    pub async fn read_optional<T: FromStr>(&self, key: &str) -> Result<Option<T>, StoreError> {
        optional(self.read(key).await)
    }

    /// Whether a `feature-...` key says yes: a number that is not 0.
    pub async fn has_feature(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.read_optional::<u32>(key).await?.is_some_and(|n| n != 0))
    }

    /// Its state now; [`Unknown`](XenbusState::Unknown) where it has none. Once the directory is gone XenStore answers not that
    /// there is nothing, but that this guest may not know (`EACCES`), as it may not read what lies above.
    pub async fn state(&self) -> Result<XenbusState, StoreError> {
        match self.store.read(&join(&self.path, "state")).await {
            Ok(text) => Ok(XenbusState::from_key(&text)),
            Err(StoreError::Refused(_)) => Ok(XenbusState::Unknown),
            Err(e) => Err(e),
        }
    }

    /// Its states from now on, the present one first.
    pub async fn states(&self) -> Result<BackendStates, StoreError> {
        let watch = self.store.watch(&join(&self.path, "state")).await?;
        Ok(BackendStates { backend: self.clone(), watch, last: None, look: Look::Now })
    }
}

/// The states that a backend goes through. Those that it has left again before anybody looked are not seen.
pub struct BackendStates {
    backend: Backend,
    watch: Watch,
    last: Option<XenbusState>,
    look: Look,
}

/// Whether the key has to be read. Kept outside of the future, which may be dropped between the event and the reading.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    Now,
    AtNextEvent,
}

impl BackendStates {
    /// The state: at the first call as it is, then each time it has become another one. May be dropped and called again
    /// without missing one.
    pub async fn next(&mut self) -> Result<XenbusState, StoreError> {
        loop {
            if self.look == Look::AtNextEvent {
                self.watch.changed().await?;
                self.look = Look::Now;
            }
            let state = self.backend.state().await?;
            self.look = Look::AtNextEvent;
            if self.last.replace(state) != Some(state) {
                return Ok(state);
            }
        }
    }
}

async fn read_key<T: FromStr>(store: &XenStore, directory: &str, key: &str) -> Result<T, StoreError> {
    let key = join(directory, key);
    let value = store.read(&key).await?;
    // Numbers are written with blanks around them by some tools.
    value.trim().parse().map_err(|_| StoreError::BadValue { key, value, expected: short_name::<T>() })
}

fn short_name<T>() -> &'static str {
    let name = type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}

fn optional<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Err(e) if e.is_absent() => Ok(None),
        other => other.map(Some),
    }
}

fn join(directory: &str, key: &str) -> String {
    format!("{directory}/{key}")
}
