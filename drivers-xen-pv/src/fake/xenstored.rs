//! A XenStore daemon, step-driven: dom0's own changes are made by calling it, and it can be told to misbehave.

use super::store_tree::{Tree, is_below};
use super::{FakeHypervisor, Peer, peer_ring};
use crate::abi::xs_wire::{
    XS_DIRECTORY, XS_ERROR, XS_MKDIR, XS_READ, XS_RM, XS_TRANSACTION_END, XS_TRANSACTION_START, XS_UNWATCH,
    XS_WATCH, XS_WATCH_EVENT, XS_WRITE, XsdSockmsg,
};
use crate::events::Channel;
use crate::hypervisor::Hypervisor;
use crate::shared::{Pages, SharedMemory};
use crate::types::{DomId, EvtchnPort};
use crate::xen::Xen;
use crate::xenstore::wire::{Message, append_message, take_message};
use crate::xenstore::{Errno, REPLIES, REQUESTS, XenStore};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The directory of the fake guest, which is domain 5.
pub const GUEST_HOME: &str = "/local/domain/5";

/// The daemon.
pub struct FakeXenstored {
    hv: &'static FakeHypervisor,
    pages: Rc<Pages>,
    port: EvtchnPort,
    state: RefCell<State>,
    behaviour: Cell<Replies>,
}

/// What the daemon does with its replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    /// Sends them as they come.
    InOrder,
    /// Keeps them.
    Held,
    /// Keeps them until a step finds no request, then sends them last first.
    Reversed,
}

#[derive(Default)]
struct State {
    tree: Tree,
    watches: Vec<Watch>,
    transactions: BTreeMap<u32, Transaction>,
    last_transaction: u32,
    changes: u64,
    conflicts: usize,
    denied: Vec<String>,
    requests: Vec<(u32, String)>,
    incoming: Vec<u8>,
    held: Vec<Vec<u8>>,
    outgoing: Vec<u8>,
}

/// As the guest gave them: its events have relative paths if the watch has one.
struct Watch {
    path: String,
    token: String,
}

struct Transaction {
    tree: Tree,
    started_at: u64,
    changed: Vec<String>,
}

impl FakeXenstored {
    /// A daemon with an empty tree, attached to `hv`, and the guest's client of it.
    pub fn start(hv: &'static FakeHypervisor, xen: &Rc<Xen>) -> (Rc<Self>, XenStore) {
        let port = hv.evtchn_alloc_unbound(DomId(0)).expect("a free channel");
        let pages = Pages::alloc(hv, 1).expect("a free page");
        let daemon = Rc::new(Self {
            hv,
            pages,
            port,
            state: RefCell::default(),
            behaviour: Cell::new(Replies::InOrder),
        });
        hv.attach(daemon.clone());
        let channel = Channel::adopt(xen, port).expect("a free channel");
        let store = XenStore::connect(daemon.page(), channel);
        (daemon, store)
    }

    /// The shared page, to be broken.
    pub fn page(&self) -> SharedMemory {
        self.pages.memory()
    }

    /// The daemon's channel.
    pub fn port(&self) -> EvtchnPort {
        self.port
    }

    /// Reads a key as dom0.
    pub fn read(&self, path: &str) -> Option<String> {
        let value = self.state.borrow().tree.read(&absolute(path)).ok()?;
        Some(String::from_utf8(value).expect("text"))
    }

    /// Writes a key as dom0; a relative path is in the guest's directory. The guest's watches fire.
    pub fn write(&self, path: &str, value: &str) {
        let path = absolute(path);
        self.state.borrow_mut().tree.write(&path, value.as_bytes());
        self.state.borrow_mut().changed(&path);
        self.send();
    }

    /// Removes a key as dom0. The guest's watches fire.
    pub fn rm(&self, path: &str) {
        let path = absolute(path);
        let _ = self.state.borrow_mut().tree.rm(&path);
        self.state.borrow_mut().removed(&path);
        self.send();
    }

    /// Lets the next `commits` of transactions conflict.
    pub fn conflict(&self, commits: usize) {
        self.state.borrow_mut().conflicts = commits;
    }

    /// Refuses the guest all access to `path`.
    pub fn deny(&self, path: &str) {
        self.state.borrow_mut().denied.push(absolute(path));
    }

    /// What to do with replies from now on. Held ones are sent when it is [`Replies::InOrder`] again.
    pub fn set_replies(&self, how: Replies) {
        self.behaviour.set(how);
    }

    /// Sends the guest a message that it did not ask for.
    pub fn send_message(&self, header: XsdSockmsg, payload: &[u8]) {
        append_message(&mut self.state.borrow_mut().outgoing, header, &[payload]);
        self.send();
    }

    /// Sends the guest octets.
    pub fn send_raw(&self, bytes: &[u8]) {
        self.state.borrow_mut().outgoing.extend_from_slice(bytes);
        self.send();
    }

    /// Watches that the guest has.
    pub fn watch_count(&self) -> usize {
        self.state.borrow().watches.len()
    }

    /// Transactions that the guest has open.
    pub fn open_transactions(&self) -> usize {
        self.state.borrow().transactions.len()
    }

    /// Takes the list of requests served so far: type and path.
    pub fn take_requests(&self) -> Vec<(u32, String)> {
        std::mem::take(&mut self.state.borrow_mut().requests)
    }

    fn serve(&self) {
        let mut state = self.state.borrow_mut();
        let bytes = peer_ring::take(self.page(), REQUESTS);
        state.incoming.extend(&bytes);
        let mut served = false;
        while let Some(request) = take_message(&mut state.incoming).expect("the guest's messages are good") {
            let reply = state.reply(&request);
            state.held.push(reply);
            served = true;
        }
        if !bytes.is_empty() {
            self.hv.peer_notify(self.port);
        }
        match self.behaviour.get() {
            Replies::Held => return,
            Replies::Reversed if served => return,
            Replies::Reversed => state.held.reverse(),
            Replies::InOrder => {}
        }
        let held = std::mem::take(&mut state.held).concat();
        state.outgoing.extend(held);
    }

    fn send(&self) {
        let mut state = self.state.borrow_mut();
        let sent = peer_ring::put(self.page(), REPLIES, &state.outgoing);
        if sent > 0 {
            state.outgoing.drain(..sent);
            self.hv.peer_notify(self.port);
        }
    }
}

impl Peer for FakeXenstored {
    fn step(&self) {
        self.serve();
        self.send();
    }
}

impl State {
    fn reply(&mut self, request: &Message) -> Vec<u8> {
        let mut header = request.header;
        let payload = self.serve(request).unwrap_or_else(|errno| {
            header.r#type = XS_ERROR;
            format!("{errno:?}\0").into_bytes()
        });
        let mut reply = Vec::new();
        append_message(&mut reply, header, &[&payload]);
        // After the reply, as the real one: the first event of a new watch.
        if header.r#type == XS_WATCH {
            let watch = self.watches.last().expect("just added");
            reply.extend(event(&watch.path, &watch.token));
        }
        reply
    }

    fn serve(&mut self, request: &Message) -> Result<Vec<u8>, Errno> {
        let (kind, tx) = (request.header.r#type, request.header.tx_id);
        let payload = &request.payload;
        let (first, rest) = match payload.iter().position(|b| *b == 0) {
            Some(at) => (&payload[..at], &payload[at + 1..]),
            None => (&payload[..], &[][..]),
        };
        let first = std::str::from_utf8(first).map_err(|_| Errno::EINVAL)?;
        self.requests.push((kind, first.into()));
        let path = absolute(first);
        if self.denied.iter().any(|d| is_below(&path, d)) {
            return Err(Errno::EACCES);
        }
        match kind {
            XS_READ => self.tree(tx)?.read(&path),
            XS_DIRECTORY => {
                let names = self.tree(tx)?.directory(&path)?;
                Ok(names.iter().flat_map(|n| [n.as_bytes(), b"\0"].concat()).collect())
            }
            XS_WRITE => self.change(tx, &path, |tree| {
                tree.write(&path, rest);
                Ok(())
            }),
            XS_MKDIR => self.change(tx, &path, |tree| {
                tree.mkdir(&path);
                Ok(())
            }),
            XS_RM => self.change(tx, &path, |tree| tree.rm(&path)),
            XS_WATCH => self.add_watch(first, rest),
            XS_UNWATCH => self.remove_watch(first, rest),
            XS_TRANSACTION_START => Ok(self.start_transaction()),
            XS_TRANSACTION_END => self.end_transaction(tx, first == "T"),
            _ => Err(Errno::ENOSYS),
        }
    }

    fn tree(&mut self, tx: u32) -> Result<&mut Tree, Errno> {
        match tx {
            0 => Ok(&mut self.tree),
            tx => self.transactions.get_mut(&tx).map(|t| &mut t.tree).ok_or(Errno::ENOENT),
        }
    }

    fn change(
        &mut self,
        tx: u32,
        path: &str,
        how: impl FnOnce(&mut Tree) -> Result<(), Errno>,
    ) -> Result<Vec<u8>, Errno> {
        how(self.tree(tx)?)?;
        match self.transactions.get_mut(&tx) {
            Some(t) => t.changed.push(path.into()),
            None => self.changed(path),
        }
        Ok(b"OK\0".into())
    }

    fn add_watch(&mut self, path: &str, rest: &[u8]) -> Result<Vec<u8>, Errno> {
        let token = String::from_utf8_lossy(rest).trim_end_matches('\0').to_string();
        if self.watches.iter().any(|w| w.path == path && w.token == token) {
            return Err(Errno::EEXIST);
        }
        self.watches.push(Watch { path: path.into(), token });
        Ok(b"OK\0".into())
    }

    fn remove_watch(&mut self, path: &str, rest: &[u8]) -> Result<Vec<u8>, Errno> {
        let token = String::from_utf8_lossy(rest).trim_end_matches('\0').to_string();
        let at = self.watches.iter().position(|w| w.path == path && w.token == token);
        self.watches.remove(at.ok_or(Errno::ENOENT)?);
        Ok(b"OK\0".into())
    }

    fn start_transaction(&mut self) -> Vec<u8> {
        self.last_transaction += 1;
        let transaction =
            Transaction { tree: self.tree.clone(), started_at: self.changes, changed: Vec::new() };
        self.transactions.insert(self.last_transaction, transaction);
        format!("{}\0", self.last_transaction).into_bytes()
    }

    fn end_transaction(&mut self, tx: u32, commit: bool) -> Result<Vec<u8>, Errno> {
        let transaction = self.transactions.remove(&tx).ok_or(Errno::ENOENT)?;
        if commit {
            if self.conflicts > 0 {
                self.conflicts -= 1;
                return Err(Errno::EAGAIN);
            }
            if transaction.started_at != self.changes {
                return Err(Errno::EAGAIN);
            }
            self.tree = transaction.tree;
            transaction.changed.iter().for_each(|path| self.changed(path));
        }
        Ok(b"OK\0".into())
    }

    fn changed(&mut self, path: &str) {
        self.changes += 1;
        for watch in &self.watches {
            if is_below(path, &absolute(&watch.path)) {
                self.outgoing.extend(event(&watch.told(path), &watch.token));
            }
        }
    }

    /// Watches of what was below are told of their own path.
    fn removed(&mut self, path: &str) {
        self.changed(path);
        for watch in &self.watches {
            let watched = absolute(&watch.path);
            if watched != path && is_below(&watched, path) {
                self.outgoing.extend(event(&watch.path, &watch.token));
            }
        }
    }
}

impl Watch {
    /// `path` as this watch's owner is told of it.
    fn told(&self, path: &str) -> String {
        if self.path.starts_with('/') {
            return path.into();
        }
        path.strip_prefix(GUEST_HOME).and_then(|p| p.strip_prefix('/')).unwrap_or(path).into()
    }
}

fn event(path: &str, token: &str) -> Vec<u8> {
    let header = XsdSockmsg { r#type: XS_WATCH_EVENT, ..XsdSockmsg::default() };
    let mut bytes = Vec::new();
    append_message(&mut bytes, header, &[path.as_bytes(), b"\0", token.as_bytes(), b"\0"]);
    bytes
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.into() } else { format!("{GUEST_HOME}/{path}") }
}
