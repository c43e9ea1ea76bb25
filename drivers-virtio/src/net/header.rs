//! What stands before each frame (virtio 1.2, section 5.1.6: `struct virtio_net_hdr`), and the features that say what may.

use fata_libos::net::{Checksum, ETHERNET_HEADER};

bitflags::bitflags! {
    /// Section 5.1.3: those that the driver knows; the last is of every device.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Features: u64 {
        const CSUM = 1 << 0;
        const GUEST_CSUM = 1 << 1;
        const MTU = 1 << 3;
        const MAC = 1 << 5;
        const GUEST_TSO4 = 1 << 7;
        const GUEST_TSO6 = 1 << 8;
        const HOST_TSO4 = 1 << 11;
        const HOST_TSO6 = 1 << 12;
        const MRG_RXBUF = 1 << 15;
        const STATUS = 1 << 16;
        const VERSION_1 = 1 << 32;
    }
}

impl Features {
    /// Those to ask a device for that offers `offered`: none without what it stands on (section 5.1.3.1), and large frames
    /// only if they may be spread over buffers, which are of a page's half.
    pub(super) fn wanted(offered: u64) -> Self {
        let offered = Self::from_bits_truncate(offered);
        let mut wanted = offered;
        if !offered.contains(Self::CSUM) {
            wanted.remove(Self::HOST_TSO4 | Self::HOST_TSO6);
        }
        if !offered.contains(Self::GUEST_CSUM | Self::MRG_RXBUF) {
            wanted.remove(Self::GUEST_TSO4 | Self::GUEST_TSO6);
        }
        wanted
    }

    /// Octets of the header.
    pub(super) fn header_len(self) -> usize {
        if self.intersects(Self::VERSION_1 | Self::MRG_RXBUF) { LEN_MAX } else { LEN_MAX - 2 }
    }
}

pub(super) const LEN_MAX: usize = 12;

/// Flags: only the pseudo-header is summed; the sum is known to be good.
pub(super) const NEEDS_CSUM: u8 = 1;
pub(super) const DATA_VALID: u8 = 2;
/// Kinds of frames to be cut up.
pub(super) const TCPV4: u8 = 1;
pub(super) const TCPV6: u8 = 4;

/// What a received header says of the frame's checksum.
pub(super) fn checksum(header: &[u8; LEN_MAX]) -> Checksum {
    match header[0] {
        flags if flags & NEEDS_CSUM != 0 => Checksum::Partial,
        flags if flags & DATA_VALID != 0 => Checksum::Verified,
        _ => Checksum::Complete,
    }
}

/// How many buffers a received frame has, where the header is of those that say it.
pub(super) fn buffers(header: &[u8; LEN_MAX]) -> u16 {
    u16::from_le_bytes([header[10], header[11]])
}

/// Where things are in a frame to be sent whose checksum is to be completed.
struct Segment {
    kind: u8,
    /// Where the TCP or UDP header starts, and the place of the sum in it.
    start: usize,
    sum: u16,
    is_tcp: bool,
}

/// Of IPv4, and of IPv6 without headers between.
fn segment(frame: &[u8]) -> Option<Segment> {
    let ip = frame.get(ETHERNET_HEADER..)?;
    let (kind, len, protocol) = match ip.first()? >> 4 {
        4 => (TCPV4, 4 * usize::from(ip[0] & 15), *ip.get(9)?),
        6 => (TCPV6, 40, *ip.get(6)?),
        _ => return None,
    };
    let sum = match protocol {
        6 => 16,
        17 => 6,
        _ => return None,
    };
    Some(Segment { kind, start: ETHERNET_HEADER + len, sum, is_tcp: protocol == 6 })
}

/// Writes the header of a frame to be sent whose checksum the device is to complete; `segment_size` is not 0 if it is to be cut
/// up too. Without a TCP or UDP segment in the frame there is nothing to say.
pub(super) fn offload(header: &mut [u8], frame: &[u8], segment_size: u16) {
    let Some(segment) = segment(frame) else { return };
    let mut put = |at: usize, value: u16| header[at..at + 2].copy_from_slice(&value.to_le_bytes());
    put(6, segment.start as u16);
    put(8, segment.sum);
    if segment_size > 0 && segment.is_tcp {
        let tcp = frame.get(segment.start + 12).map_or(20, |n| usize::from(n >> 4) * 4);
        put(2, (segment.start + tcp) as u16);
        put(4, segment_size);
        header[1] = segment.kind;
    }
    header[0] = NEEDS_CSUM;
}
