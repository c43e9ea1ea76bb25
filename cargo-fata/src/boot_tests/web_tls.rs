//! The web server over TLS, with its certificate and key on a disk of dom0's: Debian's clients there, OpenSSL's, scanners and Chromium here.

mod clients;
mod files;
mod openssl;
mod replaced;
mod scanners;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::BootTest;
use super::chromium::Browser;
pub use files::site as site_of_files;
use openssl::Peer;

use crate::command;
use crate::workspace::{Workspace, image};
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(60);
/// A hundred megabytes through two emulated processors.
const LATE: Duration = Duration::from_secs(420);
const UPLOAD: u64 = 100 << 20;
/// Pages, and how often h2load asks for them: each of its connections has at least as many requests as it has at once.
const LOADS: [(&str, u32); 2] = [("4k.html", 4000), ("metrics", 1000)];
/// With keys in archives alone.
const IMAGE: &str = "web+h2+disk";
/// With keys on FAT volumes too, certificates of clients, and one group more; and with [`site_of_files`] for its site.
pub const WITH_FILES: &str = "web+h2+fat+client-certificates+p384";
/// The groups of the other one.
const GROUPS: [&str; 2] = ["X25519", "P-256"];
/// A port of this machine leads to this one of the guest.
pub const PORT: u16 = 443;
/// What its tests show: nobody else trusts it.
pub(super) const CHAIN: &str = include_str!("../../../tls/tests/certificates/server.pem");
pub(super) const KEY: &str = include_str!("../../../tls/tests/certificates/server-key.pem");
const RSA: &str = include_str!("../../../tls/tests/certificates/rsa.pem");
const RSA_KEY: &str = include_str!("../../../tls/tests/certificates/rsa-key.pem");
pub(super) const ROOT: &str = include_str!("../../../tls/tests/certificates/root.pem");
const STRANGER: &str = include_str!("../../../tls/tests/certificates/stranger.pem");

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::web_tls::https_of_each_kind", 300, https),
    BootTest::new("boot::web_tls::each_suite_and_h2load", 300, from_outside),
    BootTest::new("boot::web_tls::made_and_replaced", 400, replaced::made_and_replaced),
    BootTest::new("boot::web_tls::much", 900, much).long(),
    BootTest::new("boot::web_tls::testssl", 900, scanners::testssl).long(),
    BootTest::new("boot::web_tls::chromium", 400, chromium),
];

/// The certificate and its key in an archive of whole sectors.
fn archive(chain: &str, key: &str) -> Result<Vec<u8>> {
    let folder = super::temporary("web-tls");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("chain.pem"), chain)?;
    fs::write(folder.join("key.pem"), key)?;
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

/// A FAT volume with these files, by the programs of others.
fn fat(files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let folder = super::temporary("web-tls-fat");
    fs::create_dir_all(&folder)?;
    let image = folder.join("keys.img");
    let made = || -> Result<Vec<u8>> {
        fs::File::create(&image)?.set_len(1 << 20)?;
        command::run(Command::new("/usr/sbin/mkfs.fat").arg(&image))?;
        for (name, octets) in files {
            fs::write(folder.join(name), octets)?;
            let mut copy = Command::new("mcopy");
            command::run(copy.arg("-i").arg(&image).arg(folder.join(name)).arg("::"))?;
        }
        Ok(fs::read(&image)?)
    };
    let made = made().context("are the packages dosfstools and mtools installed?");
    let _ = fs::remove_dir_all(&folder);
    made
}

/// A file of a FAT volume.
fn file_of(volume: &[u8], name: &str) -> Result<String> {
    let image = super::temporary("web-tls-volume");
    fs::write(&image, volume)?;
    let said = command::run(Command::new("mtype").arg("-i").arg(&image).arg(format!("::{name}")));
    let _ = fs::remove_file(&image);
    Ok(said?.stdout)
}

/// A device of dom0's with these octets, and its line for a guest.
pub(super) fn disk(host: &Host, octets: &[u8], access: &str) -> Result<(String, String)> {
    host.put("/tmp/keys.img", octets)?;
    let read_only = if access == "ro" { "--read-only" } else { "" };
    let attach = format!("losetup -D; losetup {read_only} --find --show /tmp/keys.img");
    let device = host.sh(&attach, SOON)?.ok()?.stdout.trim().to_owned();
    let line = format!(
        "disk = [ 'format=raw,backendtype=phy,vdev=xvda,access={access},script=/fata/block,target={device}' ]"
    );
    Ok((device, line))
}

/// The web server at 10.0.2.15, with the certificate of `server.test`.
pub(super) fn serve_named(host: &mut Host) -> Result<Guest> {
    let (_, disk) = disk(host, &archive(CHAIN, KEY)?, "ro")?;
    serve(host, IMAGE, &disk, "")
}

/// The web server of that image, with these lines of its configuration and these parameters.
pub(super) fn serve(host: &mut Host, name: &str, disk: &str, params: &str) -> Result<Guest> {
    // The image with files has some megabytes of them.
    let memory_mb = if name == WITH_FILES { 40 } else { 24 };
    serve_in(memory_mb, host, name, disk, params)
}

/// The same in so much memory.
fn serve_in(memory_mb: u32, host: &mut Host, name: &str, disk: &str, params: &str) -> Result<Guest> {
    host.put("/tmp/root.pem", ROOT.as_bytes())?;
    host.put("/tmp/stranger.pem", STRANGER.as_bytes())?;
    let spec = GuestSpec::new("web-tls", image(name)?).memory(memory_mb).network().extra(params).config(disk);
    let guest = host.create(&spec)?;
    guest.wait_console("HTTPS on port 443", SOON)?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

/// What curl says of a page, which it trusts by the root alone.
fn curl(host: &Host, arguments: &str) -> Result<String> {
    curl_within(host, arguments, SOON)
}

fn curl_within(host: &Host, arguments: &str, limit: Duration) -> Result<String> {
    let script = format!(
        "curl -sS --max-time {} --retry 3 --retry-connrefused --cacert /tmp/root.pem --resolve server.test:443:10.0.2.15 \
         --resolve server.test:80:10.0.2.15 {arguments}",
        limit.as_secs()
    );
    Ok(host.sh(&script, limit + SOON)?.ok()?.stdout)
}

/// The result of what was tried with a guest, which leaves in order after it.
pub(super) fn and_leaves(guest: Guest, result: Result<()>) -> Result<()> {
    let console = guest.console();
    result.map_err(|error| error.context(console))?;
    guest.xl("shutdown")?;
    let end = guest.wait_gone(SOON)?;
    ensure!(end == End::PowerOff, "it {end}: {}", guest.console());
    guest.destroy()
}

fn https(host: &mut Host) -> Result<()> {
    let (_, disk) = disk(host, &archive(CHAIN, KEY)?, "ro")?;
    let guest = serve(host, IMAGE, &disk, "")?;
    let result = each_kind(host).and_then(|()| fields_of_each_answer(host));
    and_leaves(guest, result)
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

/// What browsers are told stands once in every answer, whoever makes it.
fn fields_of_each_answer(host: &Host) -> Result<()> {
    let fields = [
        ("strict-transport-security", "max-age=31536000"),
        ("content-security-policy", "default-src 'self';"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "strict-origin-when-cross-origin"),
    ];
    for (request, status) in [
        ("https://server.test/", "200"),
        ("https://server.test/status", "200"),
        ("https://server.test/nowhere", "404"),
        ("-X DELETE https://server.test/", "405"),
        ("--http1.1 https://server.test/", "200"),
        ("--http1.1 -X BREW https://server.test/", "501"),
        ("--http1.1 -H 'Host: a b' https://server.test/", "400"),
    ] {
        let head = curl(host, &format!("-o /dev/null -D - {request}"))?.to_lowercase();
        let is_answer = head.split(' ').nth(1).is_some_and(|word| word.starts_with(status));
        ensure!(is_answer, "{request}: {head}");
        for (name, value) in fields {
            let line = format!("\n{name}: {}", value.to_lowercase());
            ensure!(head.matches(&line).count() == 1, "{request}: not one {name}: {head}");
        }
    }
    Ok(())
}

/// From this machine, by way of the port that leads to the guest: OpenSSL with each version, suite and group, `sslscan`, `h2load`.
fn from_outside(host: &mut Host) -> Result<()> {
    let (_, disk) = disk(host, &archive(CHAIN, KEY)?, "ro")?;
    // A thousand pages that are made at once are 16 MB: what finds no memory is answered 503, as it is to be.
    let guest = serve_in(64, host, IMAGE, &disk, "")?;
    let port = host.forwarded(PORT).context("no port leads to the guest")?;
    outside(port).map_err(|error| error.context(guest.console()))?;
    guest.destroy()
}

fn outside(port: u16) -> Result<()> {
    let peer = Peer::new(port, ROOT)?;
    peer.negotiates(&GROUPS, &GROUPS)?;
    peer.refuses(&["P-384"])?;
    peer.resumes()?;
    peer.sslscan(&["secp256r1", "x25519"])?;
    h2load(port)
}

/// Ten connections with a hundred requests at once on each, small pages and large.
fn h2load(port: u16) -> Result<()> {
    for (page, requests) in LOADS {
        let mut h2load = Command::new("h2load");
        h2load.args(["--requests", &requests.to_string(), "--clients=10", "--max-concurrent-streams=100"]);
        let said = command::run(h2load.arg(format!("https://127.0.0.1:{port}/{page}")))?.stdout;
        let all = format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout");
        let is_right = said.contains(&all) && said.contains(&format!("{requests} 2xx, 0 3xx, 0 4xx, 0 5xx"));
        ensure!(is_right && said.contains("Application protocol: h2"), "{page}: {said}");
    }
    Ok(())
}

/// A hundred megabytes into the guest over each version of HTTP, and a thousand small files at once.
fn much(host: &mut Host) -> Result<()> {
    let (_, disk) = disk(host, &archive(CHAIN, KEY)?, "ro")?;
    let guest = serve(host, WITH_FILES, &disk, "upload=200MiB")?;
    let result = files::uploads(host, UPLOAD, LATE).and_then(|()| files::downloads(host, files::SMALL, LATE));
    and_leaves(guest, result)
}

/// A real browser, which trusts the test's root: pages, HTTP/2, the plot, and nothing in its console.
fn chromium(host: &mut Host) -> Result<()> {
    let (_, disk) = disk(host, &archive(CHAIN, KEY)?, "ro")?;
    let guest = serve(host, IMAGE, &disk, "")?;
    let port = host.forwarded(PORT).context("no port leads to the guest")?;
    let result = Browser::start(ROOT, "server.test", port).and_then(|browser| looks(&browser));
    and_leaves(guest, result)
}

fn looks(browser: &Browser) -> Result<()> {
    let kept = Workspace::current()?.target_dir.join("chromium");
    fs::create_dir_all(&kept)?;
    let version = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    browser.open("https://server.test/")?;
    let title = browser.script("return document.title")?;
    ensure!(title == "It works", "the page is {title}");
    ensure!(browser.script(version)? == "h2", "it came over {}", browser.script(version)?);
    fs::write(kept.join("site.png"), browser.screenshot()?)?;
    browser.open("https://server.test/status")?;
    ensure!(browser.script(version)? == "h2", "it came over {}", browser.script(version)?);
    // The plot moves: it has had so many values, and a while later it has more.
    let points = "document.getElementById('plot').getAttribute('points')";
    let values = |least: usize| format!("return ({points} || '').split(' ').length >= {least}");
    browser.wait(&values(3), SOON)?;
    let before = browser.script(&format!("return {points}"))?;
    let started = Instant::now();
    browser.wait(&values(6), SOON)?;
    let after = browser.script(&format!("return {points}"))?;
    ensure!(before != after, "the plot stood still for {} s: {before}", started.elapsed().as_secs());
    let is_styled = "return getComputedStyle(document.querySelector('.card')).borderTopStyle === 'solid'";
    ensure!(browser.script(is_styled)? == Value::Bool(true), "the page has no styles");
    fs::write(kept.join("status.png"), browser.screenshot()?)?;
    let console = browser.console()?;
    ensure!(console.is_empty(), "the browser's console: {}", console.join("\n"));
    // The same look sees what it is to see: a page that is missing, and an error of a script's.
    browser.open("https://server.test/nowhere")?;
    browser.script("console.error('an error of the test')")?;
    let (mut console, started) = (String::new(), Instant::now());
    while !["status of 404", "an error of the test"].iter().all(|text| console.contains(text)) {
        ensure!(started.elapsed() < SOON, "the browser's console has not both errors: {console}");
        console += &browser.console()?.join("\n");
    }
    Ok(())
}
