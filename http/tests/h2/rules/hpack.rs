//! Blocks of header fields: RFC 7541, h2spec's `generic/5` and `hpack`.

use super::Case;
use crate::client::*;

/// HEADERS of a GET whose block begins and ends with these octets.
fn block_with(stream: u32, before: &[u8], behind: &[u8]) -> Vec<u8> {
    let get = [0x82, 0x86, 0x84, 0x41, 1, b'h'];
    frame(HEADERS, END | WHOLE, stream, &[before, &get, behind].concat())
}

pub fn cases() -> Vec<Case> {
    let hello = "HEADERS 1 200\nDATA 1 5 end\n";
    let unreadable = "GOAWAY 0 9\n";
    let mut cases: Vec<Case> = Vec::new();
    // Index 19 is `accept`; 0x1f is `a`, 0xf3 `x` and 0xf5 `y` in Huffman's code.
    for (what, field) in [
        ("generic 5 an indexed field", &[0x90][..]),
        ("generic 5 a name by index, into the table", &[0x53, 1, b'a']),
        ("generic 5 the same in Huffman's code", &[0x53, 0x81, 0x1f]),
        ("generic 5 a new name, into the table", &[0x40, 1, b'x', 1, b'y']),
        ("generic 5 the same in Huffman's code", &[0x40, 0x81, 0xf3, 0x81, 0xf5]),
        ("generic 5 a name by index", &[0x0f, 4, 1, b'a']),
        ("generic 5 the same in Huffman's code", &[0x0f, 4, 0x81, 0x1f]),
        ("generic 5 a new name", &[0, 1, b'x', 1, b'y']),
        ("generic 5 the same in Huffman's code", &[0, 0x81, 0xf3, 0x81, 0xf5]),
        ("generic 5 a name by index, never indexed", &[0x1f, 4, 1, b'a']),
        ("generic 5 the same in Huffman's code", &[0x1f, 4, 0x81, 0x1f]),
        ("generic 5 a new name, never indexed", &[0x10, 1, b'x', 1, b'y']),
        ("generic 5 the same in Huffman's code", &[0x10, 0x81, 0xf3, 0x81, 0xf5]),
        ("generic 5 a field of the dynamic table", &[0x40, 1, b'x', 1, b'y', 0xbe]),
    ] {
        cases.push((what, vec![block_with(1, &[], field)], hello));
    }
    let both = "HEADERS 1 200\nDATA 1 5 end\nHEADERS 3 200\nDATA 3 5 end\n";
    cases.push((
        "generic 5 a field of the table that the block before has left",
        vec![block_with(1, &[], &[]), vec![], frame(HEADERS, END | WHOLE, 3, &[0x82, 0x86, 0x84, 0xbe])],
        both,
    ));
    cases.push(("generic 5 a size of the table", vec![block_with(1, &[0x20], &[])], hello));
    cases.push(("generic 5 two sizes", vec![block_with(1, &[0x20, 0x3f, 0xe1, 0x1f], &[])], hello));
    for (what, field) in [
        ("hpack 2.3.3 a field of an index that no table has", &[0xff, 0][..]),
        ("hpack 2.3.3 a name of an index that no table has", &[0x7f, 0, 1, b'a']),
        ("hpack 4.2 a size behind the fields", &[0x20]),
        ("hpack 5.2 padding of more than seven bits", &[0, 1, b'x', 0x82, 0x1f, 0xff]),
        ("hpack 5.2 padding of zeros", &[0, 1, b'x', 0x81, 0x18]),
        ("hpack 5.2 the code's end", &[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
        ("hpack 6.1 index 0", &[0x80]),
    ] {
        cases.push((what, vec![block_with(1, &[], field)], unreadable));
    }
    cases.push((
        "hpack 6.3 a size above the limit",
        vec![block_with(1, &[0x3f, 0xe2, 0x1f], &[])],
        unreadable,
    ));
    cases
}
