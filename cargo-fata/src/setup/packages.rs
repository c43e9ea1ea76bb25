//! Debian packages that the tool's work needs.

use std::collections::HashSet;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{command, ui};

/// What runs guests without Xen.
pub const QEMU: &[&str] = &["qemu-system-x86"];
/// What builds and runs the Xen host.
pub const HOST: &[&str] = &["qemu-system-x86", "mmdebstrap", "kmod", "tar"];
/// What the tests need beside it: a C compiler and Xen's headers for the comparison of layouts; gdb; libvirt's judgement of
/// the configurations made for it; a browser; peers for processes, for HTTP/2, for a proxy, for FAT, for partition tables and for the key-value store, what makes networks and root folders for
/// them, and what reads captures.
pub const TEST: &[&str] = &[
    "gcc",
    "gdb",
    "chromium",
    "chromium-driver",
    "libc6-dev",
    "libnss3-tools",
    "libvirt-clients",
    "libxen-dev",
    "libxml2-utils",
    "cpio",
    "curl",
    "dnsmasq-base",
    "dosfstools",
    "fdisk",
    "gdisk",
    "haproxy",
    "iperf3",
    "iproute2",
    "iputils-ping",
    "mtools",
    "netcat-openbsd",
    "nghttp2-client",
    "nginx-light",
    "openssl",
    "python3-hpack",
    "python3-redis",
    "python3-websockets",
    "redis-tools",
    "sslscan",
    "tcpdump",
    "testssl.sh",
    "tshark",
    "util-linux",
];

/// Installs those that are missing, if it can; says so before.
pub fn ensure(packages: &[&str]) -> Result<()> {
    let missing = missing(packages)?;
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_root() {
        bail!(
            "Debian packages are missing. Install them, then try again:\n  sudo apt-get install --no-install-recommends {list}"
        );
    }
    let step = ui::step(format!("installing Debian packages: {list}"));
    if install(&missing).is_err() {
        update_lists()?;
        install(&missing)?;
    }
    step.done();
    Ok(())
}

/// Which of them are not installed.
pub fn missing(packages: &[&str]) -> Result<Vec<String>> {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${db:Status-Status} ${Package}\n"]).args(packages).stderr(Stdio::null());
    let output = query
        .output()
        .context("this machine has no dpkg-query: the tool needs Debian or a derivative of it")?;
    let installed: HashSet<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .map(str::to_owned)
        .collect();
    Ok(packages.iter().filter(|name| !installed.contains(**name)).map(|name| (*name).to_owned()).collect())
}

/// Makes apt know a package: reads the lists anew if it does not.
pub fn ensure_known(package: &str) -> Result<()> {
    if command::succeeds(Command::new("apt-cache").args(["show", package])) {
        return Ok(());
    }
    if !is_root() {
        bail!("apt does not know the package {package}. Run this, then try again:\n  sudo apt-get update");
    }
    update_lists()?;
    if !command::succeeds(Command::new("apt-cache").args(["show", package])) {
        bail!("this machine's apt sources have no package {package}: Debian 12 has it");
    }
    Ok(())
}

fn install(packages: &[String]) -> Result<()> {
    let mut apt = apt_get();
    apt.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    command::run(&mut apt).map(drop)
}

fn update_lists() -> Result<()> {
    ui::say("reading the package lists: apt-get update");
    command::run(apt_get().arg("update")).map(drop).context("apt cannot read its package lists")
}

fn apt_get() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300", "-qq"]);
    apt
}

/// Whether the tool is run by root.
pub fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
