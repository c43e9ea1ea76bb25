//! Network devices: what a driver implements and a protocol stack uses.
//!
//! Frames are Ethernet frames without the check sequence. A driver moves bytes and offloads; it never looks into a
//! protocol beyond what an offload asks for. Memory that a peer can write never leaves a driver: each frame is copied once
//! out of it, whole into the caller's buffer ([`NetDevice::receive`]) or piece by piece to where its octets belong
//! ([`NetDevice::receive_into`]).

mod shared;

pub use shared::Shared;

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::task::{Context, Poll};

/// A stream that can be ended in a way that its peer does not take for the end of what it was sent. Dropping one ends it
/// in order.
pub trait Abort {
    /// Ends it at once; what was not sent yet is lost.
    fn abort(&mut self);

    /// Sends a part of `octets` as far as there is room for, at least one octet, from where it is: for how many. The part is not
    /// empty. `None`: this stream sends copies only, or nothing any more; what it is given is to be written, which tells.
    fn poll_share(
        &mut self,
        _: &mut Context<'_>,
        _octets: &Shared,
        _part: Range<usize>,
    ) -> Poll<Option<usize>> {
        Poll::Ready(None)
    }
}

/// The length of an Ethernet header, octets.
pub const ETHERNET_HEADER: usize = 14;

/// An IEEE 802 48-bit address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// True for a group (multicast or broadcast) address.
    pub const fn is_multicast(&self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a device does for the stack. Negotiated: may change when a back end goes away and another comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offloads {
    /// The device completes TCP and UDP checksums over IPv4 of frames sent with [`Checksum::Partial`].
    pub tx_checksum_v4: bool,
    /// The same over IPv6.
    pub tx_checksum_v6: bool,
    /// The largest TCP payload of one frame over IPv4 that the device cuts into segments itself; 0 where it does not.
    pub tx_segmentation_v4: usize,
    /// The same over IPv6.
    pub tx_segmentation_v6: usize,
}

/// What is known of a frame's TCP or UDP checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// The checksum field is complete; a receiver has to verify it.
    #[default]
    Complete,
    /// Received: the data is known to be good, the field is complete.
    Verified,
    /// Only the pseudo-header is summed. Sent: the device completes it. Received: the data never crossed a wire, and is
    /// good; the field is not a valid checksum.
    Partial,
}

/// A frame that [`NetDevice::receive`] has put into the caller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Octets of the frame.
    pub len: usize,
    /// What is known of its checksum.
    pub checksum: Checksum,
}

impl Received {
    /// A received frame of `len` octets.
    pub const fn new(len: usize, checksum: Checksum) -> Self {
        Self { len, checksum }
    }
}

/// A received frame where the device has it, to be copied from. Its sender may still be able to write there: what is read
/// twice may differ.
pub trait Octets {
    /// Copies what stands from `at` on; `into` ends within the frame, or it panics.
    fn read(&self, at: usize, into: &mut [u8]);

    /// Puts `len` octets from `at` on behind what `to` holds.
    fn append(&self, at: usize, len: usize, to: &mut Vec<u8>) {
        let end = to.len();
        to.resize(end + len, 0);
        self.read(at, &mut to[end..]);
    }
}

/// Calls `visit` with each piece of `len` octets from `at` on of a frame that lies in parts of the given lengths: the part's
/// number, where the piece begins in it, and its length. Panics where the parts end before that.
#[inline(never)]
pub fn pieces(
    parts: &mut dyn Iterator<Item = usize>,
    mut at: usize,
    mut len: usize,
    visit: &mut dyn FnMut(usize, usize, usize),
) {
    for (n, part) in parts.enumerate() {
        let here = part.saturating_sub(at).min(len);
        if here > 0 {
            visit(n, at, here);
        }
        len -= here;
        at = at.saturating_sub(part);
    }
    assert!(len == 0, "{len} octets beyond the end of a frame");
}

/// Octets that nobody else writes.
impl Octets for &[u8] {
    fn read(&self, at: usize, into: &mut [u8]) {
        into.copy_from_slice(&self[at..at + into.len()]);
    }

    fn append(&self, at: usize, len: usize, to: &mut Vec<u8>) {
        to.extend_from_slice(&self[at..at + len]);
    }
}

/// Copies what it wants of a frame, and says whether it has all it needs: see [`NetDevice::receive_into`].
pub type Take<'a> = dyn FnMut(Received, &dyn Octets) -> bool + 'a;

/// Where the next frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// Into the buffer.
    Whole(Received),
    /// Its octets were taken one by one.
    Taken,
}

impl Arrived {
    /// The frame, if it is in the buffer.
    pub fn whole(self) -> Option<Received> {
        match self {
            Self::Whole(received) => Some(received),
            Self::Taken => None,
        }
    }
}

/// What goes with a frame to be sent.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct TransmitMeta {
    /// How the TCP or UDP checksum stands.
    pub checksum: Checksum,
    /// The payload octets of each segment when the device is to cut the frame up, whose checksum is then
    /// [`Checksum::Partial`]; 0 for a plain frame.
    pub segment_size: usize,
}

impl TransmitMeta {
    /// A plain frame whose checksum stands as given.
    pub const fn new(checksum: Checksum) -> Self {
        Self { checksum, segment_size: 0 }
    }

    /// A frame to be cut into segments of so many octets of TCP payload.
    pub const fn segmented(segment_size: usize) -> Self {
        Self { checksum: Checksum::Partial, segment_size }
    }
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransmitError {
    /// No room now; [`NetDevice::poll`] wakes when there is.
    #[error("the device's send queue is full")]
    Full,
    /// No back end is connected; frames are lost as on an unplugged cable.
    #[error("the device is not connected")]
    Down,
    /// Longer than the device can take.
    #[error("a frame of {len} octets is longer than the {max} that the device takes")]
    TooLong {
        /// Octets asked for.
        len: usize,
        /// Octets possible.
        max: usize,
    },
}

/// Counters of a device, all since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetCounters {
    /// Frames received and handed up.
    pub rx_frames: u64,
    /// Octets of those.
    pub rx_octets: u64,
    /// Frames that arrived broken or did not fit, and responses of the back end that made no sense.
    pub rx_errors: u64,
    /// Frames taken for sending.
    pub tx_frames: u64,
    /// Octets of those.
    pub tx_octets: u64,
    /// Frames refused or reported as failed by the back end.
    pub tx_errors: u64,
    /// Times the back end was connected.
    pub connects: u64,
    /// Back ends given up because they broke the protocol.
    pub faults: u64,
}

/// An Ethernet device. One owner: a protocol stack's task.
pub trait NetDevice {
    /// The device's own address.
    fn mac(&self) -> MacAddress;

    /// The largest IP packet that a frame carries, octets (1500 on a usual Ethernet). May change on reconnect.
    fn mtu(&self) -> usize;

    /// What the connected peer does for the stack.
    fn offloads(&self) -> Offloads;

    /// Whether a peer is connected; a device that is down loses what is sent and receives nothing.
    fn is_up(&self) -> bool;

    /// Ready when there is something to receive, or room to send after [`TransmitError::Full`], or the device went up or
    /// down since the last call; else keeps the waker of `cx` and wakes it then.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Copies the next frame into `buf`. A frame longer than `buf` is dropped and counted. `None` when there is none.
    fn receive(&mut self, buf: &mut [u8]) -> Option<Received>;

    /// As [`receive`](Self::receive), but shows the frame to `take` first, which copies what it wants of it: if it says that it
    /// has all it needs, the frame is not copied into `buf`. A device may have no way to show it; `take` is then not called.
    fn receive_into(&mut self, buf: &mut [u8], take: &mut Take<'_>) -> Option<Arrived> {
        let _ = take;
        self.receive(buf).map(Arrived::Whole)
    }

    /// Whether [`transmit`](Self::transmit) would now take a frame of any length up to the largest that is not to be cut up.
    fn can_transmit(&self) -> bool;

    /// Takes one frame of `len` octets, which `fill` writes into the device's own buffer. `fill` is called exactly once
    /// when the frame is taken, never otherwise. Nothing need be on its way before [`flush`](Self::flush).
    fn transmit(
        &mut self,
        len: usize,
        meta: TransmitMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), TransmitError>;

    /// Sends on its way what was taken and gives the peer the buffers that were emptied: one notification for a burst.
    fn flush(&mut self);

    /// Counters since boot.
    fn counters(&self) -> NetCounters;
}

#[cfg(test)]
mod tests {
    use super::{Octets, pieces};
    use alloc::vec::Vec;

    #[test]
    fn pieces_are_those_of_the_parts() {
        let of = |at, len| {
            let mut seen = Vec::new();
            pieces(&mut [3, 0, 4, 5].into_iter(), at, len, &mut |n, at, len| seen.push((n, at, len)));
            seen
        };
        assert_eq!(of(0, 12), [(0, 0, 3), (2, 0, 4), (3, 0, 5)]);
        assert_eq!(of(2, 3), [(0, 2, 1), (2, 0, 2)]);
        assert_eq!(of(3, 4), [(2, 0, 4)]);
        assert_eq!(of(11, 1), [(3, 4, 1)]);
        assert_eq!(of(5, 0), []);
        assert!(std::panic::catch_unwind(|| of(8, 5)).is_err(), "beyond the end");
    }

    #[test]
    fn octets_of_a_slice_are_read_and_appended() {
        struct Plain<'a>(&'a [u8]);
        impl Octets for Plain<'_> {
            fn read(&self, at: usize, into: &mut [u8]) {
                self.0.read(at, into);
            }
        }
        let slice = &[1, 2, 3, 4, 5][..];
        for octets in [&slice as &dyn Octets, &Plain(slice)] {
            let (mut two, mut all) = ([0; 2], Vec::from([9]));
            octets.read(3, &mut two);
            octets.append(1, 3, &mut all);
            assert_eq!((two, &all[..]), ([4, 5], &[9, 2, 3, 4][..]));
        }
    }
}
