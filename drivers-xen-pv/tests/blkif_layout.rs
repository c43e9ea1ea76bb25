//! The block messages as they are here, against the C header that the other side was compiled from.
//!
//! Needs a C compiler and the headers of the package libxen-dev; fails without, because nothing else holds the two together.

mod header;

use fata_xen::abi::blkif::{DiscardRequest, IndirectRequest, NAMED_VALUES, Request, Response, Segment, Slot};
use fata_xen::ring::Message;
use header::Header;
use std::mem::{offset_of, size_of};

/// Sizes and offsets, as C spells them and as they are here.
fn layouts() -> Vec<(&'static str, i64)> {
    let table: &[(&str, usize)] = &[
        ("sizeof(struct blkif_request_segment)", size_of::<Segment>()),
        ("offsetof(struct blkif_request_segment, gref)", offset_of!(Segment, gref)),
        ("offsetof(struct blkif_request_segment, first_sect)", offset_of!(Segment, first_sect)),
        ("offsetof(struct blkif_request_segment, last_sect)", offset_of!(Segment, last_sect)),
        ("sizeof(blkif_request_t)", size_of::<Request>()),
        ("offsetof(blkif_request_t, operation)", offset_of!(Request, operation)),
        ("offsetof(blkif_request_t, nr_segments)", offset_of!(Request, nr_segments)),
        ("offsetof(blkif_request_t, handle)", offset_of!(Request, handle)),
        ("offsetof(blkif_request_t, id)", offset_of!(Request, id)),
        ("offsetof(blkif_request_t, sector_number)", offset_of!(Request, sector_number)),
        ("offsetof(blkif_request_t, seg)", offset_of!(Request, seg)),
        ("sizeof(blkif_request_discard_t)", size_of::<DiscardRequest>()),
        ("offsetof(blkif_request_discard_t, flag)", offset_of!(DiscardRequest, flag)),
        ("offsetof(blkif_request_discard_t, handle)", offset_of!(DiscardRequest, handle)),
        ("offsetof(blkif_request_discard_t, id)", offset_of!(DiscardRequest, id)),
        ("offsetof(blkif_request_discard_t, sector_number)", offset_of!(DiscardRequest, sector_number)),
        ("offsetof(blkif_request_discard_t, nr_sectors)", offset_of!(DiscardRequest, nr_sectors)),
        ("sizeof(blkif_request_indirect_t)", size_of::<IndirectRequest>()),
        ("offsetof(blkif_request_indirect_t, indirect_op)", offset_of!(IndirectRequest, indirect_op)),
        ("offsetof(blkif_request_indirect_t, nr_segments)", offset_of!(IndirectRequest, nr_segments)),
        ("offsetof(blkif_request_indirect_t, id)", offset_of!(IndirectRequest, id)),
        ("offsetof(blkif_request_indirect_t, sector_number)", offset_of!(IndirectRequest, sector_number)),
        ("offsetof(blkif_request_indirect_t, handle)", offset_of!(IndirectRequest, handle)),
        ("offsetof(blkif_request_indirect_t, indirect_grefs)", offset_of!(IndirectRequest, indirect_grefs)),
        ("sizeof(blkif_response_t)", size_of::<Response>()),
        ("offsetof(blkif_response_t, id)", offset_of!(Response, id)),
        ("offsetof(blkif_response_t, operation)", offset_of!(Response, operation)),
        ("offsetof(blkif_response_t, status)", offset_of!(Response, status)),
    ];
    table.iter().map(|(name, value)| (*name, *value as i64)).collect()
}

/// The octets of each message as the ring writes it, against C filling the same fields.
fn messages() -> Vec<(&'static str, Vec<u32>)> {
    let mut request = Request {
        operation: 1,
        nr_segments: 2,
        handle: 0x0304,
        id: 0x0506_0708_090a_0b0c,
        sector_number: 0x0d0e_0f10_1112_1314,
        ..Request::default()
    };
    request.seg[0] = Segment { gref: 0x1516_1718, first_sect: 1, last_sect: 7, pad: 0 };
    request.seg[10] = Segment { gref: 0x191a_1b1c, first_sect: 2, last_sect: 3, pad: 0 };
    let discard = DiscardRequest {
        operation: 5,
        handle: 0x0304,
        id: 0x0506_0708_090a_0b0c,
        sector_number: 0x0d0e_0f10_1112_1314,
        nr_sectors: 0x1516_1718_191a_1b1c,
        ..DiscardRequest::default()
    };
    let mut indirect = IndirectRequest {
        operation: 6,
        indirect_op: 1,
        nr_segments: 0x0203,
        id: 0x0506_0708_090a_0b0c,
        sector_number: 0x0d0e_0f10_1112_1314,
        handle: 0x0304,
        ..IndirectRequest::default()
    };
    indirect.indirect_grefs[0] = 0x1516_1718;
    indirect.indirect_grefs[7] = 0x191a_1b1c;
    let segment = Segment { gref: 0x0102_0304, first_sect: 5, last_sect: 6, pad: 0 };
    let response = Response { id: 0x0102_0304_0506_0708, operation: 9, status: -2, ..Response::default() };
    vec![
        (
            "blkif_request_t m = { .operation = 1, .nr_segments = 2, .handle = 0x0304, .id = 0x05060708090a0b0c, \
             .sector_number = 0x0d0e0f1011121314, .seg = { [0] = { 0x15161718, 1, 7 }, [10] = { 0x191a1b1c, 2, 3 } } }",
            Slot::from(request).to_words().to_vec(),
        ),
        (
            "blkif_request_discard_t m = { .operation = 5, .handle = 0x0304, .id = 0x05060708090a0b0c, \
             .sector_number = 0x0d0e0f1011121314, .nr_sectors = 0x15161718191a1b1c }",
            Slot::from(discard).to_words()[..8].to_vec(),
        ),
        (
            "blkif_request_indirect_t m = { .operation = 6, .indirect_op = 1, .nr_segments = 0x0203, \
             .id = 0x05060708090a0b0c, .sector_number = 0x0d0e0f1011121314, .handle = 0x0304, \
             .indirect_grefs = { [0] = 0x15161718, [7] = 0x191a1b1c } }",
            Slot::from(indirect).to_words()[..16].to_vec(),
        ),
        ("struct blkif_request_segment m = { 0x01020304, 5, 6 }", segment.to_words().to_vec()),
        (
            "blkif_response_t m = { .id = 0x0102030405060708, .operation = 9, .status = -2 }",
            response.to_words().to_vec(),
        ),
    ]
}

#[test]
fn constants_layouts_and_messages_are_those_of_the_header() {
    let values = NAMED_VALUES.iter().copied().chain(layouts()).collect();
    Header { name: "blkif", includes: &["xen/io/protocols.h"], values, messages: messages() }.is_the_same();
}

#[test]
fn a_slot_is_read_back_as_it_was_written() {
    let [request, discard, indirect, segment] = [0, 1, 2, 3].map(|n| messages()[n].1.clone());
    let slot = |words: &[u32]| {
        let mut all = [0; 28];
        all[..words.len()].copy_from_slice(words);
        Slot::from_words(all)
    };
    assert_eq!(Slot::from(slot(&request).request()), slot(&request));
    assert_eq!(Slot::from(slot(&discard).discard()), slot(&discard));
    assert_eq!(Slot::from(slot(&indirect).indirect()), slot(&indirect));
    let words = [segment[0], segment[1]];
    assert_eq!(Segment::from_words(words).to_words(), words);
}
