//! Guests that go on from what QEMU saved of one: two copies and the original. None has random octets of another, nor a handshake of TLS.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::guest::SOON;
use super::{ADDRESS, Machine, qmp};
use crate::interrupt;
use crate::xen_host::qemu::{end_with_this_thread, free_port};

/// A machine, and how often the generator has been seeded when a guest is asked: of the original, and of a copy.
struct Case {
    machine: &'static str,
    /// What the copies are left alone for before they are asked.
    after: Duration,
    original: fn(u32) -> bool,
    copy: fn(u32) -> bool,
}

const CASES: [Case; 4] = [
    // The processor's generator, and a host that tells copies apart.
    Case {
        machine: "-M pc -cpu max -device vmgenid,guid=auto",
        after: Duration::ZERO,
        original: |seeds| seeds == 1,
        copy: |seeds| seeds == 2,
    },
    // The processor's generator alone: a word of it is in each request.
    Case {
        machine: "-M q35 -cpu max",
        after: Duration::ZERO,
        original: |seeds| seeds == 1,
        copy: |seeds| seeds == 1,
    },
    // The machine's, and a host that tells copies apart.
    Case {
        machine: "-M q35 -cpu qemu64 -device virtio-rng-pci -device vmgenid,guid=auto",
        after: Duration::ZERO,
        original: |seeds| seeds >= 1,
        copy: |seeds| seeds >= 2,
    },
    // The machine's alone: it is asked again each second.
    Case {
        machine: "-M q35 -cpu qemu64 -device virtio-rng-pci",
        after: Duration::from_millis(1100),
        original: |seeds| seeds >= 1,
        copy: |seeds| seeds >= 2,
    },
];

pub(super) fn restored_guests_reseed(logs: &Path) -> Result<()> {
    CASES.iter().try_for_each(|case| octets_of(logs, case).context(case.machine))?;
    handshakes(logs)
}

/// A guest with a monitor.
struct Monitored {
    guest: Machine,
    socket: PathBuf,
}

impl Monitored {
    fn start(logs: &Path, image: &str, append: &str, machine: &str) -> Result<Self> {
        let socket = logs.join(format!("qmp-{}", free_port()?));
        let machine = format!("{machine} -no-reboot -qmp unix:{},server=on,wait=off", socket.display());
        Ok(Self { guest: Machine::start(logs, image, append, &machine)?, socket })
    }

    /// Another that goes on from what was saved of one.
    fn restore(logs: &Path, image: &str, append: &str, machine: &str, saved: &Path) -> Result<Self> {
        // Without a space: that would be another argument.
        let copy =
            Self::start(logs, image, append, &format!("{machine} -incoming exec:cat<{}", saved.display()))?;
        copy.wait("it does not run", |copy| {
            // Until QEMU listens nobody takes it.
            qmp(&copy.socket, r#"{"execute": "query-status"}"#).is_ok_and(|said| said.contains("\"running\""))
        })?;
        Ok(copy)
    }

    /// Has QEMU save the guest, which goes on then.
    fn save(&self, logs: &Path) -> Result<PathBuf> {
        let file = logs.join(format!("saved-{}", free_port()?));
        let part = file.with_extension("part");
        let (part, whole) = (part.display(), file.display());
        let to = json!({ "uri": format!("exec:cat>{part}&&mv {part} {whole}") });
        qmp(&self.socket, &json!({ "execute": "migrate", "arguments": to }).to_string())?;
        self.wait("it is not saved", |guest| {
            let said = qmp(&guest.socket, r#"{"execute": "query-migrate"}"#);
            file.exists() && said.is_ok_and(|said| said.contains("\"completed\""))
        })?;
        qmp(&self.socket, r#"{"execute": "cont"}"#)?;
        Ok(file)
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        let end = Instant::now() + SOON;
        while !is_so(self) {
            interrupt::check()?;
            ensure!(Instant::now() < end, "{what}: {}", self.guest.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Random octets of the guest, and how often they have been seeded.
    fn octets(&mut self) -> Result<(String, u32)> {
        let before = self.guest.log().len();
        self.guest.type_line("more\r")?;
        let is_whole = |new: &str| new.contains("seeds ") && new.ends_with('\n');
        self.guest.wait_log_until("random octets", |log| log.get(before..).is_some_and(is_whole))?;
        let log = self.guest.log();
        let new = log.get(before..).unwrap_or_default();
        let field = |name: &str| new.lines().find_map(|line| line.strip_prefix(name));
        let octets = field("random ").with_context(|| format!("no octets: {new}"))?;
        Ok((octets.to_owned(), field("seeds ").context("no count of seeds")?.parse()?))
    }
}

fn octets_of(logs: &Path, case: &Case) -> Result<()> {
    let (image, append) = ("probe", "case=randoms");
    let mut original = Monitored::start(logs, image, append, case.machine)?;
    original.guest.wait_log("type")?;
    let mut seen = vec![original.octets()?.0];
    let saved = original.save(logs)?;
    let copies = [(); 2].map(|()| Monitored::restore(logs, image, append, case.machine, &saved));
    let [first, second] = copies;
    for (guest, is_right) in
        [(&mut first?, case.copy), (&mut second?, case.copy), (&mut original, case.original)]
    {
        std::thread::sleep(case.after);
        // What the second request gives stands on what the first one has left.
        for _ in 0..2 {
            let (octets, seeds) = guest.octets()?;
            ensure!(is_right(seeds), "seeded {seeds} times when it gave {octets}: {}", guest.guest.log());
            seen.push(octets);
        }
    }
    fs::remove_file(saved)?;
    ensure!(seen.iter().collect::<BTreeSet<_>>().len() == 7, "the same octets twice: {seen:#?}");
    Ok(())
}

/// A processor without instructions for AES.
const OLD: &str = "-M q35 -cpu qemu64 -device virtio-rng-pci -device vmgenid,guid=auto";

/// OpenSSL's clients of a web server on such a processor, with each cipher; and of its copies, whose handshakes have nothing in common.
fn handshakes(logs: &Path) -> Result<()> {
    let (image, append) = ("web+tls", format!("{ADDRESS} names=server.test"));
    let ports = [free_port()?, free_port()?, free_port()?];
    let machine = |port: u16| {
        format!("{OLD} -netdev user,id=n0,hostfwd=tcp:127.0.0.1:{port}-:443 -device virtio-net-pci,netdev=n0")
    };
    let original = Monitored::start(logs, image, &append, &machine(ports[0]))?;
    original.guest.wait_log("HTTPS on port 443")?;
    original.guest.wait_log("link up")?;
    for options in [
        "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256",
        "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384",
        "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
        "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305",
    ] {
        s_client(ports[0], options).with_context(|| format!("{options}: {}", original.guest.log()))?;
    }
    let before = of_tls12(ports[0])?;
    let saved = original.save(logs)?;
    let copies =
        [ports[1], ports[2]].map(|port| Monitored::restore(logs, image, &append, &machine(port), &saved));
    let [_first, _second] = copies;
    let (_first, _second) = (_first?, _second?);
    let mut seen = vec![before];
    for port in ports {
        seen.push(of_tls12(port).with_context(|| original.guest.log())?);
    }
    fs::remove_file(saved)?;
    let distinct = |part: fn(&OfTls12) -> &[u8]| seen.iter().map(part).collect::<BTreeSet<_>>().len();
    // The name of its key is in a ticket: all have the one of before, so that nonces must differ.
    ensure!(distinct(|seen| &seen.key_name) == 1, "not one key of tickets");
    ensure!(distinct(|seen| &seen.nonce) == 4, "tickets of copies share a nonce");
    ensure!(distinct(|seen| &seen.random) == 4, "handshakes of copies share their random octets");
    ensure!(distinct(|seen| &seen.share) == 4, "copies share a key exchange");
    Ok(())
}

/// What a handshake of TLS 1.2 shows of random octets.
struct OfTls12 {
    /// Of the server.
    random: Vec<u8>,
    /// The server's part of the key exchange: curve and point.
    share: Vec<u8>,
    /// Of the ticket: whose key it is sealed by, and with which nonce.
    key_name: Vec<u8>,
    nonce: Vec<u8>,
}

fn of_tls12(port: u16) -> Result<OfTls12> {
    let said = s_client(port, "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256")?;
    let part = |name: &str, start: usize, length: usize| -> Result<Vec<u8>> {
        let message = message(&said, name);
        let part = message.get(start..start + length);
        part.map(<[u8]>::to_vec).with_context(|| format!("a short {name}: {message:x?}: {said}"))
    };
    Ok(OfTls12 {
        // RFC 5246, section 7.4.1.3; RFC 8422, section 5.4; RFC 5077, section 3.3. Each behind four octets of type and length.
        random: part("ServerHello", 6, 32)?,
        share: part("ServerKeyExchange", 4, 36)?,
        key_name: part("NewSessionTicket", 10, 16)?,
        nonce: part("NewSessionTicket", 26, 12)?,
    })
}

/// The octets of a handshake's message, as `-msg` shows them.
fn message(said: &str, name: &str) -> Vec<u8> {
    let mut lines = said.lines().skip_while(|line| !(line.starts_with("<<<") && line.ends_with(name)));
    lines.next();
    let octets = lines.take_while(|line| line.starts_with("    ")).flat_map(str::split_ascii_whitespace);
    octets.filter_map(|octet| u8::from_str_radix(octet, 16).ok()).collect()
}

/// What `openssl s_client` says of a connection over which it gets a page.
fn s_client(port: u16, options: &str) -> Result<String> {
    let mut openssl = Command::new("timeout");
    openssl.args(["30", "openssl", "s_client", "-msg", "-ign_eof", "-servername", "server.test"]);
    openssl.args(["-connect", &format!("127.0.0.1:{port}")]).args(options.split(' '));
    openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    end_with_this_thread(&mut openssl);
    let mut openssl = openssl.spawn().context("cannot start openssl")?;
    let mut stdin = openssl.stdin.take().context("no stdin")?;
    stdin.write_all(b"GET / HTTP/1.1\r\nHost: server.test\r\nConnection: close\r\n\r\n")?;
    drop(stdin);
    let output = openssl.wait_with_output()?;
    let [said, errors] =
        [output.stdout, output.stderr].map(|octets| String::from_utf8_lossy(&octets).into_owned());
    let suite = options.rsplit(' ').next().unwrap_or_default();
    ensure!(said.contains(&format!("Cipher is {suite}")), "another suite than {suite}: {errors}{said}");
    ensure!(said.contains("HTTP/1.1 200"), "no page: {errors}{said}");
    Ok(said)
}
