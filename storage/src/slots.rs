//! One value on a block device that is replaced as a whole: two places, written in turn, so that whenever power is lost the value
//! before or the new one is there.
//!
//! The first half of the device is one place, the second the other. Each begins with a head of [`HEAD`] octets, the value stands
//! behind it: magic (8), number of the write (8), octets of the value (4), checksum of number, length and value (4), checksum of the
//! head (4), all in little endian. The place with the higher number counts, if its checksums are right. For a state of some
//! kilobytes that changes seldom; [`kv`](crate::kv) is a store. A value may be a key: the device is used as one that is
//! [secret](Disk::secret), and memory that has held a value is zeroed (with the feature `secret` of `fata-libos`), but for what the device has
//! of its own.

use crate::checksum::{crc32c, crc32c_at};
use alloc::vec::Vec;
use fata_libos::block::{BlockError, Buffer, Disk};
use zeroize::Zeroizing;

/// What a place begins with. Another version has another last digit.
const MAGIC: [u8; 8] = *b"FataSlt1";
/// Octets of a head.
pub const HEAD: usize = 28;

/// A value on a block device. Only one of these is to be used for a device at a time.
#[derive(Debug)]
pub struct Slots {
    disk: Disk,
    /// Octets of a value, at most.
    capacity: usize,
    /// Which place is written next, and under what number; not known before the first look.
    next: Option<(usize, u64)>,
}

/// Why a value cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotsError {
    /// The device.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// There is no room for two heads.
    #[error("a device of {octets} octets is too small")]
    TooSmall {
        /// What it has.
        octets: u64,
    },
    /// The value.
    #[error("{octets} octets, where {capacity} are the most")]
    TooLong {
        /// Its length.
        octets: usize,
        /// What there is room for.
        capacity: usize,
    },
    /// The device has something that was not written here, which is not overwritten: fill its first sectors with zeros, if it may be.
    #[error("the device has something else")]
    Foreign,
}

/// What a place has.
#[derive(Debug)]
enum Place {
    /// Nothing was written, or a disk that was filled with zeros.
    Blank,
    /// What is not of here.
    Foreign,
    /// A value, or what damage or an unfinished write have left of one; without a number where its head is damaged.
    Value { number: Option<u64>, octets: Zeroizing<Vec<u8>>, is_whole: bool },
    /// The device does not give it.
    Unreadable(BlockError),
}

/// What there is to read.
#[derive(Debug)]
pub struct Found {
    /// The value that was written last, of those that are whole; where none is, what is left of the last.
    pub value: Zeroizing<Vec<u8>>,
    /// What is left of the other place, where that is damaged: of a value that was written, or begun to be, later than the one that is
    /// whole. Octets of older values may be among it.
    pub remains: Zeroizing<Vec<u8>>,
}

impl Slots {
    /// On this device, for values of at most `most` octets, or as many as there is room for.
    pub fn new(disk: &Disk, most: usize) -> Result<Self, SlotsError> {
        let geometry = disk.geometry();
        let place = geometry.sectors / 2 * geometry.sector_size as u64;
        let room = usize::try_from(place).unwrap_or(usize::MAX).saturating_sub(HEAD);
        match room {
            0 => Err(SlotsError::TooSmall { octets: geometry.octets() }),
            _ => Ok(Self { disk: disk.secret(), capacity: room.min(most), next: None }),
        }
    }

    /// Octets of a value, at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The value that was written last; `None` where none was. Where nothing whole is left it is what is left: whoever reads it
    /// looks at it.
    pub async fn read(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, SlotsError> {
        Ok(self.read_with_remains().await?.map(|found| found.value))
    }

    /// As [`read`](Self::read), and what is left of a newer value than the one that is whole, for who can use a part of it.
    pub async fn read_with_remains(&mut self) -> Result<Option<Found>, SlotsError> {
        let mut places = [self.place(0).await?, self.place(1).await?];
        let rank = |place: &Place| match place {
            Place::Value { number, is_whole, .. } => Some((*is_whole, *number)),
            _ => None,
        };
        let best = match (rank(&places[0]), rank(&places[1])) {
            (None, None) => None,
            (first, second) => Some(usize::from(second > first)),
        };
        let numbers = places.iter().filter_map(|place| rank(place)?.1);
        let number = numbers.max().map_or(1, |number| number.wrapping_add(1));
        let Some(best) = best else {
            for place in &places {
                match place {
                    Place::Foreign => return Err(SlotsError::Foreign),
                    Place::Unreadable(error) => return Err((*error).into()),
                    _ => {}
                }
            }
            self.next = Some((0, number));
            return Ok(None);
        };
        self.next = Some((1 - best, number));
        let is_first = matches!(places[1 - best], Place::Blank);
        let [first, second] = core::mem::replace(&mut places, [Place::Blank, Place::Blank]);
        let (best, other) = if best == 0 { (first, second) } else { (second, first) };
        let Place::Value { number, octets: value, is_whole } = best else { return Ok(None) };
        // The first one ever, which was never finished.
        if is_first && !is_whole {
            return Ok(None);
        }
        if !is_whole {
            log::warn!("both places are damaged: what is left of the last value is taken");
        }
        // What is older than a value that is whole is of no use.
        let is_newer = |other: Option<u64>| !is_whole || other.is_none() || other > number;
        let remains = match other {
            Place::Value { number: other, octets, is_whole: false } if is_newer(other) => octets,
            _ => Zeroizing::default(),
        };
        Ok(Some(Found { value, remains }))
    }

    /// Replaces the value. When this has returned without an error it is on the medium; before, the one before is.
    pub async fn write(&mut self, octets: &[u8]) -> Result<(), SlotsError> {
        if octets.len() > self.capacity {
            return Err(SlotsError::TooLong { octets: octets.len(), capacity: self.capacity });
        }
        let (place, number) = match self.next {
            Some(next) => next,
            None => {
                self.read().await?;
                self.next.unwrap_or_default()
            }
        };
        let size = self.disk.sector_size();
        let length = (HEAD + octets.len()).next_multiple_of(size);
        let sector = self.first(place);
        let mut buffer = Buffer::try_zeroed(length).ok_or(BlockError::NoMemory { sector, octets: length })?;
        buffer[..HEAD].copy_from_slice(&head(number, octets));
        buffer[HEAD..HEAD + octets.len()].copy_from_slice(octets);
        // Until it is known how this ends the place is in doubt, and looked at again.
        self.next = None;
        self.disk.write(sector, buffer).await?;
        self.disk.flush().await?;
        self.next = Some((1 - place, number.wrapping_add(1)));
        Ok(())
    }

    /// The first sector of a place.
    fn first(&self, place: usize) -> u64 {
        self.disk.geometry().sectors / 2 * place as u64
    }

    async fn place(&self, place: usize) -> Result<Place, SlotsError> {
        let (first, size) = (self.first(place), self.disk.sector_size());
        let sector = match self.disk.read(first, 1).await {
            Ok(sector) => sector,
            Err(error @ BlockError::Failed { .. }) => return Ok(Place::Unreadable(error)),
            Err(error) => return Err(error.into()),
        };
        if sector.iter().all(|octet| *octet == 0) {
            return Ok(Place::Blank);
        }
        if sector[..8] != MAGIC {
            return Ok(Place::Foreign);
        }
        let word =
            |at: usize| sector[at..at + 4].iter().rev().fold(0, |word, octet| word << 8 | u32::from(*octet));
        let number = u64::from(word(12)) << 32 | u64::from(word(8));
        let length = word(16) as usize;
        let has_head = crc32c(&sector[..HEAD - 4]) == word(HEAD - 4) && length <= self.capacity;
        let (number, length) = if has_head { (Some(number), length) } else { (None, self.capacity) };
        let whole = match self.disk.read(first, (HEAD + length).div_ceil(size)).await {
            Ok(whole) => whole,
            Err(error @ BlockError::Failed { .. }) => return Ok(Place::Unreadable(error)),
            Err(error) => return Err(error.into()),
        };
        let mut octets = Zeroizing::new(Vec::new());
        let no_memory = BlockError::NoMemory { sector: first, octets: length };
        octets.try_reserve_exact(length).map_err(|_| no_memory)?;
        octets.extend_from_slice(&whole[HEAD..HEAD + length]);
        let is_whole = number.is_some_and(|number| head(number, &octets) == whole[..HEAD]);
        Ok(Place::Value { number, octets, is_whole })
    }
}

fn head(number: u64, octets: &[u8]) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    head[..8].copy_from_slice(&MAGIC);
    head[8..16].copy_from_slice(&number.to_le_bytes());
    head[16..20].copy_from_slice(&(octets.len() as u32).to_le_bytes());
    // Of the number too: an old value under a new head is none.
    let value = crc32c_at(number, octets);
    head[20..24].copy_from_slice(&value.to_le_bytes());
    let whole = crc32c(&head[..24]);
    head[24..].copy_from_slice(&whole.to_le_bytes());
    head
}
