//! `max-size`: the link fails where what an image loads is larger.
//!
//! A build script runs before anything is linked, so it leaves the linker an assertion for each image of the package, which
//! holds for the image that defines the symbol of that name. The file is a little larger than what it loads, by the table of
//! its sections; the tool, when it builds, compares the whole file.

use crate::Manifest;
use std::fmt::Write;

/// The sum of what a file loads: the sections that the target's linker script has.
const LOADED: &str = "SIZEOF_HEADERS + SIZEOF(.text) + SIZEOF(.note.Xen) + SIZEOF(.note.fata) + SIZEOF(.rodata) + SIZEOF(.data)";

/// A linker script with the assertions, each image with its manifest's file name.
pub fn script(images: &[(String, Manifest)]) -> String {
    let mut script = format!("fata_loaded_size = {LOADED};\n");
    for (file, manifest) in images {
        let name = &manifest.image.name;
        let Some(size) = manifest.image.max_size else { continue };
        let _ = writeln!(
            script,
            "ASSERT(!DEFINED({}) || fata_loaded_size <= {}, \"the image of {name} is larger than the {size} that {file} allows it (max-size)\")",
            symbol(name),
            size.octets,
        );
    }
    script
}

/// The Rust that defines an image's symbol, for the guest alone: a crate of the host's warns of a `cfg` that it does not know.
pub fn definition(image: &str) -> String {
    format!("::core::arch::global_asm!(\".globl {0}\", \".set {0}, 1\");\n", symbol(image))
}

/// The symbol that says which image is linked.
fn symbol(image: &str) -> String {
    format!("fata_image_{}", image.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    #[test]
    fn an_image_with_a_budget_has_an_assertion() {
        let manifest = |text| read::manifest("x", text).unwrap();
        let with = manifest("[image]\nname = \"a-b\"\nmax-size = \"64 KiB\"\n");
        let without = manifest("[image]\nname = \"c\"\n");
        let script = script(&[("a.toml".into(), with), ("c.toml".into(), without)]);
        assert_eq!(script.lines().count(), 2);
        let assertion = "ASSERT(!DEFINED(fata_image_a_b) || fata_loaded_size <= 65536, \"the image of a-b is larger than the 64 KiB that a.toml allows it (max-size)\")\n";
        assert!(script.ends_with(assertion), "{script}");
    }
}
