//! Waiting for file descriptors: one `epoll`, edge-triggered, and who waits for which descriptor.
//!
//! A [`Source`] remembers that its descriptor may be ready until an operation says that it is not, so that an operation
//! costs no system call beside its own, and an idle descriptor wakes nobody.

use fata_libos::task::WakerSet;
use fata_libos::time::Duration;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Context};

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// The token of [`Reactor::alarm`]; sources have those below.
const ALARM: Token = Token(usize::MAX);

/// What an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Something to read.
    Read,
    /// Room to write.
    Write,
}

/// Whether a descriptor may be ready, and who waits for it; reading first, then writing.
#[derive(Default)]
struct Readiness {
    ready: [Cell<bool>; 2],
    waiting: [WakerSet; 2],
}

impl Readiness {
    fn set(&self, direction: Direction) {
        self.ready[direction as usize].set(true);
        self.waiting[direction as usize].wake_all();
    }
}

/// All descriptors that the process waits for.
pub struct Reactor {
    poll: RefCell<(Poll, Events)>,
    registry: Registry,
    sources: RefCell<Slab<Rc<Readiness>>>,
    alarm: Arc<Waker>,
}

impl Reactor {
    /// A reactor without descriptors.
    pub fn new() -> io::Result<Rc<Self>> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let alarm = Arc::new(Waker::new(&registry, ALARM)?);
        let poll = RefCell::new((poll, Events::with_capacity(EVENTS)));
        Ok(Rc::new(Self { poll, registry, sources: RefCell::default(), alarm }))
    }

    /// Sleeps until a descriptor is ready, a signal comes or the time is over (`None`: never), and wakes whose descriptors
    /// are ready.
    pub fn wait(&self, time: Option<Duration>) {
        let (poll, events) = &mut *self.poll.borrow_mut();
        if let Err(error) = poll.poll(events, time) {
            assert!(error.kind() == io::ErrorKind::Interrupted, "epoll_wait: {error}");
            return;
        }
        let sources = self.sources.borrow();
        for event in events.iter() {
            let Some(readiness) = sources.get(event.token().0) else { continue };
            // An error or the end is told by the next operation.
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                readiness.set(Direction::Read);
            }
            if event.is_writable() || event.is_write_closed() || event.is_error() {
                readiness.set(Direction::Write);
            }
        }
    }

    /// Ends the loop's sleep, from any thread.
    pub(crate) fn alarm(&self) -> Arc<Waker> {
        self.alarm.clone()
    }

    /// Runs what blocks on a thread of its own.
    pub async fn unblock<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = async_channel::bounded(1);
        let alarm = self.alarm.clone();
        std::thread::Builder::new().name("unblock".to_owned()).spawn(move || {
            // Nobody may wait for it any more.
            let _ = sender.try_send(work());
            drop(sender);
            // Wakers only put tasks into the loop's queue: the loop may be asleep.
            let _ = alarm.wake();
        })?;
        receiver.recv().await.map_err(|_| io::Error::other("the thread panicked"))
    }
}

/// A descriptor that the reactor watches.
pub struct Source<S: mio::event::Source> {
    reactor: Rc<Reactor>,
    readiness: Rc<Readiness>,
    key: usize,
    io: S,
}

impl<S: mio::event::Source> Source<S> {
    /// Watches a descriptor, which must not block.
    pub fn new(reactor: &Rc<Reactor>, mut io: S, interest: Interest) -> io::Result<Self> {
        let readiness = Rc::<Readiness>::default();
        let mut sources = reactor.sources.borrow_mut();
        let place = sources.vacant_entry();
        let key = place.key();
        reactor.registry.register(&mut io, Token(key), interest)?;
        place.insert(readiness.clone());
        // The kernel tells of changes only; the first operation finds out how it stands.
        readiness.set(Direction::Read);
        readiness.set(Direction::Write);
        Ok(Self { reactor: reactor.clone(), readiness, key, io })
    }

    /// The descriptor.
    pub fn get(&self) -> &S {
        &self.io
    }

    /// Whether an operation may be done without waiting, as far as is known.
    pub fn may_be_ready(&self, direction: Direction) -> bool {
        self.readiness.ready[direction as usize].get()
    }

    /// Keeps the waker until the descriptor is ready.
    pub fn register(&self, direction: Direction, cx: &Context<'_>) {
        self.readiness.waiting[direction as usize].register(cx);
    }

    /// Does an operation that does not block, as soon as it does not say `WouldBlock`.
    pub fn poll<T>(
        &self,
        direction: Direction,
        cx: &Context<'_>,
        operation: impl FnMut(&S) -> io::Result<T>,
    ) -> task::Poll<io::Result<T>> {
        match self.attempt(direction, operation) {
            Some(done) => task::Poll::Ready(done),
            None => {
                self.register(direction, cx);
                task::Poll::Pending
            }
        }
    }

    /// Does an operation if the descriptor is ready.
    pub fn attempt<T>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        while self.may_be_ready(direction) {
            match operation(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readiness.ready[direction as usize].set(false);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Some(done),
            }
        }
        None
    }

    /// [`poll`](Self::poll) as a future.
    pub async fn run<T>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        poll_fn(|cx| self.poll(direction, cx, &mut operation)).await
    }
}

impl<S: mio::event::Source> Drop for Source<S> {
    fn drop(&mut self) {
        let _ = self.reactor.registry.deregister(&mut self.io);
        self.reactor.sources.borrow_mut().remove(self.key);
        // Who still waits finds it gone.
        self.readiness.set(Direction::Read);
        self.readiness.set(Direction::Write);
    }
}
