//! Frames that the back end is to cut up into segments: what it has to be told, and whether it may be asked at all.
//!
//! The kind of a segmented packet is in its own headers, which the stack has written; a back end takes the kind that it is
//! told for granted (`netif.h`: `XEN_NETIF_GSO_TYPE_*`). So what is no TCP segment of a kind that was agreed on is not sent.

use crate::abi::netif::{GsoInfo, gso_type};
use fata_libos::net::ETHERNET_HEADER;

/// What a back end cuts up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Segmentation {
    /// TCP over IPv4.
    pub(super) v4: bool,
    /// TCP over IPv6.
    pub(super) v6: bool,
}

/// The frame is not one that the back end has agreed to cut up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfit;

const PROTOCOL_TCP: u8 = 6;
/// The least octets of a header of IPv4, of TCP.
const SHORTEST: usize = 20;
const IPV6_HEADER: usize = 40;

/// What goes with `frame` if it is to be cut into segments of `size` octets of payload each; nothing if it is one already.
pub(super) fn cut(frame: &[u8], size: u16, agreed: Segmentation) -> Result<Option<GsoInfo>, Unfit> {
    let (kind, headers) = headers(frame).ok_or(Unfit)?;
    let is_agreed = match kind {
        gso_type::TCPV4 => agreed.v4,
        _ => agreed.v6,
    };
    let payload = frame.len().checked_sub(headers).filter(|_| is_agreed && size > 0).ok_or(Unfit)?;
    Ok((payload > usize::from(size)).then_some(GsoInfo { size, kind, features: 0 }))
}

/// The kind of a TCP segment, and the octets of all its headers. IPv6 without headers between.
fn headers(frame: &[u8]) -> Option<(u8, usize)> {
    let packet = frame.get(ETHERNET_HEADER..)?;
    let (kind, header, protocol) = match *frame.get(ETHERNET_HEADER - 2..ETHERNET_HEADER)? {
        [0x08, 0x00] => (gso_type::TCPV4, 4 * usize::from(packet.first()? & 15), *packet.get(9)?),
        [0x86, 0xdd] => (gso_type::TCPV6, IPV6_HEADER, *packet.get(6)?),
        _ => return None,
    };
    let tcp = 4 * usize::from(packet.get(header + 12)? >> 4);
    let is_whole = protocol == PROTOCOL_TCP && header >= SHORTEST && tcp >= SHORTEST;
    is_whole.then_some((kind, ETHERNET_HEADER + header + tcp))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The headers of a TCP segment with `options` words of TCP options.
    pub(in crate::net) fn segment(kind: u8, options: usize, payload: usize) -> Vec<u8> {
        let (ethertype, ip, protocol_at) = match kind {
            gso_type::TCPV4 => ([0x08, 0x00], 20, 9),
            _ => ([0x86, 0xdd], 40, 6),
        };
        let tcp = 20 + 4 * options;
        let mut frame: Vec<u8> = (0..14 + ip + tcp + payload).map(|i| (i * 31 + i / 256) as u8).collect();
        frame[12..14].copy_from_slice(&ethertype);
        frame[14] = if ip == 20 { 0x45 } else { 0x60 };
        frame[14 + protocol_at] = 6;
        frame[14 + ip + 12] = ((tcp / 4) as u8) << 4;
        frame
    }

    const BOTH: Segmentation = Segmentation { v4: true, v6: true };

    #[test]
    fn a_segment_longer_than_its_size_is_cut_up() {
        for kind in [gso_type::TCPV4, gso_type::TCPV6] {
            for options in [0, 3, 10] {
                let info = Some(GsoInfo { size: 1000, kind, features: 0 });
                assert_eq!(cut(&segment(kind, options, 1001), 1000, BOTH), Ok(info));
                assert_eq!(cut(&segment(kind, options, 1000), 1000, BOTH), Ok(None), "one already");
                assert_eq!(cut(&segment(kind, options, 0), 1000, BOTH), Ok(None));
                assert_eq!(cut(&segment(kind, options, 1000), 0, BOTH), Err(Unfit));
            }
        }
    }

    #[test]
    fn only_what_was_agreed_on_is() {
        let (v4, v6) = (segment(gso_type::TCPV4, 0, 5000), segment(gso_type::TCPV6, 0, 5000));
        let only_v4 = Segmentation { v4: true, v6: false };
        assert!(cut(&v4, 1000, only_v4).is_ok());
        assert_eq!(cut(&v6, 1000, only_v4), Err(Unfit));
        let only_v6 = Segmentation { v4: false, v6: true };
        assert!(cut(&v6, 1000, only_v6).is_ok());
        assert_eq!(cut(&v4, 1000, only_v6), Err(Unfit));
    }

    #[test]
    fn what_is_no_whole_tcp_segment_is_not() {
        let good = segment(gso_type::TCPV4, 0, 5000);
        for (at, octet) in [(12, 9), (14, 0x44), (23, 17), (46, 0x40)] {
            let mut frame = good.clone();
            frame[at] = octet;
            assert_eq!(cut(&frame, 1000, BOTH), Err(Unfit), "{octet} at {at}");
        }
        for len in [0, 13, 14, 33, 46, 53] {
            assert_eq!(cut(&good[..len], 1000, BOTH), Err(Unfit), "{len} octets");
        }
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(frame in prop::collection::vec(any::<u8>(), 0..200), size in any::<u16>()) {
            let _ = cut(&frame, size, BOTH);
        }
    }
}
