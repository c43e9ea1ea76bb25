//! The header of an entry: 512 octets (POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar's manual, "Basic Tar Format").

use core::ops::Range;

/// Octets of a header, and what everything is a multiple of.
pub const BLOCK: usize = 512;

/// A header as it is on the disk.
pub type Block = [u8; BLOCK];

const NAME: Range<usize> = 0..100;
const SIZE: Range<usize> = 124..136;
const MODIFIED: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const KIND: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..263;
const PREFIX: Range<usize> = 345..500;

/// What follows a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file, whose content follows.
    File,
    /// Another name of a file that came before.
    HardLink,
    /// A name that leads to another.
    SymbolicLink,
    /// A directory.
    Directory,
    /// A device, a pipe: nothing follows.
    Special,
    /// GNU: the name of the next entry.
    LongName,
    /// GNU: where the next entry, a link, leads.
    LongLink,
    /// Records of pax for the next entry.
    Pax,
    /// Records of pax for all that follow.
    PaxForAll,
    /// GNU: a file with holes.
    Sparse,
    /// GNU: the rest of a file of another volume.
    Continued,
    /// What else there may be, with content to be skipped.
    Other,
}

/// What a header says.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// What follows.
    pub kind: Kind,
    /// What stands before the name, with a slash between; empty as a rule.
    pub prefix: &'a [u8],
    /// Its name.
    pub name: &'a [u8],
    /// Where a link leads.
    pub link: &'a [u8],
    /// Octets that follow.
    pub len: u64,
    /// Seconds since 1970, if that makes sense.
    pub modified: Option<u64>,
}

/// Whether it begins as an archive does.
pub fn is_header(octets: &[u8]) -> bool {
    octets.first_chunk().is_some_and(|block: &Block| block[0] != 0 && is_sum_right(block))
}

/// Reads a header; the field that is wrong if one is.
pub fn parse(block: &Block) -> Result<Header<'_>, &'static str> {
    if !is_sum_right(block) {
        return Err("checksum");
    }
    // GNU's own format has other things there.
    let prefix = if block[MAGIC] == *b"ustar\0" { text(&block[PREFIX]) } else { b"" };
    let name = text(&block[NAME]);
    let is_directory = name.ends_with(b"/");
    Ok(Header {
        kind: match block[KIND] {
            // Before POSIX a directory was a file whose name ends so.
            0 | b'0' if is_directory => Kind::Directory,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::SymbolicLink,
            b'5' => Kind::Directory,
            b'3' | b'4' | b'6' => Kind::Special,
            b'L' => Kind::LongName,
            b'K' => Kind::LongLink,
            b'x' | b'X' => Kind::Pax,
            b'g' => Kind::PaxForAll,
            b'S' => Kind::Sparse,
            b'M' => Kind::Continued,
            _ => Kind::Other,
        },
        prefix,
        name,
        link: text(&block[LINK]),
        len: number(&block[SIZE]).ok_or("size")?,
        modified: number(&block[MODIFIED]),
    })
}

/// Up to the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|octet| *octet == 0).next().unwrap_or_default()
}

/// In octal digits, blanks around them; or, where the first bit is set, GNU's number of base 256.
fn number(field: &[u8]) -> Option<u64> {
    match field {
        [0x80, rest @ ..] => {
            let (high, low) = rest.split_at(rest.len().checked_sub(8)?);
            let low = low.try_into().ok()?;
            high.iter().all(|octet| *octet == 0).then(|| u64::from_be_bytes(low))
        }
        [0x81..=0xff, ..] => None,
        _ => {
            let digits = text(field).trim_ascii();
            digits.iter().try_fold(0_u64, |sum, digit| match digit {
                b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
                _ => None,
            })
        }
    }
}

/// The sum of all octets, its own field taken for blanks. Old programs took octets for signed ones.
fn is_sum_right(block: &Block) -> bool {
    let Some(said) = number(&block[CHECKSUM]) else { return false };
    let counted = |at: usize| if CHECKSUM.contains(&at) { b' ' } else { block[at] };
    let unsigned: u64 = (0..BLOCK).map(|at| u64::from(counted(at))).sum();
    let signed: i64 = (0..BLOCK).map(|at| i64::from(counted(at) as i8)).sum();
    said == unsigned || i64::try_from(said) == Ok(signed)
}
