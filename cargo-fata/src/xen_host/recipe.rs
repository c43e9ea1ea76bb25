//! What the Xen host is made of. All of it comes from Debian's packages by name; the texts here are the key of the cache.

/// Debian's suite for dom0: the tool's own machine is expected to be of the same one.
pub const SUITE: &str = "bookworm";

/// The hypervisor. Only its ELF file is used.
pub const HYPERVISOR_PACKAGE: &str = "xen-hypervisor-4.17-amd64";
/// Where the hypervisor is in its package.
pub const HYPERVISOR_FILE: &str = "boot/xen-4.17-amd64.gz";
/// Depends on the kernel package that is current.
pub const KERNEL_META_PACKAGE: &str = "linux-image-amd64";

/// dom0's programs: first what Xen and its scripts need, then what the tests use.
pub const DOM0_PACKAGES: &[&str] = &[
    "xen-utils-4.17",
    "xen-utils-common",
    "xenstore-utils",
    "busybox-static",
    "iproute2",
    "bridge-utils",
    "kmod",
    "bash",
    "coreutils",
    "util-linux",
    "mount",
    "grep",
    "sed",
    "gawk",
    "procps",
    "netbase",
    // Peers for the tests.
    "curl",
    "dmsetup",
    "dnsutils",
    "dnsmasq-base",
    "hping3",
    "iperf3",
    "iputils-ping",
    "netcat-openbsd",
    "nftables",
    "nmap",
    "redis-tools",
    "socat",
    "tcpdump",
    "thc-ipv6",
    "wrk",
];

/// What no test uses and only costs time to load at every start.
pub const TRIMMED: &[&str] = &[
    "boot",
    "lib/systemd",
    "lib/udev",
    "usr/lib/python3",
    "usr/lib/python3.11",
    "usr/lib/systemd",
    "usr/lib/tcltk",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/perl",
    "usr/lib/x86_64-linux-gnu/perl-base",
    "usr/lib/xen-4.17/boot",
    "usr/share/bash-completion",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/nmap/nselib",
    "usr/share/nmap/nmap-os-db",
    "usr/share/nmap/scripts",
    "usr/share/perl",
    "usr/share/perl5",
    "usr/share/python3",
    "usr/share/tcltk",
    "usr/share/zoneinfo",
    "var/cache",
    "var/lib/apt",
    "var/lib/dpkg",
];

/// Kernel modules that are loaded at the start.
pub const BOOT_MODULES: &[&str] = &[
    "xenfs",
    "xen-evtchn",
    "xen-gntdev",
    "xen-gntalloc",
    "xen-privcmd",
    "xen-netback",
    "xen-blkback",
    "bridge",
    "loop",
    "e1000",
    "tun",
    "virtio_pci",
    "virtio_blk",
];

/// Kernel modules that are there for tests to use.
pub const MORE_MODULES: &[&str] = &[
    "8021q",
    "dm-mod",
    "dummy",
    "ifb",
    "veth",
    "sch_netem",
    "tcp_diag",
    "sch_tbf",
    "sch_ingress",
    "act_mirred",
    "cls_matchall",
    "nf_tables",
    "nf_conntrack",
    "nft_ct",
    "nft_limit",
    "nft_reject_inet",
    "nft_reject_ipv4",
];

/// Kernel modules of Linux guests, which use the same kernel.
pub const GUEST_MODULES: &[&str] = &["xen-netfront", "xen-blkfront"];

/// Small files that dom0's programs expect.
pub const FILES: &[(&str, &str)] = &[
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/:/bin/false\ndnsmasq:x:100:100::/:/bin/false\n",
    ),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\ndnsmasq:x:100:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n10.0.2.14 dom0\n"),
    ("etc/resolv.conf", "nameserver 10.0.2.3\n"),
    ("etc/hostname", "dom0\n"),
    ("etc/xen/xl.conf", "autoballoon=\"off\"\nvif.default.script=\"vif-bridge\"\n"),
];

/// Changes when the way the parts are put together changes.
const RECIPE_VERSION: &str = "4";

/// Everything that decides what the built host looks like.
pub fn key() -> Vec<String> {
    let mut key =
        vec![RECIPE_VERSION.to_owned(), SUITE.into(), HYPERVISOR_PACKAGE.into(), KERNEL_META_PACKAGE.into()];
    for list in [DOM0_PACKAGES, TRIMMED, BOOT_MODULES, MORE_MODULES, GUEST_MODULES] {
        key.push(list.join(" "));
    }
    key.extend(FILES.iter().map(|(name, content)| format!("{name}={content}")));
    key
}
