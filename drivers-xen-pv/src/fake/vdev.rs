//! What a fake back end and its toolstack do in XenStore, whatever device it is.

use super::FakeXenstored;
use crate::types::DomId;
use crate::xenbus::XenbusState;
use std::rc::Rc;

/// The two directories of a device. Both fakes deref to it.
pub struct Vdev {
    store: Rc<FakeXenstored>,
    pub(super) domain: DomId,
    front: String,
    back: String,
}

impl Vdev {
    /// Those of device `number` of a kind (`vif`, `vbd`), with its back end in `domain`; neither is there yet.
    pub(super) fn new(store: &Rc<FakeXenstored>, domain: DomId, kind: &str, number: u32) -> Self {
        let front = format!("device/{kind}/{number}");
        let back = format!("/local/domain/{domain}/backend/{kind}/5/{number}");
        Self { store: store.clone(), domain, front, back }
    }

    /// Makes both, with the keys of the front end's that this kind of device has.
    pub(super) fn make(&self, keys: &[(&str, &str)]) {
        self.set_back_key("online", "1");
        self.set_back_key("state", "1");
        self.set_front_key("backend-id", &self.domain.to_string());
        keys.iter().for_each(|(key, value)| self.set_front_key(key, value));
        self.set_front_key("state", "1");
        self.set_front_key("backend", &self.back);
    }

    /// The first half of `xl block-detach` and its like: asks the front end to let go.
    pub fn unplug(&self) {
        self.set_back_key("online", "0");
        self.show_state(XenbusState::Closing);
    }

    /// The second half, but for what the back end has mapped.
    pub(super) fn rm(&self) {
        self.store.rm(&self.front);
        self.store.rm(&self.back);
    }

    /// Shows the front end a state.
    pub fn show_state(&self, state: XenbusState) {
        self.set_back_key("state", &state.to_string());
    }

    /// The back end's own state.
    pub fn state(&self) -> XenbusState {
        state_of(self.back_key("state"))
    }

    /// The state that the front end shows.
    pub fn front_state(&self) -> XenbusState {
        state_of(self.front_key("state"))
    }

    /// A key that the front end wrote.
    pub fn front_key(&self, key: &str) -> Option<String> {
        self.store.read(&format!("{}/{key}", self.front))
    }

    /// A key of the back end's.
    pub(super) fn back_key(&self, key: &str) -> Option<String> {
        self.store.read(&format!("{}/{key}", self.back))
    }

    /// Writes a key of the front end's directory, as the toolstack.
    pub fn set_front_key(&self, key: &str, value: &str) {
        self.store.write(&format!("{}/{key}", self.front), value);
    }

    /// Writes a key of the back end's directory.
    pub fn set_back_key(&self, key: &str, value: &str) {
        self.store.write(&format!("{}/{key}", self.back), value);
    }

    /// Whether the toolstack keeps the device attached.
    pub(super) fn is_online(&self) -> bool {
        self.back_key("online").as_deref() == Some("1")
    }
}

fn state_of(text: Option<String>) -> XenbusState {
    text.map_or(XenbusState::Unknown, |text| XenbusState::from_key(&text))
}
