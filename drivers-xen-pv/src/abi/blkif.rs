//! The block device's messages, from `xen/include/public/io/blkif.h` in the layout of x86-64 (`XEN_IO_PROTO_ABI_X86_64`).
//!
//! Pure data: every bit pattern is a value, what it means is checked in `block`. Sectors in messages are of 512 octets,
//! whatever the device's are.

use crate::ring::{Message, Protocol, slots_in, slots_in_page};
use crate::types::PAGE_SIZE;
use core::mem::{offset_of, size_of};

/// What is asked for (`BLKIF_OP_*`).
pub mod op {
    /// Fill pages.
    pub const READ: u8 = 0;
    /// Write pages.
    pub const WRITE: u8 = 1;
    /// Write pages, before and after which all is on the medium.
    pub const WRITE_BARRIER: u8 = 2;
    /// Bring onto the medium what was written.
    pub const FLUSH_DISKCACHE: u8 = 3;
    /// Give sectors up.
    pub const DISCARD: u8 = 5;
    /// Read or write pages that are listed in a page of their own.
    pub const INDIRECT: u8 = 6;
}

/// Results in a response's `status` (`BLKIF_RSP_*`).
pub mod status {
    /// The back end does not do this.
    pub const EOPNOTSUPP: i16 = -2;
    /// It failed.
    pub const ERROR: i16 = -1;
    /// Done.
    pub const OKAY: i16 = 0;
}

/// The pages of one request (`BLKIF_MAX_SEGMENTS_PER_REQUEST`).
pub const MAX_SEGMENTS: usize = 11;
/// The pages with segments that one request can name (`BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST`).
pub const MAX_INDIRECT_PAGES: usize = 8;
/// The segments that such a page holds.
pub const SEGMENTS_IN_PAGE: usize = PAGE_SIZE / size_of::<Segment>();
/// In a back end's `info`: the device is read-only (`VDISK_READONLY`).
pub const VDISK_READONLY: u32 = 4;
/// Octets of a sector in messages.
pub const SECTOR: usize = 512;
/// What a front end of this layout writes as `protocol` (`XEN_IO_PROTO_ABI_X86_64`).
pub const PROTOCOL: &str = "x86_64-abi";

/// The constants above with the names that the header has for them, for a test to compare.
pub const NAMED_VALUES: &[(&str, i64)] = &[
    ("BLKIF_OP_READ", op::READ as i64),
    ("BLKIF_OP_WRITE", op::WRITE as i64),
    ("BLKIF_OP_WRITE_BARRIER", op::WRITE_BARRIER as i64),
    ("BLKIF_OP_FLUSH_DISKCACHE", op::FLUSH_DISKCACHE as i64),
    ("BLKIF_OP_DISCARD", op::DISCARD as i64),
    ("BLKIF_OP_INDIRECT", op::INDIRECT as i64),
    ("BLKIF_RSP_EOPNOTSUPP", status::EOPNOTSUPP as i64),
    ("BLKIF_RSP_ERROR", status::ERROR as i64),
    ("BLKIF_RSP_OKAY", status::OKAY as i64),
    ("BLKIF_MAX_SEGMENTS_PER_REQUEST", MAX_SEGMENTS as i64),
    ("BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST", MAX_INDIRECT_PAGES as i64),
    ("4096 / sizeof(struct blkif_request_segment)", SEGMENTS_IN_PAGE as i64),
    ("VDISK_READONLY", VDISK_READONLY as i64),
    ("strcmp(XEN_IO_PROTO_ABI_X86_64, \"x86_64-abi\")", 0),
    ("__CONST_RING_SIZE(blkif, 4096)", slots_in_page::<Blk>() as i64),
    ("__CONST_RING_SIZE(blkif, 8192)", slots_in::<Blk>(2 * PAGE_SIZE) as i64),
    ("__CONST_RING_SIZE(blkif, 16384)", slots_in::<Blk>(4 * PAGE_SIZE) as i64),
    ("sizeof(union blkif_sring_entry)", Blk::SLOT_SIZE as i64),
];

/// Sectors of a page (`struct blkif_request_segment`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Segment {
    /// The page, granted.
    pub gref: u32,
    /// The first sector in the page, 0 to 7.
    pub first_sect: u8,
    /// The last one, inclusive.
    pub last_sect: u8,
    /// Zero.
    pub pad: u16,
}

/// Reads, writes, flushes (`struct blkif_request`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Request {
    /// [`op`].
    pub operation: u8,
    /// How many of `seg` count.
    pub nr_segments: u8,
    /// The device's number.
    pub handle: u16,
    /// Zero.
    pub pad: u32,
    /// Echoed in the response.
    pub id: u64,
    /// The first sector.
    pub sector_number: u64,
    /// The pages.
    pub seg: [Segment; MAX_SEGMENTS],
}

/// Discards (`struct blkif_request_discard`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct DiscardRequest {
    /// [`op::DISCARD`].
    pub operation: u8,
    /// Zero: not a secure one.
    pub flag: u8,
    /// The device's number.
    pub handle: u16,
    /// Zero.
    pub pad: u32,
    /// Echoed in the response.
    pub id: u64,
    /// The first sector.
    pub sector_number: u64,
    /// How many.
    pub nr_sectors: u64,
}

/// Reads and writes of more pages than fit a slot (`struct blkif_request_indirect`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct IndirectRequest {
    /// [`op::INDIRECT`].
    pub operation: u8,
    /// [`op::READ`] or [`op::WRITE`].
    pub indirect_op: u8,
    /// The pages to read or write.
    pub nr_segments: u16,
    /// Zero.
    pub pad: u32,
    /// Echoed in the response.
    pub id: u64,
    /// The first sector.
    pub sector_number: u64,
    /// The device's number.
    pub handle: u16,
    /// Zero.
    pub pad2: u16,
    /// Pages full of [`Segment`]s, granted.
    pub indirect_grefs: [u32; MAX_INDIRECT_PAGES],
    /// Zero.
    pub pad3: u32,
}

/// What became of a request (`struct blkif_response`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Response {
    /// The request's identifier.
    pub id: u64,
    /// The request's operation.
    pub operation: u8,
    /// Zero.
    pub pad: u8,
    /// [`status`].
    pub status: i16,
    /// Zero.
    pub pad2: u32,
}

const WORDS: usize = size_of::<Request>() / 4;

/// What lies in a ring's slot on its way to the back end: a request of either kind, which its operation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot([u32; WORDS]);

impl Slot {
    /// The operation.
    pub fn operation(self) -> u8 {
        self.0[0] as u8
    }

    /// The slot read as a request with segments.
    pub fn request(self) -> Request {
        let w = &self.0;
        let mut seg = [Segment::default(); MAX_SEGMENTS];
        for (seg, words) in seg.iter_mut().zip(w[6..].chunks_exact(2)) {
            *seg = Segment::from_words([words[0], words[1]]);
        }
        Request {
            operation: w[0] as u8,
            nr_segments: (w[0] >> 8) as u8,
            handle: (w[0] >> 16) as u16,
            pad: w[1],
            id: long(w[2], w[3]),
            sector_number: long(w[4], w[5]),
            seg,
        }
    }

    /// The slot read as a request with its segments elsewhere.
    pub fn indirect(self) -> IndirectRequest {
        let w = &self.0;
        let mut indirect_grefs = [0; MAX_INDIRECT_PAGES];
        indirect_grefs.copy_from_slice(&w[7..7 + MAX_INDIRECT_PAGES]);
        IndirectRequest {
            operation: w[0] as u8,
            indirect_op: (w[0] >> 8) as u8,
            nr_segments: (w[0] >> 16) as u16,
            pad: w[1],
            id: long(w[2], w[3]),
            sector_number: long(w[4], w[5]),
            handle: w[6] as u16,
            pad2: (w[6] >> 16) as u16,
            indirect_grefs,
            pad3: w[15],
        }
    }

    /// The slot read as a discard.
    pub fn discard(self) -> DiscardRequest {
        let Request { operation, nr_segments: flag, handle, pad, id, sector_number, .. } = self.request();
        let nr_sectors = long(self.0[6], self.0[7]);
        DiscardRequest { operation, flag, handle, pad, id, sector_number, nr_sectors }
    }
}

const fn long(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

impl From<Request> for Slot {
    fn from(request: Request) -> Self {
        let Request { operation, nr_segments, handle, pad, id, sector_number, seg } = request;
        let mut w = [0; WORDS];
        w[0] = u32::from(operation) | u32::from(nr_segments) << 8 | u32::from(handle) << 16;
        w[1] = pad;
        (w[2], w[3]) = (id as u32, (id >> 32) as u32);
        (w[4], w[5]) = (sector_number as u32, (sector_number >> 32) as u32);
        for (words, seg) in w[6..].chunks_exact_mut(2).zip(seg) {
            words.copy_from_slice(&seg.to_words());
        }
        Self(w)
    }
}

impl From<DiscardRequest> for Slot {
    fn from(request: DiscardRequest) -> Self {
        let DiscardRequest { operation, flag, handle, pad, id, sector_number, nr_sectors } = request;
        let head =
            Request { operation, nr_segments: flag, handle, pad, id, sector_number, ..Request::default() };
        let mut slot = Self::from(head);
        (slot.0[6], slot.0[7]) = (nr_sectors as u32, (nr_sectors >> 32) as u32);
        slot
    }
}

impl From<IndirectRequest> for Slot {
    fn from(request: IndirectRequest) -> Self {
        let IndirectRequest { operation, indirect_op, nr_segments, pad, id, .. } = request;
        let mut w = [0; WORDS];
        w[0] = u32::from(operation) | u32::from(indirect_op) << 8 | u32::from(nr_segments) << 16;
        w[1] = pad;
        (w[2], w[3]) = (id as u32, (id >> 32) as u32);
        (w[4], w[5]) = (request.sector_number as u32, (request.sector_number >> 32) as u32);
        w[6] = u32::from(request.handle) | u32::from(request.pad2) << 16;
        w[7..7 + MAX_INDIRECT_PAGES].copy_from_slice(&request.indirect_grefs);
        w[15] = request.pad3;
        Self(w)
    }
}

/// As it lies in a slot, and in a page of segments.
impl Message for Segment {
    type Words = [u32; 2];
    fn to_words(self) -> [u32; 2] {
        let Self { gref, first_sect, last_sect, pad } = self;
        [gref, u32::from(first_sect) | u32::from(last_sect) << 8 | u32::from(pad) << 16]
    }
    fn from_words([gref, rest]: [u32; 2]) -> Self {
        let [first_sect, last_sect, pad0, pad1] = rest.to_le_bytes();
        Self { gref, first_sect, last_sect, pad: u16::from_le_bytes([pad0, pad1]) }
    }
}

impl Message for Slot {
    type Words = [u32; WORDS];
    fn to_words(self) -> Self::Words {
        self.0
    }
    fn from_words(words: Self::Words) -> Self {
        Self(words)
    }
}

impl Message for Response {
    type Words = [u32; 4];
    fn to_words(self) -> [u32; 4] {
        let Self { id, operation, pad, status, pad2 } = self;
        let third = u32::from(operation) | u32::from(pad) << 8 | u32::from(status.cast_unsigned()) << 16;
        [id as u32, (id >> 32) as u32, third, pad2]
    }
    fn from_words([low, high, third, pad2]: [u32; 4]) -> Self {
        let status = ((third >> 16) as u16).cast_signed();
        Self { id: long(low, high), operation: third as u8, pad: (third >> 8) as u8, status, pad2 }
    }
}

/// The ring.
#[derive(Debug)]
pub struct Blk;

impl Protocol for Blk {
    type Request = Slot;
    type Response = Response;
    const SLOT_SIZE: usize = size_of::<Request>();
}

const _: () = {
    assert!(size_of::<Segment>() == 8);
    assert!(size_of::<Request>() == 112);
    assert!(offset_of!(Request, id) == 8);
    assert!(offset_of!(Request, sector_number) == 16);
    assert!(offset_of!(Request, seg) == 24);
    assert!(size_of::<DiscardRequest>() == 32);
    assert!(offset_of!(DiscardRequest, nr_sectors) == 24);
    assert!(size_of::<IndirectRequest>() == 64);
    assert!(offset_of!(IndirectRequest, nr_segments) == 2);
    assert!(offset_of!(IndirectRequest, id) == 8);
    assert!(offset_of!(IndirectRequest, sector_number) == 16);
    assert!(offset_of!(IndirectRequest, handle) == 24);
    assert!(offset_of!(IndirectRequest, indirect_grefs) == 28);
    assert!(size_of::<Response>() == 16);
    assert!(offset_of!(Response, operation) == 8);
    assert!(offset_of!(Response, status) == 10);
    assert!(slots_in_page::<Blk>() == 32);
};
