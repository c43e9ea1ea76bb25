//! The web server with its content on a disk of dom0's: other content is another disk, and the same image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::BootTest;
use crate::command;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(60);
/// Longer than a request to the disk.
const LARGE: usize = 300_000;

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::web_disk::from_a_fat_volume", 180, |h| other_content(h, fat, "a FAT volume")),
    BootTest::new("boot::web_disk::from_a_compressed_archive", 180, |h| {
        other_content(h, tar_gz, "an archive of ")
    }),
];

/// A site in a folder of this machine, removed at the end.
struct Site(PathBuf);

impl Site {
    fn new() -> Result<Self> {
        let folder = super::temporary("web-disk");
        let site = Self(folder);
        fs::create_dir_all(site.root().join("css"))?;
        site.write("index.html", b"<h1>first</h1>\n")?;
        site.write("css/a style sheet.css", b"h1 { color: red }\n")?;
        site.write("large.bin", &large(1))?;
        site.write("old.txt", b"only at first\n")?;
        Ok(site)
    }

    fn root(&self) -> PathBuf {
        self.0.join("site")
    }

    fn image(&self) -> PathBuf {
        self.0.join("disk")
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        fs::write(self.root().join(name), content).with_context(|| format!("cannot write {name}"))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Octets that gzip does not make small.
fn large(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..LARGE).map(|_| next()).collect()
}

/// By the peers' own programs.
fn fat(site: &Path, image: &Path) -> Result<()> {
    fs::File::create(image)?.set_len(8 << 20)?;
    command::run(Command::new("/usr/sbin/mkfs.fat").arg(image))
        .context("is the package dosfstools installed?")?;
    for entry in fs::read_dir(site)? {
        let mut copy = Command::new("mcopy");
        command::run(copy.arg("-s").arg("-i").arg(image).arg(entry?.path()).arg("::"))
            .context("is the package mtools installed?")?;
    }
    Ok(())
}

fn tar_gz(site: &Path, image: &Path) -> Result<()> {
    command::run(Command::new("tar").arg("-C").arg(site).arg("-czf").arg(image).arg("."))?;
    // Whole sectors.
    let file = fs::OpenOptions::new().write(true).open(image)?;
    Ok(file.set_len(file.metadata()?.len().next_multiple_of(512))?)
}

/// The server with the image of a disk, which is read-only for it.
fn serve(host: &mut Host, site: &Site, says: &str) -> Result<Guest> {
    host.put("/tmp/site.img", &fs::read(site.image())?)?;
    let device = host.sh("losetup -D; losetup --read-only --find --show /tmp/site.img", SOON)?.ok()?.stdout;
    let disk = format!(
        "disk = [ 'format=raw,backendtype=phy,vdev=xvda,access=ro,script=/fata/block,target={}' ]",
        device.trim()
    );
    let spec = GuestSpec::new("web-disk", image("web-disk")?).memory(32).network().config(&disk);
    let guest = host.create(&spec)?;
    guest.wait_console(&format!("web-disk: {says}"), SOON)?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

fn curl(host: &Host, arguments: &str, path: &str) -> Result<String> {
    let script =
        format!("curl -sS --max-time 20 --retry 3 --retry-connrefused {arguments} 'http://10.0.2.15{path}'");
    Ok(host.sh(&script, SOON)?.ok()?.stdout)
}

fn is(host: &Host, guest: &Guest, path: &str, content: &str) -> Result<()> {
    let said = curl(host, "", path)?;
    ensure!(said == content, "{path}: {said:?}, not {content:?}\n{}", guest.console());
    Ok(())
}

fn is_large(host: &Host, guest: &Guest, seed: u64) -> Result<()> {
    host.put("/tmp/large.bin", &large(seed))?;
    curl(host, "-o /tmp/got.bin", "/large.bin")?;
    let same = host.sh("cmp /tmp/large.bin /tmp/got.bin", SOON)?;
    ensure!(same.status == 0, "large.bin: {same:?}\n{}", guest.console());
    Ok(())
}

fn leaves(guest: Guest) -> Result<()> {
    guest.xl("shutdown")?;
    let end = guest.wait_gone(SOON)?;
    ensure!(end == End::PowerOff, "it {end}: {}", guest.console());
    guest.destroy()
}

fn other_content(host: &mut Host, make: fn(&Path, &Path) -> Result<()>, says: &str) -> Result<()> {
    let site = Site::new()?;
    make(&site.root(), &site.image())?;
    let guest = serve(host, &site, says)?;
    is(host, &guest, "/", "<h1>first</h1>\n")?;
    is(host, &guest, "/css/a%20style%20sheet.css", "h1 { color: red }\n")?;
    is(host, &guest, "/old.txt", "only at first\n")?;
    is_large(host, &guest, 1)?;
    let status = "-o /dev/null -w '%{http_code}'";
    ensure!(curl(host, status, "/new.txt")? == "404", "what is not there: {}", guest.console());
    leaves(guest)?;

    site.write("index.html", b"<h1>second, and longer</h1>\n")?;
    site.write("new.txt", b"new\n")?;
    site.write("large.bin", &large(2))?;
    fs::remove_file(site.root().join("old.txt"))?;
    make(&site.root(), &site.image())?;
    let guest = serve(host, &site, says)?;
    is(host, &guest, "/", "<h1>second, and longer</h1>\n")?;
    is(host, &guest, "/new.txt", "new\n")?;
    is_large(host, &guest, 2)?;
    ensure!(curl(host, status, "/old.txt")? == "404", "what was removed: {}", guest.console());
    leaves(guest)
}
