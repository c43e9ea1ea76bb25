//! Sessions that may be resumed, kept in memory: the oldest give way.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::server::StoresServerSessions;
use spin::Mutex;
use zeroize::Zeroizing;

/// Tickets that are kept of one server.
const TICKETS: usize = 4;

/// A session: it has secrets.
type Secret = Zeroizing<Vec<u8>>;

/// Of a server: what it needs of a session, by its number.
pub(crate) struct ServerCache {
    most: usize,
    /// By their number.
    sessions: Mutex<VecDeque<(Vec<u8>, Secret)>>,
}

impl ServerCache {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, sessions: Mutex::default() }
    }
}

impl StoresServerSessions for ServerCache {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let mut sessions = self.sessions.lock();
        if sessions.try_reserve(1).is_err() {
            return false;
        }
        sessions.retain(|(k, _)| *k != key);
        while sessions.len() >= self.most.max(1) {
            sessions.pop_front();
        }
        sessions.push_back((key, Zeroizing::new(value)));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.sessions.lock().iter().find(|(k, _)| k == key).map(|(_, v)| v.to_vec())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut sessions = self.sessions.lock();
        let at = sessions.iter().position(|(k, _)| k == key)?;
        sessions.remove(at).map(|(_, mut v)| core::mem::take(&mut *v))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for ServerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerCache({})", self.most)
    }
}

/// What a client knows of a server.
struct Known {
    name: ServerName<'static>,
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
}

/// Of a client: sessions by the server's name.
pub(crate) struct ClientCache {
    most: usize,
    servers: Mutex<VecDeque<Known>>,
}

impl ClientCache {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, servers: Mutex::default() }
    }

    fn edit(&self, name: ServerName<'static>, change: impl FnOnce(&mut Known)) {
        let mut servers = self.servers.lock();
        if let Some(known) = servers.iter_mut().find(|known| known.name == name) {
            return change(known);
        }
        while servers.len() >= self.most.max(1) {
            servers.pop_front();
        }
        let mut known = Known { name, group: None, tls12: None, tls13: VecDeque::new() };
        change(&mut known);
        servers.push_back(known);
    }

    fn ask<T>(&self, name: &ServerName<'_>, answer: impl FnOnce(&mut Known) -> Option<T>) -> Option<T> {
        self.servers.lock().iter_mut().find(|known| known.name == *name).and_then(answer)
    }
}

impl ClientSessionStore for ClientCache {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.edit(name, |known| known.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.ask(name, |known| known.group)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.edit(name, |known| known.tls12 = Some(value));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.ask(name, |known| known.tls12.clone())
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.ask(name, |known| known.tls12.take());
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.edit(name, |known| {
            if known.tls13.len() >= TICKETS {
                known.tls13.pop_front();
            }
            known.tls13.push_back(value);
        });
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.ask(name, |known| known.tls13.pop_back())
    }
}

impl fmt::Debug for ClientCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCache({})", self.most)
    }
}
