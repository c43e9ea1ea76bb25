//! The web server and the proxy with a certificate of an authority: the ACME server of Debian's caddy in dom0.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};
use crate::{cache, command};

const SOON: Duration = Duration::from_secs(60);
const AUTHORITY: &str =
    "acme=https://10.0.2.14:14000/acme/local/directory acme-terms=on acme-contact=admin@web.test";
const METRICS: &str = "https://web.test/metrics";

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[BootTest::new("boot::web_acme::got_kept_and_got_again", 500, got).long()];

/// The authority, two disks for the guest, and what its name means.
const BEGIN: &str = "rm -rf /tmp/authority; mkdir -p /tmp/authority; cd /tmp/authority; chmod +x /tmp/caddy; \
    cp /etc/hosts hosts; echo 10.0.2.15 web.test >>/etc/hosts; \
    printf '{\\n admin off\\n skip_install_trust\\n storage file_system /tmp/authority/data\\n auto_https disable_redirects\\n \
    https_port 14000\\n http_port 14001\\n}\\nhttps://10.0.2.14:14000 {\\n tls internal\\n acme_server\\n}\\n' >Caddyfile; \
    HOME=/tmp/authority nohup /tmp/caddy run --config Caddyfile --adapter caddyfile >log 2>&1 </dev/null & \
    cd /tmp/authority; cert=data/pki/authorities/local/root.crt; for n in $(seq 300); do \
    curl -sf --max-time 5 -o directory --cacert $cert https://10.0.2.14:14000/acme/local/directory && break; sleep 0.2; done; \
    [ -s directory ] || { cat log; exit 1; }; cp $cert root.pem; cp root.pem roots.img; truncate -s %512 roots.img; truncate -s 1M acme.img; \
    losetup --find --show acme.img; losetup --read-only --find --show roots.img; \
    printf 'pool app\\n server 10.0.2.14:8080\\nhost web.test\\n pool app\\n' >proxy.conf; busybox tar -cf proxy.img proxy.conf; \
    truncate -s %512 proxy.img; truncate -s 1M proxy-acme.img; losetup --read-only --find --show proxy.img; \
    losetup --find --show proxy-acme.img; mkdir www; echo 'a page of dom0' >www/page; busybox httpd -p 8080 -h www";
const END: &str = "pkill caddy; pkill busybox; cp /tmp/authority/hosts /etc/hosts; losetup -D; rm -rf /tmp/authority /tmp/caddy; true";

/// Debian's caddy: the one that is installed, else the package without its service.
fn caddy() -> Result<PathBuf> {
    let installed = PathBuf::from("/usr/bin/caddy");
    if installed.exists() {
        return Ok(installed);
    }
    let program = cache::root()?.join("caddy");
    if program.exists() {
        return Ok(program);
    }
    let folder = super::temporary("caddy");
    fs::create_dir_all(&folder)?;
    let mut unpack = Command::new("sh");
    unpack.arg("-c").arg("cd \"$0\" && apt-get -qq download caddy && dpkg -x caddy_*.deb .").arg(&folder);
    let unpacked = command::run(&mut unpack).context("Debian's package caddy, which apt-get does not give");
    // Into its place at once: the tests of fata-acme look for it too.
    let own = program.with_extension(std::process::id().to_string());
    let placed = unpacked.and_then(|_| {
        fs::create_dir_all(cache::root()?)?;
        fs::copy(folder.join("usr/bin/caddy"), &own)?;
        Ok(fs::rename(&own, &program)?)
    });
    let _ = fs::remove_dir_all(&folder);
    placed.map(|()| program)
}

fn got(host: &mut Host) -> Result<()> {
    host.put("/tmp/caddy", &fs::read(caddy()?)?)?;
    let result = host
        .sh(BEGIN, SOON * 2)
        .and_then(|said| Ok(said.ok()?.stdout))
        .and_then(|devices| with_authority(host, &devices).context("with the authority"));
    let log = host.sh("tail -n 5 /tmp/authority/log", SOON)?.stdout;
    host.sh(END, SOON)?;
    result.context(log)
}

fn with_authority(host: &mut Host, devices: &str) -> Result<()> {
    let devices: Vec<&str> = devices.split_whitespace().collect();
    let [acme, roots, config, acme_of_proxy] = devices[..] else { bail!("the disks are {devices:?}") };
    let disks = format!("disk = [ {}, {} ]", disk("xvda", "rw", acme), disk("xvdb", "ro", roots));
    web(host, &disks)?;
    let (config, acme) = (disk("xvda", "ro", config), disk("xvdb", "rw", acme_of_proxy));
    proxy(host, &format!("disk = [ {config}, {acme}, {} ]", disk("xvdc", "ro", roots)))
}

fn disk(place: &str, access: &str, device: &str) -> String {
    format!("'format=raw,backendtype=phy,vdev={place},access={access},script=/fata/block,target={device}'")
}

fn web(host: &mut Host, disks: &str) -> Result<()> {
    // By http-01, for a name and an address; until then it shows a certificate of its own.
    let both = "names=web.test,10.0.2.15 acme-ways=http-01";
    let guest = serve(host, disks, both)?;
    guest.wait_console("a certificate made here", SOON)?;
    guest.wait_console("a certificate has come", SOON)?;
    let first = serial(host, &guest)?;
    page(host, &guest, "https://10.0.2.15/4k.html")?;
    figures(host, &guest, 1, METRICS)?;
    let status = curl(host, "https://web.test/status.json")?;
    ensure!(status.contains("\"acme\":{") && status.contains("web.test"), "{status}");
    guest.destroy()?;
    // From the disk, at once and without an order.
    let guest = serve(host, disks, both)?;
    guest.wait_console("the disk acme has a certificate", SOON)?;
    ensure!(serial(host, &guest)? == first, "another one: {}", guest.console());
    figures(host, &guest, 0, METRICS)?;
    guest.destroy()?;
    // Other names want another one: by tls-alpn-01.
    let guest = serve(host, disks, "names=web.test acme-ways=tls-alpn-01")?;
    guest.wait_console("a certificate has come", SOON)?;
    ensure!(serial(host, &guest)? != first, "the same one: {}", guest.console());
    figures(host, &guest, 1, METRICS)?;
    guest.destroy()
}

/// The same of the proxy, with nothing that listens for HTTP: by tls-alpn-01, and from its disk at the next start.
fn proxy(host: &mut Host, disks: &str) -> Result<()> {
    let params = format!("{AUTHORITY} http=off admin-port=9090");
    let mut serials = Vec::new();
    for (said, certificates) in [("a certificate has come", 1), ("the disk acme has a certificate", 0)] {
        let spec = GuestSpec::new("proxy-acme", image("proxy+acme")?).memory(32).network();
        let guest = host.create(&spec.extra(&params).config(disks))?;
        guest.wait_console("HTTPS on port 443", SOON)?;
        guest.wait_console(said, SOON)?;
        let page = curl(host, "https://web.test/page").with_context(|| guest.console())?;
        ensure!(page == "a page of dom0\n", "{page}");
        serials.push(serial_of(host, "https://web.test/page")?);
        figures(host, &guest, certificates, "http://10.0.2.15:9090/metrics")?;
        guest.destroy()?;
    }
    ensure!(serials[0] == serials[1], "another one from the disk: {serials:?}");
    Ok(())
}

fn serve(host: &mut Host, disks: &str, params: &str) -> Result<Guest> {
    let spec = GuestSpec::new("web-acme", image("web+h2+acme")?).memory(32).network();
    let guest = host.create(&spec.extra(&format!("{AUTHORITY} {params}")).config(disks))?;
    guest.wait_console("HTTPS on port 443", SOON)?;
    Ok(guest)
}

/// Trusting the authority alone.
fn curl(host: &Host, arguments: &str) -> Result<String> {
    let script = format!(
        "curl -sS --max-time 30 --retry 5 --retry-connrefused --cacert /tmp/authority/root.pem {arguments}"
    );
    Ok(host.sh(&script, SOON)?.ok()?.stdout)
}

fn page(host: &Host, guest: &Guest, url: &str) -> Result<()> {
    let said = curl(host, &format!("-o /dev/null -w '%{{http_code}} %{{size_download}}' {url}"));
    let said = said.with_context(|| guest.console())?;
    ensure!(said == "200 4096", "{url}: {said}");
    Ok(())
}

/// The serial number of the certificate that is shown.
fn serial(host: &Host, guest: &Guest) -> Result<String> {
    page(host, guest, "https://web.test/4k.html")?;
    serial_of(host, "https://web.test/4k.html")
}

fn serial_of(host: &Host, url: &str) -> Result<String> {
    let said = curl(host, &format!("-o /dev/null -w '%{{certs}}' {url}"))?;
    let serial = said.lines().find_map(|line| line.strip_prefix("Serial Number:"));
    Ok(serial.with_context(|| format!("no serial number: {said}"))?.to_owned())
}

fn figures(host: &Host, guest: &Guest, certificates: u32, metrics: &str) -> Result<()> {
    let metrics = curl(host, metrics)?;
    for line in [
        &*format!("acme_certificates_total {certificates}\n"),
        "acme_failures_total 0\n",
        "acme_unsaved_total 0\n",
    ] {
        ensure!(metrics.contains(line), "no {line}: {metrics}, {}", guest.console());
    }
    Ok(())
}
