//! A capture: the last frames that crossed the interfaces, kept in a [`ring`] of bounded size, to be had as a file that
//! tcpdump and Wireshark read ([`pcapng`]).
//!
//! Frames are kept as the device gave or took them: a checksum that is left to the device is not there yet, and what the device is
//! to cut into segments is one frame. While nobody asks for a capture it costs a comparison a frame, and an image whose
//! appliance never does has no code for it.

mod pcapng;
mod ring;

use crate::memory::{Memory, Share, Use, zeroed};
use crate::stack::{Core, Stack};
use crate::traffic::Direction;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::ops::Deref;
use fata_libos::time::SystemTime;
use ring::Ring;

/// The smallest ring, octets.
const LEAST: usize = 4096;

/// What sees frames.
pub(crate) trait Captor {
    /// Keeps a frame of an interface.
    fn frame(&self, interface: u32, direction: Direction, frame: &[u8]);
}

/// What an interface shows its frames to.
pub(crate) struct Tap {
    captor: Rc<dyn Captor>,
    interface: u32,
}

impl Tap {
    pub(crate) fn new(captor: &Rc<dyn Captor>, interface: usize) -> Self {
        Self { captor: captor.clone(), interface: interface as u32 }
    }

    pub(crate) fn frame(&self, direction: Direction, frame: &[u8]) {
        self.captor.frame(self.interface, direction, frame);
    }
}

/// Why there is no capture.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The ring would hold next to nothing.
    #[error("a capture of {octets} octets is too small: {LEAST} is the least")]
    TooSmall {
        /// The size asked for.
        octets: usize,
    },
    /// There is not so much memory for one.
    #[error("a capture of {octets} octets is too large for this guest's memory: {most} is the most")]
    TooLarge {
        /// The size asked for.
        octets: usize,
        /// What it may be.
        most: usize,
    },
    /// A process on the host's own sockets has no frames.
    #[error("the host's own sockets have no frames to capture: tap=NAME gives the interface some")]
    NoFrames,
}

/// As text: a derived one is long, and in every image whose `main` passes this error on.
impl fmt::Debug for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A capture that goes on until the stack ends. Cheap to clone: all clones are the same.
#[derive(Clone)]
pub struct Capture {
    core: Rc<Core>,
    running: Rc<Running>,
}

struct Running {
    ring: RefCell<Ring>,
    /// Octets kept of each frame.
    snap: usize,
    memory: Rc<Memory>,
    _share: Share,
}

impl Captor for Running {
    fn frame(&self, interface: u32, direction: Direction, frame: &[u8]) {
        let time = SystemTime::now().since_unix().as_nanos() as u64;
        let kept = &frame[..frame.len().min(self.snap)];
        let packet = pcapng::Packet { interface, time, direction, len: frame.len() as u32, kept };
        packet.write(&mut self.ring.borrow_mut());
    }
}

impl Stack {
    /// Keeps the last frames of all interfaces from now on: as many as `octets` hold of `snap` octets each, with 44 for
    /// each beside that. Replaces a capture that runs already.
    pub fn capture(&self, octets: usize, snap: usize) -> Result<Capture, CaptureError> {
        let memory = &self.0.memory;
        if octets < LEAST {
            return Err(CaptureError::TooSmall { octets });
        }
        // As much again for a copy that is being fetched.
        let most = memory.limit(Use::Capture) / 2;
        let too_large = CaptureError::TooLarge { octets, most };
        let share = if octets <= most { memory.take(Use::Capture, octets) } else { None };
        let (share, room) = share.zip(zeroed(octets)).ok_or(too_large)?;
        let running = Rc::new(Running {
            ring: RefCell::new(Ring::new(room)),
            snap: snap.min(octets / 2),
            memory: memory.clone(),
            _share: share,
        });
        let captor: Rc<dyn Captor> = running.clone();
        for (number, iface) in self.0.interfaces.borrow().iter().enumerate() {
            iface.link.borrow_mut().set_tap(Some(Tap::new(&captor, number)));
        }
        *self.0.captor.borrow_mut() = Some(captor);
        Ok(Capture { core: self.0.clone(), running })
    }
}

impl Capture {
    /// What is kept at the moment, oldest first, as a file in the format pcapng; `None` if there is no memory for the copy now.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let Running { ring, snap, memory, .. } = &*self.running;
        let ring = ring.borrow();
        let interfaces = self.core.interfaces.borrow();
        let names = interfaces.iter().map(|iface| pcapng::INTERFACE_OVERHEAD + iface.name.len());
        let octets = pcapng::HEAD + names.sum::<usize>() + ring.len();
        let share = memory.take(Use::Capture, octets)?;
        let mut file = Vec::new();
        file.try_reserve_exact(octets).ok()?;
        pcapng::write_head(&mut file);
        interfaces.iter().for_each(|iface| pcapng::write_interface(&mut file, &iface.name, *snap));
        ring.octets().into_iter().for_each(|part| file.extend_from_slice(part));
        Some(Snapshot { file, _share: share })
    }

    /// Frames that are no longer kept, because others came.
    pub fn overwritten(&self) -> u64 {
        self.running.ring.borrow().overwritten()
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Capture")
    }
}

/// A file of captured frames.
pub struct Snapshot {
    file: Vec<u8>,
    _share: Share,
}

impl Deref for Snapshot {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.file
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} octets)", self.file.len())
    }
}
