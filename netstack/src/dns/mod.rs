//! Name resolution: a stub resolver with a cache.
//!
//! Every question goes from a port of its own with a number of its own, both random; answers from elsewhere, or to another
//! question, are not seen. What does not fit into a datagram is asked for over TCP.

mod message;

use crate::error::Error;
use crate::memory::{Share, Use};
use crate::stack::{Core, Stack};
use crate::tcp::TcpStream;
use crate::udp::UdpSocket;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use embedded_io_async::{Read, ReadExactError, Write};
use fata_libos::entropy;
use fata_libos::time::{Duration, Instant, timeout};
use message::{Answer, Kind, Name};

const PORT: u16 = 53;
/// How long each server may take, round by round.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// Servers asked.
const SERVERS: usize = 4;
/// Aliases followed from answer to answer.
const ALIASES: usize = 8;
/// Names remembered.
const CACHE: usize = 512;
/// What one costs at most beside its addresses, octets.
const COST: usize = 384;
/// The longest that a name is remembered, seconds.
const MAX_TTL: u32 = 86_400;
/// The longest answer over UDP (RFC 1035, 4.2.1), octets; servers that send more are heard too.
const MAX_ANSWER: usize = 1500;

struct Known {
    name: Name,
    kind: Kind,
    addresses: Vec<IpAddr>,
    until: Instant,
    _share: Share,
}

struct Shared {
    stack: Stack,
    cache: RefCell<Vec<Known>>,
}

/// Finds addresses of names with the name servers of the interfaces. Clones share one cache.
#[derive(Clone)]
pub struct Resolver(Rc<Shared>);

impl Resolver {
    /// A resolver with an empty cache.
    pub fn new(stack: &Stack) -> Self {
        Self(Rc::new(Shared { stack: stack.clone(), cache: RefCell::default() }))
    }

    /// The addresses of a name, at least one, of the versions of IP that the interfaces have; those of IPv6 first where this host
    /// has a global address of it (RFC 6724, 2.1 and 5). An address in text form is its own address.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        let name = message::encode(name)?;
        let mut all = Vec::new();
        let mut nothing = Err(Error::NameNotFound);
        for kind in self.kinds().into_iter().flatten() {
            match self.look_up(name.clone(), kind).await {
                Ok(addresses) => all.extend(addresses),
                Err(Error::NameNotFound) => {}
                // There are servers that are silent about one kind of addresses (RFC 4074, 4.1).
                Err(error) => nothing = Err(error),
            }
        }
        if all.is_empty() { nothing } else { Ok(all) }
    }

    /// The addresses of IPv4 alone; for who looks both up at once (RFC 8305, 3), beside [`resolve_ipv6`](Self::resolve_ipv6).
    pub async fn resolve_ipv4(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        self.resolve_kind(name, Kind::A).await
    }

    /// The addresses of IPv6 alone; none where no interface has a use for them.
    pub async fn resolve_ipv6(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        self.resolve_kind(name, Kind::Aaaa).await
    }

    async fn resolve_kind(&self, name: &str, kind: Kind) -> Result<Vec<IpAddr>, Error> {
        let name = message::encode(name)?;
        if !self.kinds().contains(&Some(kind)) {
            return Err(Error::NameNotFound);
        }
        self.look_up(name, kind).await
    }

    /// Which addresses are of use, the better ones first.
    fn kinds(&self) -> [Option<Kind>; 2] {
        let (mut four, mut six, mut global) = (false, false, false);
        for iface in self.core().interfaces.borrow().iter() {
            four |= iface.net.get().is_some();
            if let Some(inet6) = iface.inet6() {
                inet6.each_address(&mut |address, _, _| {
                    six |= !address.is_unicast_link_local();
                    global |= address.segments()[0] >> 13 == 1;
                });
            }
        }
        match (six, global) {
            (true, true) => [Some(Kind::Aaaa), Some(Kind::A).filter(|_| four)],
            (true, false) => [Some(Kind::A).filter(|_| four), Some(Kind::Aaaa)],
            _ => [Some(Kind::A), None],
        }
    }

    async fn look_up(&self, asked: Name, kind: Kind) -> Result<Vec<IpAddr>, Error> {
        let mut name = asked;
        for _ in 0..ALIASES {
            if let Some(known) = self.known(&name, kind) {
                self.core().counters.dns_hits.one();
                return found(known);
            }
            let (addresses, ttl) = match self.ask(&name, kind).await? {
                Answer::Addresses(addresses, ttl) => (addresses, ttl),
                Answer::Nothing(ttl) => (Vec::new(), ttl),
                Answer::Alias(other) => {
                    name = other;
                    continue;
                }
                Answer::Truncated | Answer::Failed => return Err(Error::ResolveFailed),
            };
            self.remember(name, kind, &addresses, ttl);
            return found(addresses);
        }
        Err(Error::ResolveFailed)
    }

    fn core(&self) -> &Core {
        &self.0.stack.0
    }

    fn known(&self, name: &Name, kind: Kind) -> Option<Vec<IpAddr>> {
        let cache = self.0.cache.borrow();
        let now = Instant::recent();
        cache
            .iter()
            .find(|known| known.name == *name && known.kind == kind && now < known.until)
            .map(|known| known.addresses.clone())
    }

    fn remember(&self, name: Name, kind: Kind, addresses: &[IpAddr], ttl: u32) {
        let now = Instant::recent();
        let until = now + Duration::from_secs(u64::from(ttl.min(MAX_TTL)));
        let mut cache = self.0.cache.borrow_mut();
        cache.retain(|known| now < known.until && (known.name != name || known.kind != kind));
        if cache.len() >= CACHE {
            forget_first(&mut cache);
        }
        let octets = COST + size_of_val(addresses);
        let take = || self.core().memory.take(Use::Names, octets);
        let share = take().or_else(|| {
            forget_first(&mut cache);
            take()
        });
        if let Some(_share) = share
            && cache.try_reserve(1).is_ok()
        {
            cache.push(Known { name, kind, addresses: addresses.into(), until, _share });
        }
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let mut servers = Vec::new();
        let mut add = |server: SocketAddr| {
            if !servers.contains(&server) && servers.len() < SERVERS {
                servers.push(server);
            }
        };
        for iface in self.core().interfaces.borrow().iter() {
            iface.dns.borrow().iter().for_each(|server| add(SocketAddr::new(*server, PORT)));
            if let Some(inet6) = iface.inet6() {
                inet6.each_dns(&mut |server| add(iface.scoped(SocketAddr::new(server.into(), PORT))));
            }
        }
        servers
    }

    /// Asks one server after the other, until one can say; again, for longer, where one was silent. What all of them refuse
    /// at once they would refuse again.
    async fn ask(&self, name: &Name, kind: Kind) -> Result<Answer, Error> {
        let servers = self.servers();
        let mut answer = Err(Error::ResolveFailed);
        for wait in WAITS {
            let mut silent = 0;
            for server in &servers {
                match timeout(wait, self.ask_one(*server, name, kind)).await {
                    Ok(Ok(Answer::Failed)) => answer = Ok(Answer::Failed),
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(_)) => {}
                    Err(_) => {
                        answer = Err(Error::TimedOut);
                        silent += 1;
                    }
                }
            }
            if silent == 0 {
                break;
            }
        }
        answer
    }

    async fn ask_one(&self, server: SocketAddr, name: &Name, kind: Kind) -> Result<Answer, Error> {
        let socket = UdpSocket::bind(&self.0.stack, SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0))?;
        socket.connect(server)?;
        let id = entropy::u32() as u16;
        self.core().counters.dns_queries.one();
        socket.send(&message::question(id, name, kind)).await?;
        let mut buf = [0; MAX_ANSWER];
        loop {
            let len = socket.recv(&mut buf).await?;
            match message::read(&buf[..len], id, name, kind) {
                Some(Answer::Truncated) => return self.ask_over_tcp(server, name, kind).await,
                Some(answer) => return Ok(answer),
                None => {}
            }
        }
    }

    /// The same message, with its length before it (RFC 7766, 8).
    async fn ask_over_tcp(&self, server: SocketAddr, name: &Name, kind: Kind) -> Result<Answer, Error> {
        let mut stream = TcpStream::connect(&self.0.stack, server).await?;
        let id = entropy::u32() as u16;
        self.core().counters.dns_queries.one();
        let question = message::question(id, name, kind);
        let len = (question.len() as u16).to_be_bytes();
        stream.write_all(&[&len, &question[..]].concat()).await?;
        let mut len = [0; 2];
        stream.read_exact(&mut len).await.map_err(cut_short)?;
        let mut answer = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut answer).await.map_err(cut_short)?;
        Ok(match message::read(&answer, id, name, kind) {
            None | Some(Answer::Truncated) => Answer::Failed,
            Some(answer) => answer,
        })
    }
}

fn cut_short(error: ReadExactError<Error>) -> Error {
    match error {
        ReadExactError::UnexpectedEof => Error::ConnectionAborted,
        ReadExactError::Other(error) => error,
    }
}

/// Forgets the name that would be forgotten first.
fn forget_first(cache: &mut Vec<Known>) {
    if let Some((first, _)) = cache.iter().enumerate().min_by_key(|(_, known)| known.until) {
        cache.swap_remove(first);
    }
}

fn found(addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Error> {
    if addresses.is_empty() { Err(Error::NameNotFound) } else { Ok(addresses) }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
