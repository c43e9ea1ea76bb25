//! `cargo fata image pack`: an image as gzip, which Xen's toolstack unpacks when it loads a kernel (`xc_dom_kernel_file`, for PV and
//! PVH), so that `kernel = "/root/web.gz"` boots it as it is.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::{Compression, GzBuilder};

use super::info::grouped;
use super::{note_of, with_suffix};
use crate::cli::PackArgs;
use crate::image_file;
use crate::ui;

/// The command itself.
pub fn run(args: &PackArgs) -> Result<()> {
    let PackArgs { image, output } = args;
    let to = output.clone().unwrap_or_else(|| with_suffix(image, ".gz"));
    let packed = packed(image)?;
    fs::write(&to, &packed).with_context(|| format!("cannot write {}", to.display()))?;
    let (from, octets) = (grouped(fs::metadata(image)?.len()), grouped(packed.len() as u64));
    ui::say(format!("{}: {octets} octets, {from} unpacked", to.display()));
    Ok(())
}

/// An image as gzip: the same octets whenever the image has the same.
pub fn packed(image: &Path) -> Result<Vec<u8>> {
    ensure!(!image_file::is_packed(image)?, "{} is packed already", image.display());
    note_of(image)?;
    let mut writer = GzBuilder::new().write(Vec::new(), Compression::best());
    writer.write_all(&image_file::read(image)?)?;
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_appliance_is_not_packed() {
        let error = packed(Path::new("/proc/self/exe")).unwrap_err().to_string();
        assert_eq!(error, "/proc/self/exe has no manifest in it: it is no appliance of Fata");
    }
}
