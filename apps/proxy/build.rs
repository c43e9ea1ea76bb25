//! Reads the manifest.

fn main() {
    fata_build::manifest();
}
