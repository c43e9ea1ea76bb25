//! Builds the Xen host from Debian packages into the cache: hypervisor, dom0's kernel, dom0's initramfs.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use super::cpio::Archive;
use super::recipe::{self, BOOT_MODULES, DOM0_PACKAGES, FILES, GUEST_MODULES, MORE_MODULES, TRIMMED};
use crate::cache::Entry;
use crate::setup::packages;
use crate::{command, ui};

/// Names a hypervisor of another build, an ELF file as QEMU's multiboot loader wants it, to be booted instead of Debian's.
pub const XEN_VARIABLE: &str = "FATA_XEN";

/// The files a Xen host boots from.
pub struct Parts {
    /// The hypervisor: a bare ELF file, as QEMU's multiboot loader wants it.
    pub xen: PathBuf,
    /// dom0's kernel.
    pub kernel: PathBuf,
    /// dom0's root file system, without init and agent.
    pub initramfs: PathBuf,
    /// `lib/modules` of Linux guests.
    pub guest_modules: PathBuf,
}

/// The cache entry of the recipe as it is now.
pub fn entry() -> Result<Entry> {
    let key = recipe::key();
    Entry::new("xen-host", &key.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The parts, built if they are not there.
pub fn parts() -> Result<Parts> {
    let entry = entry()?;
    if !entry.exists() {
        let step = ui::step("building the Xen host from Debian packages");
        entry.create(|folder| build(folder, &step)).context("cannot build the Xen host")?;
        step.done();
    }
    let file = |name| entry.path().join(name);
    Ok(Parts {
        xen: std::env::var_os(XEN_VARIABLE).map_or_else(|| file("xen.elf"), PathBuf::from),
        kernel: file("vmlinuz"),
        initramfs: file("dom0.cpio"),
        guest_modules: file("guest-modules"),
    })
}

fn build(folder: &Path, step: &ui::Step) -> Result<()> {
    packages::ensure_known(recipe::HYPERVISOR_PACKAGE)?;
    step.detail("hypervisor and kernel");
    let debs = folder.join("debs");
    unpack_packages(&[recipe::HYPERVISOR_PACKAGE, &kernel_package()?], &debs)?;
    gunzip(&debs.join(recipe::HYPERVISOR_FILE), &folder.join("xen.elf"))?;
    let kernel = find_kernel(&debs.join("boot"))?;
    fs::copy(&kernel.path, folder.join("vmlinuz"))?;
    let rootfs = folder.join("rootfs");
    step.detail("dom0's packages");
    bootstrap(&rootfs, DOM0_PACKAGES)?;
    step.detail("trimming and packing");
    trim(&rootfs)?;
    finish_rootfs(&rootfs)?;
    copy_modules(&debs, &kernel.version, &[BOOT_MODULES, MORE_MODULES].concat(), &rootfs)?;
    copy_modules(&debs, &kernel.version, GUEST_MODULES, &folder.join("guest-modules"))?;
    pack(&rootfs, &folder.join("dom0.cpio"))?;
    fs::remove_dir_all(&rootfs)?;
    fs::remove_dir_all(&debs)?;
    Ok(())
}

/// The package of the current kernel: what the meta package depends on first.
pub fn kernel_package() -> Result<String> {
    let said = command::run(Command::new("apt-cache").args(["depends", recipe::KERNEL_META_PACKAGE]))?;
    let name = said.stdout.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    name.map(str::to_owned)
        .with_context(|| format!("apt knows no {}: try `apt-get update`", recipe::KERNEL_META_PACKAGE))
}

/// Downloads packages and unpacks them, without installing them.
pub fn unpack_packages(packages: &[&str], folder: &Path) -> Result<()> {
    let archives = folder.join(".archives");
    fs::create_dir_all(&archives)?;
    let mut download = Command::new("apt-get");
    download.args(["-o", "APT::Sandbox::User=root", "download"]).args(packages).current_dir(&archives);
    command::run(&mut download).context("cannot download packages: try `apt-get update`")?;
    for archive in fs::read_dir(&archives)? {
        command::run(Command::new("dpkg").arg("-x").arg(archive?.path()).arg(folder))?;
    }
    fs::remove_dir_all(&archives)?;
    Ok(())
}

/// Unpacks packages and all that they depend on into a folder.
pub fn bootstrap(rootfs: &Path, packages: &[&str]) -> Result<()> {
    // By way of an archive, so that the files belong to whoever builds; the kernel makes the device nodes.
    let archive = rootfs.with_extension("tar");
    let mut mmdebstrap = Command::new("mmdebstrap");
    mmdebstrap
        .arg("--variant=extract")
        .arg(format!("--include={}", packages.join(",")))
        .arg("--dpkgopt=path-exclude=/usr/share/doc/*")
        .args([recipe::SUITE.as_ref(), archive.as_os_str()]);
    command::run(&mut mmdebstrap)?;
    fs::create_dir_all(rootfs)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--no-same-owner", "--exclude=./dev/*", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(rootfs);
    command::run(&mut tar)?;
    Ok(fs::remove_file(archive)?)
}

fn gunzip(from: &Path, to: &Path) -> Result<()> {
    let file = File::open(from).with_context(|| format!("the package has no {}", from.display()))?;
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes)?;
    Ok(fs::write(to, bytes)?)
}

/// A kernel that was unpacked.
pub struct Kernel {
    /// The file.
    pub path: PathBuf,
    /// The name of its folder of modules.
    pub version: String,
}

/// The kernel in a folder `boot`.
pub fn find_kernel(boot: &Path) -> Result<Kernel> {
    for entry in fs::read_dir(boot)? {
        let entry = entry?;
        if let Some(version) = entry.file_name().to_string_lossy().strip_prefix("vmlinuz-") {
            return Ok(Kernel { path: entry.path(), version: version.to_owned() });
        }
    }
    bail!("the kernel's package has no boot/vmlinuz-*")
}

fn trim(rootfs: &Path) -> Result<()> {
    for name in TRIMMED {
        let path = rootfs.join(name);
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else if path.exists() {
            fs::remove_file(&path)?;
        }
    }
    for name in ["perl", "perl5.36.0", "perl5.36-x86_64-linux-gnu", "python3.11"] {
        let _ = fs::remove_file(rootfs.join("usr/bin").join(name));
    }
    Ok(())
}

/// What maintainer scripts would have done, as none has run.
fn finish_rootfs(rootfs: &Path) -> Result<()> {
    for (name, content) in FILES {
        fs::write(rootfs.join(name), content).with_context(|| format!("cannot write {name}"))?;
    }
    for (name, target) in [("bin/sh", "bash"), ("usr/bin/awk", "gawk"), ("usr/bin/nc", "nc.openbsd")] {
        if !rootfs.join(name).exists() {
            symlink(target, rootfs.join(name))?;
        }
    }
    let applets = rootfs.join("opt/busybox");
    fs::create_dir_all(&applets)?;
    let said = command::run(Command::new(rootfs.join("bin/busybox")).arg("--list"))?;
    for applet in said.stdout.lines() {
        symlink("/bin/busybox", applets.join(applet))?;
    }
    fs::create_dir_all(rootfs.join("fata"))?;
    fs::write(rootfs.join("fata/modules"), BOOT_MODULES.join("\n"))?;
    Ok(())
}

/// Copies the modules that are wanted and what they depend on.
pub fn copy_modules(kernel: &Path, version: &str, modules: &[&str], rootfs: &Path) -> Result<()> {
    command::run(Command::new("depmod").arg("-b").arg(kernel).arg(version))
        .context("is the package kmod installed?")?;
    let folder = Path::new("lib/modules").join(version);
    let wanted = module_closure(&fs::read_to_string(kernel.join(&folder).join("modules.dep"))?, modules)?;
    for name in wanted.iter().map(String::as_str).chain([
        "modules.order",
        "modules.builtin",
        "modules.builtin.modinfo",
    ]) {
        let target = rootfs.join(&folder).join(name);
        fs::create_dir_all(target.parent().ok_or_else(|| anyhow!("{name} has no folder"))?)?;
        fs::copy(kernel.join(&folder).join(name), target)?;
    }
    command::run(Command::new("depmod").arg("-b").arg(rootfs).arg(version))?;
    Ok(())
}

/// The files of modules and of those they depend on. `modules.dep` lists all dependencies in one line.
fn module_closure(modules_dep: &str, modules: &[&str]) -> Result<BTreeSet<String>> {
    let lines: HashMap<String, (&str, &str)> = modules_dep
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(file, dependencies)| (module_name(file), (file, dependencies)))
        .collect();
    let mut files = BTreeSet::new();
    for name in modules {
        let (file, dependencies) =
            lines.get(&name.replace('-', "_")).with_context(|| format!("the kernel has no module {name}"))?;
        files.insert((*file).to_owned());
        files.extend(dependencies.split_ascii_whitespace().map(str::to_owned));
    }
    Ok(files)
}

fn module_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.split(".ko").next().unwrap_or(name).replace('-', "_")
}

/// Packs dom0's folder as an initramfs, uncompressed: it is unpacked, under emulation, at every start.
fn pack(rootfs: &Path, to: &Path) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(to)?));
    archive.tree(rootfs)?;
    Ok(archive.finish()?.flush()?)
}

/// Packs a guest's folder as an initramfs, compressed: it is uploaded to dom0.
pub fn pack_compressed(rootfs: &Path, to: &Path) -> Result<()> {
    let encoder = GzEncoder::new(BufWriter::new(File::create(to)?), Compression::default());
    let mut archive = Archive::new(encoder);
    archive.tree(rootfs)?;
    Ok(archive.finish()?.finish()?.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_named_as_modprobe_does() {
        assert_eq!(module_name("kernel/drivers/net/xen-netback/xen-netback.ko"), "xen_netback");
        assert_eq!(module_name("kernel/fs/loop.ko.xz"), "loop");
    }

    #[test]
    fn a_missing_module_is_named() {
        let error = module_closure("kernel/x/other.ko:\n", &["xenfs"]).unwrap_err();
        assert!(error.to_string().contains("xenfs"));
    }
}
