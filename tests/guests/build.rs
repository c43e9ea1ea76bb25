//! Reads the manifests of the guests.

fn main() {
    fata_build::manifest()
}
