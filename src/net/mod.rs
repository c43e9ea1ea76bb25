//! Network interfaces of an appliance, and its sockets.

use crate::{Env, Result, env};
use alloc::boxed::Box;
use core::fmt;
use core::ops::Deref;
pub use fata_libos::net::{
    Checksum, MacAddress, NetCounters, NetDevice, Offloads, Received, Shared, TransmitError, TransmitMeta,
};
use fata_libos::param::Params;
use fata_libos::time::{Duration, Instant, sleep};

#[cfg(target_os = "xen")]
mod guest;
#[cfg(target_os = "xen")]
use guest as below;
#[cfg(not(target_os = "xen"))]
mod hosted;
#[cfg(not(target_os = "xen"))]
use hosted as below;

pub use below::*;

/// A network interface of the appliance, and the stack it belongs to: sockets are made from it,
/// `TcpListener::bind(&network, ...)`.
#[derive(Clone, Debug)]
pub struct Network {
    stack: Stack,
    interface: Interface,
}

impl Network {
    /// The stack that all interfaces and sockets belong to.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The interface itself.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }
}

impl Deref for Network {
    type Target = Stack;
    fn deref(&self) -> &Stack {
        &self.stack
    }
}

/// Names a network interface of the manifest: a constant in the module `networks` that [`main!`](crate::main) makes.
#[derive(Clone, Copy)]
pub struct Name {
    index: usize,
    name: &'static str,
    configure: Configure,
}

/// What reads the configuration of an interface.
type Configure = fn(&Params, &str) -> core::result::Result<Config, ConfigError>;

impl Name {
    #[doc(hidden)]
    pub const fn new(index: usize, name: &'static str) -> Self {
        Self { index, name, configure: Config::from_params }
    }

    /// Of an interface whose manifest has `ipv6`. What names this links IPv6, and nothing else may.
    #[doc(hidden)]
    pub const fn with_ipv6(index: usize, name: &'static str) -> Self {
        Self { index, name, configure: Config::from_params_with_ipv6 }
    }

    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        self.name
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        (self.index, self.name) == (other.index, other.name)
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Name").field("index", &self.index).field("name", &self.name).finish()
    }
}

impl Env {
    /// Opens a network interface, configured by the boot parameters. It connects, and asks for an address if it has to, in
    /// the background: see [`Interface::configured`].
    pub async fn network(&self, name: Name) -> Result<Network> {
        let stack = self.stack();
        if let Some(interface) = stack.interface(name.name) {
            return Ok(Network { stack, interface });
        }
        let config = (name.configure)(&self.shared.params, name.name)?;
        let interface = below::open(&self.shared, &stack, name, config).await?;
        Ok(Network { stack, interface })
    }

    /// Opens a network interface without a stack: its frames are the appliance's own to read and write. An interface is
    /// opened once, as this or as a [`network`](Self::network). In a process it has to have a tap device.
    pub async fn network_device(&self, name: Name) -> Result<Box<dyn NetDevice>> {
        below::open_device(&self.shared, name).await
    }

    /// The stack that all interfaces and sockets belong to.
    pub fn stack(&self) -> Stack {
        (*self.shared.stack.get_or_init(|| Box::leak(Box::new(below::new_stack(&self.shared))))).clone()
    }
}

/// Whether the parameters of each interface fit together: what is wrong with the second one is to be known before the first
/// one is connected.
#[doc(hidden)]
pub fn check_params(params: &Params) -> Result<()> {
    check_each(params, Config::from_params)
}

/// The same where an interface has IPv6: what the generated code names then.
#[doc(hidden)]
pub fn check_params_with_ipv6(params: &Params) -> Result<()> {
    check_each(params, Config::from_params_with_ipv6)
}

fn check_each(
    params: &Params,
    configure: impl Fn(&Params, &str) -> core::result::Result<Config, ConfigError>,
) -> Result<()> {
    for interface in params.declared().filter_map(|param| param.name.strip_suffix(".ipv4")) {
        configure(params, interface)?;
        below::check_params(params, interface)?;
    }
    Ok(())
}

/// The longest time that leaving waits for the last octets of connections.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// And for the resets of the others.
const RESET_TIME: Duration = Duration::from_millis(200);

/// Sees to [`drain`] when the guest leaves.
fn drain_at_end(shared: &env::Shared) {
    shared.drain.set(Some(|stack| Box::new(Box::pin(drain(stack)))));
}

/// Waits until no connection is left, so that answers which were written are answers which arrive; peers that do not take
/// theirs are told that it is over.
async fn drain(stack: &Stack) {
    wait_for_connections(stack, DRAIN_TIME).await;
    stack.abort_all();
    wait_for_connections(stack, RESET_TIME).await;
}

async fn wait_for_connections(stack: &Stack, time: Duration) {
    let until = Instant::now() + time;
    while stack.stats().tcp_connections > 0 && Instant::now() < until {
        sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Ipv4Config, Ipv6Config, Name, PARAMS, check_params, check_params_with_ipv6};
    use alloc::{format, string::ToString, vec};
    use fata_libos::param::{Param, Params};

    /// An interface as it is without IPv6, and one that has it.
    static BOTH: [Param; 6] = [
        Param { name: "main.ipv4", ..PARAMS[0] },
        Param { name: "main.dns", ..PARAMS[2] },
        Param { name: "back.ipv4", ..Ipv6Config::PARAMS[0] },
        Param { name: "back.ipv6", default: Some("none"), ..Ipv6Config::PARAMS[2] },
        Param { name: "back.gateway6", ..Ipv6Config::PARAMS[3] },
        Param { name: "back.dns", ..Ipv6Config::PARAMS[4] },
    ];

    fn parse(line: &str) -> Params {
        Params::parse(line, &[&BOTH]).unwrap()
    }

    #[test]
    fn each_interface_is_looked_at_with_what_it_has() {
        let check = |line: &str| check_params_with_ipv6(&parse(line));
        for good in
            ["", "dns=10.0.0.3", "back.ipv6=2001:db8::2/64 gateway6=fe80::1", "back.ipv4=none ipv6=auto"]
        {
            check(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for bad in ["ipv6=fe80::2/64", "gateway6=fe80::1", "back.ipv4=none"] {
            let said = check(bad).unwrap_err().to_string();
            assert!(said.starts_with("boot parameter") && said.contains(" back."), "{bad}: {said}");
        }
        // An image in whose manifest nobody names IPv6.
        check_params(&parse("")).unwrap();
    }

    #[test]
    fn a_name_says_how_its_interface_is_configured() {
        let params = parse("back.ipv4=none back.ipv6=auto back.dns=2001:db8::53");
        let (main, back) = (Name::new(0, "main"), Name::with_ipv6(1, "back"));
        let of = |name: Name| (name.configure)(&params, name.name).unwrap();
        assert_eq!(of(main), Config::default());
        let dns = vec!["2001:db8::53".parse().unwrap()];
        let ipv6 = Some(Ipv6Config::auto());
        assert_eq!(of(back), Config { ipv4: Ipv4Config::None, ipv6, dns, ..Config::default() });
        assert_ne!(main, back);
        assert_eq!(format!("{back:?}"), "Name { index: 1, name: \"back\" }");
    }
}
