//! The connection: requests out, replies to whoever asked, events to their watches. One task drives it.

use super::error::{Errno, StoreError, StoreFault};
use super::request::{Request, Slot};
use super::watch::WatchQueue;
use super::wire::{Message, append_message, parse_number, parse_watch_event, strip_nul, take_message};
use crate::abi::xs_wire::{
    RING_SIZE, XS_ERROR, XS_TRANSACTION_END, XS_TRANSACTION_START, XS_WATCH_EVENT, XenstoreDomainInterface,
    XsdSockmsg,
};
use crate::byte_ring::{Consumer, Layout, Producer};
use crate::events::Channel;
use crate::shared::SharedMemory;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::mem::offset_of;
use core::task::{Context, Poll};
use fata_libos::task::{WakerSet, yield_now};

/// Where requests go in the page.
pub(crate) const REQUESTS: Layout = Layout {
    data: offset_of!(XenstoreDomainInterface, req),
    size: RING_SIZE as u32,
    producer: offset_of!(XenstoreDomainInterface, req_prod),
    consumer: offset_of!(XenstoreDomainInterface, req_cons),
};

/// Where replies and events come from.
pub(crate) const REPLIES: Layout = Layout {
    data: offset_of!(XenstoreDomainInterface, rsp),
    size: RING_SIZE as u32,
    producer: offset_of!(XenstoreDomainInterface, rsp_prod),
    consumer: offset_of!(XenstoreDomainInterface, rsp_cons),
};

/// Rings full of replies that are handled before other tasks have their turn.
const BURST: usize = 16;

struct Pending {
    id: u32,
    kind: u32,
    slot: Rc<Slot>,
}

pub(super) struct Connection {
    channel: Channel,
    state: RefCell<State>,
    /// Requests wait to be sent, and the driver knows.
    asked: Cell<bool>,
    driver: WakerSet,
}

struct State {
    requests: Producer,
    replies: Consumer,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    pending: Vec<Pending>,
    watches: Vec<Rc<WatchQueue>>,
    last_id: u32,
    last_token: u32,
    broken: Option<StoreFault>,
}

impl Connection {
    pub(super) fn new(page: SharedMemory, channel: Channel) -> Rc<Self> {
        let state = State {
            requests: Producer::attach(page.clone(), REQUESTS),
            replies: Consumer::attach(page, REPLIES),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            pending: Vec::new(),
            watches: Vec::new(),
            last_id: 0,
            last_token: 0,
            broken: None,
        };
        Rc::new(Self {
            channel,
            state: RefCell::new(state),
            asked: Cell::new(false),
            driver: WakerSet::new(),
        })
    }

    /// Makes a request; its reply is the output. Dropping that does not take the request back. It is sent at the driver's next
    /// turn, with all others made until then: each notification wakes the daemon, and it wakes this guest more than once.
    pub(super) fn request(&self, kind: u32, tx_id: u32, parts: &[&[u8]]) -> Request {
        let slot = Rc::new(Slot::default());
        match self.enqueue(kind, tx_id, parts, &slot) {
            Some(fault) => slot.complete(Err(fault.into())),
            None if self.asked.replace(true) => {}
            None => self.driver.wake_all(),
        }
        Request::new(slot)
    }

    fn enqueue(&self, kind: u32, tx_id: u32, parts: &[&[u8]], slot: &Rc<Slot>) -> Option<StoreFault> {
        let mut state = self.state.borrow_mut();
        if state.broken.is_some() {
            return state.broken;
        }
        let id = state.new_id();
        let header = XsdSockmsg { r#type: kind, req_id: id, tx_id, len: 0 };
        append_message(&mut state.outgoing, header, parts);
        state.pending.push(Pending { id, kind, slot: slot.clone() });
        None
    }

    /// Adds a queue for the events of a watch; its token is new.
    pub(super) fn add_watch(&self, path: &str) -> Result<Rc<WatchQueue>, StoreError> {
        let mut state = self.state.borrow_mut();
        if let Some(fault) = state.broken {
            return Err(fault.into());
        }
        state.last_token = state.last_token.wrapping_add(1);
        let queue = Rc::new(WatchQueue::new(state.last_token, path));
        state.watches.push(queue.clone());
        Ok(queue)
    }

    pub(super) fn remove_watch(&self, token: u32) {
        self.state.borrow_mut().watches.retain(|w| w.token() != token);
    }

    /// Handles what comes, until the connection breaks.
    pub(super) async fn drive(self: Rc<Self>) {
        loop {
            match self.pump() {
                Ok(Pumped::All) => poll_fn(|cx| self.poll_work(cx)).await,
                Ok(Pumped::More) => yield_now().await,
                Err(fault) => return self.fail(fault),
            }
        }
    }

    /// Ready when there is something to send, or something may have come.
    fn poll_work(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.asked.get() {
            return Poll::Ready(());
        }
        self.driver.register(cx);
        self.channel.poll_fired(cx)
    }

    fn pump(&self) -> Result<Pumped, StoreFault> {
        if let Some(fault) = self.state.borrow().broken {
            return Err(fault);
        }
        self.transmit()?;
        for _ in 0..BURST {
            if self.receive()? == 0 {
                return Ok(Pumped::All);
            }
            loop {
                // The borrow ends here: handling a message may send one.
                let message = take_message(&mut self.state.borrow_mut().incoming)?;
                match message {
                    Some(message) => self.handle(message)?,
                    None => break,
                }
            }
            self.transmit()?;
        }
        Ok(Pumped::More)
    }

    fn receive(&self) -> Result<usize, StoreFault> {
        let mut chunk = [0; 512];
        let mut state = self.state.borrow_mut();
        let count = state.replies.pull(&mut chunk)?;
        state.incoming.extend_from_slice(&chunk[..count]);
        if state.replies.was_full() {
            self.channel.notify();
        }
        Ok(count)
    }

    fn transmit(&self) -> Result<(), StoreFault> {
        self.asked.set(false);
        let mut state = self.state.borrow_mut();
        let State { outgoing, requests, .. } = &mut *state;
        let mut sent = 0;
        while !outgoing.is_empty() {
            let count = requests.push(outgoing)?;
            if count == 0 {
                break;
            }
            outgoing.drain(..count);
            sent += count;
        }
        if sent > 0 {
            self.channel.notify();
        }
        Ok(())
    }

    fn handle(&self, message: Message) -> Result<(), StoreFault> {
        if message.header.r#type == XS_WATCH_EVENT {
            let (path, token) = parse_watch_event(&message.payload).ok_or(message.malformed())?;
            // The event of a watch that was just removed finds nobody.
            if let Some(queue) = self.state.borrow().watches.iter().find(|w| w.token() == token) {
                queue.push(path);
            }
            return Ok(());
        }
        let pending = self.state.borrow_mut().take_pending(&message)?;
        if Rc::strong_count(&pending.slot) == 1 {
            self.undo(&message);
        }
        let reply = if message.header.r#type == XS_ERROR {
            Err(StoreError::Refused(Errno::from_name(strip_nul(&message.payload))))
        } else {
            Ok(message.payload)
        };
        pending.slot.complete(reply);
        Ok(())
    }

    /// A transaction whose starter has gone would count against the domain's quota for ever.
    fn undo(&self, message: &Message) {
        if message.header.r#type == XS_TRANSACTION_START
            && let Some(id) = parse_number(strip_nul(&message.payload))
        {
            drop(self.request(XS_TRANSACTION_END, id, &[b"F\0"]));
        }
    }

    fn fail(&self, fault: StoreFault) {
        let mut state = self.state.borrow_mut();
        if state.broken.is_some() {
            return;
        }
        state.broken = Some(fault);
        let (pending, watches) = (core::mem::take(&mut state.pending), core::mem::take(&mut state.watches));
        drop(state);
        log::error!("XenStore is broken: {fault}");
        for p in pending {
            p.slot.complete(Err(fault.into()));
        }
        for w in watches {
            w.fail(fault);
        }
    }
}

enum Pumped {
    All,
    More,
}

impl State {
    /// A number that no request in flight has, and not that of events.
    fn new_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let id = self.last_id;
            if id != 0 && !self.pending.iter().any(|p| p.id == id) {
                return id;
            }
        }
    }

    fn take_pending(&mut self, message: &Message) -> Result<Pending, StoreFault> {
        let (id, kind) = (message.header.req_id, message.header.r#type);
        let found = self.pending.iter().position(|p| p.id == id);
        let at = found.ok_or(StoreFault::UnknownRequest { id, kind })?;
        let expected = self.pending[at].kind;
        if kind != expected && kind != XS_ERROR {
            return Err(StoreFault::OtherType { id, expected, seen: kind });
        }
        Ok(self.pending.swap_remove(at))
    }
}
