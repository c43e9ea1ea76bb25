//! A Linux that serves a page as soon as it can: Debian's kernel with an initramfs of busybox alone. What `bench boot` compares
//! with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::machine::{Accelerator, Board, Machine};
use crate::cache::{self, Entry};
use crate::ui;
use crate::xen_host::build;

const BUSYBOX_PACKAGE: &str = "busybox-static";
/// The drivers of the boards' devices; their dependencies come with them.
const MODULES: &[&str] = &["virtio-mmio", "virtio-pci", "virtio-net"];
const INIT: &str = include_str!("linux-init.sh");
const MEMORY_MB: u32 = 256;
const PAGE: &str = "page.html";

/// Its files.
pub struct Linux {
    /// The kernel, as Debian's package has it.
    pub kernel: PathBuf,
    /// Its root file system.
    pub initramfs: PathBuf,
}

/// Builds it if it is not in the cache; it serves `page` as `/page.html` on 10.0.2.15.
pub fn build(page: &[u8]) -> Result<Linux> {
    let package = build::kernel_package()?;
    let recipe = [&package, BUSYBOX_PACKAGE, &MODULES.concat(), INIT, &cache::digest_bytes(page)];
    let entry = Entry::new("linux-busybox", &recipe)?;
    if !entry.exists() {
        let step = ui::step("building the Linux to compare with");
        entry.create(|folder| make(folder, &package, page)).context("cannot build the Linux guest")?;
        step.done();
    }
    Ok(Linux { kernel: entry.path().join("vmlinuz"), initramfs: entry.path().join("initramfs.cpio.gz") })
}

impl Linux {
    /// The machine that boots it.
    pub fn machine(&self, board: Board) -> Machine {
        // Silent, so that it does not wait for a console.
        let mut command_line = "quiet panic=-1 console=ttyS0".to_owned();
        if board == Board::MicrovmAcpi && Accelerator::Best.name() == "tcg" {
            // There Linux finds nothing to measure its counter's rate with, and waits for ever.
            command_line += &format!(" tsc_early_khz={}", counter_khz());
        }
        Machine {
            memory_mb: MEMORY_MB,
            command_line,
            ramdisk: Some(self.initramfs.clone()),
            ..Machine::new(board, self.kernel.clone())
        }
    }
}

/// The rate of this machine's time stamp counter, which QEMU's software passes on; about, where the processor changes its own.
fn counter_khz() -> u64 {
    let said = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mhz = said.lines().find_map(|line| line.strip_prefix("cpu MHz")?.split(": ").nth(1)?.parse().ok());
    (mhz.unwrap_or(2000.0_f64) * 1000.0) as u64
}

fn make(folder: &Path, kernel_package: &str, page: &[u8]) -> Result<()> {
    let (debs, root) = (folder.join("debs"), folder.join("root"));
    build::unpack_packages(&[kernel_package, BUSYBOX_PACKAGE], &debs)?;
    let kernel = build::find_kernel(&debs.join("boot"))?;
    fs::copy(&kernel.path, folder.join("vmlinuz"))?;
    build::copy_modules(&debs, &kernel.version, MODULES, &root)?;
    for name in ["bin", "www", "proc", "sys", "dev"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::copy(debs.join("bin/busybox"), root.join("bin/busybox"))?;
    fs::write(root.join("www").join(PAGE), page)?;
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    build::pack_compressed(&root, &folder.join("initramfs.cpio.gz"))?;
    fs::remove_dir_all(debs)?;
    Ok(fs::remove_dir_all(root)?)
}
