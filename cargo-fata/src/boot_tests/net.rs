//! netfront and the stack, against netback and Debian's own tools.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_secs(200);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::net::ping_small_large_and_fragments", 90, ping).both().on_qemu().as_process(),
    BootTest::new("boot::net::dhcp", 90, dhcp).on_qemu().as_process(),
    BootTest::new("boot::net::two_vifs", 90, two_vifs).on_qemu().as_process(),
    BootTest::new("boot::net::missing_vif_is_named", 60, missing_vif_is_named)
        .on_xen_only("it is about a line of xl's configuration"),
    BootTest::new("boot::net::contradicting_parameters", 60, contradicting_parameters)
        .long()
        .on_qemu()
        .as_process_long(),
    BootTest::new("boot::net::mtu_of_the_bridge", 90, mtu_of_the_bridge)
        .on_xen_only("xl gives the MTU to the interface"),
    BootTest::new("boot::net::echo_10_mib", 240, echo_10_mib).on_both_boards().as_process(),
    BootTest::new("boot::net::echo_over_a_bad_line", 240, echo_over_a_bad_line)
        .on_xen_only("its line is made by netem, which dom0's kernel has and this machine's need not have"),
    // As PVH with --long: the front end is the same code, and others have it on PVH.
    BootTest::new("boot::net::vif_detached_and_attached_while_serving", 240, vif_detached_and_attached)
        .on_xen_only("xl takes the interface away; virtio::the_link_goes_down_and_up is the like"),
    BootTest::new("boot::net::closed_ports", 60, closed_ports).on_qemu().as_process(),
    BootTest::new("boot::net::nmap_many_ports", 120, |h| nmap(h, "1-4000")).on_qemu().as_process(),
    BootTest::new("boot::net::nmap_all_ports", 400, |h| nmap(h, "-")).long().on_qemu_long().as_process_long(),
    BootTest::new("boot::net::hping3_oddities", 240, hping3_oddities)
        .on_qemu()
        .on_xen_long()
        .as_process_long(),
    BootTest::new("boot::net::dhcp_renewal_and_lease_loss", 600, dhcp_renewal_and_lease_loss)
        .long()
        .on_qemu_long()
        .as_process_long(),
];

/// Statically configured as 10.0.2.15 on the bridge that dom0 is on.
fn echo(host: &mut Host) -> Result<Guest> {
    let guest = host.create(&GuestSpec::new("echo", image("echo")?).network())?;
    guest.wait_console("echo on port 7", SOON)?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

/// An echo of one line comes back.
fn answers(host: &Host, address: &str) -> Result<()> {
    let script = format!("echo still-here | timeout 10 socat -t5 - TCP:{address}:7,connect-timeout=5");
    let said = host.sh(&script, SOON)?;
    ensure!(said.stdout == "still-here\n", "{address} does not answer: {said:?}");
    Ok(())
}

fn ping(host: &mut Host) -> Result<()> {
    let guest = echo(host)?;
    // 1472 octets fill a frame; the others come in pieces.
    for size in [0, 56, 1472, 1473, 4000, 20_000, 65_000] {
        let script = format!("ping -c 3 -i 0.2 -W 3 -s {size} 10.0.2.15");
        let said = host.sh(&script, SOON)?;
        ensure!(said.stdout.contains(" 0% packet loss"), "{size} octets: {}", said.stdout);
        ensure!(!said.stdout.contains("wrong data"), "{size} octets: {}", said.stdout);
    }
    ensure!(guest.end()?.is_none(), "the guest is gone");
    Ok(())
}

const DNSMASQ: &str = "dnsmasq --no-daemon --port=0 --interface=xenbr1 --bind-interfaces --log-dhcp \
    --dhcp-leasefile=/tmp/leases --dhcp-authoritative";

/// A DHCP server on the second bridge, which leads nowhere.
fn with_dhcp_server<R>(host: &Host, range: &str, test: impl FnOnce() -> Result<R>) -> Result<R> {
    let start = format!("rm -f /tmp/leases; {DNSMASQ} --dhcp-range={range} >/tmp/dnsmasq.log 2>&1 & sleep 1");
    host.sh(&start, SOON)?.ok()?;
    let result = test();
    let log = host.sh("pkill dnsmasq; cat /tmp/dnsmasq.log", SOON)?.stdout;
    result.with_context(|| format!("dnsmasq said:\n{log}"))
}

fn dhcp(host: &mut Host) -> Result<()> {
    let spec = GuestSpec::new("dhcp", image("echo")?).vif("xenbr1").extra("hostname=fata-test");
    let guest = host.create(&spec)?;
    guest.wait_console("link up", SOON)?;
    with_dhcp_server(host, "10.0.3.50,10.0.3.60,255.255.255.0,2h", || {
        let address = lease(&guest, SOON)?;
        answers(host, &address)?;
        let leases = host.sh("cat /tmp/leases", SOON)?.ok()?.stdout;
        ensure!(leases.contains(&address) && leases.contains("fata-test"), "leases: {leases}");
        Ok(())
    })
}

/// The address that the guest says it was given.
fn lease(guest: &Guest, limit: Duration) -> Result<String> {
    let has = |console: &str| console.contains("main: 10.0.3.");
    let console = guest.wait_console_until("an address", limit, has)?;
    let line = console.rsplit("main: 10.0.3.").next().context("no address")?;
    let last: String = line.chars().take_while(char::is_ascii_digit).collect();
    Ok(format!("10.0.3.{last}"))
}

/// dnsmasq's shortest lease is two minutes: it is renewed after one; when the server is gone, the address goes too.
fn dhcp_renewal_and_lease_loss(host: &mut Host) -> Result<()> {
    let guest = host.create(&GuestSpec::new("lease", image("echo")?).vif("xenbr1"))?;
    guest.wait_console("link up", SOON)?;
    let acks = || -> Result<usize> {
        Ok(host
            .sh("grep -c 'DHCPACK(xenbr1)' /tmp/dnsmasq.log || true", SOON)?
            .ok()?
            .stdout
            .trim()
            .parse()?)
    };
    with_dhcp_server(host, "10.0.3.50,10.0.3.60,255.255.255.0,2m", || {
        let address = lease(&guest, SOON)?;
        std::thread::sleep(Duration::from_secs(150));
        ensure!(acks()? >= 3, "{} acknowledgements after 150 s", acks()?);
        answers(host, &address)
    })?;
    guest.wait_console("main: no address", Duration::from_secs(180))?;
    with_dhcp_server(host, "10.0.3.70,10.0.3.80,255.255.255.0,2h", || {
        let gone = |console: &str| console.contains("main: 10.0.3.7") || console.contains("main: 10.0.3.80");
        guest.wait_console_until("a new address", Duration::from_secs(120), gone)?;
        answers(host, &lease(&guest, SOON)?)
    })
}

fn two_vifs(host: &mut Host) -> Result<()> {
    let extra = "main.ipv4=10.0.2.15/24 main.gateway=10.0.2.2 back.ipv4=10.0.3.15/24";
    let spec = GuestSpec::new("two", image("two_networks")?).vif("xenbr0").vif("xenbr1");
    let guest = host.create(&spec.extra(extra))?;
    let both = |console: &str| console.matches("link up").count() == 2;
    guest.wait_console_until("two links", SOON, both)?;
    for address in ["10.0.2.15", "10.0.3.15"] {
        answers(host, address)?;
        host.sh(&format!("ping -c 2 -W 2 {address}"), SOON)?.ok()?;
    }
    Ok(())
}

fn missing_vif_is_named(host: &mut Host) -> Result<()> {
    let guest = host.create(&GuestSpec::new("novif", image("echo")?))?;
    let end = guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(end == End::Crash, "it ended with {end:?}");
    ensure!(console.contains("vif = [ 'bridge=xenbr0' ]"), "the missing line is not named: {console}");
    Ok(())
}

fn contradicting_parameters(host: &mut Host) -> Result<()> {
    for (extra, line) in [
        ("ipv4=10.0.2.15/24 gateway=10.9.9.9", "boot parameter main.gateway: 10.9.9.9 is not in the network"),
        ("gateway=10.0.2.2", "boot parameter main.gateway: 10.0.2.2 has no use with ipv4=dhcp"),
        ("ipv4=10.0.2.255/24", "boot parameter main.ipv4: 10.0.2.255/24 is the network's own or broadcast"),
        ("ipv4=10.0.2.300/24", "boot parameter ipv4: \"10.0.2.300/24\" is not dhcp, none or an IPv4 address"),
        ("side.ipv4=dhcp", "boot parameter \"side.ipv4\" is unknown; known are: log, port, main.ipv4,"),
    ] {
        let guest = host.create(&GuestSpec::new("params", image("echo")?).vif("xenbr0").extra(extra))?;
        let end = guest.wait_gone(SOON)?;
        let console = guest.console();
        ensure!(end == End::Crash, "{extra}: it ended with {end:?}");
        ensure!(console.contains(line), "{extra}: no {line:?} in {console}");
    }
    Ok(())
}

/// Frames of 9000 octets cross several pages.
fn mtu_of_the_bridge(host: &mut Host) -> Result<()> {
    host.sh("ip link set xenbr1 mtu 9000", SOON)?.ok()?;
    let spec = GuestSpec::new("jumbo", image("echo")?)
        .extra("ipv4=10.0.3.15/24")
        .config("vif = ['bridge=xenbr1,mtu=9000']");
    let result = jumbo(host, &spec);
    host.sh("ip link set xenbr1 mtu 1500", SOON)?.ok()?;
    result
}

fn jumbo(host: &mut Host, spec: &GuestSpec) -> Result<()> {
    let guest = host.create(spec)?;
    guest.wait_console("link up", SOON)?;
    guest.wait_console("MTU 9000", SOON)?;
    let said = host.sh("ping -M do -c 3 -W 3 -s 8972 10.0.3.15", SOON)?;
    ensure!(said.stdout.contains(" 0% packet loss"), "{}", said.stdout);
    let script = "head -c 3000000 /dev/urandom > /tmp/in; \
        timeout 60 socat -t20 - TCP:10.0.3.15:7 < /tmp/in > /tmp/out; cmp /tmp/in /tmp/out";
    host.sh(script, SLOW)?.ok()?;
    Ok(())
}

/// Through a line that delays, loses, swaps and doubles: every octet comes back.
fn echo_over_a_bad_line(host: &mut Host) -> Result<()> {
    let _guest = echo(host)?;
    let shape = "netem delay 5ms 2ms loss 1% reorder 5% duplicate 1%";
    let script = format!(
        "set -e; trap 'ip netns del far; ip link del near 2>/dev/null || true' EXIT; ip netns add far; \
        ip link add near type veth peer name line netns far; ip link set near master xenbr0 up; \
        ip -n far address add 10.0.2.99/24 dev line; ip -n far link set line up; \
        tc qdisc add dev near root {shape}; ip netns exec far tc qdisc add dev line root {shape}; \
        head -c 2097152 /dev/urandom > /tmp/in; \
        ip netns exec far timeout 150 socat -t60 - TCP:10.0.2.15:7 < /tmp/in > /tmp/out; \
        sha256sum < /tmp/in; sha256sum < /tmp/out"
    );
    let sums = host.sh(&script, SLOW)?.ok()?.stdout;
    let sums: Vec<&str> = sums.lines().collect();
    ensure!(sums.len() == 2 && sums[0] == sums[1], "the echo is not what was sent: {sums:?}");
    Ok(())
}

fn echo_10_mib(host: &mut Host) -> Result<()> {
    let _guest = echo(host)?;
    let script = "head -c 10485760 /dev/urandom > /tmp/in; \
        timeout 150 socat -t60 - TCP:10.0.2.15:7 < /tmp/in > /tmp/out; sha256sum < /tmp/in; sha256sum < /tmp/out";
    let sums = host.sh(script, SLOW)?.ok()?.stdout;
    let sums: Vec<&str> = sums.lines().collect();
    ensure!(sums.len() == 2 && sums[0] == sums[1], "the echo is not what was sent: {sums:?}");
    Ok(())
}

fn vif_detached_and_attached(host: &mut Host) -> Result<()> {
    let guest = echo(host)?;
    answers(host, "10.0.2.15")?;
    for round in 1..=3 {
        // A client in the middle of its talk when the interface goes.
        let cut = "(timeout 20 socat -t5 - TCP:10.0.2.15:7 < /dev/zero > /dev/null 2>&1 &); sleep 1";
        host.sh(cut, SOON)?.ok()?;
        // A device number is not reused: the list says which one there is.
        let detach =
            format!("xl network-detach {0} $(xl network-list {0} | awk 'NR==2 {{print $1}}')", guest.name());
        host.sh(&detach, SOON)?.ok()?;
        let down = |console: &str| console.matches("link down").count() >= round;
        guest.wait_console_until("the link going down", SOON, down)?;
        host.sh(&format!("xl network-attach {} bridge=xenbr0", guest.name()), SOON)?.ok()?;
        let up = |console: &str| console.matches("link up").count() > round;
        guest.wait_console_until("the link coming up", SOON, up)?;
        host.sh("pkill socat; true", SOON)?;
        answers(host, "10.0.2.15").with_context(|| format!("round {round}: {}", guest.console()))?;
    }
    Ok(())
}

fn closed_ports(host: &mut Host) -> Result<()> {
    let _guest = echo(host)?;
    let tcp = host.sh("timeout 5 socat - TCP:10.0.2.15:9,connect-timeout=3 < /dev/null", SOON)?;
    ensure!(tcp.stderr.contains("refused"), "a closed TCP port: {tcp:?}");
    let udp = host.sh("echo x | timeout 5 socat -t2 - UDP:10.0.2.15:9", SOON)?;
    ensure!(udp.stderr.contains("refused"), "a closed UDP port: {udp:?}");
    Ok(())
}

fn nmap(host: &mut Host, ports: &str) -> Result<()> {
    let guest = echo(host)?;
    let script = format!("nmap -n -Pn -sT -p{ports} -T5 --min-rate 3000 --max-retries 1 10.0.2.15");
    let said = host.sh(&script, Duration::from_secs(280))?.ok()?.stdout;
    ensure!(said.contains("7/tcp"), "nmap did not find port 7: {said}");
    let open = said.lines().filter(|l| l.contains("/tcp") && l.contains(" open ")).count();
    ensure!(open == 1, "nmap found {open} open ports: {said}");
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    answers(host, "10.0.2.15")
}

/// Segments that no sane peer sends.
fn hping3_oddities(host: &mut Host) -> Result<()> {
    let guest = echo(host)?;
    let oddities = [
        ("christmas tree", "-F -S -R -P -A -U -X -Y -p 7"),
        ("no flags", "-p 7"),
        ("SYN and FIN", "-S -F -p 7"),
        ("SYN and RST", "-S -R -p 7"),
        ("ACK to nobody", "-A -p 7"),
        ("FIN to nobody", "-F -p 7"),
        ("SYN with data", "-S -d 1000 -p 7"),
        ("wrong checksum", "-S -b -p 7"),
        ("window 0", "-S -w 0 -p 7"),
        ("fragments of 16 octets", "-S -f -d 600 -p 7"),
        ("only a last fragment", "-y -g 4000 -d 100 -p 7"),
        ("more fragments for ever", "-x -d 100 -p 7"),
        ("wrong header length", "-S -O 15 -p 7"),
        ("protocol 255", "--rawip -H 255 -d 64"),
        ("short protocol 6", "--rawip -H 6 -d 4"),
        ("short protocol 17", "--rawip -H 17 -d 3"),
        ("UDP to port 0", "-2 -p 0"),
        ("ICMP unreachable", "-1 -C 3 -K 1"),
        ("ICMP redirect", "-1 -C 5 -K 1 --icmp-gw 10.0.2.99"),
        ("ICMP time stamp", "-1 -C 13"),
        ("ICMP of no type", "-1 -C 99"),
        ("from itself", "-S -a 10.0.2.15 -p 7 -s 7"),
        ("from 0.0.0.0", "-S -a 0.0.0.0 -p 7"),
        ("from broadcast", "-S -a 255.255.255.255 -p 7"),
        ("from multicast", "-S -a 224.0.0.1 -p 7"),
        ("from loopback", "-S -a 127.0.0.1 -p 7"),
    ];
    // Some at once: each waits for a second after its last packet.
    for some in oddities.chunks(9) {
        // hping3's status tells whether an answer came, which is not what is asked here.
        let send = |(_, options): &_| format!("timeout 5 hping3 -n -q -c 3 -i u20000 {options} 10.0.2.15 & ");
        host.sh(&(some.iter().map(send).collect::<String>() + "wait"), SOON)?.ok()?;
        let names: Vec<_> = some.iter().map(|(name, _)| *name).collect();
        ensure!(guest.end()?.is_none(), "{names:?}: the guest is gone: {}", guest.console());
        answers(host, "10.0.2.15").with_context(|| format!("after {names:?}"))?;
    }
    let random = "timeout 10 hping3 -n -q --rand-source -S -p ++1 -i u500 -c 5000 10.0.2.15; true";
    host.sh(random, SOON)?;
    ensure!(guest.end()?.is_none(), "the guest is gone after a flood: {}", guest.console());
    answers(host, "10.0.2.15").context("after 5000 SYNs from everywhere")
}
