//! The server's datagrams: one socket for all streams of a test, told apart by the address they come from.

use crate::control::buffer;
use crate::error::Error;
use crate::params::MAX_DATAGRAM;
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
const TURNS: u32 = 64;

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
        let buf = buffer(MAX_DATAGRAM as usize)?;
        Ok(Self { all_there, _task: spawn(receiver.receive(buf)) })
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
    async fn receive(mut self, mut buf: Vec<u8>) {
        let mut turns = 0_u32;
        loop {
            // An error is of one datagram: that nobody listens where one was sent to.
            if let Ok((len, from)) = self.socket.recv_from(&mut buf).await {
                self.take(&buf[..len], from).await;
            }
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURNS) {
                yield_now().await;
            }
        }
    }

    async fn take(&mut self, datagram: &[u8], from: SocketAddr) {
        let answer = match datagram {
            octets if octets == HELLO => ANSWER,
            octets if octets == OLD_HELLO => OLD_ANSWER,
            _ => {
                if let Some(tally) = self.peers.get(&from)
                    && tally.role == Role::Receiver
                {
                    self.run.datagram(tally, datagram);
                }
                return;
            }
        };
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
