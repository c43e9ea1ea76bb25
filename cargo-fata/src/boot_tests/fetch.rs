//! The example `fetch`: over HTTP from dom0, over HTTPS from another guest, and where a host's IPv6 leads nowhere.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{BootTest, web_tls};
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, GuestSpec};

const SOON: Duration = Duration::from_secs(60);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[BootTest::new("boot::fetch::http_https_and_a_black_hole", 240, fetches)];

/// dom0 serves files, names, and a gateway of IPv6 that forwards nothing: `both.test` is dom0 for IPv4 alone.
const BEGIN: &str = "ip -6 address replace fd00:2::14/64 dev xenbr0 nodad; rm -rf /tmp/www; mkdir -p /tmp/www; \
    echo 'a page of dom0' >/tmp/www/page.txt; head -c 300000 /dev/urandom >/tmp/www/large; \
    busybox httpd -p 8080 -h /tmp/www; \
    dnsmasq --no-daemon --no-resolv --no-hosts --listen-address=10.0.2.14 --bind-interfaces \
    --host-record=both.test,10.0.2.14,fd00:9::1 --host-record=server.test,10.0.2.15 >/tmp/dnsmasq.log 2>&1 & \
    (timeout 200 tcpdump -Z root -n -l -i xenbr0 'ip6 dst fd00:9::1 and tcp' >/tmp/hole 2>/dev/null &); \
    sleep 1; sha256sum </tmp/www/large";
const END: &str =
    "pkill dnsmasq; pkill tcpdump; pkill busybox; ip -6 address flush dev xenbr0 scope global; true";

fn fetches(host: &mut Host) -> Result<()> {
    let server = web_tls::serve_named(host)?;
    let large = host.sh(BEGIN, SOON)?.ok()?.stdout;
    let result = fetch(host, large.split_whitespace().next().unwrap_or_default());
    host.sh(END, SOON)?;
    result?;
    server.destroy()
}

fn fetch(host: &mut Host, large: &str) -> Result<()> {
    // Whom to trust, in whole sectors.
    let device = host.sh(
        "cp /tmp/root.pem /tmp/ca.img; truncate -s %512 /tmp/ca.img; losetup --read-only --find --show /tmp/ca.img",
        SOON,
    )?;
    let disk = format!(
        "disk = [ 'format=raw,backendtype=phy,vdev=xvda,access=ro,script=/fata/block,target={}' ]",
        device.ok()?.stdout.trim()
    );
    let urls = "url=http://both.test:8080/page.txt,http://both.test:8080/large,https://server.test/4k.html,\
        https://10.0.2.15/,http://server.test/4k.html,http://10.0.2.14:9/";
    let addresses =
        "ipv4=10.0.2.16/24 gateway=10.0.2.14 ipv6=fd00:2::16/64 gateway6=fd00:2::14 dns=10.0.2.14 after=3";
    let spec = GuestSpec::new("fetch", image("fetch")?).memory(24).vif("xenbr0").config(&disk);
    let guest = host.create(&spec.extra(&format!("{addresses} {urls}")))?;
    let console = guest.wait_console(" requests on ", SOON)?;
    let of = |url: &str| {
        let (_, said) =
            console.split_once(&format!("\n{url}")).with_context(|| format!("no {url}: {console}"))?;
        Ok::<_, anyhow::Error>(said.split_once("\nhttp").map_or(said, |(said, _)| said).to_owned())
    };
    let hole = host.sh("cat /tmp/hole", SOON)?.stdout;
    ensure!(hole.contains("fd00:9::1.8080: Flags [S]"), "IPv6 was not tried: {hole}, {console}");
    let page = of("http://both.test:8080/page.txt")?;
    ensure!(page.contains("\n200 OK ") && page.contains("a page of dom0"), "{console}");
    ensure!(page.contains("\n15 octets, SHA-256 "), "{console}");
    // A connection that leads nowhere would be given up after half a minute, or a quarter with all that belongs to it.
    let head: u64 = page
        .split_once("head after ")
        .and_then(|(_, ms)| ms.split_once(" ms")?.0.parse().ok())
        .with_context(|| format!("no time: {console}"))?;
    ensure!(head < 10_000, "{head} ms until IPv4 was tried: {console}");
    ensure!(
        of("http://both.test:8080/large")?.contains(&format!("300000 octets, SHA-256 {large}")),
        "{console}"
    );
    let secure = of("https://server.test/4k.html")?;
    ensure!(secure.contains("\n200 OK ") && secure.contains("\n4096 octets, SHA-256 "), "{console}");
    let stranger = of("https://10.0.2.15/")?;
    ensure!(stranger.contains("failed: no connection: the peer's certificate "), "{console}");
    let led = of("http://server.test/4k.html")?;
    ensure!(led.contains("200 OK from https://server.test/4k.html"), "{console}");
    ensure!(of("http://10.0.2.14:9/")?.contains("failed: no connection: connection refused"), "{console}");
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "it did not power off: {}", guest.console());
    guest.destroy()
}
