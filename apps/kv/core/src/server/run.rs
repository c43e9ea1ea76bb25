//! Accepts clients, and sees to what happens by itself.

use super::connection;
use super::flush::Disk;
use super::{Config, Core, Link};
use alloc::rc::Rc;
use core::cell::{Ref, RefCell, RefMut};
use core::net::{Ipv6Addr, SocketAddr};
use fata::net::{self, Network, TcpListener, TcpStream};
use fata::time::{Duration, SystemTime, sleep};
use fata::{entropy, shutdown, spawn};

/// The time between two looks for keys that are over.
const PERIOD: Duration = Duration::from_millis(100);
/// And where nothing ends soon, and where much has ended.
const IDLE: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_millis(1);
/// The most keys that are taken out at once.
const AT_ONCE: usize = 2000;

/// A server. What its connections do is done within one call: nothing is borrowed across a wait.
pub struct Server {
    /// Data and clients.
    pub core: RefCell<Core>,
    pub(super) disk: RefCell<Option<Rc<Disk>>>,
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    SystemTime::recent().since_unix().as_millis() as i64
}

impl Server {
    /// A server without data.
    pub fn new(config: Config) -> Rc<Self> {
        let mut core = Core::new(config, entropy::u64());
        core.store.now = now();
        Rc::new(Self { core: RefCell::new(core), disk: RefCell::default() })
    }

    /// Data and clients. Here, and below, as what each borrow looks at is some code.
    #[inline(never)]
    pub(super) fn core_ref(&self) -> Ref<'_, Core> {
        self.core.borrow()
    }

    /// The same, to change them.
    #[inline(never)]
    pub(super) fn core_mut(&self) -> RefMut<'_, Core> {
        self.core.borrow_mut()
    }

    /// A link for a client that has come, unless there are too many.
    fn enter(&self, stream: &TcpStream, peer: SocketAddr) -> Option<Rc<Link>> {
        let hub = &mut self.core_mut().hub;
        hub.figures.connections += 1;
        if hub.is_closing || hub.links.len() >= hub.config.maxclients {
            hub.figures.rejected += 1;
            return None;
        }
        hub.figures.last_client += 1;
        let link = Rc::new(Link::new(hub.figures.last_client, peer, stream.local_addr(), now()));
        hub.links.push(link.clone());
        Some(link)
    }

    async fn meet(self: Rc<Self>, mut stream: TcpStream, peer: SocketAddr) {
        stream.set_nodelay(true);
        match self.enter(&stream, peer) {
            Some(link) => connection::serve(&self, stream, link).await,
            // What does not fit the send buffer at once is not worth waiting for.
            None => drop(stream.write(b"-ERR max number of clients reached\r\n").await),
        }
    }

    /// Takes out what is over.
    async fn expire(self: Rc<Self>) {
        let mut wait = IDLE;
        loop {
            sleep(wait).await;
            let store = &mut self.core_mut().store;
            store.now = now();
            let is_left = store.expire_due(AT_ONCE);
            let next = store.next_due().map_or(IDLE, |due| {
                Duration::from_millis(due.saturating_sub(store.now).max(0).cast_unsigned())
                    .clamp(PERIOD, IDLE)
            });
            wait = if is_left { BUSY } else { next };
            if let Some(disk) = self.disk() {
                disk.notice();
            }
        }
    }
}

/// Listens.
pub fn listen(server: &Server, network: &Network) -> Result<TcpListener, net::Error> {
    let port = server.core_ref().hub.config.port;
    TcpListener::bind(network, (Ipv6Addr::UNSPECIFIED, port).into())
}

/// Serves until the guest is asked to leave, or the listener fails.
pub async fn serve(server: &Rc<Server>, listener: TcpListener) -> Result<(), net::Error> {
    let accepting = server.clone();
    let accept = async move {
        loop {
            let (stream, peer) = listener.accept().await?;
            spawn(accepting.clone().meet(stream, peer)).detach();
        }
    };
    let expiring = spawn(server.clone().expire());
    let flushing = spawn(server.clone().flush());
    let result = until_shutdown(accept).await.unwrap_or(Ok(()));
    drop(expiring);
    {
        let hub = &mut server.core_mut().hub;
        hub.is_closing = true;
        hub.links.iter().for_each(|link| link.kill());
    }
    if let Err(error) = server.flush_all(flushing).await {
        fata::log::error!("not all of the data is on the disk: {error}");
    }
    result
}

/// `None` if the guest is asked to leave before `future` is done.
async fn until_shutdown<F: Future>(future: F) -> Option<F::Output> {
    let mut future = core::pin::pin!(future);
    let mut leave = core::pin::pin!(shutdown::requested());
    core::future::poll_fn(|cx| {
        if leave.as_mut().poll(cx).is_ready() {
            return core::task::Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}
