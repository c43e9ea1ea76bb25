//! The front end's life, over and over: find the device, connect, serve until the connection is lost, close.
//!
//! Whatever goes wrong leads to closing; from there the device is tried again when its back end starts anew, ever more slowly
//! while connections do not last.

use super::fault::BlockFault;
use super::limits::Limits;
use super::link::Link;
use super::queue::Queue;
use super::queues::Queues;
use super::session::{Change, Session, Why};
use super::terms::{Terms, publish, read_offer};
use crate::xen::Xen;
use crate::xenbus::{XenbusState, devices};
use crate::xenstore::XenStore;
use alloc::rc::Rc;
use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use fata_libos::block::{Access, Geometry};
use fata_libos::time::{Duration, Instant, sleep, timeout};

/// How long a back end gets to let go of the pages before they are parked.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How long one that has closed gets to end what it was doing, and between two looks at it, at first and at most.
const LET_GO_WAIT: Duration = Duration::from_secs(10);
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LATER_LOOK: Duration = Duration::from_millis(50);
/// Between two attempts, at first and at most.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(60);
/// The shortest after a back end that broke the protocol.
const AFTER_FAULT: Duration = Duration::from_secs(1);
/// The longest after what is nobody's fault: a back end that is away may be there again soon.
const LONGEST_AWAY: Duration = Duration::from_secs(5);
/// Between two sizes that are logged.
const BETWEEN_SIZES: Duration = Duration::from_secs(1);
/// A connection that lasted so long was a good one.
const LASTING: Duration = Duration::from_secs(30);

/// What stays while back ends come and go.
pub(super) struct Site {
    pub(super) xen: Rc<Xen>,
    pub(super) store: XenStore,
    pub(super) link: Rc<Link>,
    pub(super) name: Rc<str>,
    pub(super) number: u32,
    pub(super) limits: Limits,
}

impl Drop for Site {
    fn drop(&mut self) {
        let mut disks = self.xen.disks().borrow_mut();
        if let Some(place) = disks.iter().position(|number| *number == self.number) {
            disks.swap_remove(place);
        }
    }
}

/// Keeps the device connected until nobody wants it any more.
pub(super) async fn run(site: Site) {
    let mut delay = SHORTEST;
    loop {
        let started = Instant::now();
        let why = site.live().await;
        if matches!(why, Why::Unwanted) {
            site.link.give_up();
            return;
        }
        if started.elapsed() >= LASTING {
            delay = SHORTEST;
        }
        delay = match why {
            Why::Closing | Why::Anew | Why::Gone | Why::Unwanted => delay.min(LONGEST_AWAY),
            Why::Fault(_) | Why::Store(_) | Why::Resources(_) => delay.max(AFTER_FAULT),
        };
        if site.wait(sleep(delay)).await.is_err() {
            site.link.give_up();
            return;
        }
        delay = (delay * 2).min(LONGEST);
    }
}

impl Site {
    /// One connection, from looking for the device to the end.
    async fn live(&self) -> Why {
        if let Err(why) = self.wait_for_directory().await {
            return why;
        }
        let mut session = match Session::open(&self.store, self.number).await {
            Ok(session) => session,
            Err(why) => return why,
        };
        let mut made = None;
        let Err(why) = self.serve(&mut session, &mut made).await;
        self.close(session, made, why).await
    }

    /// Connects, and serves until the connection is lost. Queues that have not come into use then are left in `made`: the back end,
    /// which may know of them, is to let go of them first.
    async fn serve(&self, session: &mut Session, made: &mut Option<Queues>) -> Result<Infallible, Why> {
        self.wait_for_offer(session).await?;
        let remote = session.backend.domid();
        let offer = read_offer(&session.backend).await?;
        let queues = Queues::new(&self.xen, remote, self.number as u16, self.limits.rings(offer))?;
        let queues = made.insert(queues);
        publish(&session.device, &self.limits, offer, queues.all()).await?;
        session.show(XenbusState::Initialised).await?;
        self.wait_until_connected(session).await?;
        let (terms, geometry) = self.agree(session, queues).await?;
        if let Some(queues) = made.take() {
            self.link.bring_up(geometry, queues);
        }
        let mut told = None;
        loop {
            match session.next_change(&self.link).await? {
                Change::Size => self.resize(session, terms, &mut told).await?,
                Change::State(XenbusState::Closing | XenbusState::Closed) => return Err(Why::Closing),
                Change::State(XenbusState::Initialising | XenbusState::InitWait) => return Err(Why::Anew),
                Change::State(seen) => {
                    return Err(BlockFault::State { seen, expected: "Connected or Closing" }.into());
                }
            }
        }
    }

    /// Takes notice of the size that the back end tells. Requests move meanwhile; those that wait were checked against the size
    /// before, and are for the back end to refuse. `told` is when a size was last worth a line in the log.
    async fn resize(&self, session: &Session, terms: Terms, told: &mut Option<Instant>) -> Result<(), Why> {
        let sectors = self.wait(session.backend.read("sectors")).await??;
        let geometry = terms.with_sectors(sectors).geometry(&session.backend)?;
        if self.link.set_geometry(geometry) {
            // A back end may write it as often as it likes.
            let is_due = told.is_none_or(|at| at.elapsed() >= BETWEEN_SIZES);
            let level = if is_due { log::Level::Info } else { log::Level::Debug };
            log::log!(level, "{}: {} sectors from now on", self.name, geometry.sectors);
            if is_due {
                *told = Some(Instant::now());
            }
        }
        Ok(())
    }

    /// Says that this end starts, and waits for the back end to be ready for it. What an earlier connection left is closed first:
    /// only a back end that is closed starts anew when this end does, and one that closes waits for this end to be closed.
    async fn wait_for_offer(&self, session: &mut Session) -> Result<(), Why> {
        loop {
            match session.next_state(&self.link).await? {
                XenbusState::InitWait => return session.show(XenbusState::Initialising).await,
                XenbusState::Closing => session.show(XenbusState::Closed).await?,
                XenbusState::Closed if !self.is_online(session).await? => return Err(Why::Gone),
                XenbusState::Initialising | XenbusState::Closed => {
                    session.show(XenbusState::Initialising).await?;
                }
                seen => return Err(BlockFault::State { seen, expected: "InitWait" }.into()),
            }
        }
    }

    async fn wait_until_connected(&self, session: &mut Session) -> Result<(), Why> {
        loop {
            match session.next_state(&self.link).await? {
                XenbusState::Connected => return Ok(()),
                XenbusState::InitWait | XenbusState::Initialised => {}
                XenbusState::Closing | XenbusState::Closed => return Err(Why::Closing),
                seen => return Err(BlockFault::State { seen, expected: "Connected" }.into()),
            }
        }
    }

    /// Takes notice of what the connected back end says of itself.
    async fn agree(&self, session: &mut Session, queues: &mut Queues) -> Result<(Terms, Geometry), Why> {
        let terms = Terms::read(&session.backend).await?;
        let geometry = terms.geometry(&session.backend)?;
        let transfer = terms.transfer(&self.limits, queues.all().len());
        queues.agree(terms.flushes(), transfer);
        session.watch_size().await?;
        session.show(XenbusState::Connected).await?;
        let name = &self.name;
        log::info!(
            "{name}: connected to domain {}, {} sectors of {} octets, {:?}",
            session.backend.domid(),
            geometry.sectors,
            geometry.sector_size,
            geometry.access
        );
        log::info!(
            "{name}: {} queues of {} requests of {} pages, copied: {:?}",
            queues.all().len(),
            queues.all().first().map_or(0, Queue::slots),
            transfer.segments,
            transfer.kept
        );
        if terms.flushes().now.is_none() && geometry.access == Access::ReadWrite {
            log::warn!("{name}: the back end has no flush: what is written is taken to be on the medium");
        }
        queues.kick();
        Ok((terms, geometry))
    }

    /// Shows the back end that it is over, ends its access to the pages when it has let go of them, and says what becomes of
    /// the requests.
    async fn close(&self, mut session: Session, made: Option<Queues>, why: Why) -> Why {
        let served = self.link.take_down();
        match &why {
            Why::Closing | Why::Anew | Why::Gone | Why::Unwanted => {
                log::info!("{}: disconnected: {why}", self.name)
            }
            why => log::error!("{}: closed: {why}", self.name),
        }
        let mut why = why;
        let is_closed = match why {
            Why::Gone => false,
            // Whatever goes wrong now, it is over: the pages are parked if need be.
            _ => matches!(timeout(CLOSE_WAIT, self.part(&mut session, &mut why)).await, Ok(Ok(()))),
        };
        if let Some(mut queues) = served {
            if is_closed && timeout(LET_GO_WAIT, self.let_go(&mut queues, &mut why)).await.is_err() {
                log::warn!("{}: the back end has closed, and holds pages of requests", self.name);
            }
            let jobs = queues.end();
            log::info!("{}: {} requests were in flight", self.name, jobs.len());
            self.link.retry(jobs.into_iter());
            // What started anew may have been a process or a domain that died.
            if !is_closed || why == Why::Anew {
                self.link.lose_writes();
            }
        }
        drop(made);
        let stays =
            !matches!(why, Why::Gone | Why::Unwanted) && self.is_online(&session).await.unwrap_or(false);
        if !stays {
            self.link.give_up();
        }
        why
    }

    /// Waits until the back end has closed. That nobody wants the device any more is told once, so that it is noted in `why` at once.
    async fn part(&self, session: &mut Session, why: &mut Why) -> Result<(), Why> {
        session.show(XenbusState::Closing).await?;
        session.show(XenbusState::Closed).await?;
        while session.state() != XenbusState::Closed {
            match session.next_state(&self.link).await {
                // The back end has to let go all the same.
                Err(Why::Unwanted) => *why = Why::Unwanted,
                Err(Why::Fault(_)) => {}
                other => drop(other?),
            }
        }
        Ok(())
    }

    /// Waits until the back end has let go of the pages of requests. Linux's says that it has closed while the medium still reads and
    /// writes what it was asked for; a request whose pages are in use cannot be issued again.
    async fn let_go(&self, queues: &mut Queues, why: &mut Why) {
        let mut pause = FIRST_LOOK;
        while queues.still_held() > 0 {
            if self.wait(sleep(pause)).await == Err(Why::Unwanted) {
                *why = Why::Unwanted;
            }
            pause = (pause * 2).min(LATER_LOOK);
        }
    }

    /// Whether the toolstack keeps the device attached.
    async fn is_online(&self, session: &Session) -> Result<bool, Why> {
        Ok(session.backend.has_feature("online").await?)
    }

    /// Waits for the device's directory to be there.
    async fn wait_for_directory(&self) -> Result<(), Why> {
        let mut watch = self.store.watch("device/vbd").await?;
        while !devices(&self.store, "vbd").await?.contains(&self.number) {
            self.wait(watch.changed()).await??;
        }
        Ok(())
    }

    /// Waits for something, or for the handle to be gone.
    async fn wait<T>(&self, what: impl Future<Output = T>) -> Result<T, Why> {
        let mut what = pin!(what);
        poll_fn(|cx| match self.link.poll(cx) {
            Poll::Ready(lost) => Poll::Ready(Err(lost.into())),
            Poll::Pending => what.as_mut().poll(cx).map(Ok),
        })
        .await
    }
}
