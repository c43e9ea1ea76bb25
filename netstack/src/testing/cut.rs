//! What a device does with a large send: segments of one size, each with headers of its own.

use crate::checksum::Sum;
use crate::ip;
use crate::tcp::machine::Flags;
use fata_libos::net::ETHERNET_HEADER;

/// Cuts a frame of TCP over IPv4, or over IPv6 without extension headers, into segments with so many octets of data, whose
/// checksums are complete.
pub(super) fn cut(frame: &[u8], segment_size: usize) -> Vec<Vec<u8>> {
    let packet = &frame[ETHERNET_HEADER..];
    let is_v4 = match frame[12..14] {
        [8, 0] => true,
        [0x86, 0xdd] => false,
        _ => panic!("not of IP"),
    };
    let (header, protocol, addresses) = if is_v4 { (ip::HEADER, 9, 12..20) } else { (ip::HEADER6, 6, 8..40) };
    assert_eq!((packet[0] >> 4 == 4, packet[protocol]), (is_v4, ip::TCP));
    let headers = ETHERNET_HEADER + header + usize::from(packet[header + 12] >> 4) * 4;
    let (head, data) = frame.split_at(headers);
    assert!(segment_size > 0 && data.len() > segment_size, "{} in pieces of {segment_size}", data.len());
    let last = data.len().div_ceil(segment_size) - 1;
    let piece = |(n, data): (usize, &[u8])| {
        let mut frame = [head, data].concat();
        let (packet, at) = (&mut frame[ETHERNET_HEADER..], n * segment_size);
        let (len, ident) = (packet.len() as u16, u16::from_be_bytes([packet[4], packet[5]]));
        if is_v4 {
            packet[2..4].copy_from_slice(&len.to_be_bytes());
            packet[4..6].copy_from_slice(&ident.wrapping_add(n as u16).to_be_bytes());
            packet[10..12].fill(0);
            let sum = Sum::default().data(&packet[..header]).finish();
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            packet[4..6].copy_from_slice(&(len - header as u16).to_be_bytes());
        }
        let pseudo = Sum::default().data(&packet[addresses.clone()]);
        let segment = &mut packet[header..];
        let seq = u32::from_be_bytes([segment[4], segment[5], segment[6], segment[7]]);
        segment[4..8].copy_from_slice(&seq.wrapping_add(at as u32).to_be_bytes());
        let (first_only, last_only) = (Flags::CWR, Flags::FIN | Flags::PSH);
        let mask = if n > 0 { first_only.0 } else { 0 } | if n < last { last_only.0 } else { 0 };
        segment[13] &= !mask;
        segment[16..18].fill(0);
        let sum = pseudo.words(ip::TCP, segment.len()).data(segment).finish();
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    data.chunks(segment_size).enumerate().map(piece).collect()
}
