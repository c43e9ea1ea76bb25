//! Disks of tests.

use fata::testing::run_tool;
use std::fs;
use std::path::PathBuf;

/// An image of a FAT volume, gone when the test has ended.
pub struct Volume(PathBuf);

impl Volume {
    /// With these folders.
    pub fn new(name: &str, folders: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("fata-proxy-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let volume = Self(folder);
        fs::File::create(volume.image()).unwrap().set_len(1 << 20).unwrap();
        tool("/usr/sbin/mkfs.fat", &[&volume.image()]);
        for folder in folders {
            tool("mmd", &["-i", &volume.image(), &format!("::{folder}")]);
        }
        volume
    }

    pub fn image(&self) -> String {
        self.file("config.img")
    }

    /// A file of the host's beside the image.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub fn put(&self, path: &str, text: &str) {
        let file = self.file("put");
        fs::write(&file, text).unwrap();
        tool("mcopy", &["-o", "-i", &self.image(), &file, &format!("::{path}")]);
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a program says, which has to succeed.
pub fn tool(name: &str, arguments: &[&str]) -> String {
    let output = run_tool(name, arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
