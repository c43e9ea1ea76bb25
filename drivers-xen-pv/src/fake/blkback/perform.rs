//! What the fake block back end does with a request.

use super::{FakeBlkback, Performed, Taken};
use crate::abi::blkif::{MAX_SEGMENTS, SECTOR, SEGMENTS_IN_PAGE, Segment, op, status};
use crate::fake::PeerMapError;
use crate::grant::Access;
use crate::ring::Message;
use crate::shared::SharedMemory;
use crate::types::GrantRef;
use std::collections::btree_map::Entry;

/// A request, of either form.
pub(super) struct Parsed {
    pub(super) operation: u8,
    pub(super) id: u64,
    sector: u64,
    segments: Vec<Segment>,
    is_indirect: bool,
}

impl FakeBlkback {
    /// The segments of a request, from the slot or from the page that it names.
    pub(super) fn parse(&self, taken: Taken) -> Parsed {
        let request = taken.request();
        if request.operation != op::INDIRECT {
            let count = match request.operation {
                op::DISCARD => 0,
                _ => usize::from(request.nr_segments),
            };
            assert!(count <= MAX_SEGMENTS, "{count} segments");
            assert_eq!(u32::from(request.handle), self.number & 0xffff, "the device's number");
            return Parsed {
                operation: request.operation,
                id: request.id,
                sector: request.sector_number,
                segments: request.seg[..count].to_vec(),
                is_indirect: false,
            };
        }
        let indirect = taken.indirect();
        let count = usize::from(indirect.nr_segments);
        assert!(matches!(indirect.indirect_op, op::READ | op::WRITE), "operation {}", indirect.indirect_op);
        assert!((1..=self.max_indirect()).contains(&count), "{count} segments");
        assert_eq!(u32::from(indirect.handle), self.number & 0xffff, "the device's number");
        let mut segments = Vec::new();
        for gref in indirect.indirect_grefs.iter().take(count.div_ceil(SEGMENTS_IN_PAGE)) {
            let left = (count - segments.len()).min(SEGMENTS_IN_PAGE);
            let page = |page: &SharedMemory| -> Vec<Segment> {
                let word = |n: usize| page.load_u32(4 * n);
                (0..left).map(|n| Segment::from_words([word(2 * n), word(2 * n + 1)])).collect()
            };
            let read = self.with_page(taken.queue, GrantRef(*gref), Access::ReadOnly, page);
            segments.extend(read.expect("the page of segments is granted"));
        }
        Parsed {
            operation: indirect.indirect_op,
            id: indirect.id,
            sector: indirect.sector_number,
            segments,
            is_indirect: true,
        }
    }

    /// Uses a page as blkback does: mapped for this once, or kept, and then for reading and writing always.
    fn with_page<R>(
        &self,
        queue: usize,
        gref: GrantRef,
        access: Access,
        with: impl FnOnce(&SharedMemory) -> R,
    ) -> Result<R, PeerMapError> {
        if !self.keeps_grants() {
            return Ok(with(&self.hv.peer_map(self.domain, gref, access)?.memory()));
        }
        let rings = &mut *self.rings.borrow_mut();
        let map = match rings[queue].kept.entry(gref) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(new) => new.insert(self.hv.peer_map(self.domain, gref, Access::ReadWrite)?),
        };
        Ok(with(&map.memory()))
    }

    pub(super) fn status_of(&self, taken: Taken, parsed: &Parsed) -> i16 {
        let sectors = match parsed.operation {
            op::DISCARD => taken.discard().nr_sectors,
            _ => parsed.segments.iter().map(|s| u64::from(s.last_sect - s.first_sect) + 1).sum(),
        };
        self.log.borrow_mut().push((parsed.operation, parsed.sector, sectors));
        self.performed.borrow_mut().push(Performed {
            queue: taken.queue,
            segments: parsed.segments.len(),
            is_indirect: parsed.is_indirect,
        });
        let range = parsed.sector..parsed.sector + sectors;
        if self.bad_sector.get().is_some_and(|bad| range.contains(&bad)) {
            return status::ERROR;
        }
        if self.refused.get() == Some(parsed.operation) {
            return status::EOPNOTSUPP;
        }
        if range.end > (self.disk.borrow().len() / SECTOR) as u64 {
            return status::ERROR;
        }
        match parsed.operation {
            op::READ | op::WRITE => self.transfer(taken.queue, parsed),
            op::DISCARD => {
                let disk = &mut *self.disk.borrow_mut();
                disk[range.start as usize * SECTOR..range.end as usize * SECTOR].fill(0);
            }
            op::FLUSH_DISKCACHE | op::WRITE_BARRIER => {}
            _ => return status::EOPNOTSUPP,
        }
        status::OKAY
    }

    fn transfer(&self, queue: usize, parsed: &Parsed) {
        let mut at = parsed.sector as usize * SECTOR;
        let disk = &mut *self.disk.borrow_mut();
        for Segment { gref, first_sect, last_sect, .. } in &parsed.segments {
            assert!(
                first_sect <= last_sect && *last_sect < 8,
                "sectors {first_sect} to {last_sect} of a page"
            );
            let (offset, len) =
                (usize::from(*first_sect) * SECTOR, usize::from(last_sect - first_sect + 1) * SECTOR);
            let octets = &mut disk[at..at + len];
            let gref = GrantRef(*gref);
            let copied = match parsed.operation {
                op::READ => self.with_page(queue, gref, Access::ReadWrite, |page| page.write(offset, octets)),
                _ => self.with_page(queue, gref, Access::ReadOnly, |page| page.read(offset, octets)),
            };
            copied.expect("the page is granted for this");
            at += len;
        }
    }
}
