//! What is not used is not there: that an image has the crates that are listed for it, and no other, and of some crates not all.
//!
//! Seen in the image's twin, by the names of its functions and by the source files of its instructions: a function that was
//! inlined has no name left, but its lines. So that the search is known to find what it looks for, what must be there is
//! looked for too.

mod crates;
mod seen;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use self::seen::Seen;
use crate::image::map;
use crate::workspace::Workspace;
use crate::{command, images, symbols};

/// What an image has and has not.
pub struct Contents {
    /// Its name in the report.
    pub name: &'static str,
    image: &'static str,
    /// Lists of all crates that it has something of.
    crates: &'static [&'static [&'static str]],
    has: &'static [Part],
    has_not: &'static [Part],
}

/// A part of a crate: how names of its functions have it, and paths of its files; a star is for the rest of a folder's name.
struct Part {
    path: &'static str,
    files: &'static str,
}

const fn part(path: &'static str, files: &'static str) -> Part {
    Part { path, files }
}

const UDP: Part = part("fata_netstack::udp::", "netstack/src/udp/");
/// What sockets have beside what DHCP needs.
const UDP_SOCKETS: Part = part("fata_netstack::udp::table::", "netstack/src/udp/table.rs");
const CAPTURE: Part = part("fata_netstack::capture::ring::", "netstack/src/capture/ring.rs");
/// IPv6: what it keeps of its link, what it reads and says. Headers alone are written by what is for both versions.
const IP6: Part = part("fata_netstack::ip6::host::", "netstack/src/ip6/host");
const IP6_DISCOVERY: Part = part("fata_netstack::ip6::discovery::", "netstack/src/ip6/discovery.rs");
const TCP: Part = part("fata_netstack::tcp::", "netstack/src/tcp/");
const TCP_MACHINE: Part = part("fata_netstack::tcp::machine::", "netstack/src/tcp/machine/");
const RESOLVER: Part = part("fata_netstack::dns::", "netstack/src/dns/");
const HTTP2: Part = part("fata_http::h2::", "/http/src/h2/");
const HTTP_CLIENT: Part = part("fata_http::client::", "/http/src/client/");
const HTTPS: Part = part("fata::https::", "src/https/");
const FETCH: Part = part("fata::fetch::", "src/fetch/");
const NETFRONT: Part = part("fata_xen::net::", "drivers-xen-pv/src/net/");
const BLKFRONT: Part = part("fata_xen::block::", "drivers-xen-pv/src/block/");
const VIRTIO_BLOCK: Part = part("fata_virtio::block::", "drivers-virtio/src/block");
const BLOCK: Part = part("fata_libos::block::", "libos/src/block/");
const EXFAT: Part = part("hadris_fat::exfat::", "/hadris-fat-3*/src/exfat/");
const VIRTIO_NET: Part = part("fata_virtio::net::", "drivers-virtio/src/net/");
/// The generator of random octets, with its key.
const ENTROPY: Part = part("fata_libos::entropy::", "libos/src/entropy/");
const VIRTIO_ENTROPY: Part = part("fata_seed", "drivers-virtio/src/entropy");
const VIRTIO_CONSOLE: Part = part("fata_virtio::console::", "drivers-virtio/src/console");
const XENSTORE: Part = part("fata_xen::xenstore::", "drivers-xen-pv/src/xenstore/");

const CONTENTS: [Contents; 12] = [
    Contents {
        name: "contents::hello",
        image: "hello",
        crates: &[crates::ALWAYS, &["hello"]],
        has: &[XENSTORE],
        has_not: &[
            NETFRONT,
            VIRTIO_NET,
            ENTROPY,
            VIRTIO_ENTROPY,
            VIRTIO_CONSOLE,
            BLOCK,
            BLKFRONT,
            VIRTIO_BLOCK,
            HTTPS,
            FETCH,
        ],
    },
    Contents {
        name: "contents::udp_echo",
        image: "udp_echo",
        crates: &[crates::ALWAYS, crates::VIRTIO, crates::NETWORK, &["udp_echo"]],
        has: &[XENSTORE, NETFRONT, VIRTIO_NET, ENTROPY, VIRTIO_ENTROPY, UDP, UDP_SOCKETS],
        has_not: &[
            IP6,
            IP6_DISCOVERY,
            CAPTURE,
            TCP,
            TCP_MACHINE,
            RESOLVER,
            BLOCK,
            BLKFRONT,
            VIRTIO_BLOCK,
            VIRTIO_CONSOLE,
            HTTPS,
            FETCH,
        ],
    },
    Contents {
        name: "contents::echo",
        image: "echo",
        crates: &[crates::ALWAYS, crates::VIRTIO, crates::NETWORK, crates::STREAMS, &["echo"]],
        has: &[XENSTORE, NETFRONT, VIRTIO_NET, VIRTIO_ENTROPY, IP6, IP6_DISCOVERY, TCP, TCP_MACHINE],
        has_not: &[UDP_SOCKETS, RESOLVER, BLOCK, BLKFRONT, VIRTIO_BLOCK, VIRTIO_CONSOLE, HTTPS, FETCH],
    },
    Contents {
        name: "contents::disk",
        image: "disk",
        crates: &[crates::ALWAYS, crates::VIRTIO, &["disk"]],
        has: &[XENSTORE, BLOCK, BLKFRONT, VIRTIO_BLOCK],
        has_not: &[NETFRONT, VIRTIO_NET, ENTROPY, VIRTIO_ENTROPY, HTTPS, FETCH],
    },
    Contents {
        name: "contents::web",
        image: "web",
        crates: &[
            crates::ALWAYS,
            crates::VIRTIO,
            crates::NETWORK,
            crates::STREAMS,
            crates::HTTP,
            crates::SITE,
            &["web"],
        ],
        has: &[XENSTORE, NETFRONT, VIRTIO_NET, VIRTIO_ENTROPY, CAPTURE, TCP, TCP_MACHINE],
        has_not: &[
            UDP_SOCKETS,
            RESOLVER,
            BLOCK,
            BLKFRONT,
            VIRTIO_BLOCK,
            VIRTIO_CONSOLE,
            HTTP2,
            HTTP_CLIENT,
            HTTPS,
            FETCH,
        ],
    },
    Contents {
        name: "contents::web_tls",
        image: "web+tls",
        crates: &[
            crates::ALWAYS,
            crates::VIRTIO,
            crates::NETWORK,
            crates::STREAMS,
            crates::HTTP,
            crates::SITE,
            crates::TLS,
            &["web"],
        ],
        has: &[HTTPS, ENTROPY, VIRTIO_ENTROPY],
        has_not: &[
            HTTP2,
            HTTP_CLIENT,
            FETCH,
            BLOCK,
            BLKFRONT,
            VIRTIO_BLOCK,
            UDP_SOCKETS,
            RESOLVER,
            VIRTIO_CONSOLE,
        ],
    },
    Contents {
        name: "contents::web_tls_h2_disk",
        image: "web+h2+disk",
        crates: &[
            crates::ALWAYS,
            crates::VIRTIO,
            crates::NETWORK,
            crates::STREAMS,
            crates::HTTP,
            crates::SITE,
            crates::TLS,
            crates::OCSP,
            crates::STORAGE,
            crates::ARCHIVES,
            &["web"],
        ],
        has: &[HTTPS, HTTP2, BLOCK],
        has_not: &[UDP_SOCKETS, RESOLVER, VIRTIO_CONSOLE, HTTP_CLIENT, FETCH],
    },
    Contents {
        name: "contents::web_disk",
        image: "web-disk",
        crates: &[
            crates::ALWAYS,
            crates::VIRTIO,
            crates::NETWORK,
            crates::STREAMS,
            crates::HTTP,
            crates::SITE,
            crates::STORAGE,
            crates::ARCHIVES,
            crates::FAT,
            &["web_content", "web_disk"],
        ],
        has: &[BLOCK, BLKFRONT, VIRTIO_BLOCK],
        has_not: &[UDP_SOCKETS, RESOLVER, VIRTIO_CONSOLE, EXFAT, HTTP2, HTTP_CLIENT, HTTPS, FETCH],
    },
    Contents {
        name: "contents::iperf",
        image: "iperf",
        crates: &[crates::ALWAYS, crates::VIRTIO, crates::NETWORK, crates::STREAMS, crates::IPERF],
        has: &[XENSTORE, NETFRONT, VIRTIO_NET, VIRTIO_ENTROPY, TCP, TCP_MACHINE, UDP],
        has_not: &[RESOLVER, BLOCK, BLKFRONT, VIRTIO_BLOCK, VIRTIO_CONSOLE, HTTPS, FETCH],
    },
    Contents {
        name: "contents::kv",
        image: "kv",
        crates: &[
            crates::ALWAYS,
            crates::VIRTIO,
            crates::NETWORK,
            crates::STREAMS,
            crates::STORAGE,
            crates::KV,
        ],
        has: &[
            XENSTORE,
            NETFRONT,
            VIRTIO_NET,
            VIRTIO_ENTROPY,
            TCP,
            TCP_MACHINE,
            BLOCK,
            BLKFRONT,
            VIRTIO_BLOCK,
        ],
        has_not: &[UDP_SOCKETS, RESOLVER, VIRTIO_CONSOLE, HTTPS, FETCH],
    },
    Contents {
        name: "contents::proxy",
        image: "proxy",
        crates: &[
            crates::ALWAYS,
            crates::VIRTIO,
            crates::NETWORK,
            crates::STREAMS,
            crates::HTTP,
            crates::TLS,
            crates::OCSP,
            crates::STORAGE,
            crates::ARCHIVES,
            crates::FAT,
            crates::CHECKING,
            crates::PROXY,
        ],
        has: &[HTTP2, HTTP_CLIENT, FETCH, HTTPS, RESOLVER, BLOCK],
        has_not: &[VIRTIO_CONSOLE, EXFAT],
    },
    Contents {
        name: "contents::proxy_acme",
        image: "proxy+acme",
        crates: &[
            crates::ALWAYS,
            crates::VIRTIO,
            crates::NETWORK,
            crates::STREAMS,
            crates::HTTP,
            crates::TLS,
            crates::OCSP,
            crates::STORAGE,
            crates::ARCHIVES,
            crates::FAT,
            crates::CHECKING,
            crates::PROXY,
            crates::ACME,
        ],
        has: &[HTTP2, HTTP_CLIENT, FETCH, HTTPS, RESOLVER, BLOCK],
        has_not: &[VIRTIO_CONSOLE, EXFAT],
    },
];

/// Those whose names contain `filter`.
pub fn select(filter: &str) -> Vec<&'static Contents> {
    CONTENTS.iter().filter(|contents| contents.name.contains(filter)).collect()
}

impl Contents {
    /// Builds the image's twin, and looks.
    pub fn check(&self) -> Result<()> {
        let image = images::image(self.image)?;
        let seen = Seen::of(&symbols::file_of(&image)?)?;
        for part in self.has {
            let found = seen.function(part).is_some() && seen.file(part).is_some();
            ensure!(found, "{} has nothing of {}: the search is wrong", self.image, part.path);
        }
        for part in self.has_not {
            let found = seen.function(part).or_else(|| seen.file(part));
            ensure!(found.is_none(), "{} has {} of {}", self.image, found.unwrap_or_default(), part.path);
        }
        self.check_crates(&seen)?;
        check_info(&image, &seen)?;
        check_map(&image)
    }

    /// It has something of all crates of its lists, which the search therefore finds, and of no other.
    fn check_crates(&self, seen: &Seen) -> Result<()> {
        let root = Workspace::current()?.root;
        let found = seen.crates(&root);
        let listed: BTreeSet<&str> = self.crates.iter().copied().flatten().copied().collect();
        let more = found.iter().filter(|(krate, _)| !listed.contains(krate.as_str()));
        let more: Vec<String> = more.map(|(krate, by)| format!("{krate} (by {by:.200})")).collect();
        let less = listed.iter().filter(|krate| !found.contains_key(**krate));
        let less: Vec<&str> = less.copied().collect();
        ensure!(
            more.is_empty() && less.is_empty(),
            "the crates of {} are not those of the lists in cargo-fata/src/test/contents/crates.rs: it has also {}; it has nothing of {}",
            self.image,
            or_nothing(&more.join(", ")),
            or_nothing(&less.join(", "))
        );
        Ok(())
    }
}

fn or_nothing(list: &str) -> &str {
    if list.is_empty() { "-" } else { list }
}

/// `cargo fata image info` has the manifest, whose interfaces have IPv6 where the image has its code.
fn check_info(image: &Path, seen: &Seen) -> Result<()> {
    let said = command::run(Command::new(std::env::current_exe()?).args(["image", "info"]).arg(image))?;
    let (_, manifest) = said.stdout.split_once("\nmanifest:\n").context("it says nothing of a manifest")?;
    let names_ipv6 = manifest.lines().any(|line| line.starts_with("ipv6 = "));
    let has_code = seen.file(&IP6).is_some();
    ensure!(names_ipv6 == has_code, "IPv6 in its manifest: {names_ipv6}, in its code: {has_code}");
    Ok(())
}

/// `cargo fata image map` has a place for every octet, and a crate for nearly all.
fn check_map(image: &Path) -> Result<()> {
    let (pieces, size) = (map::pieces_of(image)?, fs::metadata(image)?.len());
    let octets = |which: &dyn Fn(&str) -> bool| -> u64 {
        pieces.iter().filter(|piece| which(&piece.owner.krate)).map(|piece| piece.octets).sum()
    };
    ensure!(octets(&|_| true) == size, "its map has {} octets, the file {size}", octets(&|_| true));
    let nobodys = octets(&|krate| krate.starts_with("(no "));
    ensure!(nobodys * 100 < size, "nobody's are {nobodys} of its {size} octets");
    // The drawing itself, by the command that its users type.
    let drawing = image.with_extension("svg");
    let mut draw = Command::new(std::env::current_exe()?);
    command::run(draw.args(["image", "map"]).arg(image).arg("--output").arg(&drawing))?;
    command::run(Command::new("xmllint").args(["--noout", "--nonet"]).arg(&drawing))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What none of the images has, so that nothing here shows that it would be found.
    const NOWHERE: &[Part] = &[EXFAT, VIRTIO_CONSOLE];

    #[test]
    fn what_must_not_be_there_is_found_where_it_is() {
        let has = |part: &Part| CONTENTS.iter().any(|of| of.has.iter().any(|other| other.path == part.path));
        for part in CONTENTS.iter().flat_map(|of| of.has_not) {
            let is_nowhere = NOWHERE.iter().any(|other| other.path == part.path);
            assert!(has(part) != is_nowhere, "{}: found in an image: {}", part.path, has(part));
        }
    }
}
