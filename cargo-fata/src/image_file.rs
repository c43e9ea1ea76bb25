//! The file of an image: an ELF file, or one packed by gzip, as `cargo fata image pack` makes it.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::read::MultiGzDecoder;

/// RFC 1952, section 2.3.1.
const MAGIC: [u8; 2] = [0x1f, 0x8b];
/// No image is larger, octets: below that it has to lie.
const MOST: u64 = 1 << 30;

/// An image's octets; of a packed one those that are loaded.
pub fn read(image: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    if !bytes.starts_with(&MAGIC) {
        return Ok(bytes);
    }
    let mut unpacked = Vec::new();
    let limited = &mut MultiGzDecoder::new(&*bytes).take(MOST + 1);
    limited.read_to_end(&mut unpacked).with_context(|| format!("cannot unpack {}", image.display()))?;
    ensure!(unpacked.len() as u64 <= MOST, "{} has more than {MOST} octets unpacked", image.display());
    Ok(unpacked)
}

/// Whether a file is gzip.
pub fn is_packed(image: &Path) -> Result<bool> {
    let mut begin = [0; MAGIC.len()];
    let mut file = File::open(image).with_context(|| format!("cannot read {}", image.display()))?;
    Ok(file.read_exact(&mut begin).is_ok() && begin == MAGIC)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder};

    use super::*;

    #[test]
    fn both_forms_are_read() {
        let folder = std::env::temp_dir().join(format!("fata-image-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (plain, gz) = (folder.join("plain"), folder.join("plain.gz"));
        let octets: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
        let mut writer = GzBuilder::new().write(Vec::new(), Compression::best());
        writer.write_all(&octets).unwrap();
        let mut packed = writer.finish().unwrap();
        fs::write(&plain, &octets).unwrap();
        fs::write(&gz, &packed).unwrap();
        assert_eq!((is_packed(&plain).unwrap(), is_packed(&gz).unwrap()), (false, true));
        assert!(read(&plain).unwrap() == octets && read(&gz).unwrap() == octets);
        // Cut off: an error, and no half of an image.
        packed.truncate(packed.len() / 2);
        fs::write(&gz, &packed).unwrap();
        assert!(read(&gz).unwrap_err().to_string().starts_with("cannot unpack "));
        fs::remove_dir_all(&folder).unwrap();
    }
}
