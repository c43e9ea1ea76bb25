//! What a device does with a large send: segments of one size, each with headers of its own.

use crate::checksum::Sum;
use crate::ip;
use crate::tcp::machine::Flags;
use core::net::Ipv4Addr;
use fata_libos::net::ETHERNET_HEADER;

/// Cuts a frame of TCP over IPv4 into segments with so many octets of data, whose checksums are complete.
pub(super) fn cut(frame: &[u8], segment_size: usize) -> Vec<Vec<u8>> {
    let packet = &frame[ETHERNET_HEADER..];
    assert_eq!(
        (packet[0], usize::from(packet[9]), &frame[12..14]),
        (0x45, usize::from(ip::TCP), &[8, 0][..])
    );
    let headers = ETHERNET_HEADER + ip::HEADER + usize::from(packet[ip::HEADER + 12] >> 4) * 4;
    let (head, data) = frame.split_at(headers);
    assert!(segment_size > 0 && data.len() > segment_size, "{} in pieces of {segment_size}", data.len());
    let last = data.len().div_ceil(segment_size) - 1;
    let piece = |(n, data): (usize, &[u8])| {
        let mut frame = [head, data].concat();
        let (packet, at) = (&mut frame[ETHERNET_HEADER..], n * segment_size);
        let (len, ident) = (packet.len() as u16, u16::from_be_bytes([packet[4], packet[5]]));
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[4..6].copy_from_slice(&ident.wrapping_add(n as u16).to_be_bytes());
        packet[10..12].fill(0);
        let sum = Sum::default().data(&packet[..ip::HEADER]).finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        let address = |at: usize| Ipv4Addr::from_octets(*packet[at..].first_chunk().expect("an address"));
        let (source, destination) = (address(12), address(16));
        let segment = &mut packet[ip::HEADER..];
        let seq = u32::from_be_bytes([segment[4], segment[5], segment[6], segment[7]]);
        segment[4..8].copy_from_slice(&seq.wrapping_add(at as u32).to_be_bytes());
        let (first_only, last_only) = (Flags::CWR, Flags::FIN | Flags::PSH);
        let mask = if n > 0 { first_only.0 } else { 0 } | if n < last { last_only.0 } else { 0 };
        segment[13] &= !mask;
        segment[16..18].fill(0);
        let sum =
            Sum::default().pseudo_v4(source, destination, ip::TCP, segment.len()).data(segment).finish();
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    data.chunks(segment_size).enumerate().map(piece).collect()
}
