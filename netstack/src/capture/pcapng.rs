//! The format pcapng (draft-ietf-opsawg-pcapng, sections 4.1 to 4.3), in one section of little-endian words: which
//! interfaces there are, then a block for each frame.

use super::ring::Ring;
use crate::traffic::Direction;
use alloc::vec::Vec;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const ETHERNET: u16 = 1;
/// Options: the end of them, an interface's name, its unit of time, a packet's flags.
const END: u16 = 0;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const FLAGS: u16 = 2;
/// Octets before the blocks of interfaces.
pub(super) const HEAD: usize = 28;
/// Octets of an interface's block beside its name, at most.
pub(super) const INTERFACE_OVERHEAD: usize = 39;
/// Octets of a packet's block beside those of the frame.
const OVERHEAD: usize = 44;

/// Octets up to the next word.
fn padding(len: usize) -> usize {
    len.wrapping_neg() % 4
}

/// Both halves in a word.
fn pair(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

#[inline(never)]
fn write_words(file: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| file.extend_from_slice(&word.to_le_bytes()));
}

/// Begins a file.
pub(super) fn write_head(file: &mut Vec<u8>) {
    const LEN: u32 = HEAD as u32;
    // Version 1.0; the section's length is not given.
    write_words(file, &[SECTION, LEN, BYTE_ORDER, pair(1, 0), u32::MAX, u32::MAX, LEN]);
}

/// Describes the next interface; times are in nanoseconds.
pub(super) fn write_interface(file: &mut Vec<u8>, name: &str, snap: usize) {
    let padding = padding(name.len());
    let len = (36 + name.len() + padding) as u32;
    write_words(
        file,
        &[
            INTERFACE,
            len,
            pair(ETHERNET, 0),
            snap as u32,
            pair(RESOLUTION, 1),
            9,
            pair(NAME, name.len() as u16),
        ],
    );
    file.extend_from_slice(name.as_bytes());
    file.extend_from_slice(&[0; 3][..padding]);
    write_words(file, &[pair(END, 0), len]);
}

/// A frame.
pub(super) struct Packet<'a> {
    pub(super) interface: u32,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) direction: Direction,
    /// Its length.
    pub(super) len: u32,
    /// What is kept of it.
    pub(super) kept: &'a [u8],
}

impl Packet<'_> {
    /// Writes its block.
    pub(super) fn write(&self, ring: &mut Ring) {
        let padding = padding(self.kept.len());
        let len = OVERHEAD + self.kept.len() + padding;
        if !ring.make_room(len, next_len) {
            return;
        }
        let way = if self.direction == Direction::Rx { 1 } else { 2 };
        let head = [
            PACKET,
            len as u32,
            self.interface,
            (self.time >> 32) as u32,
            self.time as u32,
            self.kept.len() as u32,
            self.len,
        ];
        head.iter().for_each(|word| ring.push(&word.to_le_bytes()));
        ring.push(self.kept);
        ring.push(&[0; 3][..padding]);
        for word in [pair(FLAGS, 4), way, pair(END, 0), len as u32] {
            ring.push(&word.to_le_bytes());
        }
    }
}

/// The length of the block that begins with these octets.
fn next_len(block: [u8; 8]) -> usize {
    let [_, _, _, _, a, b, c, d] = block;
    u32::from_le_bytes([a, b, c, d]) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(file: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(*file[at..].first_chunk().unwrap())
    }

    /// The type of each block, whose two lengths must agree and end at a word, and where it begins.
    fn blocks(file: &[u8]) -> Vec<(u32, usize)> {
        let (mut at, mut all) = (0, Vec::new());
        while at < file.len() {
            let len = word(file, at + 4) as usize;
            assert_eq!((word(file, at + len - 4) as usize, len % 4), (len, 0));
            all.push((word(file, at), at));
            at += len;
        }
        all
    }

    #[test]
    fn a_file_is_made_of_blocks() {
        let mut file = Vec::new();
        write_head(&mut file);
        for name in ["main", "ab", "x"] {
            write_interface(&mut file, name, 96);
        }
        let mut ring = Ring::new(vec![0; 4096]);
        for len in 0..9 {
            let kept = &[0xaa; 9][..len];
            Packet { interface: 1, time: 5 << 32 | 7, direction: Direction::Tx, len: 60, kept }
                .write(&mut ring);
        }
        ring.octets().into_iter().for_each(|part| file.extend_from_slice(part));
        let kinds: Vec<u32> = blocks(&file).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [vec![SECTION, INTERFACE, INTERFACE, INTERFACE], vec![PACKET; 9]].concat());
        let last = blocks(&file).last().unwrap().1;
        let words: Vec<u32> = (2..7).map(|n| word(&file, last + 4 * n)).collect();
        assert_eq!(words, [1, 5, 7, 8, 60]);
        assert_eq!(word(&file, last + 28 + 8 + 4), 2, "sent");
    }
}
