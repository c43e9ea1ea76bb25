//! The web server over TLS, with its certificate and key on a disk of dom0's, and Debian's clients there.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::BootTest;
use crate::command;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(60);
/// What its tests show: nobody else trusts it.
const CHAIN: &str = include_str!("../../../tls/tests/certificates/server.pem");
const KEY: &str = include_str!("../../../tls/tests/certificates/server-key.pem");
const ROOT: &str = include_str!("../../../tls/tests/certificates/root.pem");
const STRANGER: &str = include_str!("../../../tls/tests/certificates/stranger.pem");

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[BootTest::new("boot::web_tls::https_of_each_kind", 240, https)];

/// The certificate and its key in an archive of whole sectors.
fn keys() -> Result<Vec<u8>> {
    let folder = super::temporary("web-tls");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("chain.pem"), CHAIN)?;
    fs::write(folder.join("key.pem"), KEY)?;
    let archive = folder.join("keys.tar.gz");
    let mut tar = Command::new("tar");
    let packed =
        command::run(tar.arg("-C").arg(&folder).arg("-czf").arg(&archive).args(["chain.pem", "key.pem"]));
    let octets = packed.and_then(|_| Ok(fs::read(&archive)?));
    let _ = fs::remove_dir_all(&folder);
    let mut octets = octets?;
    octets.resize(octets.len().next_multiple_of(512), 0);
    Ok(octets)
}

/// The web server at 10.0.2.15, with the certificate of `server.test`.
pub(super) fn serve(host: &mut Host) -> Result<Guest> {
    host.put("/tmp/keys.img", &keys()?)?;
    host.put("/tmp/root.pem", ROOT.as_bytes())?;
    host.put("/tmp/stranger.pem", STRANGER.as_bytes())?;
    let device = host.sh("losetup -D; losetup --read-only --find --show /tmp/keys.img", SOON)?.ok()?.stdout;
    let disk = format!(
        "disk = [ 'format=raw,backendtype=phy,vdev=xvda,access=ro,script=/fata/block,target={}' ]",
        device.trim()
    );
    let spec = GuestSpec::new("web-tls", image("web-tls")?).memory(24).network().config(&disk);
    let guest = host.create(&spec)?;
    guest.wait_console("HTTPS on port 443", SOON)?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

/// What curl says of a page, which it trusts by the root alone.
fn curl(host: &Host, arguments: &str) -> Result<String> {
    let script = format!(
        "curl -sS --max-time 30 --retry 3 --retry-connrefused --cacert /tmp/root.pem --resolve server.test:443:10.0.2.15 \
         --resolve server.test:80:10.0.2.15 {arguments}"
    );
    Ok(host.sh(&script, SOON)?.ok()?.stdout)
}

fn https(host: &mut Host) -> Result<()> {
    let guest = serve(host)?;
    let result = each_kind(host);
    let console = guest.console();
    result.map_err(|error| error.context(console))?;
    guest.xl("shutdown")?;
    let end = guest.wait_gone(SOON)?;
    ensure!(end == End::PowerOff, "it {end}: {}", guest.console());
    guest.destroy()
}

fn each_kind(host: &Host) -> Result<()> {
    let says = "-o /tmp/page -w '%{http_version} %{http_code} %{size_download}' https://server.test/4k.html";
    for (options, said) in [
        ("--http2 --tlsv1.3", "2 200 4096"),
        ("--http2 --tls-max 1.2", "2 200 4096"),
        ("--http1.1 --tlsv1.3", "1.1 200 4096"),
        ("--http1.1 --tls-max 1.2", "1.1 200 4096"),
    ] {
        let answer = curl(host, &format!("{options} {says}"))?;
        ensure!(answer == said, "{options}: {answer}, not {said}");
    }
    // All on one connection of HTTP/2, and each on one of its own.
    let many =
        "-Z --parallel-max 20 --http2 -o /dev/null -w '%{http_code} ' 'https://server.test/4k.html?[1-100]'";
    let answers = curl(host, many)?;
    ensure!(answers == "200 ".repeat(100), "a hundred at once: {answers}");
    let location =
        curl(host, "-o /dev/null -w '%{http_code} %{redirect_url}' 'http://server.test/a%20b?c=d'")?;
    ensure!(location == "308 https://server.test/a%20b?c=d", "HTTP: {location}");
    let head = curl(host, "--head https://server.test/")?;
    ensure!(head.contains("strict-transport-security: max-age=31536000"), "{head}");
    // Clients that look for another name, or trust another root, refuse it.
    for stranger in [
        "--cacert /tmp/root.pem https://10.0.2.15/",
        "--cacert /tmp/stranger.pem --resolve server.test:443:10.0.2.15 https://server.test/",
    ] {
        let said = host.sh(&format!("curl -sS --max-time 20 {stranger} 2>&1"), SOON)?;
        ensure!(said.status == 60, "{stranger}: {said:?}");
    }
    let answer = curl(host, says)?;
    ensure!(answer == "2 200 4096", "after that: {answer}");
    Ok(())
}
