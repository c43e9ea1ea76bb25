//! Reads unikernel.toml.

fn main() {
    fata_build::manifest()
}
