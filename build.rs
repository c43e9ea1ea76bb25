//! Reads the manifests of the examples.

fn main() {
    fata_build::manifest()
}
