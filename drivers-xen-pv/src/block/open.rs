//! Finding a block device.

use super::device::Blkfront;
use super::frontend::{self, Site};
use super::limits::Limits;
use super::link::Link;
use crate::xen::Xen;
use crate::xenbus::devices;
use crate::xenstore::{StoreError, XenStore};
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use fata_libos::block::{Access, Disk};
use fata_libos::memory;
use fata_libos::time::{Duration, timeout};

/// How long a back end may take to connect for the first time: its hotplug script is part of that.
const PATIENCE: Duration = Duration::from_secs(20);

/// The number of a whole disk `xvdX`, by its place in the alphabet (`docs/misc/vbd-interface.7.pandoc` of Xen): the first sixteen
/// have a major number, the others what is for those that have none.
const fn xvd(place: u32) -> u32 {
    if place < 16 { 202 << 8 | place << 4 } else { 1 << 28 | place << 8 }
}

/// Why there is no such device.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The domain has no such disk.
    #[error(
        "block device {name} is missing: the domain has {have} disks, none is {which}; its xl configuration needs \
         the line `disk = [ 'format=raw,vdev={vdev},access=rw,target=PATH' ]`"
    )]
    Missing {
        /// The device.
        name: String,
        /// Disks that there are.
        have: usize,
        /// Which was asked for.
        which: String,
        /// What it could be.
        vdev: String,
    },
    /// Two front ends of one disk would be two writers of one ring's place in XenStore, and of what is on the disk.
    #[error("block device {name}: vbd {number} is open already, or is still being closed")]
    InUse {
        /// The device.
        name: String,
        /// Its number.
        number: u32,
    },
    /// Its back end does not answer.
    #[error("block device {name}: the back end of vbd {number} did not connect within {} s", PATIENCE.as_secs())]
    Silent {
        /// The device.
        name: String,
        /// Its number.
        number: u32,
    },
    /// XenStore did not say which there are.
    #[error("block device {name}: {error}")]
    Store {
        /// The device.
        name: String,
        /// What went wrong.
        error: StoreError,
    },
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Opens a block device of the domain and waits until it is connected. `name` is the appliance's, for messages; `which` says
/// which disk it is: `xvdb`, or its place in the order of numbers, from 0. One that is open already is refused. `queues` is how many
/// it has, 1 to 8, where its back end offers as many.
pub async fn open(
    xen: &Rc<Xen>,
    store: XenStore,
    name: &str,
    which: &str,
    access: Access,
    queues: u32,
) -> Result<Disk, OpenError> {
    let number = find(&store, name, which).await?;
    if xen.disks().borrow().contains(&number) {
        return Err(OpenError::InUse { name: name.to_owned(), number });
    }
    let limits = Limits { queues, ..Limits::for_memory(memory::stats().total) };
    let device = open_number(xen, store, number, access, limits);
    let opened = timeout(PATIENCE, poll_fn(|cx| device.link().poll_up(cx))).await;
    opened.map_err(|_| OpenError::Silent { name: name.to_owned(), number })?;
    Ok(Disk::new(device))
}

/// The number of the `vbd` that `which` means, for the appliance's block device `name`. It is not touched.
pub fn find<'a>(
    store: &'a XenStore,
    name: &'a str,
    which: &'a str,
) -> Pin<Box<dyn Future<Output = Result<u32, OpenError>> + 'a>> {
    Box::pin(async move {
        let numbers = devices(store, "vbd").await;
        let numbers = numbers.map_err(|error| OpenError::Store { name: name.to_owned(), error })?;
        number_of(&numbers, name, which)
    })
}

fn number_of(numbers: &[u32], name: &str, which: &str) -> Result<u32, OpenError> {
    let number = match letter_of(which) {
        Some(letter) => numbers.iter().find(|number| **number == xvd(letter.into())),
        None => which.parse().ok().and_then(|place: usize| numbers.get(place)),
    };
    let Some(number) = number.copied() else {
        let letter = letter_of(which).or_else(|| which.parse().ok()).unwrap_or_default().min(25);
        let vdev = format!("xvd{}", char::from(b'a' + letter));
        let which = match letter_of(which) {
            Some(_) => which.to_owned(),
            None => format!("number {which}"),
        };
        return Err(OpenError::Missing { name: name.to_owned(), have: numbers.len(), which, vdev });
    };
    Ok(number)
}

/// 1 for `xvdb` and `vdb`. No other name: `xvdb1` is not all of `xvdb`, and `xvdaa` another disk.
fn letter_of(which: &str) -> Option<u8> {
    let name = which.strip_prefix("xvd").or_else(|| which.strip_prefix("vd"))?;
    let [letter @ b'a'..=b'z'] = name.as_bytes() else { return None };
    Some(letter - b'a')
}

/// The front end of `vbd` number `number`, which connects in the background. Until then the device has no sectors: requests for some
/// are refused, and a flush waits, [`AWAY`](super::AWAY) at most.
pub fn open_number(xen: &Rc<Xen>, store: XenStore, number: u32, access: Access, limits: Limits) -> Blkfront {
    let link = Link::new(access);
    link.wait_no_longer();
    xen.disks().borrow_mut().push(number);
    let name: Rc<str> = format!("vbd{number}").into();
    let site = Site { xen: xen.clone(), store, link: link.clone(), name: name.clone(), number, limits };
    fata_libos::spawn_detached(frontend::run(site));
    Blkfront::new(name, link)
}
