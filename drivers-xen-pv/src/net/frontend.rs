//! The front end's life: each state a type, each step consuming the one before.
//!
//! ```text
//! Detached -> Session -> Offer -> Answered -> Connected
//!    ^          |          |         |            |
//!    +- Closed <+------ Closing <----+------------+
//! ```
//!
//! Whatever goes wrong leads to [`Closing`]; from there the device is tried again when its back end starts anew, never faster
//! than [`Pace`] allows.

use super::fault::NetFault;
use super::link::Terms;
use super::pace::Pace;
use super::queue::{QueueConfig, hypercall_time};
use super::queues::Queues;
use super::session::{Session, Site, Why};
use super::terms::{Features, Identity, add_segmentation, publish};
use crate::xenbus::{Device, XenbusState, devices};
use crate::xenstore::StoreError;
use alloc::boxed::Box;
use core::convert::Infallible;
use core::future::{Future as _, poll_fn};
use core::pin::pin;
use core::task::Poll;
use fata_libos::time::{Duration, Instant, timeout};

/// How long a back end gets to let go of the pages before they are parked.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Keeps the device connected until nobody wants it any more.
pub(super) async fn run(site: Site) {
    let mut pace = Pace::new();
    // Who opened the device has just seen its directory.
    let mut found = match Session::open(site).await {
        Ok(session) => Some(session),
        Err((site, why)) => {
            log::debug!("{}: {why}", site.name);
            Detached { site }.find(&mut pace).await
        }
    };
    while let Some(session) = found {
        let closing = match serve(session).await {
            Ok(never) => match never {},
            Err(closing) => closing,
        };
        match closing.close(&mut pace).await.wait_anew(&mut pace).await {
            Some(detached) => found = detached.find(&mut pace).await,
            None => return,
        }
    }
}

async fn serve(session: Box<Session>) -> Result<Infallible, Closing> {
    let offer = session.wait_for_offer().await?;
    let answered = offer.answer().await?;
    let connected = answered.wait_connected().await?;
    Err(connected.until_lost().await)
}

/// There may be no such device.
struct Detached {
    site: Site,
}

impl Detached {
    /// Waits for the device to be there; `None` when nobody wants it.
    async fn find(mut self, pace: &mut Pace) -> Option<Box<Session>> {
        loop {
            match self.wait_for_directory().await {
                Ok(number) => self.site.number = number,
                Err(Why::Unwanted) => return None,
                Err(why) => log::warn!("{}: cannot look for the device: {why}", self.site.name),
            }
            match Session::open(self.site).await {
                Ok(session) => return Some(session),
                Err((site, why)) => {
                    log::debug!("{}: {why}", site.name);
                    self.site = site;
                }
            }
            pace.wait(&self.site.link).await.ok()?;
        }
    }

    /// Waits for a device of the same number, or else of the same address: one that was detached may come back as another.
    async fn wait_for_directory(&self) -> Result<u32, Why> {
        let mut watch = self.site.store.watch("device/vif").await?;
        loop {
            if let Some(number) = self.directory().await? {
                return Ok(number);
            }
            let mut changed = pin!(watch.changed());
            poll_fn(|cx| match self.site.link.poll_lost(cx) {
                Poll::Ready(lost) => Poll::Ready(Err(Why::from(lost))),
                Poll::Pending => changed.as_mut().poll(cx).map(|c| c.map(drop).map_err(Why::from)),
            })
            .await?;
        }
    }

    async fn directory(&self) -> Result<Option<u32>, StoreError> {
        let numbers = devices(&self.site.store, "vif").await?;
        if numbers.contains(&self.site.number) {
            return Ok(Some(self.site.number));
        }
        for number in numbers {
            let identity = Identity::read(&Device::new(&self.site.store, "vif", number)).await;
            if identity.is_ok_and(|i| i.mac == self.site.link.terms().mac) {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}

impl Session {
    /// Says that this end starts, and waits for the back end to say what it can.
    async fn wait_for_offer(mut self: Box<Self>) -> Result<Offer, Closing> {
        match self.offered().await {
            Ok(()) => Ok(Offer(self)),
            Err(why) => Err(Closing::before(self, why)),
        }
    }

    async fn offered(&mut self) -> Result<(), Why> {
        if self.own != XenbusState::Initialising {
            self.show(XenbusState::Initialising).await?;
        }
        loop {
            match self.next_state().await? {
                XenbusState::InitWait => return Ok(()),
                // What an earlier connection left; it starts anew now that this end does.
                XenbusState::Initialising | XenbusState::Closing | XenbusState::Closed => {}
                seen => return Err(NetFault::State { seen, expected: "InitWait" }.into()),
            }
        }
    }
}

/// The back end has said what it can and waits.
struct Offer(Box<Session>);

impl Offer {
    /// Makes the rings and says where they are.
    async fn answer(self) -> Result<Answered, Closing> {
        match self.try_answer().await {
            Ok((queues, terms)) => Ok(Answered { session: self.0, queues, terms }),
            Err(why) => Err(Closing::before(self.0, why)),
        }
    }

    async fn try_answer(&self) -> Result<(Queues, Terms), Why> {
        let Session { site, device, backend, .. } = &*self.0;
        let (identity, offered) = (Identity::read(device), Features::ask(backend));
        let (identity, features) = (identity.await?, Features::of(&offered.await?));
        let mut terms = features.terms(identity, backend)?;
        let segmentation = features.segmentation();
        log::debug!("{}: {} offers{features}", site.name, backend.path());
        let config = QueueConfig {
            remote: backend.domid(),
            channels: features.channels(),
            limits: site.limits,
            max_frame: terms.max_frame(),
            segmentation,
            hypercall: hypercall_time(site.xen.hv()),
        };
        let count = site.limits.queues_of(features.max_queues());
        let mut queues = Queues::new(&site.xen, config, count)?;
        add_segmentation(&mut terms.offloads, segmentation, queues.longest());
        queues.flush();
        publish(device, &features, queues.all()).await?;
        Ok((queues, terms))
    }
}

/// The back end knows where the rings are.
struct Answered {
    session: Box<Session>,
    queues: Queues,
    terms: Terms,
}

impl Answered {
    async fn wait_connected(mut self) -> Result<Connected, Closing> {
        if let Err(why) = self.connected().await {
            return Err(Closing { session: self.session, queues: Some(self.queues), why, since: None });
        }
        self.queues.kick();
        let Session { site, backend, .. } = &*self.session;
        let Terms { mac, mtu, .. } = self.terms;
        log::info!("{}: connected to domain {}, address {mac}, MTU {mtu}", site.name, backend.domid());
        if let count @ 2.. = self.queues.all().len() {
            log::info!("{}: {count} queues", site.name);
        }
        site.link.bring_up(self.terms, self.queues);
        Ok(Connected { session: self.session, since: Instant::now() })
    }

    async fn connected(&mut self) -> Result<(), Why> {
        loop {
            match self.session.next_state().await? {
                XenbusState::Connected => return Ok(()),
                XenbusState::InitWait | XenbusState::Initialised => {}
                XenbusState::Closing | XenbusState::Closed => return Err(Why::Closing),
                seen => return Err(NetFault::State { seen, expected: "Connected" }.into()),
            }
        }
    }
}

/// Frames move.
struct Connected {
    session: Box<Session>,
    since: Instant,
}

impl Connected {
    async fn until_lost(mut self) -> Closing {
        let why = match self.session.next_state().await {
            Ok(XenbusState::Closing | XenbusState::Closed) => Why::Closing,
            Ok(seen) => NetFault::State { seen, expected: "Connected or Closing" }.into(),
            Err(why) => why,
        };
        Closing { session: self.session, queues: None, why, since: Some(self.since) }
    }
}

/// No frames move any more; the back end may still use the pages.
struct Closing {
    session: Box<Session>,
    queues: Option<Queues>,
    why: Why,
    since: Option<Instant>,
}

impl Closing {
    /// From before there were rings.
    fn before(session: Box<Session>, why: Why) -> Self {
        Self { session, queues: None, why, since: None }
    }

    /// Shows the back end that it is over, and ends its access to the pages when it has let go of them.
    async fn close(mut self, pace: &mut Pace) -> Closed {
        let link = &self.session.site.link;
        let queues = [self.queues.take(), link.take_down()];
        pace.after(&self.why, self.since);
        if let Why::Fault(_) = self.why {
            link.count_fault();
        }
        self.report();
        if !matches!(self.why, Why::Gone) {
            // Whatever goes wrong now, it is over: the pages are parked if need be.
            let _ = timeout(CLOSE_WAIT, self.part()).await;
        }
        drop(queues);
        Closed { session: self.session, why: self.why }
    }

    async fn part(&mut self) -> Result<(), Why> {
        self.session.show(XenbusState::Closing).await?;
        self.session.show(XenbusState::Closed).await?;
        while self.session.state() != XenbusState::Closed {
            match self.session.next_state().await {
                // The back end has to let go all the same.
                Err(Why::Unwanted) => self.why = Why::Unwanted,
                other => other.map(drop)?,
            }
        }
        Ok(())
    }

    fn report(&self) {
        let name = &self.session.site.name;
        match &self.why {
            Why::Closing | Why::Gone | Why::Unwanted => log::info!("{name}: disconnected: {}", self.why),
            why => log::error!("{name}: closed: {why}"),
        }
    }
}

/// It is over; the back end may start anew.
struct Closed {
    session: Box<Session>,
    why: Why,
}

impl Closed {
    /// Waits for the back end to start anew, or for the device to be gone; `None` when nobody wants it.
    async fn wait_anew(mut self, pace: &mut Pace) -> Option<Detached> {
        if matches!(self.why, Why::Unwanted) {
            return None;
        }
        pace.wait(&self.session.site.link).await.ok()?;
        loop {
            match self.is_anew().await {
                Ok(true) | Err(Why::Gone) => return Some(Detached { site: self.session.site }),
                Ok(false) => {}
                Err(Why::Unwanted) => return None,
                Err(why) => {
                    log::debug!("{}: {why}", self.session.site.name);
                    pace.wait(&self.session.site.link).await.ok()?;
                }
            }
        }
    }

    /// Whether the back end waits for this end; if not, waits for its next state.
    async fn is_anew(&mut self) -> Result<bool, Why> {
        let anew = match self.session.state() {
            _ if matches!(self.why, Why::Gone) => true,
            XenbusState::InitWait => true,
            // One that is kept starts when this end does; one that is being detached goes.
            XenbusState::Closed => self.session.backend.has_feature("online").await?,
            _ => false,
        };
        if !anew {
            self.session.next_state().await?;
        }
        Ok(anew)
    }
}
