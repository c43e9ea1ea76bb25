//! The stack and its interfaces.

use super::{Capture, CaptureError, Config, ConnectionInfo, Packets, Stats};
use crate::env::Shared;
use crate::hosted::TAP;
use crate::net::Name;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::future::pending;
use core::net::{IpAddr, Ipv4Addr};
use fata_libos::net::{MacAddress, NetCounters, NetDevice};
use fata_libos::param::{Param, Params};
use fata_unix::{Reactor, socket};

/// All interfaces and sockets of the appliance. Cheap to clone: all clones are the same stack.
#[derive(Clone)]
pub struct Stack(pub(super) Below);

/// Which stack it is.
#[derive(Clone)]
pub(super) enum Below {
    Netstack(fata_netstack::Stack),
    Host(Rc<Host>),
}

/// The host's own stack.
pub(super) struct Host {
    pub(super) reactor: Rc<Reactor>,
    interfaces: RefCell<Vec<Rc<HostInterface>>>,
    /// Room for a datagram; taken out while it is in use.
    pub(super) scratch: RefCell<Vec<u8>>,
}

/// A name for the host's network.
struct HostInterface {
    name: &'static str,
}

/// An interface without a tap device where another has one: a process has one stack.
#[derive(Debug, thiserror::Error)]
#[error(
    "network interface {interface} has no tap device, and another has one: give {interface}.tap=NAME too"
)]
pub struct NoTap {
    /// The interface.
    pub interface: String,
}

/// Whether any interface has a tap device.
fn has_tap(params: &Params) -> bool {
    let is_tap =
        |param: &Param| param.name.strip_suffix(TAP).is_some_and(|interface| interface.ends_with('.'));
    params.declared().any(|param| is_tap(param) && params.value(param).is_some())
}

/// The tap device of an interface, which all have or none has.
fn tap_of<'p>(params: &'p Params, interface: &str) -> crate::Result<&'p str> {
    let tap = params.get(&format!("{interface}.{TAP}"));
    Ok(tap.ok_or_else(|| NoTap { interface: interface.into() })?)
}

/// What is to be known of an interface's tap device before anything starts.
pub(in crate::net) fn check_params(params: &Params, interface: &str) -> crate::Result<()> {
    if has_tap(params) { tap_of(params, interface).map(drop) } else { Ok(()) }
}

/// Netstack if any interface has a tap device, else the host's.
pub(in crate::net) fn new_stack(shared: &Shared) -> Stack {
    if has_tap(&shared.params) {
        return Stack::new();
    }
    let reactor = shared.machine.reactor().clone();
    Stack(Below::Host(Rc::new(Host { reactor, interfaces: RefCell::default(), scratch: RefCell::default() })))
}

/// Opens an interface's tap device.
pub(in crate::net) async fn open_device(shared: &Shared, name: Name) -> crate::Result<Box<dyn NetDevice>> {
    shared.machine.open_tap(tap_of(&shared.params, name.as_str())?)
}

/// Opens an interface.
pub(in crate::net) async fn open(
    shared: &Shared,
    stack: &Stack,
    name: Name,
    config: Config,
) -> crate::Result<Interface> {
    let name = name.as_str();
    match &stack.0 {
        Below::Netstack(netstack) => {
            let device = shared.machine.open_tap(tap_of(&shared.params, name)?)?;
            crate::net::drain_at_end(shared);
            Ok(Interface(Which::Netstack(netstack.add_interface(name, device, config))))
        }
        Below::Host(host) => {
            say_what_has_no_use(shared, name);
            let interface = Rc::new(HostInterface { name });
            host.interfaces.borrow_mut().push(interface.clone());
            Ok(Interface(Which::Host(interface)))
        }
    }
}

/// One line for all parameters that were given and do nothing.
fn say_what_has_no_use(shared: &Shared, interface: &str) {
    let params = &shared.params;
    let given = |param: &&Param| params.get_given(&format!("{interface}.{}", param.name)).is_some();
    let given: Vec<&str> = super::Ipv6Config::PARAMS.iter().filter(given).map(|param| param.name).collect();
    if !given.is_empty() {
        log::warn!(
            "{interface}: {} has no effect on the host's own sockets; tap=NAME gives it an address of its own",
            given.join(", ")
        );
    }
}

impl Stack {
    /// A netstack without interfaces, as on a guest; [`Env::stack`](crate::Env::stack) may be the host's instead.
    pub fn new() -> Self {
        Self(Below::Netstack(fata_netstack::Stack::new()))
    }

    /// Adds an interface and starts the task that drives it.
    ///
    /// # Panics
    /// If this is the host's stack, which has devices of its own.
    pub fn add_interface(&self, name: &str, device: Box<dyn NetDevice>, config: Config) -> Interface {
        let Below::Netstack(stack) = &self.0 else { panic!("the host's own stack takes no device") };
        Interface(Which::Netstack(stack.add_interface(name, device, config)))
    }

    /// The interfaces, in the order in which they were added.
    pub fn interfaces(&self) -> Vec<Interface> {
        match &self.0 {
            Below::Netstack(stack) => {
                stack.interfaces().into_iter().map(Which::Netstack).map(Interface).collect()
            }
            Below::Host(host) => {
                host.interfaces.borrow().iter().cloned().map(Which::Host).map(Interface).collect()
            }
        }
    }

    /// The interface of that name.
    pub fn interface(&self, name: &str) -> Option<Interface> {
        self.interfaces().into_iter().find(|interface| interface.name() == name)
    }

    /// The limit on the memory of TCP connections with their buffers, octets. The host's kernel has limits of its own.
    pub fn set_memory_limit(&self, octets: usize) {
        if let Below::Netstack(stack) = &self.0 {
            stack.set_memory_limit(octets);
        }
    }

    /// Resets all TCP connections: for an end that does not wait for slow peers. The host's kernel sees to its own.
    pub fn abort_all(&self) {
        if let Below::Netstack(stack) = &self.0 {
            stack.abort_all();
        }
    }

    /// Keeps the last frames of all interfaces from now on: as many as `octets` hold of `snap` octets each, with 44 for
    /// each beside that. Replaces a capture that runs already.
    pub fn capture(&self, octets: usize, snap: usize) -> Result<Capture, CaptureError> {
        match &self.0 {
            Below::Netstack(stack) => stack.capture(octets, snap),
            Below::Host(_) => Err(CaptureError::NoFrames),
        }
    }

    /// Calls `visit` with what is known of at most `most` TCP connections, and returns how many there are. None of the host's,
    /// which `ss` shows.
    pub fn connections(&self, most: usize, visit: &mut dyn FnMut(&ConnectionInfo)) -> usize {
        match &self.0 {
            Below::Netstack(stack) => stack.connections(most, visit),
            Below::Host(_) => 0,
        }
    }

    /// The stack's figures; zeros for the host's, which has its own elsewhere.
    pub fn stats(&self) -> Stats {
        match &self.0 {
            Below::Netstack(stack) => stack.stats(),
            Below::Host(_) => Stats::default(),
        }
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stack")
    }
}

/// What an interface has been told about its network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Addressing {
    /// Its address.
    pub address: IpAddr,
    /// Bits of the network part.
    pub prefix_len: u8,
    /// The router.
    pub gateway: Option<IpAddr>,
    /// The name servers.
    pub dns: Vec<IpAddr>,
}

impl From<fata_netstack::Addressing> for Addressing {
    fn from(from: fata_netstack::Addressing) -> Self {
        let fata_netstack::Addressing { address, prefix_len, gateway, dns, .. } = from;
        Self { address, prefix_len, gateway, dns }
    }
}

impl Addressing {
    /// The address from which the host speaks to others; how it is connected is its own affair.
    fn of_host() -> Self {
        let address = socket::own_address().unwrap_or(Ipv4Addr::LOCALHOST.into());
        Self { address, prefix_len: 32, gateway: None, dns: Vec::new() }
    }
}

/// A network interface of a [`Stack`].
#[derive(Clone)]
pub struct Interface(Which);

#[derive(Clone)]
enum Which {
    Netstack(fata_netstack::Interface),
    Host(Rc<HostInterface>),
}

impl Interface {
    /// The name given to it.
    pub fn name(&self) -> &str {
        match &self.0 {
            Which::Netstack(interface) => interface.name(),
            Which::Host(interface) => interface.name,
        }
    }

    /// Its hardware address; zeros where it is the host's sockets.
    pub fn mac(&self) -> MacAddress {
        match &self.0 {
            Which::Netstack(interface) => interface.mac(),
            Which::Host(_) => MacAddress([0; 6]),
        }
    }

    /// The largest IP packet it carries, octets.
    pub fn mtu(&self) -> usize {
        match &self.0 {
            Which::Netstack(interface) => interface.mtu(),
            Which::Host(_) => 1500,
        }
    }

    /// Whether its device is connected.
    pub fn is_up(&self) -> bool {
        match &self.0 {
            Which::Netstack(interface) => interface.is_up(),
            Which::Host(_) => true,
        }
    }

    /// The device's counters; zeros where it is the host's sockets.
    pub fn device_counters(&self) -> NetCounters {
        match &self.0 {
            Which::Netstack(interface) => interface.device_counters(),
            Which::Host(_) => NetCounters::default(),
        }
    }

    /// Calls `f` with the number of packets of each protocol that came and went; never for the host's sockets.
    pub fn each_packets(&self, f: &mut dyn FnMut(Packets)) {
        if let Which::Netstack(interface) = &self.0 {
            interface.each_packets(f);
        }
    }

    /// Calls `f` with the number of packets dropped, of each protocol and for each reason; never for the host's sockets.
    pub fn each_dropped(&self, f: &mut dyn FnMut(Packets)) {
        if let Which::Netstack(interface) = &self.0 {
            interface.each_dropped(f);
        }
    }

    /// Calls `f` with each of its addresses, that of IPv4 first; of the host's sockets, with the host's.
    pub fn each_address(&self, f: &mut dyn FnMut(Addressing)) {
        match &self.0 {
            Which::Netstack(interface) => interface.each_address(&mut |addressing| f(addressing.into())),
            Which::Host(_) => f(Addressing::of_host()),
        }
    }

    /// Its address, if it has one: that of IPv4, else the first of IPv6 that is not link-local.
    pub fn addressing(&self) -> Option<Addressing> {
        match &self.0 {
            Which::Netstack(interface) => interface.addressing().map(Into::into),
            Which::Host(_) => Some(Addressing::of_host()),
        }
    }

    /// Waits until it has an address that is good beyond its link: where it has both versions of IP, of the one that is there first.
    /// One of IPv6 is there after a second at the earliest, as others are asked whether they have it;
    /// [`each_address`](Self::each_address) and [`config_changed`](Self::config_changed) tell of the second.
    pub async fn configured(&self) -> Addressing {
        match &self.0 {
            Which::Netstack(interface) => interface.configured().await.into(),
            Which::Host(_) => Addressing::of_host(),
        }
    }

    /// Waits until its address, gateway or name servers change, and returns the new ones; `None`: it has no address.
    pub async fn config_changed(&self) -> Option<Addressing> {
        match &self.0 {
            Which::Netstack(interface) => interface.config_changed().await.map(Into::into),
            // Nobody tells of it.
            Which::Host(_) => pending().await,
        }
    }
}

impl fmt::Debug for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interface({})", self.name())
    }
}
