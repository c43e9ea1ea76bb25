//! Where an archive's octets are.

use super::Error;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use fata_libos::block::Disk;
use zeroize::Zeroize;

/// Octets of a piece of memory.
pub const PIECE: usize = 64 << 10;
/// The most octets of one request to a disk.
const MOST: usize = 128 << 10;

/// The octets of an archive.
pub enum Source {
    /// On a disk, from its first sector on.
    Disk(Disk),
    /// In the image.
    Octets(&'static [u8]),
    /// Unpacked, in pieces of [`PIECE`] octets.
    Memory(Pieces),
}

/// Octets in pieces: what grows needs no larger one, and nothing is copied.
pub struct Pieces {
    pieces: Vec<Octets>,
    len: usize,
    is_secret: bool,
}

/// Memory for what is read, zeroed when it is dropped where that may be a key.
pub struct Octets {
    octets: Vec<u8>,
    is_secret: bool,
}

impl Deref for Octets {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.octets
    }
}

impl DerefMut for Octets {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.octets
    }
}

impl Drop for Octets {
    fn drop(&mut self) {
        if self.is_secret {
            self.octets.zeroize();
        }
    }
}

/// So many zeros, or an error where there is no memory for them.
pub fn zeroed(len: usize) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::new();
    octets.try_reserve_exact(len).map_err(|_| Error::NoMemory { octets: len })?;
    octets.resize(len, 0);
    Ok(octets)
}

impl Source {
    pub fn disk(disk: Disk) -> Self {
        Self::Disk(disk)
    }

    pub fn octets(octets: &'static [u8]) -> Self {
        Self::Octets(octets)
    }

    pub fn len(&self) -> u64 {
        match self {
            Self::Disk(disk) => disk.geometry().octets(),
            Self::Octets(octets) => octets.len() as u64,
            Self::Memory(pieces) => pieces.len as u64,
        }
    }

    pub fn in_memory(&self) -> usize {
        match self {
            Self::Memory(pieces) => pieces.len,
            Self::Disk(_) | Self::Octets(_) => 0,
        }
    }

    /// Whether it may have keys.
    pub fn is_secret(&self) -> bool {
        match self {
            Self::Disk(disk) => disk.is_secret(),
            Self::Octets(_) => false,
            Self::Memory(pieces) => pieces.is_secret,
        }
    }

    /// So many octets from a place on.
    pub async fn piece(&self, from: u64, len: usize) -> Result<Octets, Error> {
        let mut octets = Octets { octets: zeroed(len)?, is_secret: self.is_secret() };
        self.read(from, &mut octets).await?;
        Ok(octets)
    }

    /// The first octets, 512 if there are so many.
    pub async fn first(&self) -> Result<Octets, Error> {
        self.piece(0, self.len().min(512) as usize).await
    }

    /// Fills a buffer from a place on; an error if there are fewer octets.
    pub async fn read(&self, from: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let octets = self.len();
        let is_inside = from.checked_add(buffer.len() as u64).is_some_and(|end| end <= octets);
        if !is_inside {
            return Err(Error::CutOff { at: from, octets });
        }
        match self {
            Self::Disk(disk) => read_disk(disk, from, buffer).await?,
            Self::Octets(octets) => buffer.copy_from_slice(&octets[from as usize..][..buffer.len()]),
            Self::Memory(pieces) => pieces.read(from as usize, buffer),
        }
        Ok(())
    }
}

/// Whole sectors are read, and what was asked for is copied.
async fn read_disk(disk: &Disk, from: u64, buffer: &mut [u8]) -> Result<(), Error> {
    let size = disk.sector_size() as u64;
    let (mut from, mut rest) = (from, buffer);
    while !rest.is_empty() {
        let skipped = (from % size) as usize;
        let wanted = rest.len().min(MOST - skipped);
        let sectors = (skipped + wanted).div_ceil(size as usize);
        let read = disk.read(from / size, sectors).await?;
        let (now, later) = rest.split_at_mut(wanted);
        now.copy_from_slice(&read[skipped..skipped + wanted]);
        (from, rest) = (from + wanted as u64, later);
    }
    Ok(())
}

impl Pieces {
    pub fn new(is_secret: bool) -> Self {
        Self { pieces: Vec::new(), len: 0, is_secret }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Room at the end, one octet at least; what is used of it is [`grow`](Self::grow)n by.
    pub fn room(&mut self) -> Result<&mut [u8], Error> {
        let used = self.len % PIECE;
        if used == 0 && self.len == self.pieces.len() * PIECE {
            self.pieces.try_reserve(1).map_err(|_| Error::NoMemory { octets: PIECE })?;
            self.pieces.push(Octets { octets: zeroed(PIECE)?, is_secret: self.is_secret });
        }
        match self.pieces.last_mut() {
            Some(last) => Ok(&mut last[used..]),
            None => Err(Error::NoMemory { octets: PIECE }),
        }
    }

    /// So many octets of the room are content now.
    pub fn grow(&mut self, octets: usize) {
        self.len += octets;
        debug_assert!(self.len <= self.pieces.len() * PIECE);
    }

    fn read(&self, from: usize, buffer: &mut [u8]) {
        let (mut from, mut rest) = (from, buffer);
        while !rest.is_empty() {
            let piece = &self.pieces[from / PIECE][from % PIECE..];
            let count = rest.len().min(piece.len());
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(&piece[..count]);
            (from, rest) = (from + count, later);
        }
    }
}
