//! What stands before each frame: `struct virtio_net_hdr` of `linux/virtio_net.h`, in the machine's own octet order.

use fata_libos::net::{Checksum, ETHERNET_HEADER};

/// Its length.
pub(super) const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;

const ETHERTYPE: usize = 12;
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const IPV6_HEADER: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// What a header says of the checksum of the frame behind it.
pub(super) fn checksum(header: &[u8; LEN]) -> Checksum {
    match header[0] {
        flags if flags & NEEDS_CSUM != 0 => Checksum::Partial,
        flags if flags & DATA_VALID != 0 => Checksum::Verified,
        _ => Checksum::Complete,
    }
}

/// The header for a frame: where its checksum stands, if the host is to complete it.
pub(super) fn for_frame(frame: &[u8], checksum: Checksum) -> [u8; LEN] {
    let mut header = [0; LEN];
    if checksum == Checksum::Partial
        && let Some((start, offset)) = transport(frame)
    {
        header[0] = NEEDS_CSUM;
        header[6..8].copy_from_slice(&start.to_ne_bytes());
        header[8..10].copy_from_slice(&offset.to_ne_bytes());
    }
    header
}

/// Where a frame's TCP or UDP header begins, and where in that the checksum is.
fn transport(frame: &[u8]) -> Option<(u16, u16)> {
    let packet = frame.get(ETHERNET_HEADER..)?;
    let (len, protocol) = if frame[ETHERTYPE..ETHERNET_HEADER] == IPV4 {
        (usize::from(packet.first()? & 0xf) * 4, *packet.get(9)?)
    } else if frame[ETHERTYPE..ETHERNET_HEADER] == IPV6 {
        (IPV6_HEADER, *packet.get(6)?)
    } else {
        return None;
    };
    let offset = match protocol {
        TCP => 16,
        UDP => 6,
        _ => return None,
    };
    Some(((ETHERNET_HEADER + len) as u16, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ethertype: [u8; 2], packet: &[u8]) -> Vec<u8> {
        [&[0; 12][..], &ethertype, packet].concat()
    }

    #[test]
    fn where_checksums_are() {
        let mut ipv4 = [0u8; 40];
        (ipv4[0], ipv4[9]) = (0x46, TCP);
        let header = for_frame(&frame(IPV4, &ipv4), Checksum::Partial);
        assert_eq!(
            (header[0], &header[6..8], &header[8..]),
            (1, &38u16.to_ne_bytes()[..], &16u16.to_ne_bytes()[..])
        );
        let mut ipv6 = [0u8; 60];
        ipv6[6] = UDP;
        assert_eq!(transport(&frame(IPV6, &ipv6)), Some((54, 6)));
        assert_eq!(for_frame(&frame(IPV4, &ipv4), Checksum::Complete), [0; LEN]);
    }

    #[test]
    fn no_frame_is_too_short_or_strange() {
        for len in 0..40 {
            transport(&[0; 40][..len]);
            transport(&frame(IPV4, &[0x4f; 40])[..len]);
        }
        assert_eq!(transport(&frame([0x08, 0x06], &[0; 28])), None);
    }
}
