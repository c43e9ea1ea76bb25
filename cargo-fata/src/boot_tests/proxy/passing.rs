//! What passes between clients of this machine and servers of this machine, with the guest between them: whose requests servers are told that
//! they are, which server gets one and over which connection, WebSockets, and connections that outlive their certificate.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::peers::Peers;
use super::{NAMES, SOON};
use crate::xen_host::Host;
use crate::xen_host::guest::Guest;
use crate::{command, interrupt};

/// Nobody's, as far as the guest knows, and one whose fields it believes.
const STRANGER: &str = "127.0.0.9";
pub const TRUSTED: &str = "127.0.0.8";
/// Requests one after the other.
const IN_A_ROW: usize = 6;

/// Every one of them.
pub fn all(host: &Host, guest: &Guest, archive: impl Fn(&str, &str) -> Result<Vec<u8>>) -> Result<()> {
    let mut peers = Peers::start(host)?;
    peers.go_on("echoed").context("WebSockets")?;
    told(&peers)?;
    fields(host, &peers)?;
    least(&peers)?;
    replaced(host, guest, &mut peers, archive).context("another certificate")
}

fn curl(front: u16, from: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-sSfk", "--noproxy", "*", "--interface", from]);
    curl.args(["--connect-to", &format!("::127.0.0.1:{front}")]);
    curl
}

/// What a client gets by way of HAProxy.
fn ask(front: u16, from: &str, url: &str, more: &[&str]) -> Result<String> {
    let mut curl = curl(front, from);
    Ok(command::run(curl.args(["--max-time", "60"]).args(more).arg(url))?.stdout)
}

/// The PROXY protocol in both versions, from HAProxy and to HAProxy.
fn told(peers: &Peers) -> Result<()> {
    for (front, host) in peers.fronts.into_iter().zip(["v1.test", "v2.test"]) {
        let said = ask(front, STRANGER, &format!("https://{host}/"), &["-w", "%{local_port}"])?;
        let (said, port) = said.split_once('\n').unwrap_or_default();
        let wanted = format!("{STRANGER}:{port} 127.0.0.1:{front} {STRANGER}");
        ensure!(!port.is_empty() && said == wanted, "{host} was told {said}, not {wanted}");
    }
    Ok(())
}

/// Fields about the client, and the connection that requests of all clients have in common.
fn fields(host: &Host, peers: &Peers) -> Result<()> {
    let claims = [
        "-H",
        "X-Forwarded-For: 192.0.2.1",
        "-H",
        "X-Forwarded-Proto: http",
        "-H",
        "X-Forwarded-Host: other",
        "-H",
        "Forwarded: for=192.0.2.1",
    ];
    let url = "https://kept.test/";
    let [first, second] = peers.fronts;
    let stranger = format!("[{STRANGER}] [https] [kept.test] []");
    let believed =
        format!("[192.0.2.1, {TRUSTED}] [http] [other] [for=192.0.2.1, for={TRUSTED};proto=https]");
    let direct =
        host.sh(&format!("curl -sSfk --max-time 30 --resolve kept.test:443:10.0.2.15 {url}"), SOON)?;
    let mut all = vec![(direct.ok()?.stdout, "[10.0.2.14] [https] [kept.test] []")];
    for n in 0..IN_A_ROW {
        all.push(match n % 2 {
            0 => (ask(first, STRANGER, url, &claims)?, &*stranger),
            _ => (ask(second, TRUSTED, url, &claims)?, &*believed),
        });
    }
    let mut connection = None;
    for (n, (said, wanted)) in all.iter().enumerate() {
        let (of_connection, of_client) = said.split_once(" [").unwrap_or_default();
        ensure!(format!("[{of_client}") == format!("{wanted}\n"), "{said}, not {wanted}");
        let (kept, requests) = of_connection.rsplit_once(' ').unwrap_or_default();
        let is_same = *connection.get_or_insert(kept) == kept && requests == (n + 1).to_string();
        ensure!(is_same, "request {n} did not come over the one connection: {all:?}");
    }
    Ok(())
}

/// A request that is held at one of two servers, until it is dropped.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// While one server has a request under way, the other one gets all that come.
fn least(peers: &Peers) -> Result<()> {
    let (head, front) = (peers.file("head"), peers.fronts[0]);
    let mut held = curl(front, STRANGER);
    held.arg("-D").arg(&head).args(["-o", "/dev/null", "--max-time", "300", "https://both.test/held"]);
    let _held = Held(held.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let started = Instant::now();
    let name = loop {
        interrupt::check()?;
        let head = fs::read_to_string(&head).unwrap_or_default().to_lowercase();
        if let Some((_, rest)) = head.split_once("x-name: ").filter(|(_, rest)| rest.contains('\n')) {
            break rest.lines().next().unwrap_or_default().to_owned();
        }
        ensure!(started.elapsed() < SOON, "no server has the request that is held: {head}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let other = if name == "one" { "two" } else { "one" };
    for n in 0..IN_A_ROW {
        let said = ask(front, STRANGER, "https://both.test/", &[])?;
        ensure!(said.starts_with(&format!("{other} ")), "with one held at {name}, request {n} had {said}");
    }
    Ok(())
}

/// A certificate that takes the first one's place on the disk is shown to who comes; connections that there are go on.
fn replaced(
    host: &Host,
    guest: &Guest,
    peers: &mut Peers,
    archive: impl Fn(&str, &str) -> Result<Vec<u8>>,
) -> Result<()> {
    let (chain, key) = (peers.file("chain.pem"), peers.file("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    openssl.args(["-subj", "/CN=server.test", "-addext", "subjectAltName=DNS:server.test", "-days", "9"]);
    command::run(openssl.arg("-keyout").arg(&key).arg("-out").arg(&chain))?;
    let (chain, key) = (fs::read_to_string(chain)?, fs::read_to_string(key)?);
    host.put("/tmp/new.img", &archive(&chain, &key)?)?;
    // Who comes later trusts this one alone.
    host.put("/tmp/root.pem", chain.as_bytes())?;
    host.sh("dd if=/tmp/new.img of=/tmp/keys.img bs=1M conv=notrunc,fsync status=none", SOON)?.ok()?;
    guest.wait_console("another certificate is shown from now on", SOON)?;
    let ask = format!("curl -sSf --max-time 30 --cacert /tmp/root.pem {NAMES} https://server.test/name");
    let said = host.sh(&ask, SOON)?.ok()?.stdout;
    ensure!(said == "one\n" || said == "two\n", "over the new one: {said}");
    peers.go_on("went on").context("connections that were there")
}
