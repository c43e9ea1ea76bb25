//! What one request of the ring is about: a piece of one job, or of several whose sectors follow on each other.

use super::job::Job;
use super::pool::{PageNumber, Pool};
use crate::abi::blkif::{SECTOR, Segment};
use crate::grant::Lent;
use crate::types::{GrantRef, PAGE_SIZE};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Sectors of 512 octets in a page.
pub(super) const PAGE_SECTORS: u64 = (PAGE_SIZE / SECTOR) as u64;

/// The pages of a piece, as the back end sees them.
pub(super) enum Memory {
    /// It has none: a flush, a discard.
    None,
    /// The job's own, granted for this request.
    Lent(Lent),
    /// The queue's, with a copy.
    Copied(Vec<PageNumber>),
}

/// What a part has of one job.
pub(super) struct Piece {
    pub(super) job: Rc<Job>,
    /// Where it begins in the job, in sectors of 512 octets.
    pub(super) from: u64,
    /// How many they are.
    pub(super) sectors: u64,
    pub(super) memory: Memory,
}

/// What is in flight as one request.
pub(super) struct Part {
    /// To read, write, flush or discard, in whatever form the request says it.
    pub(super) operation: u8,
    pub(super) sector: u64,
    /// At least one.
    pub(super) pieces: Vec<Piece>,
    /// The page with its segments, if they do not fit the request.
    pub(super) list: Option<PageNumber>,
}

impl Piece {
    /// Tells the segments of the piece: all begin at a page's start.
    fn segments(&self, pool: &Pool, tell: &mut dyn FnMut(Segment)) {
        let mut left = self.sectors;
        let mut next = |gref: GrantRef| {
            let sectors = left.min(PAGE_SECTORS);
            left -= sectors;
            tell(Segment { gref: gref.0, first_sect: 0, last_sect: sectors.max(1) as u8 - 1, pad: 0 });
        };
        match &self.memory {
            Memory::None => {}
            Memory::Lent(lent) => lent.refs().iter().copied().for_each(next),
            Memory::Copied(pages) => pages.iter().for_each(|page| next(pool.gref(*page))),
        }
    }

    /// Copies what is to be written to where the back end reads it.
    pub(super) fn copy_in(&self, pool: &Pool) {
        if let Memory::Copied(pages) = &self.memory {
            self.job.with_octets(self.from, self.sectors, |octets| {
                for (page, octets) in pages.iter().zip(octets.chunks(PAGE_SIZE)) {
                    pool.memory(*page).write(0, octets);
                }
            });
        }
    }

    /// Copies what was read from where the back end has written it.
    pub(super) fn copy_out(&self, pool: &Pool) {
        if let Memory::Copied(pages) = &self.memory {
            self.job.with_octets(self.from, self.sectors, |octets| {
                for (page, octets) in pages.iter().zip(octets.chunks_mut(PAGE_SIZE)) {
                    pool.memory(*page).read(0, octets);
                }
            });
        }
    }
}

impl Part {
    /// Tells the segments, in the order of their sectors.
    pub(super) fn segments(&self, pool: &Pool, tell: &mut dyn FnMut(Segment)) {
        self.pieces.iter().for_each(|piece| piece.segments(pool, tell));
    }
}
