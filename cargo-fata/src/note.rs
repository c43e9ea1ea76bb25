//! What an image says of itself, in an ELF note that `fata::main!` leaves: owner `Fata`, type 1, a text in TOML.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::LittleEndian;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, ProgramHeader};

const OWNER: &[u8] = b"Fata";
const TYPE: u32 = 1;

/// An image's note.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    /// The names of its network interfaces, in the order of its `vif`s.
    pub networks: Vec<String>,
}

impl Note {
    /// The note of an image, if it has one.
    pub fn of(image: &Path) -> Result<Option<Self>> {
        let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
        let read = || find(&bytes)?.map(Self::parse).transpose();
        read().with_context(|| format!("cannot read what {} says of itself", image.display()))
    }

    fn parse(text: &[u8]) -> Result<Self> {
        let table: toml::Table = std::str::from_utf8(text)?.parse()?;
        let networks = table.get("networks").and_then(toml::Value::as_array).into_iter().flatten();
        let name =
            |value: &toml::Value| value.as_str().map(str::to_owned).context("a network without a name");
        Ok(Self { networks: networks.map(name).collect::<Result<_>>()? })
    }
}

/// The text of our note in an ELF file.
fn find(file: &[u8]) -> Result<Option<&[u8]>> {
    let header = FileHeader64::<LittleEndian>::parse(file)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, file)? {
        let Some(mut notes) = segment.notes(endian, file)? else { continue };
        while let Some(note) = notes.next()? {
            if note.name() == OWNER && note.n_type(endian) == TYPE {
                return Ok(Some(note.desc()));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with nothing but notes of the type 1.
    fn file(notes: &[(&[u8], &str)]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        for (owner, text) in notes {
            bytes.extend(
                [owner.len() as u32, text.len() as u32, TYPE].iter().flat_map(|word| word.to_le_bytes()),
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
        let text = "name = \"web\"\nversion = \"0.1.0\"\nnetworks = [\"main\", \"back\"]\n";
        let file = file(&[(b"Xen\0", "generic"), (b"Fata\0", text)]);
        let note = Note::parse(find(&file).unwrap().unwrap()).unwrap();
        assert_eq!(note.networks, ["main", "back"]);
    }

    #[test]
    fn other_images_have_none() {
        assert_eq!(find(&file(&[(b"Xen\0", "generic")])).unwrap(), None);
        assert!(find(b"\x7fELF").is_err());
    }

    #[test]
    fn a_note_without_networks_has_none() {
        assert_eq!(Note::parse(b"name = \"hello\"").unwrap().networks, [""; 0]);
        assert!(Note::parse(b"networks = [1]").is_err());
    }
}
