//! A client: what only its own connection knows, and what others know of it.

use crate::commands::pubsub::KINDS;
use crate::data::names::Names;
use crate::data::text::Text;
use crate::resp::{Args, Out};
use crate::server::hub::{has_memory, may_grow};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use core::task::Context;
use fata::task::WakerSet;

/// Messages that are small enough to need no look at the guest's memory, octets.
const CHECKED: usize = 16 << 10;

/// The most channels, patterns and watched keys of one client, and their octets.
const MOST_NAMES: usize = 100_000;
const MOST_OCTETS: usize = 4 << 20;

/// What a queued command takes beside its arguments, octets.
const COMMAND: usize = 32;

/// Commands that wait for `EXEC`.
#[derive(Default)]
pub struct Queue {
    octets: Vec<u8>,
    commands: Vec<Box<[(u32, u32)]>>,
    /// All arguments.
    count: usize,
    /// Whether one of them was wrong.
    pub is_broken: bool,
}

impl Queue {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// What they take, octets.
    pub fn octets(&self) -> usize {
        self.octets.len() + self.count * size_of::<(u32, u32)>() + self.commands.len() * COMMAND
    }

    /// Whether one more is too much: for `most` octets of all of them, or for memory.
    pub fn is_full(&self, args: Args<'_>, most: usize) -> bool {
        let octets = args.octets() + args.len() * size_of::<(u32, u32)>() + COMMAND;
        // What grows is copied.
        let is_growing = self.octets.len() + args.octets() > self.octets.capacity()
            || self.commands.len() == self.commands.capacity();
        let needed = octets + if is_growing { self.octets() } else { 0 };
        self.octets() + octets > most || !has_memory(needed)
    }

    /// One more.
    pub fn push(&mut self, args: Args<'_>) {
        let place = |arg: &[u8]| {
            let from = self.octets.len() as u32;
            self.octets.extend_from_slice(arg);
            (from, self.octets.len() as u32)
        };
        let ranges = args.from(0).map(place).collect();
        self.commands.push(ranges);
        self.count += args.len();
    }

    /// All in their order.
    pub fn iter(&self) -> impl Iterator<Item = Args<'_>> {
        self.commands.iter().map(|ranges| Args::new(&self.octets, ranges))
    }
}

/// What only the connection knows.
pub struct Session {
    /// What others know.
    pub link: Rc<Link>,
    /// Whether the password was said, or there is none.
    pub is_trusted: bool,
    /// Words that were put together for a fault.
    pub blame: RefCell<Vec<u8>>,
    /// Commands that are gathered.
    pub queue: Option<Queue>,
    /// Whether they run right now.
    pub in_exec: bool,
    /// Keys that must not change, by their full names.
    pub watched: Names,
    /// Whether one of them has.
    pub is_dirty: Rc<Cell<bool>>,
    /// What it has subscribed to, by kind.
    pub names: [Names; KINDS],
    /// When waiting in a blocking command ends, milliseconds since 1970.
    pub deadline: Option<i64>,
    /// Until when its next command waits for the end of `CLIENT PAUSE`, milliseconds since 1970.
    pub paused_until: Option<i64>,
    /// Whether its answer waits until all is on the disk.
    pub is_saving: bool,
    /// Whether the connection ends with this answer.
    pub is_over: bool,
    /// `CLIENT REPLY OFF`, or the rest of `SKIP`.
    pub silence: Silence,
}

/// Whether answers are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Silence {
    /// They are.
    #[default]
    None,
    /// Not that of this command and the next.
    SkipNext,
    /// Not that of this command.
    Skip,
    /// None.
    Off,
}

/// A client.
pub struct Client {
    /// Its answers.
    pub out: Out,
    /// The rest.
    pub session: Session,
}

impl Client {
    /// A client of this link.
    #[inline(never)]
    pub fn new(link: Rc<Link>, is_trusted: bool, output_limit: usize) -> Self {
        let session = Session {
            link,
            is_trusted,
            blame: RefCell::default(),
            queue: None,
            in_exec: false,
            watched: Names::default(),
            is_dirty: Rc::default(),
            names: Default::default(),
            deadline: None,
            paused_until: None,
            is_saving: false,
            is_over: false,
            silence: Silence::None,
        };
        Self { out: Out::new(output_limit), session }
    }
}

impl Session {
    /// Whether it may have one more channel, pattern or watched key, of so many octets: 100,000 of them, 4 MiB in all.
    pub fn may_name(&self, octets: usize) -> bool {
        let (mut count, mut total) = (self.watched.len(), self.watched.octets());
        for names in &self.names {
            count += names.len();
            total += names.octets();
        }
        count < MOST_NAMES && total.saturating_add(octets) <= MOST_OCTETS
    }

    /// How many subscriptions it has.
    pub fn subscriptions(&self) -> usize {
        self.names.iter().map(Names::len).sum()
    }
}

/// What others know of a client, and leave for it.
pub struct Link {
    /// Its number.
    pub id: u64,
    /// Its address.
    pub peer: SocketAddr,
    /// The server's address.
    pub local: SocketAddr,
    /// What it calls itself.
    pub name: RefCell<Text>,
    /// Milliseconds since 1970 when it came, and when it last said something.
    pub since: i64,
    /// See `since`.
    pub seen: Cell<i64>,
    /// The last command.
    pub command: Cell<&'static str>,
    /// Its database.
    pub db: Cell<usize>,
    /// The version of the protocol that it speaks.
    pub version: Cell<u8>,
    /// What it has subscribed to, by kind, and commands it has queued (-1 for none).
    pub figures: Cell<([usize; KINDS], isize)>,
    /// Whether it waits in a blocking command.
    pub is_blocked: Cell<bool>,
    /// Whether eviction of clients spares it; nothing evicts clients here.
    pub no_evict: Cell<bool>,
    inbox: RefCell<Vec<u8>>,
    is_killed: Cell<bool>,
    is_told: Cell<bool>,
    waker: WakerSet,
}

impl Link {
    /// A new one.
    pub fn new(id: u64, peer: SocketAddr, local: SocketAddr, now: i64) -> Self {
        Self {
            id,
            peer,
            local,
            name: RefCell::new(Text::from(&b""[..])),
            since: now,
            seen: Cell::new(now),
            command: Cell::new("NULL"),
            db: Cell::new(0),
            version: Cell::new(2),
            figures: Cell::new(([0; KINDS], -1)),
            is_blocked: Cell::new(false),
            no_evict: Cell::new(false),
            inbox: RefCell::default(),
            is_killed: Cell::new(false),
            is_told: Cell::new(false),
            waker: WakerSet::new(),
        }
    }

    /// Leaves octets to be sent. A client that lets more than `limit` wait is closed.
    #[inline(never)]
    pub fn send(&self, octets: &[u8], limit: usize) {
        let mut inbox = self.inbox.borrow_mut();
        let len = inbox.len() + octets.len();
        let is_growing = len > inbox.capacity() && len > CHECKED;
        if len > limit || is_growing && !may_grow(&mut inbox, octets.len()) {
            *inbox = Vec::new();
            drop(inbox);
            return self.kill();
        }
        inbox.extend_from_slice(octets);
        self.tell();
    }

    /// Octets that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.inbox.borrow().len()
    }

    /// Takes what was left for it.
    pub fn take_inbox(&self, to: &mut Vec<u8>) {
        let mut inbox = self.inbox.borrow_mut();
        if !inbox.is_empty() {
            to.append(&mut inbox);
            *inbox = Vec::new();
        }
    }

    /// Closes it.
    pub fn kill(&self) {
        self.is_killed.set(true);
        self.tell();
    }

    /// Whether it is to be closed.
    pub fn is_killed(&self) -> bool {
        self.is_killed.get()
    }

    /// Wakes its connection.
    pub fn tell(&self) {
        self.is_told.set(true);
        self.waker.wake_all();
    }

    /// Whether it is to be closed; if not, `cx` is woken when it is, or is told something.
    pub fn poll_killed(&self, cx: &Context<'_>) -> bool {
        if !self.is_killed() {
            self.waker.register(cx);
        }
        self.is_killed()
    }

    /// Whether it was told something since the last time; if not, `cx` is woken then.
    pub fn poll_told(&self, cx: &Context<'_>) -> bool {
        let is_told = self.is_told.take();
        if !is_told {
            self.waker.register(cx);
        }
        is_told
    }
}
