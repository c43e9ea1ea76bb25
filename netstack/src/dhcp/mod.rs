//! The DHCP client (RFC 2131): from no address to a lease, and from lease to lease.
//!
//! One task for an interface. What the protocol calls states are the places in its code: [`Client::discover`] (INIT,
//! SELECTING, REQUESTING), [`Client::confirm`] (INIT-REBOOT: after the cable was out, so that connections outlive a back end
//! that restarts), [`Client::hold`] (BOUND, RENEWING, REBINDING).

mod message;

use crate::config::Config;
use crate::interface::Iface;
use crate::ip::{self, Datagram, Net, Way};
use crate::link::Hop;
use crate::stack::Core;
use crate::udp;
use crate::version::LEAST_MTU;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr};
use core::task::Poll;
use fata_libos::entropy;
use fata_libos::task::WakerSet;
use fata_libos::time::{Duration, Instant, timeout};
use message::{Ask, Lease, Reply};
use smoltcp::wire::DhcpMessageType;

/// The port of servers.
pub(crate) const SERVER_PORT: u16 = 67;
/// The first wait for an answer; each further one is twice as long, up to the last.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// Requests for an offer before it is taken to be void.
const REQUESTS: usize = 4;
/// The shortest wait while a lease is being prolonged (RFC 2131, 4.4.5).
const LEAST_RENEW_WAIT: Duration = Duration::from_secs(60);
/// Messages that wait to be read.
const INBOX: usize = 8;
/// The longest of them, octets.
const MAX_MESSAGE: usize = 1500;

/// Answers that have come for an interface's client.
#[derive(Default)]
pub(crate) struct Inbox {
    messages: RefCell<VecDeque<Vec<u8>>>,
    reader: WakerSet,
}

impl Inbox {
    /// Takes a message if somebody waits for one; what is too much is dropped, as servers are asked again.
    pub(crate) fn push(&self, message: &[u8]) {
        let mut messages = self.messages.borrow_mut();
        let wanted = !self.reader.is_empty() || !messages.is_empty();
        if wanted && messages.len() < INBOX && message.len() <= MAX_MESSAGE {
            messages.push_back(message.into());
            self.reader.wake_all();
        }
    }
}

/// What came of waiting.
enum Heard {
    Reply(Reply),
    Silence,
    LinkLost,
}

/// Whether a reply is one that is waited for. Not a type parameter: [`Client::hear`] is then once in the image.
type Fits<'f> = &'f dyn Fn(&Reply) -> bool;

struct Client {
    core: Rc<Core>,
    iface: Rc<Iface>,
    config: Config,
    xid: u32,
    /// When this exchange began.
    began: Instant,
    /// When the last message was sent.
    asked: Instant,
    /// Times the link was lost when last looked.
    losses: u64,
}

/// Keeps an interface configured for ever.
pub(crate) async fn run(core: Rc<Core>, iface: Rc<Iface>, config: Config) {
    let now = Instant::now();
    let mut client = Client { core, iface, config, xid: 0, began: now, asked: now, losses: 0 };
    let mut held: Option<Box<Lease>> = None;
    loop {
        client.link_up().await;
        let lease = match held.take() {
            Some(old) => client.confirm(old).await,
            None => client.discover().await,
        };
        if let Some(lease) = lease {
            held = client.hold(lease).await;
        }
    }
}

impl Client {
    async fn link_up(&mut self) {
        let iface = self.iface.clone();
        poll_fn(|cx| {
            if iface.is_up() {
                return Poll::Ready(());
            }
            iface.changed.register(cx);
            Poll::Pending
        })
        .await;
        self.losses = iface.losses.get();
    }

    /// Gets a lease from any server, for as long as the link is there.
    async fn discover(&mut self) -> Option<Box<Lease>> {
        self.begin();
        let mut wait = FIRST_WAIT;
        let ask = Ask {
            kind: DhcpMessageType::Discover,
            current: Ipv4Addr::UNSPECIFIED,
            requested: None,
            server: None,
        };
        loop {
            self.send(ask, None);
            match self.hear(jittered(wait), &|reply| matches!(reply, Reply::Offer(_))).await {
                Heard::Reply(Reply::Offer(offer)) => {
                    if let Some(lease) = self.request(&offer).await {
                        return Some(lease);
                    }
                    // A server that offers what it does not give is not asked in a circle.
                    if let Heard::LinkLost = self.hear(jittered(wait), &|_| false).await {
                        return None;
                    }
                    self.begin();
                }
                Heard::LinkLost => return None,
                _ => {}
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn request(&mut self, offer: &Lease) -> Option<Box<Lease>> {
        let server = offer.server;
        let ask = Ask {
            kind: DhcpMessageType::Request,
            current: Ipv4Addr::UNSPECIFIED,
            requested: Some(offer.address),
            server: Some(server),
        };
        let mut wait = FIRST_WAIT;
        for _ in 0..REQUESTS {
            self.send(ask, None);
            let fits = |reply: &Reply| match reply {
                Reply::Ack(lease) => lease.server == server,
                Reply::Nak(from) => from.is_none_or(|from| from == server),
                Reply::Offer(_) => false,
            };
            match self.hear(jittered(wait), &fits).await {
                Heard::Reply(Reply::Ack(lease)) => return Some(lease),
                Heard::Silence => wait *= 2,
                _ => return None,
            }
        }
        None
    }

    /// Asks whether the lease still stands, after the link was lost. Where nobody answers it is used on.
    async fn confirm(&mut self, old: Box<Lease>) -> Option<Box<Lease>> {
        self.begin();
        let ask = Ask {
            kind: DhcpMessageType::Request,
            current: Ipv4Addr::UNSPECIFIED,
            requested: Some(old.address),
            server: None,
        };
        let mut wait = FIRST_WAIT;
        for _ in 0..REQUESTS - 1 {
            self.send(ask, None);
            match self.hear(jittered(wait), &|reply| !matches!(reply, Reply::Offer(_))).await {
                Heard::Reply(Reply::Ack(lease)) => return Some(lease),
                Heard::Reply(_) => {
                    self.lose("the server takes the address back");
                    return None;
                }
                Heard::LinkLost => return Some(old),
                Heard::Silence => wait *= 2,
            }
        }
        Some(old)
    }

    /// Uses a lease, and prolongs it again and again. Returns it when the link is lost, nothing when the lease is.
    async fn hold(&mut self, mut lease: Box<Lease>) -> Option<Box<Lease>> {
        'lease: loop {
            self.apply(&lease);
            if self.losses != self.iface.losses.get() {
                return Some(lease);
            }
            if let Heard::LinkLost = self.hear_until(lease.renew, &|_| false).await {
                return Some(lease);
            }
            self.begin();
            for (to, until) in [(Some(lease.server), lease.rebind), (None, lease.end)] {
                while let Some(left) = until.map(|at| at - Instant::now()).filter(|left| !left.is_zero()) {
                    let ask = Ask {
                        kind: DhcpMessageType::Request,
                        current: lease.address,
                        requested: None,
                        server: None,
                    };
                    self.send(ask, to);
                    let wait = (left / 2).max(LEAST_RENEW_WAIT).min(left);
                    match self.hear(wait, &|reply| !matches!(reply, Reply::Offer(_))).await {
                        Heard::Reply(Reply::Ack(new)) => {
                            lease = new;
                            continue 'lease;
                        }
                        Heard::Reply(_) => {
                            self.lose("the server takes the address back");
                            return None;
                        }
                        Heard::LinkLost => return Some(lease),
                        Heard::Silence => {}
                    }
                }
            }
            self.lose("the lease has ended, and no server has prolonged it");
            return None;
        }
    }

    fn apply(&self, lease: &Lease) {
        let net = Net { address: lease.address, prefix_len: lease.prefix_len, gateway: lease.gateway };
        let mut dns = self.config.dns.clone();
        dns.extend(&lease.dns);
        // Every link of IPv6 takes its least.
        let least = if self.iface.inet6().is_some() { LEAST_MTU as u16 } else { 0 };
        let limits = [lease.mtu.filter(|mtu| *mtu >= 576).map(|mtu| mtu.max(least)), self.config.mtu];
        self.iface.link.borrow_mut().limit_mtu(limits.into_iter().flatten().min().unwrap_or(u16::MAX));
        self.iface.configure(&self.core, Some(net), dns);
    }

    fn lose(&self, why: &str) {
        log::warn!("{}: {why}", self.iface.name);
        // The name servers that the user gave stay.
        self.iface.configure(&self.core, None, self.config.dns.clone());
    }

    fn begin(&mut self) {
        self.xid = entropy::u32();
        self.began = Instant::now();
    }

    fn send(&mut self, ask: Ask, to: Option<Ipv4Addr>) {
        let now = Instant::now();
        self.asked = now;
        self.iface.dhcp.messages.borrow_mut().clear();
        let seconds = u16::try_from((now - self.began).as_secs()).unwrap_or(u16::MAX);
        let mac = self.iface.link.borrow().mac();
        let message = message::write(ask, self.xid, seconds, mac, self.config.hostname.as_deref());
        let own = IpAddr::V4(ask.current);
        let way = to.and_then(|to| self.iface.way(to.into(), Some(own)));
        let to_all = Way { own, to: Ipv4Addr::BROADCAST.into(), hop: Hop::Broadcast };
        let (way, len) = (way.unwrap_or(to_all), udp::HEADER + message.len());
        let datagram = Datagram { now, way, protocol: ip::UDP, len };
        ip::send_datagram(&self.iface, &self.core.counters, datagram, &mut |buf| {
            udp::write_header(buf, udp::DHCP_CLIENT, SERVER_PORT);
            buf[udp::HEADER..].copy_from_slice(&message);
        });
        self.iface.work.kick();
    }

    /// Waits for an answer that fits; for ever where there is no time limit.
    async fn hear_until(&mut self, until: Option<Instant>, fits: Fits<'_>) -> Heard {
        // A year at a time, where a lease never ends.
        let wait = until.map_or(Duration::from_secs(365 * 86_400), |at| at - Instant::now());
        loop {
            match self.hear(wait, fits).await {
                Heard::Silence if until.is_none() => {}
                heard => return heard,
            }
        }
    }

    async fn hear(&mut self, wait: Duration, fits: Fits<'_>) -> Heard {
        let mac = self.iface.link.borrow().mac();
        let heard = poll_fn(|cx| {
            if self.iface.losses.get() != self.losses {
                return Poll::Ready(Heard::LinkLost);
            }
            loop {
                let Some(message) = self.iface.dhcp.messages.borrow_mut().pop_front() else { break };
                let reply = message::read(&message, self.xid, mac, self.asked);
                if let Some(reply) = reply.filter(|r| fits(r)) {
                    return Poll::Ready(Heard::Reply(reply));
                }
            }
            self.iface.dhcp.reader.register(cx);
            self.iface.changed.register(cx);
            Poll::Pending
        });
        timeout(wait, heard).await.unwrap_or(Heard::Silence)
    }
}

/// A second more or less (RFC 2131, 4.1).
fn jittered(wait: Duration) -> Duration {
    wait - Duration::from_secs(1) + Duration::from_millis(u64::from(entropy::u32() % 2000))
}
