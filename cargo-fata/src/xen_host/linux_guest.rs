//! Small Linux guests with the servers that our appliances are measured against, on the same host with the same load.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::build::{self, Parts};
use super::guest::{GuestSpec, Image};
use super::{Host, recipe};
use crate::cache::Entry;
use crate::{command, ui};

/// What a guest is for.
pub struct Flavour {
    /// Of the folder in the cache.
    pub name: &'static str,
    /// Debian's.
    pub packages: &'static [&'static str],
    /// Of the packages, only these and the libraries that they want are kept.
    pub programs: &'static [&'static str],
    /// And these.
    pub files: &'static [&'static str],
    /// Run by `init` when the network is up; may define `line`, which is given each line from the console.
    pub start: &'static str,
}

/// nginx with one worker, and iperf3.
pub const SERVERS: Flavour = Flavour {
    name: "servers",
    packages: &["nginx-light", "iperf3"],
    programs: &["usr/sbin/nginx", "usr/bin/iperf3"],
    files: &["etc/nginx/mime.types"],
    start: "mkdir -p /var/log/nginx /var/lib/nginx
/usr/sbin/nginx -c /etc/nginx/fata.conf || echo \"nginx does not start\"
/usr/bin/iperf3 --server --daemon || echo \"iperf3 does not start\"
",
};

/// Redis without a disk.
pub const REDIS: Flavour = Flavour {
    name: "redis",
    packages: &["redis-server"],
    programs: &["usr/bin/redis-server"],
    files: &[],
    start: "redis-server --bind 0.0.0.0 --protected-mode no --save '' --appendonly no --daemonize yes --logfile /dev/null ||
    echo \"redis-server does not start\"
",
};

/// fio on the guest's disk: a line `fio OPTIONS` on the console runs it; what comes back is [`FIO_DONE`], fio's status, and of its terse
/// output error, kB and ms of reading, kB and ms of writing.
pub const FIO: Flavour = Flavour {
    name: "fio",
    packages: &["fio"],
    programs: &["usr/bin/fio"],
    files: &[],
    start: "modprobe xen-blkfront
for _ in $(seq 100); do [ -e /dev/xvda ] && break; sleep 0.1; done
stty -echo
line() {
    case $1 in \"fio \"*) ;; *) return ;; esac
    fio ${1#fio } --minimal >/tmp/said 2>/tmp/error
    echo \"FIO-DONE $? $(tail -n 1 /tmp/said | cut -d ';' -f 5,6,9,47,50) $(head -n 1 /tmp/error)\"
}
",
};

/// What begins a line that tells what fio did.
pub const FIO_DONE: &str = "FIO-DONE ";

const INIT: &str = include_str!("linux-init.sh");
/// As an administrator who wants speed would set it.
const NGINX_CONF: &str = "user root;
worker_processes 1;
pid /run/nginx.pid;
error_log /dev/hvc0 error;
events { worker_connections 4096; }
http {
    include mime.types;
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    open_file_cache max=100;
    keepalive_requests 100000000;
    server { listen 80 backlog=4096; root /www; }
}
";
/// What it prints when all of it runs.
pub const READY: &str = "LINUX-GUEST-READY";

/// The guest's files.
pub struct LinuxGuest {
    /// The kernel, which is dom0's.
    pub kernel: PathBuf,
    /// Its root file system.
    pub initramfs: PathBuf,
}

/// Builds one if it is not in the cache; nginx, where it is there, serves the files of `site`, names and contents.
pub fn build(flavour: &Flavour, site: &[(&str, &[u8])]) -> Result<LinuxGuest> {
    let parts = build::parts()?;
    let host_key = recipe::key().concat();
    let pages: String =
        site.iter().map(|(name, bytes)| format!("{name}={}", crate::cache::digest_bytes(bytes))).collect();
    let Flavour { name, packages, programs, files, start } = flavour;
    let lists = [packages, programs, files].map(|list| list.concat()).concat();
    let entry = Entry::new("linux-guest", &[&host_key, INIT, NGINX_CONF, name, &lists, start, &pages])?;
    if !entry.exists() {
        let step = ui::step("building the Linux guest to compare with");
        entry.create(|folder| make(folder, &parts, flavour, site)).context("cannot build the Linux guest")?;
        step.done();
    }
    Ok(LinuxGuest { kernel: parts.kernel, initramfs: entry.path().join("guest.cpio.gz") })
}

impl LinuxGuest {
    /// What to create it from.
    pub fn spec(&self, host: &mut Host, ipv4: &str, memory_mb: u32) -> Result<GuestSpec> {
        let kernel = Image::InDom0(host.upload(&self.kernel)?);
        let mut spec = GuestSpec::new("linux", kernel).memory(memory_mb).vif("xenbr0");
        spec.ramdisk = Some(host.upload(&self.initramfs)?);
        Ok(spec.extra(&format!("console=hvc0 quiet fata.ipv4={ipv4}")))
    }
}

fn make(folder: &Path, parts: &Parts, flavour: &Flavour, site: &[(&str, &[u8])]) -> Result<()> {
    let (all, root) = (folder.join("all"), folder.join("root"));
    build::bootstrap(&all, &[flavour.packages, &["busybox-static"]].concat())?;
    for name in [&["bin/busybox"], flavour.programs, flavour.files].concat() {
        copy(&all, &root, Path::new(name))?;
    }
    for program in flavour.programs {
        for library in libraries(&all, program)? {
            copy(&all, &root, &library)?;
        }
    }
    copy_tree(&parts.guest_modules, &root)?;
    let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
    let files = [
        ("etc/nginx/fata.conf", NGINX_CONF),
        ("etc/passwd", passwd),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ];
    for (name, content) in files {
        write(&root.join(name), content.as_bytes())?;
    }
    write(&root.join("start"), flavour.start.as_bytes())?;
    for (name, content) in site {
        write(&root.join("www").join(name), content)?;
    }
    write(&root.join("init"), INIT.as_bytes())?;
    make_executable(&root.join("init"))?;
    build::pack_compressed(&root, &folder.join("guest.cpio.gz"))?;
    fs::remove_dir_all(all)?;
    Ok(fs::remove_dir_all(root)?)
}

/// The shared libraries of a program, by what the loader of that file system itself says.
fn libraries(root: &Path, program: &str) -> Result<Vec<PathBuf>> {
    let loader = root.join("lib64/ld-linux-x86-64.so.2");
    // The last is where what fio is linked with looks by itself, on a machine that has it.
    let folders = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/ceph"]
        .map(|name| root.join(name).display().to_string());
    let real_loader = root.join("lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
    let mut list = Command::new(if real_loader.exists() { &real_loader } else { &loader });
    list.arg("--library-path").arg(folders.join(":")).arg("--list").arg(root.join(program));
    let said = command::run(&mut list)?.stdout;
    let paths = said.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    let inside = paths.filter_map(|path| Path::new(path).strip_prefix(root).ok().map(Path::to_owned));
    let mut libraries: Vec<PathBuf> = inside.collect();
    libraries.push("lib64/ld-linux-x86-64.so.2".into());
    Ok(libraries)
}

/// Copies a file; a link becomes the file it leads to.
fn copy(from: &Path, to: &Path, name: &Path) -> Result<()> {
    let mut source = from.join(name);
    if let Ok(target) = fs::read_link(&source) {
        source = match target.strip_prefix("/") {
            Ok(absolute) => from.join(absolute),
            Err(_) => source.parent().unwrap_or(from).join(target),
        };
    }
    let target = to.join(name);
    fs::create_dir_all(target.parent().unwrap_or(to))?;
    fs::copy(&source, target).with_context(|| format!("the packages have no {}", name.display()))?;
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    let mut cp = Command::new("cp");
    cp.arg("-r").arg(from.join(".")).arg(to);
    command::run(&mut cp).map(drop)
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, content)?)
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}
