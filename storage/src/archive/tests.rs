//! What is between the octets: numbers, records, names.

use super::header::{self, BLOCK, Block, Kind};
use super::index::{Builder, Entry};
use super::{Limits, name, pax};

fn block(fields: &[(usize, &[u8])]) -> Block {
    let mut block = [0; BLOCK];
    for (at, octets) in fields {
        block[*at..at + octets.len()].copy_from_slice(octets);
    }
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|octet| u32::from(*octet)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

fn len_of(field: &[u8]) -> Result<u64, &'static str> {
    let block = block(&[(0, b"name"), (124, field)]);
    header::parse(&block).map(|header| header.len)
}

#[test]
fn numbers_are_octal_or_of_base_256() {
    assert_eq!(len_of(b"00000000017\0"), Ok(15));
    assert_eq!(len_of(b"        17 \0"), Ok(15));
    assert_eq!(len_of(b"777777777777"), Ok((8 << 30) * 8 - 1));
    assert_eq!(len_of(b""), Ok(0));
    assert_eq!(len_of(b"\x80\0\0\0\0\0\0\x02\0\0\0\x01"), Ok((2 << 32) + 1));
    for wrong in [&b"18"[..], b"-1", b"1 2", b"\x81\0", b"\xff\xff\xff\xff", b"\x80\0\0\x01"] {
        assert_eq!(len_of(wrong), Err("size"), "{wrong:?}");
    }
}

#[test]
fn a_wrong_sum_is_no_header() {
    let mut good = block(&[(0, b"name")]);
    assert!(header::is_header(&good));
    assert!(!header::is_header(&good[..511]));
    good[300] ^= 1;
    assert!(!header::is_header(&good));
    assert_eq!(header::parse(&good).map(drop), Err("checksum"));
    assert!(!header::is_header(&block(&[])), "no name");
}

#[test]
fn what_follows_is_told() {
    let kind = |name: &[u8], kind: u8| header::parse(&block(&[(0, name), (156, &[kind])])).unwrap().kind;
    assert_eq!((kind(b"a", 0), kind(b"a", b'0'), kind(b"a", b'7')), (Kind::File, Kind::File, Kind::File));
    assert_eq!((kind(b"a/", 0), kind(b"a", b'5')), (Kind::Directory, Kind::Directory));
    assert_eq!((kind(b"a", b'V'), kind(b"a", b'S')), (Kind::Other, Kind::Sparse));
    // What POSIX has for the rest of a name is something else in GNU's format.
    let posix = block(&[(0, b"name"), (257, b"ustar\x0000"), (345, b"before")]);
    let gnu = block(&[(0, b"name"), (257, b"ustar  \0"), (345, b"before")]);
    let prefix = |block: &Block| header::parse(block).unwrap().prefix.to_vec();
    assert_eq!((prefix(&posix), prefix(&gnu)), (b"before".to_vec(), vec![]));
}

#[test]
fn records_of_pax() {
    let octets = b"14 path=a\nb=c\n20 mtime=12.3456789\n9 size=7\n11 other=x\n";
    let expected =
        pax::Records { path: Some(b"a\nb=c"), modified: Some(12), len: Some(7), ..pax::Records::default() };
    assert_eq!(pax::parse(octets), Some(expected));
    assert_eq!(pax::parse(b"14 mtime=-3.5\n").map(|records| records.modified), Some(Some(0)));
    assert!(pax::parse(b"22 GNU.sparse.major=1\n").unwrap().is_sparse);
    for wrong in [
        &b"7 a=b"[..],
        b"5 a=b\n",
        b"0 a=b\n",
        b"1 a=b\n",
        b" a=b\n",
        b"x a=b\n",
        b"6 abc\n",
        b"99999999999999999999 a=b\n",
        b"18446744073709551615 a=b\n",
        b"9 size=x\n",
    ] {
        assert_eq!(pax::parse(wrong), None, "{:?}", String::from_utf8_lossy(wrong));
    }
}

#[test]
fn names_are_cleaned() {
    let clean = |name: &str| name::clean(b"", name.as_bytes());
    assert_eq!(clean("./a//b/./c/").as_deref(), Some("a/b/c"));
    assert_eq!(clean("/etc/passwd").as_deref(), Some("etc/passwd"));
    assert_eq!(clean("./").as_deref(), Some(""));
    assert_eq!(name::clean(b"a/b", b"c").as_deref(), Some("a/b/c"));
    for wrong in ["..", "a/../b", "a/..", "a\0b"] {
        assert_eq!(clean(wrong), None, "{wrong:?}");
    }
    assert_eq!(name::clean(b"", b"a\xff"), None);
    let target = |of: &str, link: &str| name::target(of, link);
    assert_eq!(target("a/b/link", "../c").as_deref(), Some("a/c"));
    assert_eq!(target("link", "./c").as_deref(), Some("c"));
    for (of, link) in [("link", "../c"), ("a/link", "../../c"), ("link", "/c")] {
        assert_eq!(target(of, link), None, "{of} to {link}");
    }
}

#[test]
fn directories_are_what_names_imply() {
    let mut builder = Builder::new(&Limits::default());
    for name in ["css-old/a", "css/b", "css0", "css!", "docs/deep/c"] {
        let entry = Entry { offset: 0, len: 0, modified: 0 };
        builder.file(name.to_owned(), entry).unwrap();
    }
    let index = builder.finish();
    for name in ["", "css", "css-old", "docs", "docs/deep"] {
        assert!(index.has_directory(name), "{name}");
    }
    for name in ["css0", "css!", "cs", "docs/de", "docs/deep/c", "d", "zzz", "/"] {
        assert!(!index.has_directory(name), "{name}");
    }
}
