//! A device's two ends.

use super::read::{FromText, HasFeature, Numbers, Read, ReadOptional};
use super::state::XenbusState;
use crate::types::DomId;
use crate::xenstore::{Changes, Done, Later, StoreError, Watch, Watching, XenStore};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Display;
use core::future::Future;

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

    /// Reads a key of this end. The request is on its way before it is awaited, as all of this module are that are no
    /// `async fn`.
    pub fn read<T: FromText>(&self, key: &str) -> Read<T> {
        Read::new(&self.store, join(&self.path, key))
    }

    /// Reads a key of this end that may be absent.
    pub fn read_optional<T: FromText>(&self, key: &str) -> ReadOptional<T> {
        ReadOptional(self.read(key))
    }

    /// Writes a key of this end.
    pub fn write(&self, key: &str, value: impl Display) -> Done {
        self.write_in(&self.store, key, value)
    }

    /// Writes a key of this end in a transaction.
    pub fn write_in(&self, within: &XenStore, key: &str, value: impl Display) -> Done {
        within.write(&join(&self.path, key), &value.to_string())
    }

    /// Shows the other end a state. Fails with `ENOENT` if the device was removed: a write alone would make a part of it anew.
    pub async fn switch_state(&self, state: XenbusState) -> Result<(), StoreError> {
        self.publish(&Keys::default(), Some(state)).await
    }

    /// Changes keys of this end in one transaction, in which it may show a state too, as [`switch_state`](Self::switch_state) does.
    pub async fn publish(&self, keys: &Keys, state: Option<XenbusState>) -> Result<(), StoreError> {
        let publish = |store: XenStore| -> Later<'_, ()> {
            Box::pin(async move {
                let mut changes = Changes::default();
                for (key, value) in &keys.0 {
                    let path = join(&self.path, key);
                    changes.add(match value {
                        Some(value) => store.write(&path, value),
                        None => store.rm(&path),
                    });
                }
                let shown = state.map(|state| self.switch_state_in(&store, state));
                changes.done().await?;
                match shown {
                    Some(shown) => shown.await,
                    None => Ok(()),
                }
            })
        };
        self.store.transact(&publish).await
    }

    /// The same as a part of a transaction.
    pub fn switch_state_in(
        &self,
        within: &XenStore,
        state: XenbusState,
    ) -> impl Future<Output = Result<(), StoreError>> + use<> {
        let seen = Read::<String>::new(within, join(&self.path, "state"));
        // Taken back with the transaction where there was no state.
        let written = self.write_in(within, "state", state);
        async {
            seen.await?;
            written.await
        }
    }

    /// This end's state as XenStore has it.
    pub fn state(&self) -> impl Future<Output = Result<XenbusState, StoreError>> + use<> {
        let text = self.read::<String>("state");
        async { Ok(XenbusState::from_key(&text.await?)) }
    }

    /// Watches for another back end, or for the device to be gone. Not the directory, to which this end itself writes: each
    /// write would be told as a change.
    pub fn watch_backend(&self) -> Watching {
        self.store.watch(&join(&self.path, "backend"))
    }

    /// The other end, as this end's directory names it now.
    pub async fn backend(&self) -> Result<Backend, StoreError> {
        let (domid, path) = (self.read::<u32>("backend-id"), self.read::<String>("backend"));
        let (domid, path) = (domid.await?, path.await?);
        let another =
            u16::try_from(domid).ok().filter(|domid| *domid < DomId::SELF.0 && path.starts_with('/'));
        let Some(another) = another else {
            let key = join(&self.path, "backend");
            let value = format!("{path} of domain {domid}");
            return Err(StoreError::bad_value(key, value, "device of a domain"));
        };
        Ok(Backend { store: self.store.clone(), domid: DomId(another), path })
    }
}

/// Keys of this end of a device with what they are to hold; `None` are those to be removed, which an earlier connection may have
/// left.
#[derive(Debug, Default)]
pub struct Keys(Vec<(String, Option<String>)>);

impl Keys {
    /// A key with a number, its directory before it.
    pub fn add(&mut self, place: &str, key: &str, value: Option<u32>) {
        self.0.push((String::from(place) + key, value.map(|value| value.to_string())));
    }

    /// A key with a text.
    pub fn add_text(&mut self, key: &str, value: &str) {
        self.0.push((key.into(), Some(value.into())));
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
    pub fn read<T: FromText>(&self, key: &str) -> Read<T> {
        Read::new(&self.store, join(&self.path, key))
    }

    /// Reads a key of the other end that may be absent.
    pub fn read_optional<T: FromText>(&self, key: &str) -> ReadOptional<T> {
        ReadOptional(self.read(key))
    }

    /// Reads several keys of the other end, all of them on their way before it is awaited; `None` is for those that are absent.
    pub fn numbers(&self, keys: &[&str]) -> Numbers {
        Numbers::new(keys.iter().map(|key| self.read_optional(key)).collect())
    }

    /// Whether a `feature-...` key says yes: a number that is not 0.
    pub fn has_feature(&self, key: &str) -> HasFeature {
        HasFeature(self.read_optional(key))
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
        // The event that each watch begins with is the first reason to look.
        Ok(BackendStates { backend: self.clone(), watch, last: None, look: Look::AtNextEvent })
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

#[inline(never)]
fn join(directory: &str, key: &str) -> String {
    format!("{directory}/{key}")
}
