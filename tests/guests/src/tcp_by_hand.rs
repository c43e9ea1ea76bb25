//! As much of TCP as an echo on a line without loss takes: what comes out of order is an error.

use alloc::vec;
use alloc::vec::Vec;
use core::future::poll_fn;
use fata::Result;
use fata::net::{Checksum, MacAddress, NetDevice, TransmitMeta};

/// The protocol below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

const HERE_V4: [u8; 4] = [10, 0, 3, 77];
const PEER_V4: [u8; 4] = [10, 0, 3, 99];
const HERE_V6: [u8; 16] = [0xfd, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77];
const PEER_V6: [u8; 16] = [0xfd, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99];
const ECHO: u16 = 7;
const TCP: u8 = 6;
const FIN: u8 = 1;
const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;
/// Largest segment 1400; a window scale of 7, which makes the window 1 MiB.
const SYN_OPTIONS: [u8; 8] = [2, 4, 0x05, 0x78, 3, 3, 7, 1];
const WINDOW: u16 = 8192;
const LONGEST: usize = 14 + 65_535;

/// What was received.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub frames: usize,
    /// Octets of the longest frame.
    pub longest: usize,
    /// Frames that are longer than the link takes, and those of them whose checksum was never made.
    pub long: usize,
    pub long_partial: usize,
}

/// A connection with the echo.
pub struct Connection<'d> {
    device: &'d mut dyn NetDevice,
    peer: MacAddress,
    family: Family,
    port: u16,
    /// The next octet to send, the next to come.
    next: u32,
    expected: u32,
    received: Vec<u8>,
    ended: bool,
    seen: Seen,
}

impl<'d> Connection<'d> {
    /// Connects.
    pub async fn open(
        device: &'d mut dyn NetDevice,
        peer: MacAddress,
        family: Family,
        port: u16,
    ) -> Result<Self> {
        let (received, seen) = (Vec::new(), Seen::default());
        let mut this =
            Self { device, peer, family, port, next: 1000, expected: 0, received, ended: false, seen };
        this.transmit(SYN, &SYN_OPTIONS, &[], 0)?;
        this.next += 1;
        while this.expected == 0 {
            this.take_frame().await?;
        }
        this.transmit(ACK, &[], &[], 0)?;
        Ok(this)
    }

    /// Sends octets as one frame, to be cut up.
    pub fn send(&mut self, bytes: &[u8], segment_size: usize) -> Result<()> {
        self.transmit(ACK | PSH, &[], bytes, segment_size)?;
        self.next = self.next.wrapping_add(bytes.len() as u32);
        Ok(())
    }

    /// Waits for so many octets.
    pub async fn receive(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.received.len() < count {
            self.take_frame().await?;
        }
        Ok(self.received.drain(..count).collect())
    }

    /// Ends it in order.
    pub async fn close(mut self) -> Result<Seen> {
        self.transmit(ACK | FIN, &[], &[], 0)?;
        self.next += 1;
        while !self.ended {
            self.take_frame().await?;
        }
        Ok(self.seen)
    }

    /// Waits for a frame, and takes what is in it.
    async fn take_frame(&mut self) -> Result<()> {
        let mut frame = vec![0; LONGEST];
        let received = loop {
            if let Some(received) = self.device.receive(&mut frame) {
                break received;
            }
            poll_fn(|cx| self.device.poll(cx)).await;
        };
        frame.truncate(received.len);
        let Some((seq, flags, payload)) = self.parse(&frame) else { return Ok(()) };
        self.seen.frames += 1;
        self.seen.longest = self.seen.longest.max(frame.len());
        if frame.len() > 14 + self.device.mtu() {
            self.seen.long += 1;
            self.seen.long_partial += usize::from(received.checksum == Checksum::Partial);
        }
        if flags & SYN != 0 {
            self.expected = seq.wrapping_add(1);
            return Ok(());
        }
        if seq != self.expected {
            return Err("a segment is missing".into());
        }
        self.expected = seq.wrapping_add(payload.len() as u32 + u32::from(flags & FIN));
        self.received.extend_from_slice(payload);
        self.ended |= flags & FIN != 0;
        if payload.is_empty() && flags & FIN == 0 { Ok(()) } else { self.transmit(ACK, &[], &[], 0) }
    }

    /// Sequence number, flags and payload, if it is a segment of this connection.
    fn parse<'f>(&self, frame: &'f [u8]) -> Option<(u32, u8, &'f [u8])> {
        let packet = frame.get(14..)?;
        let (segment, is_ours) = match self.family {
            Family::V4 if frame[12..14] == [0x08, 0x00] => {
                let len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
                (packet.get(20..len)?, packet[9] == TCP && packet[12..16] == PEER_V4)
            }
            Family::V6 if frame[12..14] == [0x86, 0xdd] => {
                let len = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
                (packet.get(40..40 + len)?, packet[6] == TCP && packet[8..24] == PEER_V6)
            }
            _ => return None,
        };
        if !is_ours || segment[0..4] != [ports(ECHO), ports(self.port)].concat() {
            return None;
        }
        let seq = u32::from_be_bytes(segment[4..8].try_into().ok()?);
        Some((seq, segment[13], segment.get(4 * usize::from(segment[12] >> 4)..)?))
    }

    fn transmit(&mut self, flags: u8, options: &[u8], payload: &[u8], segment_size: usize) -> Result<()> {
        let tcp_len = 20 + options.len() + payload.len();
        let mut frame = self.below(tcp_len);
        let sum = self.pseudo_header_sum(tcp_len);
        frame.extend([ports(self.port), ports(ECHO)].concat());
        frame.extend(self.next.to_be_bytes());
        frame.extend(self.expected.to_be_bytes());
        frame.extend([((20 + options.len()) / 4 * 16) as u8, flags]);
        frame.extend(WINDOW.to_be_bytes());
        frame.extend(sum.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(options);
        frame.extend(payload);
        let meta = match segment_size {
            0 => TransmitMeta::new(Checksum::Partial),
            size => TransmitMeta::segmented(size),
        };
        self.device.transmit(frame.len(), meta, &mut |buf| buf.copy_from_slice(&frame))?;
        self.device.flush();
        Ok(())
    }

    /// The headers below TCP's.
    fn below(&self, tcp_len: usize) -> Vec<u8> {
        let mut frame = [self.peer.0, self.device.mac().0].concat();
        match self.family {
            Family::V4 => {
                let mut header = vec![0x45, 0];
                header.extend(((20 + tcp_len) as u16).to_be_bytes());
                header.extend([0, 0, 0x40, 0, 64, TCP, 0, 0]);
                header.extend(HERE_V4);
                header.extend(PEER_V4);
                let sum = !fold(words(&header));
                header[10..12].copy_from_slice(&sum.to_be_bytes());
                frame.extend([0x08, 0x00]);
                frame.extend(header);
            }
            Family::V6 => {
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
                frame.extend((tcp_len as u16).to_be_bytes());
                frame.extend([TCP, 64]);
                frame.extend(HERE_V6);
                frame.extend(PEER_V6);
            }
        }
        frame
    }

    /// What stands in the checksum's place where the back end completes it.
    fn pseudo_header_sum(&self, tcp_len: usize) -> u16 {
        let addresses = match self.family {
            Family::V4 => words(&HERE_V4) + words(&PEER_V4),
            Family::V6 => words(&HERE_V6) + words(&PEER_V6),
        };
        fold(addresses + u32::from(TCP) + tcp_len as u32)
    }
}

fn ports(port: u16) -> [u8; 2] {
    port.to_be_bytes()
}

fn words(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
