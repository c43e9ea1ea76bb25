//! `--disk NAME=FILE[,ro]`: files of this machine as the block devices that an image's manifest names.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use fata_build::{Block, Manifest};

/// Of a disk whose manifest says no size, octets: enough to begin with for what keeps something.
const SIZE_OF_NONE: u64 = 64 << 20;

/// What the command line says of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskArg {
    name: String,
    file: PathBuf,
    access: Access,
}

/// What a guest may do with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading alone.
    ReadOnly,
    /// Reading and writing.
    ReadWrite,
}

/// A disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The block device's name in the manifest.
    pub name: String,
    /// What it is: a file, or a block device, by an absolute path.
    pub file: PathBuf,
    /// What the guest may do.
    pub access: Access,
    is_device: bool,
}

/// How a machine of QEMU's own has its disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// `virtio-blk-pci`: q35.
    Pci,
    /// `virtio-blk-device`: microvm.
    Mmio,
}

/// `data=disk.img`, `data=disk.img,ro`.
pub fn parse(text: &str) -> Result<DiskArg, String> {
    let Some((name, file)) = text.split_once('=').filter(|(name, file)| !name.is_empty() && !file.is_empty())
    else {
        return Err(
            "expected the name of a block device and a file, as in data=disk.img or data=disk.img,ro"
                .to_owned(),
        );
    };
    let (file, access) = match file.strip_suffix(",ro") {
        Some(file) => (file, Access::ReadOnly),
        None => (file, Access::ReadWrite),
    };
    Ok(DiskArg { name: name.to_owned(), file: file.into(), access })
}

/// The guest's disks, in the order of its manifest: each block device has one, but optional ones at the end, and no other has. A
/// guest that only prints its parameters needs none.
pub fn of(args: &[DiskArg], manifest: Option<&Manifest>, params: &[String]) -> Result<Vec<Disk>> {
    let blocks = manifest.map_or(&[][..], |manifest| &manifest.blocks);
    for (n, arg) in args.iter().enumerate() {
        let name = &arg.name;
        let known: Vec<&str> = blocks.iter().map(|block| block.name.as_str()).collect();
        ensure!(
            known.contains(&name.as_str()),
            "--disk {name}=...: the image has no block device {name}{}",
            if known.is_empty() { String::new() } else { format!("; it has: {}", known.join(", ")) }
        );
        ensure!(!args[..n].iter().any(|other| other.name == *name), "--disk {name}=... is given twice");
    }
    let mut disks = Vec::new();
    let mut left_out = None;
    let needed = manifest.map_or(0, Manifest::needed_blocks);
    for (place, block) in blocks.iter().enumerate() {
        let name = &block.name;
        match args.iter().find(|arg| arg.name == *name) {
            Some(arg) => {
                if let Some(other) = left_out {
                    bail!(
                        "--disk {name}=... needs --disk {other}=... too: disks are told apart by their places"
                    );
                }
                disks.push(Disk::of(arg, block.read_only)?);
            }
            None if params.iter().any(|param| param == "help") => {}
            None if place >= needed => left_out = Some(name),
            None => {
                bail!(
                    "the image needs a disk for its block device {name}: give --disk {name}=FILE (an empty one is made by \
                     `{}`)",
                    making(block, "FILE")
                )
            }
        }
    }
    Ok(disks)
}

/// The command that makes an empty file for one.
pub fn making(block: &Block, file: &str) -> String {
    format!("truncate -s {} {file}", in_units(block.size.map_or(SIZE_OF_NONE, |size| size.octets)))
}

/// As truncate(1) reads it.
fn in_units(octets: u64) -> String {
    let units = [(30, "G"), (20, "M"), (10, "K")];
    let whole = units.into_iter().find(|(shift, _)| octets >> shift > 0 && octets.trailing_zeros() >= *shift);
    whole.map_or_else(|| octets.to_string(), |(shift, unit)| format!("{}{unit}", octets >> shift))
}

/// The disks of a process, which knows itself what it needs.
pub fn of_process(args: &[DiskArg]) -> Result<Vec<Disk>> {
    args.iter().map(|arg| Disk::of(arg, false)).collect()
}

impl Disk {
    fn of(DiskArg { name, file, access }: &DiskArg, read_only: bool) -> Result<Self> {
        let of_disk = || format!("--disk {name}={}", file.display());
        let path = file.canonicalize().with_context(|| format!("{}: there is no such file", of_disk()))?;
        let metadata = fs::metadata(&path).with_context(of_disk)?;
        let is_device = metadata.file_type().is_block_device();
        ensure!(is_device || metadata.is_file(), "{}: neither a file nor a block device", of_disk());
        let octets = metadata.len();
        ensure!(
            is_device || octets % 512 == 0,
            "{}: its {octets} octets are not whole sectors of 512",
            of_disk()
        );
        let text = path.to_str().with_context(|| format!("{}: the path is not UTF-8", of_disk()))?;
        ensure!(!text.contains(['\'', '"', '\n']), "{}: a path with quotes", of_disk());
        let access = if read_only { Access::ReadOnly } else { *access };
        Ok(Self { name: name.clone(), file: path, access, is_device })
    }
}

/// What QEMU is told, for a machine with this bus.
pub fn qemu_args(disks: &[Disk], bus: Bus) -> Vec<String> {
    let device = match bus {
        Bus::Pci => "virtio-blk-pci",
        Bus::Mmio => "virtio-blk-device",
    };
    let of_disk = |(n, disk): (usize, &Disk)| {
        // A comma in a value is written twice.
        let file = disk.file.display().to_string().replace(',', ",,");
        let read_only = if disk.access == Access::ReadOnly { ",readonly=on" } else { "" };
        let drive = format!("if=none,id=disk{n},format=raw,file={file}{read_only}");
        ["-drive".to_owned(), drive, "-device".to_owned(), format!("{device},drive=disk{n}")]
    };
    disks.iter().enumerate().flat_map(of_disk).collect()
}

/// The line of `xl`'s configuration. In a host of ours they are dom0's own disks, in this order.
pub fn xl_line(disks: &[Disk], is_local: bool) -> Option<String> {
    let of_disk = |((n, disk), letter): ((usize, &Disk), char)| {
        let access = if disk.access == Access::ReadOnly { "ro" } else { "rw" };
        let (backend, target) = match (is_local, disk.is_device) {
            (true, false) => ("", disk.file.clone()),
            (true, true) => ("backendtype=phy,", disk.file.clone()),
            (false, _) => ("backendtype=phy,", Path::new("/dev").join(dom0_name(n))),
        };
        format!("'format=raw,{backend}vdev=xvd{letter},access={access},target={}'", target.display())
    };
    let disks: Vec<String> = disks.iter().enumerate().zip('a'..='z').map(of_disk).collect();
    (!disks.is_empty()).then(|| format!("disk = [ {} ]", disks.join(", ")))
}

/// What dom0's kernel calls the machine's virtio disk of that number.
fn dom0_name(n: usize) -> String {
    format!("vd{}", char::from(b'a' + n as u8))
}

/// The boot parameters of a process.
pub fn process_params(disks: &[Disk]) -> Vec<String> {
    let of_disk = |disk: &Disk| {
        let file = format!("{}.file={}", disk.name, disk.file.display());
        let read_only = (disk.access == Access::ReadOnly).then(|| format!("{}.read-only=on", disk.name));
        [Some(file), read_only]
    };
    disks.iter().flat_map(of_disk).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let text = "[image]\nname = \"x\"\n[block.data]\nsize = \"1 MiB\"\n[block.site]\nread-only = true\n";
        fata_build::read::manifest("x", text).unwrap()
    }

    fn disks(args: &[&str]) -> Result<Vec<Disk>> {
        let args: Vec<DiskArg> = args.iter().map(|arg| parse(arg).unwrap()).collect();
        of(&args, Some(&manifest()), &[])
    }

    #[test]
    fn each_block_device_has_a_file() {
        let odd = std::env::temp_dir().join(format!("fata-disk,odd-{}", std::process::id()));
        fs::write(&odd, vec![0; 1024]).unwrap();
        let (data, site) = (format!("data={}", odd.display()), format!("site={}", odd.display()));
        let both = disks(&[&site, &data]).unwrap();
        assert_eq!(
            both.iter().map(|d| (&*d.name, d.access)).collect::<Vec<_>>(),
            [("data", Access::ReadWrite), ("site", Access::ReadOnly)]
        );
        let qemu = qemu_args(&both, Bus::Pci).join(" ");
        let path = both[0].file.display().to_string();
        let doubled = path.replace(',', ",,");
        assert_eq!(
            qemu,
            format!(
                "-drive if=none,id=disk0,format=raw,file={doubled} -device virtio-blk-pci,drive=disk0 \
                 -drive if=none,id=disk1,format=raw,file={doubled},readonly=on -device virtio-blk-pci,drive=disk1"
            )
        );
        assert_eq!(
            xl_line(&both, false).unwrap(),
            "disk = [ 'format=raw,backendtype=phy,vdev=xvda,access=rw,target=/dev/vda', \
             'format=raw,backendtype=phy,vdev=xvdb,access=ro,target=/dev/vdb' ]"
        );
        assert!(
            xl_line(&both[..1], true)
                .unwrap()
                .contains(&format!("'format=raw,vdev=xvda,access=rw,target={path}'"))
        );
        assert_eq!(
            process_params(&both),
            [format!("data.file={path}"), format!("site.file={path}"), "site.read-only=on".to_owned()]
        );
        let read_only = disks(&[&format!("{data},ro"), &site]).unwrap();
        assert_eq!(read_only[0].access, Access::ReadOnly);
        fs::remove_file(&odd).unwrap();
    }

    #[test]
    fn sizes_are_as_truncate_reads_them() {
        for (octets, text) in
            [(1 << 30, "1G"), (3 << 29, "1536M"), (4096, "4K"), (512, "512"), (1025, "1025")]
        {
            assert_eq!(in_units(octets), text);
        }
    }

    #[test]
    fn optional_ones_may_be_left_out_from_the_end() {
        let text = "[image]\nname = \"x\"\n[block.a]\noptional = true\n[block.b]\noptional = true\n";
        let manifest = fata_build::read::manifest("x", text).unwrap();
        let file = std::env::temp_dir().join(format!("fata-disk-optional-{}", std::process::id()));
        fs::write(&file, vec![0; 512]).unwrap();
        let of = |names: &[&str]| {
            let args: Vec<DiskArg> =
                names.iter().map(|name| parse(&format!("{name}={}", file.display())).unwrap()).collect();
            of(&args, Some(&manifest), &[]).map(|disks| disks.len())
        };
        assert_eq!(of(&[]).unwrap(), 0);
        assert_eq!(of(&["a"]).unwrap(), 1);
        assert_eq!(of(&["b", "a"]).unwrap(), 2);
        let error = of(&["b"]).unwrap_err().to_string();
        assert_eq!(error, "--disk b=... needs --disk a=... too: disks are told apart by their places");
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        let said = |args: &[&str]| disks(args).unwrap_err().to_string();
        assert_eq!(
            said(&[]),
            "the image needs a disk for its block device data: give --disk data=FILE (an empty one is made by \
             `truncate -s 1M FILE`)"
        );
        assert_eq!(
            said(&["date=x"]),
            "--disk date=...: the image has no block device date; it has: data, site"
        );
        assert_eq!(said(&["data=/a", "data=/b"]), "--disk data=... is given twice");
        assert_eq!(said(&["data=/no/file", "site=/no/file"]), "--disk data=/no/file: there is no such file");
        assert_eq!(
            said(&["data=/tmp", "site=/no/file"]),
            "--disk data=/tmp: neither a file nor a block device"
        );
        assert!(of(&[], Some(&manifest()), &["help".to_owned()]).unwrap().is_empty());
        assert!(of(&[], None, &[]).unwrap().is_empty());
        for bad in ["data", "=x", "data="] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
