//! Block devices of an appliance: `env.block(blocks::DATA).await?` is a [`Disk`].
//!
//! ```ignore
//! let disk = env.block(blocks::DATA).await?;
//! let mut sector = disk.read(0, 1).await?;
//! sector[0] += 1;
//! disk.write(0, sector).await?;
//! disk.flush().await?;
//! ```
//!
//! What a disk is below depends on where the appliance runs: a `vbd` of a Xen domain, a virtio device, a file of a process.
//! Which one it is the boot parameters say, `data.disk=xvdb` or `data.file=PATH` (docs/boot-parameters.md).

mod disks;

pub use crate::devices::OneDisk;
#[cfg(not(target_os = "xen"))]
use crate::devices::Wanted;
use crate::devices::{no_two, wanted};
use crate::{Env, Result};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
pub(crate) use disks::Disks;
pub use fata_libos::block::{
    Access, BlockDevice, BlockError, Buffer, Discard, Disk, Geometry, InFlight, Outcome, Request,
};
use fata_libos::param::{self, Param, Params};

/// Names a block device of the manifest: a constant in the module `blocks` that [`main!`](crate::main) makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    index: usize,
    name: &'static str,
}

impl Name {
    #[doc(hidden)]
    pub const fn new(index: usize, name: &'static str) -> Self {
        Self { index, name }
    }

    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Its place among the block devices of the manifest, from 0.
    pub const fn index(self) -> usize {
        self.index
    }
}

/// Names a block device of the manifest that may be missing: a constant in the module `blocks` that [`main!`](crate::main) makes
/// where the manifest says `optional = true`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Optional(Name);

impl Optional {
    #[doc(hidden)]
    pub const fn new(index: usize, name: &'static str) -> Self {
        Self(Name::new(index, name))
    }

    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        self.0.name
    }
}

/// The parameters that every block device has, in the order of `fata-build`; each has the device's name before it.
#[doc(hidden)]
pub static PARAMS: [Param; 3] = [
    Param { name: "disk", kind: &param::DISK, default: None, help: "which of the guest's disks it is" },
    Param { name: "read-only", kind: &param::BOOL, default: None, help: "whether writes are refused" },
    Param {
        name: "queues",
        kind: &param::QUEUES,
        default: None,
        help: "queues to share with the device's back end, if it offers so many",
    },
];

impl Env {
    /// Opens a block device, which is the same one each time. Waits until it is there to be used; an error says what is missing.
    pub async fn block(&self, name: Name) -> Result<Disk> {
        let disks = *self.shared.disks.get_or_init(|| Box::leak(Box::default()));
        disks.get(name.name, self.open_disk(name)).await
    }

    /// Opens a block device that may be missing: nothing if the guest has no disk in its place and the boot parameters name none, or
    /// if a process has no file for it. A disk that they name and that is not there is an error.
    pub async fn optional_block(&self, name: Optional) -> Result<Option<Disk>> {
        if self.is_there(name.0).await? { self.block(name.0).await.map(Some) } else { Ok(None) }
    }

    #[cfg(target_os = "xen")]
    async fn is_there(&self, name: Name) -> Result<bool> {
        let which = format!("{}.disk", name.name);
        if self.shared.params.get(&which).is_some() {
            return Ok(true);
        }
        self.shared.machine.has_disk(name.name, &name.index.to_string()).await
    }

    #[cfg(not(target_os = "xen"))]
    async fn is_there(&self, name: Name) -> Result<bool> {
        Ok(self.shared.params.get(&format!("{}.{}", name.name, crate::hosted::FILE)).is_some())
    }

    fn access(&self, name: Name) -> Access {
        let is_read_only = self.shared.params.get(&format!("{}.read-only", name.name)) == Some("on");
        if is_read_only { Access::ReadOnly } else { Access::ReadWrite }
    }

    #[cfg(target_os = "xen")]
    async fn open_disk(&self, name: Name) -> Result<Disk> {
        let which = format!("{}.disk", name.name);
        let place = name.index.to_string();
        let which = self.shared.params.get(&which).unwrap_or(&place);
        let queues = self.shared.params.get(&format!("{}.queues", name.name));
        let queues = queues.and_then(|queues| queues.parse().ok()).unwrap_or(1);
        self.shared.machine.open_disk(name.name, which, self.access(name), queues).await
    }

    #[cfg(not(target_os = "xen"))]
    async fn open_disk(&self, name: Name) -> Result<Disk> {
        let access = self.access(name);
        let file = format!("{}.{}", name.name, crate::hosted::FILE);
        let path = self.shared.params.get(&file).ok_or(NoFile { name: name.name })?;
        let device = fata_unix::disk::FileDisk::open(self.shared.machine.reactor(), name.name, path, access)?;
        Ok(Disk::new(device))
    }
}

/// Whether the parameters of the block devices fit together.
#[doc(hidden)]
pub fn check_params(params: &Params) -> Result<()> {
    // Nobody opens a disk by its place and by its letter by mistake; the same word twice one can miss.
    let disks = wanted(params).map(|disk| (disk.name, disk.which.clone(), disk.which));
    no_two(".disk", &disks.collect::<Vec<_>>())?;
    #[cfg(not(target_os = "xen"))]
    check_files(params)?;
    Ok(())
}

/// Each has a file, and no two have the same: they are compared as the kernel resolves their paths.
#[cfg(not(target_os = "xen"))]
fn check_files(params: &Params) -> Result<()> {
    let mut files = Vec::new();
    for Wanted { name, optional, .. } in wanted(params) {
        let Some(path) = params.get(&format!("{name}.{}", crate::hosted::FILE)) else {
            if optional {
                continue;
            }
            return Err(NoFile { name }.into());
        };
        let resolved = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
        files.push((name, path.to_string(), resolved));
    }
    Ok(no_two(&format!(".{}", crate::hosted::FILE), &files)?)
}

/// A block device of a process that was given no file.
#[cfg(not(target_os = "xen"))]
#[derive(Debug, thiserror::Error)]
#[error("block device {name} has no file: give {name}.file=PATH")]
pub struct NoFile {
    /// The device.
    pub name: &'static str,
}

#[cfg(test)]
mod tests {
    use super::{NoFile, OneDisk, PARAMS, check_params};
    use fata_libos::param::{Kind, Param, Params};
    use std::string::ToString;

    /// `fata-build` declares them by their places.
    #[test]
    fn parameters_are_in_the_order_of_the_manifests_keys() {
        assert_eq!(PARAMS.each_ref().map(|param| param.name), ["disk", "read-only", "queues"]);
    }

    /// What `fata-build` and the process declare for two of them.
    static TWO: [Param; 4] = [
        Param { name: "data.disk", default: Some("0"), ..PARAMS[0] },
        Param { name: "more.disk", default: Some("1"), ..PARAMS[0] },
        Param { name: "data.file", kind: &FILE, default: None, help: "" },
        Param { name: "more.file", kind: &FILE, default: None, help: "" },
    ];
    static FILE: Kind = Kind { what: "a path", check: |_| true };

    /// The second may be missing.
    static OPTIONAL: [Param; 4] = [
        Param { name: "data.disk", default: Some("0"), ..PARAMS[0] },
        Param { name: "more.disk", default: None, ..PARAMS[0] },
        Param { name: "data.file", kind: &FILE, default: None, help: "" },
        Param { name: "more.file", kind: &FILE, default: None, help: "" },
    ];

    #[test]
    fn an_optional_one_has_its_place_and_needs_no_file() {
        let check = |line: &str| check_params(&Params::parse(line, &[&OPTIONAL]).unwrap());
        check("data.file=/a").unwrap();
        check("data.file=/a more.file=/b").unwrap();
        check("data.file=/a more.file=/b more.disk=xvdc").unwrap();
        // One that is named is to be there.
        for line in ["more.file=/b", "data.file=/a more.disk=xvdc"] {
            assert!(check(line).unwrap_err().is::<NoFile>(), "{line}");
        }
        // The other one may be neither what it was told to be nor what it would be untold.
        for line in ["data.file=/a more.disk=0", "data.file=/a data.disk=1"] {
            let error = check(line).unwrap_err();
            assert!(error.is::<OneDisk>(), "{line}: {error}");
        }
    }

    #[test]
    fn two_devices_are_two_disks() {
        let check = |line: &str| check_params(&Params::parse(line, &[&TWO]).unwrap());
        check("data.file=/a more.file=/b").unwrap();
        check("data.disk=xvdc data.file=/a more.file=/b").unwrap();
        let error = check("data.file=/a").unwrap_err();
        assert!(error.is::<NoFile>(), "{error}");
        for (line, name, value) in [
            ("data.file=/a more.file=/b data.disk=1", "more.disk", "1"),
            ("data.file=/a more.file=/b data.disk=xvdc more.disk=xvdc", "more.disk", "xvdc"),
            ("data.file=/dev/null more.file=/dev/../dev/null", "more.file", "/dev/../dev/null"),
        ] {
            let error = check(line).unwrap_err();
            let wanted = OneDisk { name: name.to_string(), value: value.to_string(), other: "data" };
            assert_eq!(error.downcast_ref(), Some(&wanted), "{line}");
        }
    }
}
