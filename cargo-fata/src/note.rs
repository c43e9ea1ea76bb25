//! What an image says of itself in ELF notes: to us in one that `fata::main!` leaves (owner `Fata`, type 1, the manifest),
//! to Xen in those of `xen/elfnote.h`.

use std::path::Path;

use anyhow::{Context, Result};
use fata_build::Manifest;
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::image_file;

/// Owner and type of our note.
const OURS: (&[u8], u32) = (b"Fata", 1);
/// `XEN_ELFNOTE_ENTRY`: where a PV guest starts.
const PV_ENTRY: (&[u8], u32) = (b"Xen", 1);
/// `XEN_ELFNOTE_PHYS32_ENTRY`: where a PVH guest starts.
const PVH_ENTRY: (&[u8], u32) = (b"Xen", 18);

/// An image's note.
#[derive(Debug)]
pub struct Note {
    /// The version of its package.
    pub version: String,
    /// The features that it says it was built with.
    pub features: Vec<String>,
    /// Its manifest.
    pub manifest: Manifest,
}

impl Note {
    /// The note of an image, if it has one.
    pub fn of(image: &Path) -> Result<Option<Self>> {
        in_image(image, |file| find(file, OURS)?.map(Self::parse).transpose())
    }

    fn parse(text: &[u8]) -> Result<Self> {
        let fata_build::note::Note { version, features, manifest } =
            fata_build::note::parse("its note", std::str::from_utf8(text)?)
                .context("it was made by another version of Fata than this tool")?;
        Ok(Self { version, features, manifest })
    }
}

/// Whether an image can start as a PVH guest.
pub fn has_pvh_entry(image: &Path) -> Result<bool> {
    Ok(entries(image)?.pvh.is_some())
}

/// Where an image starts.
#[derive(Debug, PartialEq, Eq)]
pub struct Entries {
    /// As a PV guest: a virtual address.
    pub pv: Option<u64>,
    /// As a PVH guest: a physical address.
    pub pvh: Option<u64>,
}

/// Where an image can start.
pub fn entries(image: &Path) -> Result<Entries> {
    in_image(image, |file| {
        let (pv, pvh) = (find(file, PV_ENTRY)?, find(file, PVH_ENTRY)?);
        Ok(Entries { pv: pv.map(number), pvh: pvh.map(number) })
    })
}

/// The memory, MiB, below which an image does not lie in memory as a whole.
pub fn least_memory_mb(image: &Path) -> Result<u32> {
    in_image(image, |file| {
        let header = FileHeader64::<LittleEndian>::parse(file)?;
        let endian = header.endian()?;
        let loaded =
            header.program_headers(endian, file)?.iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
        let end = loaded.map(|segment| segment.p_paddr(endian).saturating_add(segment.p_memsz(endian))).max();
        Ok(u32::try_from(end.unwrap_or(0).div_ceil(1 << 20)).unwrap_or(u32::MAX))
    })
}

/// A number of four or eight octets.
fn number(octets: &[u8]) -> u64 {
    octets.iter().rev().fold(0, |number, octet| number << 8 | u64::from(*octet))
}

fn in_image<T>(image: &Path, read: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
    let bytes = image_file::read(image)?;
    read(&bytes).with_context(|| format!("cannot read what {} says of itself", image.display()))
}

/// What the note of that owner and type in an ELF file holds.
fn find<'a>(file: &'a [u8], (owner, kind): (&[u8], u32)) -> Result<Option<&'a [u8]>> {
    let header = FileHeader64::<LittleEndian>::parse(file)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, file)? {
        let Some(mut notes) = segment.notes(endian, file)? else { continue };
        while let Some(note) = notes.next()? {
            if note.name() == owner && note.n_type(endian) == kind {
                return Ok(Some(note.desc()));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with nothing but notes: owner, type, text.
    fn file(notes: &[(&[u8], u32, &str)]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        for (owner, kind, text) in notes {
            bytes.extend(
                [owner.len() as u32, text.len() as u32, *kind].iter().flat_map(|word| word.to_le_bytes()),
            );
            for part in [owner, text.as_bytes()] {
                bytes.extend_from_slice(part);
                bytes.resize(bytes.len().next_multiple_of(4), 0);
            }
        }
        let size = (bytes.len() - 120) as u64;
        bytes[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        bytes[32] = 64; // e_phoff
        bytes[54] = 56; // e_phentsize
        bytes[56] = 1; // e_phnum
        bytes[64] = 4; // p_type: PT_NOTE
        bytes[72] = 120; // p_offset
        bytes[96..104].copy_from_slice(&size.to_le_bytes()); // p_filesz
        bytes[112] = 4; // p_align
        bytes
    }

    #[test]
    fn our_note_is_found_behind_others() {
        let text = "version = \"0.1.0\"\n\n[image]\nname = \"web\"\n[network.main]\n[network.back]\n";
        let file = file(&[(b"Xen\0", 1, "generic"), (b"Fata\0", 1, text)]);
        let note = Note::parse(find(&file, OURS).unwrap().unwrap()).unwrap();
        assert_eq!((&*note.version, &*note.manifest.image.name), ("0.1.0", "web"));
        assert_eq!(note.manifest.networks.len(), 2);
    }

    #[test]
    fn other_images_have_none() {
        assert_eq!(find(&file(&[(b"Xen\0", 1, "generic")]), OURS).unwrap(), None);
        assert!(find(b"\x7fELF", OURS).is_err());
    }

    #[test]
    fn the_pvh_entry_is_told_by_owner_and_type() {
        let has_entry = |notes| find(&file(notes), PVH_ENTRY).unwrap().is_some();
        assert!(has_entry(&[(b"Xen\0", 6, "fata"), (b"Xen\0", 18, "entry")]));
        assert!(!has_entry(&[(b"Xen\0", 1, "entry"), (b"Fata\0", 18, "entry")]));
    }

    #[test]
    fn a_note_that_is_not_understood_is_an_error() {
        let error =
            Note::parse(b"version = \"9.0.0\"\n[image]\nname = \"hello\"\nwarp = true\n").unwrap_err();
        assert!(format!("{error:#}").contains("unknown key \"warp\""), "{error:#}");
        assert!(Note::parse(b"networks = [1]").is_err());
    }
}
