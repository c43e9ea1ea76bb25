//! Variants in gzip, and names for contents.

use flate2::{Compression, GzBuilder};
use std::io::Write;

/// The content in gzip, if that saves at least a tenth: less is not worth a second copy in the image. No time, no name and
/// no system is in the header, so that the same content gives the same octets.
pub fn gzip(content: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(content).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < content.len() - content.len() / 10).then_some(packed)
}

/// A name for a content: 128 bits of FNV-1a. Contents that are different by accident have different names; nobody gains from
/// making two of one name, because only the site's author could.
pub fn digest(content: &[u8]) -> String {
    const OFFSET: u128 = 0x6c62272e07bb014262b821756295c58d;
    const PRIME: u128 = 0x0000000001000000000000000000013b;
    let hash = content.iter().fold(OFFSET, |hash, &b| (hash ^ u128::from(b)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}
