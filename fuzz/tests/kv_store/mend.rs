//! The image of a store: where its structures are, and checksums that fit again after changes.
//!
//! The format is that of `docs/kv-format.md`, read here a second time, by other code.

use fata_fuzz::Changes;
use proptest::sample::Index;
use std::ops::Range;

const SECTOR: usize = 512;
const SUPER_AREA: usize = 64 << 10;
const SUPERBLOCK: usize = 184;
const HEADER: usize = 64;
/// Nodes that are mended; one that refers to itself has no end.
const MOST_NODES: usize = 2000;

pub struct Image {
    octets: Vec<u8>,
    /// What is to be changed: superblock, headers, nodes, items of commits.
    places: Vec<Range<usize>>,
}

fn crc32c(octets: &[u8]) -> u32 {
    octets.iter().fold(!0_u32, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    }) ^ !0
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    octets.get(at..at + 4).map_or(0, |four| u32::from_le_bytes(four.try_into().unwrap()))
}

fn u16_at(octets: &[u8], at: usize) -> usize {
    octets.get(at..at + 2).map_or(0, |two| usize::from(u16::from_le_bytes(two.try_into().unwrap())))
}

fn put(octets: &mut [u8], at: usize, value: u32) {
    if let Some(four) = octets.get_mut(at..at + 4) {
        four.copy_from_slice(&value.to_le_bytes());
    }
}

/// Gives what ends with the checksum of all before it that checksum.
fn seal(octets: &mut [u8], what: Range<usize>) {
    let sum = crc32c(&octets[what.start..what.end - 4]);
    put(octets, what.end - 4, sum);
}

/// Where a segment begins, by the superblock's size of one.
fn segment(octets: &[u8], number: u32) -> Option<usize> {
    let at = (number as usize).checked_mul(u32_at(octets, 16) as usize)?.checked_add(SUPER_AREA)?;
    (at < octets.len()).then_some(at)
}

/// What the span at a place refers to.
fn span(octets: &[u8], at: usize) -> Option<Range<usize>> {
    let start = segment(octets, u32_at(octets, at))?.checked_add(u32_at(octets, at + 4) as usize)?;
    let end = start.checked_add(u32_at(octets, at + 8) as usize)?;
    (end <= octets.len()).then_some(start..end)
}

/// Mends the checksum in the span at a place.
fn mend_span(octets: &mut [u8], at: usize) {
    if let Some(what) = span(octets, at) {
        let sum = crc32c(&octets[what]);
        put(octets, at + 12, sum);
    }
}

/// Where the spans in a node are.
fn spans(octets: &[u8], node: Range<usize>) -> Vec<usize> {
    let (mut at, mut out) = (node.start + 4, Vec::new());
    for _ in 0..u16_at(octets, node.start + 2) {
        let (key, kind) = (u16_at(octets, at), octets.get(at + 2).copied());
        let len = u32_at(octets, at + 3) as usize;
        let data = at + 7 + key;
        at = data.saturating_add(len);
        if at > node.end {
            break;
        }
        if kind != Some(0) {
            out.extend((data..at).step_by(16));
        }
    }
    out
}

/// Mends all below the span at a place, then the span. `visit` is told of nodes.
fn mend_tree(
    octets: &mut [u8],
    at: usize,
    level: u32,
    left: &mut usize,
    visit: &mut impl FnMut(Range<usize>),
) {
    let Some(node) = span(octets, at).filter(|_| *left > 0) else { return };
    *left -= 1;
    visit(node.clone());
    for below in spans(octets, node) {
        match level {
            0 => mend_span(octets, below),
            _ => mend_tree(octets, below, level - 1, left, visit),
        }
    }
    mend_span(octets, at);
}

/// Mends the headers of frames of the log, each of which has the checksum of the one before, and those of its segments.
fn mend_log(octets: &mut [u8], visit: &mut impl FnMut(Range<usize>)) {
    let (mut number, mut offset) = (u32_at(octets, 96), u32_at(octets, 100) as usize);
    let mut chain = u32_at(octets, 128);
    for _ in 0..octets.len() / SECTOR {
        let Some(start) = segment(octets, number) else { return };
        seal(octets, start..start + HEADER);
        let next = u32_at(octets, start + 44);
        // The log went on where the next segment says that it came from here.
        if let Some(header) = segment(octets, next).filter(|header| octets[*header..].starts_with(b"FkvS"))
            && (u32_at(octets, header + 32), u32_at(octets, header + 36)) == (number, offset as u32)
        {
            put(octets, header + 40, chain);
            visit(header..header + HEADER);
            (number, offset) = (next, SECTOR);
            continue;
        }
        let at = start.saturating_add(offset);
        if !octets.get(at..).is_some_and(|frame| frame.starts_with(b"Fkv1") && frame.len() > HEADER) {
            return;
        }
        let len = u32_at(octets, at + 36) as usize;
        let payload = at + HEADER..at.saturating_add(HEADER).saturating_add(len).min(octets.len());
        visit(at..at + HEADER);
        visit(payload.start..payload.end.min(payload.start + 128));
        put(octets, at + 32, chain);
        let sum = crc32c(&octets[payload]);
        put(octets, at + 40, sum);
        seal(octets, at..at + HEADER);
        chain = u32_at(octets, at + 60);
        offset = offset.saturating_add((HEADER + len).next_multiple_of(SECTOR));
    }
}

/// Mends everything, from what is referred to up to what refers to it.
fn mend(octets: &mut [u8], mut visit: impl FnMut(Range<usize>)) {
    visit(0..SUPERBLOCK);
    let level = u32_at(octets, 72).min(24);
    mend_tree(octets, 56, level, &mut MOST_NODES.clone(), &mut visit);
    if let Some(table) = span(octets, 80) {
        visit(table);
    }
    mend_span(octets, 80);
    mend_log(octets, &mut visit);
    seal(octets, 0..SUPERBLOCK);
    octets.copy_within(0..SECTOR, SUPER_AREA - SECTOR);
}

impl Image {
    pub fn new(mut octets: Vec<u8>) -> Self {
        let (mut places, newer) = (Vec::new(), SUPER_AREA - SECTOR);
        // Both copies are of one generation, or this is not the one that counts.
        assert_eq!(octets[..SUPERBLOCK], octets[newer..newer + SUPERBLOCK]);
        mend(&mut octets, |place| places.push(place));
        // The header of the log's first segment.
        let first = segment(&octets, u32_at(&octets, 96)).unwrap();
        places.push(first..first + HEADER);
        assert!(places.len() >= 20, "{} places", places.len());
        Self { octets, places }
    }

    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The image with a tree whose top node has the first child in the place of all.
    pub fn with_one_child(&self) -> Vec<u8> {
        let mut octets = self.octets.clone();
        assert!(u32_at(&octets, 72) > 0, "the tree is a leaf");
        let children = spans(&octets, span(&octets, 56).unwrap());
        assert!(children.len() > 1);
        for other in &children[1..] {
            octets.copy_within(children[0]..children[0] + 16, *other);
        }
        mend(&mut octets, |_| {});
        octets
    }

    /// The image with what changes make of some of its places.
    pub fn changed(&self, changes: &[(Index, Changes)], mends: bool) -> Vec<u8> {
        let mut octets = self.octets.clone();
        for (index, changes) in changes {
            let place = index.get(&self.places).clone();
            let mut part = octets[place.clone()].to_vec();
            changes.apply(&mut part);
            part.resize(place.len(), 0);
            octets[place].copy_from_slice(&part);
        }
        if mends {
            mend(&mut octets, |_| {});
        }
        octets
    }
}
