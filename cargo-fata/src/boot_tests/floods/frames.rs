//! Frames that no tool makes, made here and put on the guests' bridge as they are.

use anyhow::{Result, ensure};

use crate::xen_host::Host;

/// How many are sent at a time.
pub const AT_ONCE: u64 = 6000;

/// What the guest's interface has.
const GUEST: [u8; 4] = [10, 0, 2, 15];

/// A command that puts [`AT_ONCE`] frames of one length on the guests' bridge.
pub fn command(host: &Host, name: &str, len: usize, frame: fn(u32) -> Vec<u8>) -> Result<String> {
    let frames: Vec<u8> = (0..AT_ONCE as u32).flat_map(frame).collect();
    ensure!(frames.len() == len * AT_ONCE as usize, "frames of another length");
    let path = format!("/tmp/{name}.frames");
    host.put(&path, &frames)?;
    Ok(format!("socat -u -b {len} FILE:{path} INTERFACE:xenbr0"))
}

/// A SYN, and with the next number the reset that takes it back.
pub fn syn_and_reset(n: u32) -> Vec<u8> {
    let (seq, flags) = (n / 2 + n % 2, [2, 4][n as usize % 2]);
    segment([10, 0, 2, 100], 1024 + (n / 2 % 60_000) as u16, seq, flags)
}

/// The SYN of one of 200 neighbours that there are not.
pub fn syn_of_neighbour(n: u32) -> Vec<u8> {
    segment([10, 0, 2, 20 + (n % 200) as u8], 1024 + (n / 200) as u16, n, 2)
}

/// A segment to port 80 of the guest, to whatever hardware address that has.
fn segment(from: [u8; 4], port: u16, seq: u32, flags: u8) -> Vec<u8> {
    let mut tcp = [&port.to_be_bytes()[..], &[0, 80], &seq.to_be_bytes(), &[0, 0, 0, 0]].concat();
    tcp.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    let sum = checksum(&[&from[..], &GUEST, &[0, 6, 0, 20], &tcp].concat());
    tcp[16..18].copy_from_slice(&sum);
    let mut ip = [&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0], &from[..], &GUEST].concat();
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    [&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 0], &ip[..], &tcp].concat()
}

/// One of many hosts asks for the guest's hardware address.
pub fn arp_request(n: u32) -> Vec<u8> {
    let from = (0x0a00_0000 + 0x1_0000 + n).to_be_bytes();
    let sender = [2, 9, from[0], from[1], from[2], from[3]];
    let ask = [&[0, 1, 8, 0, 6, 4, 0, 1], &sender[..], &from, &[0; 6], &GUEST].concat();
    [&[0xff; 6][..], &sender, &[8, 6], &ask].concat()
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
