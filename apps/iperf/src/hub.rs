//! The server's datagrams: one socket for all streams of a test, told apart by the address they come from.

use crate::error::Error;
use crate::run::{Endpoint, Run};
use crate::signal::Signal;
use crate::tally::{Role, Tally};
use crate::udp::{ANSWER, HELLO, OLD_ANSWER, OLD_HELLO};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use fata::net::{Network, UdpSocket};
use fata::spawn;
use fata::task::{Task, yield_now};

/// What may wait to be received, octets.
const QUEUE: usize = 1 << 20;
/// Datagrams that are taken at once at most.
const DATAGRAMS: usize = 64;

/// The server's socket, and the task that receives.
pub struct Hub {
    all_there: Rc<Signal>,
    _task: Task<()>,
}

impl Hub {
    /// Listens for the streams of a test, in the order of their roles, from that host alone.
    pub fn open(
        network: &Network,
        port: u16,
        host: IpAddr,
        run: &Rc<Run>,
        roles: Vec<Role>,
    ) -> Result<Self, Error> {
        let unspecified = core::net::Ipv6Addr::UNSPECIFIED;
        let socket = UdpSocket::bind(network, (unspecified, port).into())?;
        socket.set_queue(QUEUE);
        let all_there = Rc::<Signal>::default();
        let receiver = Receiver {
            socket: Rc::new(socket),
            host,
            run: run.clone(),
            roles,
            peers: BTreeMap::new(),
            all_there: all_there.clone(),
        };
        Ok(Self { all_there, _task: spawn(receiver.receive()) })
    }

    /// Waits until each stream has said hello.
    pub async fn all_there(&self) {
        self.all_there.wait().await;
    }
}

struct Receiver {
    socket: Rc<UdpSocket>,
    host: IpAddr,
    run: Rc<Run>,
    roles: Vec<Role>,
    /// As many as there are roles, at most.
    peers: BTreeMap<SocketAddr, Rc<Tally>>,
    all_there: Rc<Signal>,
}

impl Receiver {
    async fn receive(mut self) {
        loop {
            let mut greeted = Vec::new();
            let take = |datagram: &[u8], from| {
                if let Some(answer) = self.take(datagram, from) {
                    greeted.push((from, answer));
                }
            };
            // An error is of one datagram: that nobody listens where one was sent to.
            let _ = self.socket.recv_many(DATAGRAMS, take).await;
            for (from, answer) in greeted {
                self.greet(from, answer).await;
            }
            yield_now().await;
        }
    }

    /// Counts a datagram where it lies; the answer to one that says hello.
    fn take(&self, datagram: &[u8], from: SocketAddr) -> Option<[u8; 4]> {
        match datagram {
            octets if octets == HELLO => return Some(ANSWER),
            octets if octets == OLD_HELLO => return Some(OLD_ANSWER),
            _ => {}
        }
        if let Some(tally) = self.peers.get(&from)
            && tally.role == Role::Receiver
        {
            self.run.datagram(tally, datagram);
        }
        None
    }

    async fn greet(&mut self, from: SocketAddr, answer: [u8; 4]) {
        if from.ip() != self.host {
            return;
        }
        if !self.peers.contains_key(&from) {
            let Some(&role) = self.roles.get(self.peers.len()) else { return };
            let endpoint = match role {
                Role::Sender => Endpoint::Udp(self.socket.clone(), from),
                Role::Receiver => Endpoint::Elsewhere,
            };
            self.peers.insert(from, self.run.add(role, endpoint));
        }
        // What is lost here the client notices.
        let _ = self.socket.send_to(&answer, from).await;
        if self.peers.len() == self.roles.len() {
            self.all_there.set();
        }
    }
}
