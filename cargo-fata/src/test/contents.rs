//! What is not used is not there: that an image has no code of libraries that its appliance does not name.
//!
//! Seen in the image's twin, by the names of its functions and by the source files of its instructions: a function that was
//! inlined has no name left, but its lines. So that the search is known to find what it looks for, what must be there is
//! looked for too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use addr2line::Loader;
use anyhow::{Context, Result, anyhow, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

use crate::image::map;
use crate::{command, images, symbols};

/// What an image has and has not.
pub struct Contents {
    /// Its name in the report.
    pub name: &'static str,
    image: &'static str,
    has: &'static [Part],
    has_not: &'static [Part],
    /// Further lists of what it has not.
    nor: &'static [&'static [Part]],
}

impl Contents {
    /// All that it must not have.
    fn forbidden(&self) -> impl Iterator<Item = &'static Part> {
        self.has_not.iter().chain(self.nor.iter().copied().flatten())
    }
}

/// A library or a part of one: how names of its functions have it, and paths of its files; a star is for
/// the rest of a folder's name.
struct Part {
    path: &'static str,
    files: &'static str,
}

const fn part(path: &'static str, files: &'static str) -> Part {
    Part { path, files }
}

const NETSTACK: Part = part("fata_netstack::", "netstack/src/");
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
const HTTP: Part = part("fata_http::", "/http/src/");
const HTTP2: Part = part("fata_http::h2::", "/http/src/h2/");
const TLS: Part = part("fata_tls::", "/tls/src/");
const RUSTLS: Part = part("rustls::", "/rustls-0.23*/src/");
const ACME: Part = part("fata_acme::", "/acme/src/");
/// What HTTPS brings: certificates that are checked, keys, hashes and ciphers. The generator of random octets has a ChaCha20 of its own,
/// without the Poly1305.
const WEBPKI: Part = part("webpki::", "/rustls-webpki-0.1*/src/");
const P256: Part = part("p256::", "/p256-0.1*/src/");
const ECDSA: Part = part("ecdsa::", "/ecdsa-0.1*/src/");
const ELLIPTIC_CURVE: Part = part("elliptic_curve::", "/elliptic-curve-0.1*/src/");
const SHA2: Part = part("sha2::", "/sha2-0.1*/src/");
const HMAC: Part = part("hmac::", "/hmac-0.1*/src/");
const AEAD: Part = part("fata_aead::", "/tls/aead/src/");
const AES: Part = part("aes::", "/aes-0*/src/");
const POLYVAL: Part = part("polyval::", "/polyval-0*/src/");
const POLY1305: Part = part("poly1305::", "/poly1305-0*/src/");
const DALEK: Part = part("curve25519_dalek::", "/curve25519-dalek-5*/src/");
const HTTPS: Part = part("fata::https::", "src/https/");
const FETCH: Part = part("fata::fetch::", "src/fetch/");
const HTTP_CLIENT: Part = part("fata_http::client::", "/http/src/client/");
const RSA: Part = part("rsa::", "/rsa-0.10*/src/");
const P384: Part = part("p384::", "/p384-0.14*/src/");
const NETFRONT: Part = part("fata_xen::net::", "drivers-xen-pv/src/net/");
const BLKFRONT: Part = part("fata_xen::block::", "drivers-xen-pv/src/block/");
const VIRTIO_BLOCK: Part = part("fata_virtio::block::", "drivers-virtio/src/block");
const BLOCK: Part = part("fata_libos::block::", "libos/src/block/");
const STORAGE: Part = part("fata_storage::", "/storage/src/");
const FAT: Part = part("hadris_fat::", "/hadris-fat-3*/src/");
const EXFAT: Part = part("hadris_fat::exfat::", "/hadris-fat-3*/src/exfat/");
const VIRTIO_NET: Part = part("fata_virtio::net::", "drivers-virtio/src/net/");
/// The generator of random octets, with its key.
const ENTROPY: Part = part("fata_libos::entropy::", "libos/src/entropy/");
const VIRTIO_ENTROPY: Part = part("fata_seed", "drivers-virtio/src/entropy");
const VIRTIO_CONSOLE: Part = part("fata_virtio::console::", "drivers-virtio/src/console");
const XENSTORE: Part = part("fata_xen::xenstore::", "drivers-xen-pv/src/xenstore/");

/// What an image without TLS must not have, and one without a client of HTTP.
const OF_TLS: &[Part] = &[
    TLS,
    RUSTLS,
    WEBPKI,
    P256,
    ECDSA,
    ELLIPTIC_CURVE,
    SHA2,
    HMAC,
    AEAD,
    AES,
    POLYVAL,
    POLY1305,
    DALEK,
    HTTPS,
    RSA,
    P384,
];
const OF_CLIENTS: &[Part] = &[ACME, FETCH, HTTP_CLIENT];

const CONTENTS: [Contents; 10] = [
    Contents {
        name: "contents::hello",
        image: "hello",
        has: &[XENSTORE],
        has_not: &[
            NETSTACK,
            TCP_MACHINE,
            HTTP,
            NETFRONT,
            VIRTIO_NET,
            ENTROPY,
            VIRTIO_ENTROPY,
            VIRTIO_CONSOLE,
            BLOCK,
            BLKFRONT,
            VIRTIO_BLOCK,
        ],
        nor: &[OF_TLS, OF_CLIENTS],
    },
    Contents {
        name: "contents::udp_echo",
        image: "udp_echo",
        has: &[XENSTORE, NETFRONT, VIRTIO_NET, ENTROPY, VIRTIO_ENTROPY, NETSTACK, UDP, UDP_SOCKETS],
        has_not: &[
            IP6,
            IP6_DISCOVERY,
            CAPTURE,
            TCP,
            TCP_MACHINE,
            RESOLVER,
            HTTP,
            BLOCK,
            BLKFRONT,
            VIRTIO_BLOCK,
            VIRTIO_CONSOLE,
        ],
        nor: &[OF_TLS, OF_CLIENTS],
    },
    Contents {
        name: "contents::echo",
        image: "echo",
        has: &[
            XENSTORE,
            NETFRONT,
            VIRTIO_NET,
            VIRTIO_ENTROPY,
            NETSTACK,
            IP6,
            IP6_DISCOVERY,
            TCP,
            TCP_MACHINE,
        ],
        has_not: &[UDP_SOCKETS, RESOLVER, HTTP, BLOCK, BLKFRONT, VIRTIO_BLOCK, VIRTIO_CONSOLE],
        nor: &[OF_TLS, OF_CLIENTS],
    },
    Contents {
        name: "contents::disk",
        image: "disk",
        has: &[XENSTORE, BLOCK, BLKFRONT, VIRTIO_BLOCK],
        has_not: &[NETSTACK, TCP_MACHINE, HTTP, NETFRONT, VIRTIO_NET, ENTROPY, VIRTIO_ENTROPY],
        nor: &[OF_TLS, OF_CLIENTS],
    },
    Contents {
        name: "contents::web",
        image: "web",
        has: &[XENSTORE, NETFRONT, VIRTIO_NET, VIRTIO_ENTROPY, NETSTACK, CAPTURE, TCP, TCP_MACHINE, HTTP],
        has_not: &[UDP_SOCKETS, RESOLVER, BLOCK, BLKFRONT, VIRTIO_BLOCK, VIRTIO_CONSOLE, STORAGE, HTTP2],
        nor: &[OF_TLS, OF_CLIENTS],
    },
    Contents {
        name: "contents::web_tls",
        image: "web+tls",
        has: &[
            NETSTACK,
            HTTP,
            TLS,
            RUSTLS,
            WEBPKI,
            P256,
            ECDSA,
            ELLIPTIC_CURVE,
            SHA2,
            HMAC,
            AEAD,
            AES,
            POLYVAL,
            POLY1305,
            DALEK,
            HTTPS,
            ENTROPY,
            VIRTIO_ENTROPY,
        ],
        has_not: &[
            HTTP2,
            RSA,
            P384,
            BLOCK,
            BLKFRONT,
            VIRTIO_BLOCK,
            STORAGE,
            UDP_SOCKETS,
            RESOLVER,
            VIRTIO_CONSOLE,
        ],
        nor: &[OF_CLIENTS],
    },
    Contents {
        name: "contents::web_tls_h2_disk",
        image: "web+h2+disk",
        has: &[NETSTACK, HTTP, HTTP2, TLS, RUSTLS, BLOCK, STORAGE],
        has_not: &[RSA, P384, FAT, UDP_SOCKETS, RESOLVER, VIRTIO_CONSOLE, EXFAT],
        nor: &[OF_CLIENTS],
    },
    Contents {
        name: "contents::web_disk",
        image: "web-disk",
        has: &[NETSTACK, HTTP, BLOCK, BLKFRONT, VIRTIO_BLOCK, STORAGE, FAT],
        has_not: &[UDP_SOCKETS, RESOLVER, VIRTIO_CONSOLE, EXFAT],
        nor: &[OF_TLS, OF_CLIENTS],
    },
    Contents {
        name: "contents::iperf",
        image: "iperf",
        has: &[XENSTORE, NETFRONT, VIRTIO_NET, VIRTIO_ENTROPY, NETSTACK, TCP, TCP_MACHINE, UDP],
        has_not: &[RESOLVER, HTTP, BLOCK, BLKFRONT, VIRTIO_BLOCK, VIRTIO_CONSOLE],
        nor: &[OF_TLS, OF_CLIENTS],
    },
    Contents {
        name: "contents::proxy",
        image: "proxy",
        has: &[NETSTACK, HTTP, HTTP2, HTTP_CLIENT, FETCH, TLS, RUSTLS, RESOLVER, BLOCK, STORAGE, FAT],
        has_not: &[ACME, RSA, P384, VIRTIO_CONSOLE, EXFAT],
        nor: &[],
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
        for part in self.forbidden() {
            let found = seen.function(part).or_else(|| seen.file(part));
            ensure!(found.is_none(), "{} has {} of {}", self.image, found.unwrap_or_default(), part.path);
        }
        check_info(&image, &seen)?;
        check_map(&image)
    }
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

/// What is in a file with symbols.
struct Seen {
    /// Names of functions and constants.
    names: Vec<String>,
    /// Source files that instructions come from.
    files: BTreeSet<String>,
}

impl Seen {
    fn of(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)?;
        let file = object::File::parse(&*bytes)?;
        let names = file.symbols().filter_map(|symbol| symbol.name().ok());
        let names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name))).collect();
        let code = file.sections().find(|section| section.kind() == SectionKind::Text);
        let code = code.context("no code")?;
        let lines = Loader::new(path).map_err(|error| anyhow!("no line tables: {error}"))?;
        let all = lines.find_location_range(code.address(), code.address() + code.size());
        let all = all.map_err(|error| anyhow!("the line tables cannot be read: {error}"))?;
        let files: BTreeSet<String> =
            all.filter_map(|(_, _, location)| Some(location.file?.to_owned())).collect();
        ensure!(!files.is_empty(), "no line tables");
        Ok(Self { names, files })
    }

    fn function(&self, part: &Part) -> Option<&str> {
        self.names.iter().map(String::as_str).find(|name| name.contains(part.path))
    }

    fn file(&self, part: &Part) -> Option<&str> {
        self.files.iter().map(String::as_str).find(|file| matches(file, part.files))
    }
}

/// Whether a path has a pattern in it, whose star is for the rest of a folder's name.
fn matches(path: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return path.contains(pattern) };
    path.match_indices(before).any(|(at, _)| {
        let rest = &path[at + before.len()..];
        rest.find('/').is_some_and(|end| rest[end..].starts_with(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What none of the images has, so that nothing here shows that it would be found.
    const NOWHERE: &[Part] = &[ACME, RSA, P384, EXFAT, VIRTIO_CONSOLE];

    #[test]
    fn what_must_not_be_there_is_found_where_it_is() {
        let has = |part: &Part| CONTENTS.iter().any(|of| of.has.iter().any(|other| other.path == part.path));
        for part in CONTENTS.iter().flat_map(Contents::forbidden) {
            let is_nowhere = NOWHERE.iter().any(|other| other.path == part.path);
            assert!(has(part) != is_nowhere, "{}: found in an image: {}", part.path, has(part));
        }
    }

    #[test]
    fn a_star_is_for_the_rest_of_a_name() {
        assert!(matches("/registry/smoltcp-0.14.0/src/lib.rs", "/smoltcp-*/src/"));
        assert!(!matches("/registry/smoltcp-0.14.0/core/src/fmt.rs", "/smoltcp-*/src/"));
        assert!(matches("/fata/http/src/lib.rs", "http/src/"));
    }
}
