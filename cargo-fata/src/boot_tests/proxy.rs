//! The appliance `proxy` before two servers in dom0: names by SNI, a server that ends, and a download that outlives `xl shutdown`; and between
//! clients and servers of this machine ([`passing`]).

mod passing;
mod peers;

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::web_tls::{CHAIN, KEY, ROOT, disk};
use super::{BootTest, temporary};
use crate::command;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(60);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[BootTest::new("boot::proxy::passes_on_and_drains", 300, passes_on)];

/// What leads from guests to this machine: two servers of nginx, HAProxy, and one of WebSockets.
pub const SERVERS: [SocketAddrV4; 4] = [server(1), server(2), server(3), server(4)];

const fn server(number: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 9), 8000 + number)
}

const CONFIG: &str = "pool app
    server 10.0.2.14:8081
    server 10.0.2.14:8082
    check /name every=1s timeout=2s rise=1 fall=2
host server.test
    pool app
    certificate server.test
host other.test
    pool app

pool v1
    server 10.0.2.9:8003
    send-proxy v1
host v1.test
    pool v1
    certificate server.test
pool v2
    server 10.0.2.9:8003
    send-proxy v2
host v2.test
    pool v2
    certificate server.test
pool one
    server 10.0.2.9:8001
host kept.test
    pool one
    certificate server.test
pool both
    server 10.0.2.9:8001
    server 10.0.2.9:8002
host both.test
    pool both
    certificate server.test
pool sockets
    server 10.0.2.9:8004
host sockets.test
    pool sockets
    certificate server.test
";
/// The disk with the certificates may become so long, octets.
const DISK: usize = 16 << 10;

/// Each says its own name; what is large is the same.
const BEGIN: &str = "rm -rf /tmp/one /tmp/two; mkdir -p /tmp/one /tmp/two; echo one >/tmp/one/name; echo two >/tmp/two/name; \
    head -c 16000000 /dev/urandom >/tmp/one/large; cp /tmp/one/large /tmp/two/large; \
    busybox httpd -p 8081 -h /tmp/one; busybox httpd -p 8082 -h /tmp/two";
const END: &str = "pkill busybox; rm -rf /tmp/one /tmp/two /tmp/got; true";
const NAMES: &str = "--resolve server.test:443:10.0.2.15 --resolve other.test:443:10.0.2.15";

fn passes_on(host: &mut Host) -> Result<()> {
    host.sh(BEGIN, SOON)?.ok()?;
    host.put("/tmp/root.pem", ROOT.as_bytes())?;
    let result = with_guest(host);
    host.sh(END, SOON)?;
    result
}

fn with_guest(host: &mut Host) -> Result<()> {
    let (_, disk) = disk(host, &archive(CHAIN, KEY)?, "ro")?;
    let spec = GuestSpec::new("proxy", image("proxy")?).memory(32).network();
    // By way of the ports that lead to guests, clients of this machine come from QEMU's gateway.
    let trusted = format!("proxy-from=10.0.2.2 trust-forwarded={}", passing::TRUSTED);
    let params = format!("admin-port=9090 drain=30s idle=5min reload=1s {trusted}");
    let guest = host.create(&spec.extra(&params).config(&disk))?;
    guest.wait_console("HTTPS on port 443", SOON)?;
    guest.wait_console("link up", SOON)?;
    let result = names(host)
        .and_then(|()| passing::all(host, &guest, archive))
        .and_then(|()| one_ends(host))
        .and_then(|()| drains(host, &guest));
    result.map_err(|error| error.context(guest.console()))?;
    guest.destroy()
}

/// The configuration and this certificate of one of its hosts, in an archive that fills the disk.
fn archive(chain: &str, key: &str) -> Result<Vec<u8>> {
    let folder = temporary("proxy");
    fs::create_dir_all(folder.join("server.test"))?;
    for (name, text) in
        [("proxy.conf", CONFIG), ("server.test/chain.pem", chain), ("server.test/key.pem", key)]
    {
        fs::write(folder.join(name), text)?;
    }
    let archive = folder.join("config.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&folder).arg("-czf").arg(&archive).args(["proxy.conf", "server.test"]);
    let octets = command::run(&mut tar).and_then(|_| Ok(fs::read(&archive)?));
    let _ = fs::remove_dir_all(&folder);
    let mut octets = octets?;
    ensure!(octets.len() <= DISK, "the archive has {} octets", octets.len());
    octets.resize(DISK, 0);
    Ok(octets)
}

/// Both names are served, with their own certificates, by both servers; a name that the connection was not made for is not.
fn names(host: &Host) -> Result<()> {
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8; do
            curl -sSf --max-time 20 --retry 3 --retry-connrefused --cacert /tmp/root.pem {NAMES} https://server.test/name || exit 1
        done >/tmp/got; wc -l </tmp/got; sort -u /tmp/got
        curl -sS --max-time 20 --cacert /tmp/root.pem {NAMES} -o /dev/null https://other.test/name; echo untrusted $?
        curl -sSk --max-time 20 {NAMES} -o /dev/null -w 'other %{{http_code}} HTTP/%{{http_version}}\\n' https://other.test/name
        curl -sS --max-time 20 --cacert /tmp/root.pem {NAMES} -H 'Host: other.test' -o /dev/null -w 'misdirected %{{http_code}}\\n' https://server.test/name
        curl -sS --max-time 20 --cacert /tmp/root.pem {NAMES} -o /tmp/got https://server.test/large; cmp /tmp/got /tmp/one/large && echo whole"
    );
    let said = host.sh(&script, 3 * SOON)?.stdout;
    // curl's 60: the certificate is not one of a root that it knows.
    let expected = "8\none\ntwo\nuntrusted 60\nother 200 HTTP/2\nmisdirected 421\nwhole\n";
    ensure!(said == expected, "it said:\n{said}");
    Ok(())
}

/// A server ends while requests come: none of them fails, and it is down then.
fn one_ends(host: &Host) -> Result<()> {
    let script = format!(
        "pkill -f 'httpd -p [8]082'
        for i in $(seq 20); do
            curl -sSf --max-time 20 --cacert /tmp/root.pem {NAMES} https://server.test/name || exit 1
        done >/tmp/got; wc -l </tmp/got; sort -u /tmp/got
        for i in $(seq 100); do
            curl -sS --max-time 20 http://10.0.2.15:9090/metrics | grep '^proxy_backend_up.*=.app' >/tmp/up
            grep -q '8082\"}} 0$' /tmp/up && break; sleep 0.2
        done; sed 's/.*:\\([0-9]*\\)\"}}/\\1/' /tmp/up"
    );
    let said = host.sh(&script, 2 * SOON)?.stdout;
    ensure!(said == "20\none\n8081 1\n8082 0\n", "it said:\n{said}");
    Ok(())
}

/// Who asks the guest to leave in the middle of a download sees it end whole, and then the guest.
fn drains(host: &Host, guest: &Guest) -> Result<()> {
    let begin = format!(
        "rm -f /tmp/got /tmp/code; (curl -sS --max-time 60 --limit-rate 4M --cacert /tmp/root.pem {NAMES} -o /tmp/got https://server.test/large \
         >/tmp/said 2>&1; echo $? >/tmp/code) >/dev/null 2>&1 &
        until [ \"$(stat -c %s /tmp/got 2>/dev/null || echo 0)\" -gt 1000000 ]; do sleep 0.1; done; stat -c %s /tmp/got"
    );
    let so_far: u64 = host.sh(&begin, SOON)?.ok()?.stdout.trim().parse().context("no size")?;
    ensure!(so_far < 12_000_000, "the download was as good as over: {so_far}");
    guest.xl("shutdown")?;
    let script = format!(
        "sleep 0.5; curl -sS --max-time 5 --cacert /tmp/root.pem {NAMES} -o /dev/null https://server.test/name 2>/dev/null; echo new $?
        for i in $(seq 300); do [ -s /tmp/code ] && break; sleep 0.1; done; cat /tmp/code /tmp/said; cmp /tmp/got /tmp/one/large && echo whole"
    );
    let said = host.sh(&script, 2 * SOON)?.stdout;
    // curl's 7: refused.
    ensure!(said == "new 7\n0\nwhole\n", "it said:\n{said}");
    let end = guest.wait_gone(SOON)?;
    ensure!(end == End::PowerOff, "it {end}");
    Ok(())
}
