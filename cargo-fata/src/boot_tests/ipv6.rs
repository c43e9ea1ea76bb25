//! IPv6, against Linux' own stack and Debian's tools.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::BootTest;
use super::iperf::{check_directions, iperf3};
use super::web::metric;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_secs(200);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::ipv6::ping_echo_and_closed_ports", 150, ping_echo_and_closed_ports)
        .both()
        .on_both_boards()
        .as_process(),
    BootTest::new("boot::ipv6::echo_10_mib", 240, echo_10_mib).on_qemu().as_process(),
    BootTest::new("boot::ipv6::addresses_from_a_router", 150, addresses_from_a_router).on_qemu().as_process(),
    BootTest::new("boot::ipv6::names", 120, names).on_qemu().on_xen_long().as_process_long(),
    BootTest::new("boot::ipv6::small_link_on_the_way", 150, small_link_on_the_way)
        .on_qemu()
        .on_xen_long()
        .as_process_long(),
    BootTest::new("boot::ipv6::address_taken", 90, address_taken).on_qemu().as_process_long(),
    BootTest::new("boot::ipv6::web_by_curl", 90, web_by_curl).on_qemu().as_process(),
    BootTest::new("boot::ipv6::kv_by_redis_cli", 90, kv_by_redis_cli)
        .on_qemu()
        .on_xen_long()
        .as_process_long(),
    BootTest::new("boot::ipv6::iperf3", 180, iperf3_both_ways).on_qemu_long().on_xen_long().as_process(),
    BootTest::new("boot::ipv6::nmap_many_ports", 120, nmap).on_qemu().on_xen_long().as_process_long(),
    BootTest::new("boot::ipv6::vif_detached_and_attached_while_serving", 240, vif_detached_and_attached)
        .on_xen_long()
        .on_xen_only("xl takes the interface away"),
    BootTest::new("boot::ipv6::neighbour_stays_known", 300, neighbour_stays_known)
        .long()
        .on_qemu_long()
        .as_process_long(),
    BootTest::new("boot::ipv6::hostile_neighbours", 400, hostile_neighbours)
        .long()
        .on_qemu_long()
        .not_as_process("a process has no memory of its own"),
];

/// dom0's end of the bridge that guests are on.
const BEGIN: &str = "ip -6 address replace fd00:2::14/64 dev xenbr0 nodad";
const END: &str =
    "ip -6 address flush dev xenbr0 scope global; ip -6 address flush dev xenbr1 scope global; true";

fn with_addresses<R>(host: &mut Host, test: impl FnOnce(&mut Host) -> Result<R>) -> Result<R> {
    host.sh(BEGIN, SOON)?.ok()?;
    let result = test(host);
    host.sh(END, SOON)?;
    result
}

/// At fd00:2::15 on the bridge that dom0 is on, and nothing of IPv4.
fn echo(host: &mut Host) -> Result<Guest> {
    let spec = GuestSpec::new("echo", image("echo")?).vif("xenbr0");
    let guest = host.create(&spec.extra("ipv4=none ipv6=fd00:2::15/64"))?;
    guest.wait_console("echo on port 7", SOON)?;
    guest.wait_console("main: fd00:2::15", SOON)?;
    Ok(guest)
}

/// An echo of one line comes back.
fn answers(host: &Host, address: &str) -> Result<()> {
    let script = format!("echo still-here | timeout 10 socat -t5 - TCP6:[{address}]:7,connect-timeout=5");
    let said = host.sh(&script, SOON)?;
    ensure!(said.stdout == "still-here\n", "{address} does not answer: {said:?}");
    Ok(())
}

fn ping_echo_and_closed_ports(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        let guest = echo(host)?;
        // 1452 octets fill a frame; the others come in pieces.
        for size in [0, 56, 1452, 1453, 4000, 20_000, 65_000] {
            let script = format!("ping -6 -c 3 -i 0.2 -W 3 -s {size} fd00:2::15");
            let said = host.sh(&script, SOON)?;
            ensure!(said.stdout.contains(" 0% packet loss"), "{size} octets: {}", said.stdout);
            ensure!(!said.stdout.contains("wrong data"), "{size} octets: {}", said.stdout);
        }
        answers(host, "fd00:2::15")?;
        answers(host, &local_of(&guest)?)?;
        let closed = "timeout 5 socat -u - TCP6:[fd00:2::15]:9 </dev/null 2>&1; \
            nmap -6 -n -Pn -sU -p 9 --reason fd00:2::15 2>&1";
        let said = host.sh(closed, SLOW)?.stdout;
        ensure!(said.contains("Connection refused"), "TCP port 9 is not refused: {said}");
        ensure!(said.contains("9/udp closed"), "UDP port 9 is not closed: {said}");
        ensure!(guest.end()?.is_none(), "the guest is gone");
        Ok(())
    })
}

fn echo_10_mib(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        let _guest = echo(host)?;
        let script = "head -c 10485760 /dev/urandom > /tmp/in; \
            timeout 150 socat -t60 - TCP6:[fd00:2::15]:7 < /tmp/in > /tmp/out; \
            sha256sum < /tmp/in; sha256sum < /tmp/out";
        let sums = host.sh(script, SLOW)?.ok()?.stdout;
        let sums: Vec<&str> = sums.lines().collect();
        ensure!(sums.len() == 2 && sums[0] == sums[1], "the echo is not what was sent: {sums:?}");
        Ok(())
    })
}

const ROUTER: &str = "ip -6 address replace fd00:3::1/64 dev xenbr1 nodad; \
    dnsmasq --no-daemon --no-resolv --no-hosts --interface=xenbr1 --bind-interfaces --log-dhcp --enable-ra \
    --dhcp-range=fd00:3::,ra-only,64,2h --ra-param=xenbr1,mtu:1400,10,1800 --log-queries=extra --local=/test/ \
    --host-record=www.test,10.9.0.1,fd00:9::1 --host-record=six.test,fd00:9::2 --host-record=four.test,10.9.0.3 \
    >/tmp/dnsmasq.log 2>&1 & sleep 1";

/// dnsmasq as router and name server of the second bridge.
fn with_router<R>(host: &mut Host, test: impl FnOnce(&mut Host) -> Result<R>) -> Result<R> {
    host.sh(ROUTER, SOON)?.ok()?;
    let result = test(host);
    let log = host.sh(&format!("pkill dnsmasq; cat /tmp/dnsmasq.log; {END}"), SOON)?.stdout;
    result.with_context(|| format!("dnsmasq said:\n{log}"))
}

fn addresses_from_a_router(host: &mut Host) -> Result<()> {
    with_router(host, |host| {
        let guest = host.create(&GuestSpec::new("slaac", image("echo")?).vif("xenbr1").extra("ipv4=none"))?;
        let console =
            guest.wait_console_until("an address", SOON, |console| console.contains("main: fd00:3:"))?;
        let line =
            console.lines().find_map(|line| line.split("main: fd00:3:").nth(1)).context("no address")?;
        let address = format!("fd00:3:{}", line.trim());
        answers(host, &address)?;
        // What is sent is as small as the router says that packets are on its link.
        let capture = format!(
            "(timeout 20 tcpdump -Z root -n -i xenbr1 -c 8 -w /tmp/mtu.pcap src {address} and icmp6 \
             and greater 100 >/dev/null 2>&1 &) ; sleep 1; ping -6 -c 3 -i 0.2 -s 3000 {address}; sleep 1; \
             tcpdump -Z root -n -e -r /tmp/mtu.pcap 2>/dev/null"
        );
        let said = host.sh(&capture, SOON)?.stdout;
        ensure!(said.contains(" 0% packet loss"), "no answers: {said}");
        let lengths: Vec<usize> = said
            .lines()
            .filter_map(|line| line.split("length ").nth(1)?.split(':').next()?.parse().ok())
            .collect();
        ensure!(
            !lengths.is_empty() && lengths.iter().all(|len| *len <= 1414),
            "frames of {lengths:?}: {said}"
        );
        Ok(())
    })
}

fn names(host: &mut Host) -> Result<()> {
    with_router(host, |host| {
        let guest =
            host.create(&GuestSpec::new("names", image("resolve")?).vif("xenbr1").extra("ipv4=none"))?;
        guest.wait_console("type names", SOON)?;
        for (name, expected) in
            [("www.test", "fd00:9::1"), ("six.test", "fd00:9::2"), ("four.test", "no such name")]
        {
            guest.type_line(name)?;
            let console = guest.wait_console(&format!("that was: {name}"), SOON)?;
            let line = console.lines().rfind(|line| line.contains(&format!("{name} in ")));
            let line = line.context("no answer")?;
            ensure!(
                line.trim_end().ends_with(&format!("ms: {expected}")),
                "{name} is not {expected}: {line}"
            );
        }
        Ok(())
    })
}

/// Two networks behind dom0, of which the first one's link is small: its router has to say so.
const FAR: &str = "
    sysctl -q -w net.ipv6.conf.all.forwarding=1
    modprobe veth 2>/dev/null; ip netns add middle; ip netns add far
    ip link add small0 type veth peer name small1 netns middle
    ip -n middle link add large0 type veth peer name large1 netns far
    ip link set small0 mtu 1300 up; ip -n middle link set small1 mtu 1300 up
    ip -n middle link set large0 up; ip -n far link set large1 up
    ip -6 address add fd00:4::1/64 dev small0 nodad
    ip -n middle -6 address add fd00:4::2/64 dev small1 nodad
    ip -n middle -6 address add fd00:5::2/64 dev large0 nodad
    ip -n far -6 address add fd00:5::3/64 dev large1 nodad
    ip netns exec middle sysctl -q -w net.ipv6.conf.all.forwarding=1
    ip -6 route add fd00:5::/64 via fd00:4::2
    ip -n middle -6 route add default via fd00:4::1
    ip -n far -6 route add default via fd00:5::2";
const END_FAR: &str = "ip netns del far; ip netns del middle; ip link del small0 2>/dev/null; \
    sysctl -q -w net.ipv6.conf.all.forwarding=0; true";

fn small_link_on_the_way(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        host.sh(FAR, SOON)?.ok()?;
        let spec = GuestSpec::new("far", image("echo")?).vif("xenbr0");
        let guest = host.create(&spec.extra("ipv4=none ipv6=fd00:2::15/64 gateway6=fd00:2::14"))?;
        guest.wait_console("main: fd00:2::15", SOON)?;
        let script = "head -c 1000000 /dev/urandom > /tmp/in; before=$(ip netns exec far nstat -az Ip6ReasmReqds | tail -1); \
            (timeout 60 tcpdump -Z root -n -i xenbr0 -w /tmp/far.pcap icmp6 and 'ip6[40] == 2' >/dev/null 2>&1 &); sleep 1; \
            ip netns exec far timeout 60 socat -t30 - TCP6:[fd00:2::15]:7 < /tmp/in > /tmp/out; \
            cmp /tmp/in /tmp/out && echo same; sleep 1; pkill tcpdump; sleep 1; \
            tcpdump -Z root -n -r /tmp/far.pcap 2>/dev/null; ip netns exec far ping -6 -c 3 -i 0.2 -s 5000 fd00:2::15";
        let said = host.sh(script, SLOW)?;
        host.sh(END_FAR, SOON)?;
        ensure!(said.stdout.contains("same"), "the echo is not what was sent: {said:?}");
        ensure!(said.stdout.contains("packet too big, mtu 1300"), "no router had anything to say: {said:?}");
        // Datagrams are cut to the way's size after the first.
        let lost = said.stdout.lines().find(|line| line.contains("packet loss")).unwrap_or_default();
        ensure!(lost.contains(" received") && !lost.contains(" 0 received"), "no answer to pings: {said:?}");
        Ok(())
    })
}

fn address_taken(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        let spec = GuestSpec::new("taken", image("echo")?).vif("xenbr0");
        let guest = host.create(&spec.extra("ipv4=none ipv6=fd00:2::14/64"))?;
        guest.wait_console("another host has the address fd00:2::14", SOON)?;
        let said = host.sh("ip -6 neigh show dev xenbr0; ping -6 -c 1 -W 2 fd00:2::14", SOON)?.stdout;
        ensure!(said.contains(" 0% packet loss"), "dom0 has lost its address: {said}");
        Ok(())
    })
}

/// The guest's link-local address, as dom0 names it.
fn local_of(guest: &Guest) -> Result<String> {
    let rest = |console: &str| {
        console.split_once("main: fe80:").and_then(|(_, rest)| Some(rest.split_once('\n')?.0.to_owned()))
    };
    // It may be ready after the other one.
    let console =
        guest.wait_console_until("a link-local address", SOON, |console| rest(console).is_some())?;
    Ok(format!("fe80:{}%xenbr0", rest(&console).context("no link-local address")?.trim()))
}

fn web_by_curl(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        let spec = GuestSpec::new("web", image("web")?).memory(16).vif("xenbr0");
        let guest = host.create(&spec.extra("ipv4=none ipv6=fd00:2::15/64"))?;
        guest.wait_console("main: fd00:2::15", SOON)?;
        for name in ["[fd00:2::15]".to_owned(), format!("[{}]", local_of(&guest)?)] {
            let script = format!(
                "curl -6 -g -sf --max-time 10 'http://{name}/4k.html' | wc -c; \
                 curl -6 -g -s -i --max-time 10 'http://{name}/nowhere' | head -n 1"
            );
            let said = host.sh(&script, SOON)?.ok()?.stdout;
            ensure!(said.starts_with("4096\nHTTP/1.1 404"), "{name}: {said}");
        }
        Ok(())
    })
}

fn kv_by_redis_cli(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        let spec = GuestSpec::new("kv", image("kv")?).memory(64).vif("xenbr0");
        let guest = host.create(&spec.extra("ipv4=none ipv6=fd00:2::15/64"))?;
        guest.wait_console("main: fd00:2::15", SOON)?;
        let said =
            host.sh("redis-cli -h fd00:2::15 set six 6; redis-cli -h fd00:2::15 get six", SOON)?.stdout;
        ensure!(said == "OK\n6\n", "{said}");
        Ok(())
    })
}

/// TCP and datagrams in both directions; of datagrams those that fill a frame.
fn iperf3_both_ways(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        let spec = GuestSpec::new("iperf", image("iperf")?).memory(64).vif("xenbr0");
        let guest = host.create(&spec.extra("ipv4=none ipv6=fd00:2::15/64"))?;
        guest.wait_console("iperf: server on port 5201", SOON)?;
        guest.wait_console("main: fd00:2::15", SOON)?;
        for (options, least) in [
            ("--parallel 2", 100e3),
            ("--reverse", 100e3),
            ("--udp --bitrate 1M", 80e3),
            ("--udp --bitrate 1M --reverse", 80e3),
        ] {
            let said = iperf3(host, "fd00:2::15", &format!("-6 --time 1 {options}"))?;
            check_directions(&said, least).with_context(|| format!("iperf3 {options}"))?;
        }
        ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
        Ok(())
    })
}

fn nmap(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        let guest = echo(host)?;
        let script = "nmap -6 -n -Pn -sT -p1-4000 -T5 --min-rate 3000 --max-retries 1 fd00:2::15";
        let said = host.sh(script, SLOW)?.ok()?.stdout;
        let open: Vec<&str> =
            said.lines().filter(|line| line.contains("/tcp") && line.contains(" open ")).collect();
        ensure!(open.len() == 1 && open[0].starts_with("7/tcp"), "nmap found open ports: {said}");
        ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
        answers(host, "fd00:2::15")
    })
}

fn vif_detached_and_attached(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        let guest = echo(host)?;
        answers(host, "fd00:2::15")?;
        for round in 1..=2 {
            // A client in the middle of its talk when the interface goes.
            let cut = "(timeout 20 socat -t5 - TCP6:[fd00:2::15]:7 < /dev/zero > /dev/null 2>&1 &); sleep 1";
            host.sh(cut, SOON)?.ok()?;
            let detach = format!(
                "xl network-detach {0} $(xl network-list {0} | awk 'NR==2 {{print $1}}')",
                guest.name()
            );
            host.sh(&detach, SOON)?.ok()?;
            let down = |console: &str| console.matches("link down").count() >= round;
            guest.wait_console_until("the link going down", SOON, down)?;
            host.sh(&format!("xl network-attach {} bridge=xenbr0", guest.name()), SOON)?.ok()?;
            // The address is asked for again before it is used.
            let ready = |console: &str| console.matches("main: fd00:2::15").count() > round;
            guest.wait_console_until("the address", SOON, ready)?;
            host.sh("pkill socat; true", SOON)?;
            answers(host, "fd00:2::15").with_context(|| format!("round {round}: {}", guest.console()))?;
        }
        Ok(())
    })
}

/// Linux answers who asks it where it was known to be without saying where it is: nobody looks for it anew for that.
fn neighbour_stays_known(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        let _guest = echo(host)?;
        let script = "(timeout 160 tcpdump -Z root -n -i xenbr0 -w /tmp/ns.pcap src fd00:2::15 and icmp6 \
            and 'ip6[40] == 135' >/dev/null 2>&1 &); sleep 1; ping -6 -c 150 -i 1 -q fd00:2::15; sleep 10; \
            tcpdump -Z root -n -r /tmp/ns.pcap 2>/dev/null";
        let said = host.sh(script, SLOW)?.stdout;
        ensure!(said.contains(" 0% packet loss"), "pings were lost: {said}");
        let asked = said.lines().filter(|line| line.contains("who has fd00:2::14"));
        let (to_group, to_host): (Vec<&str>, Vec<&str>) =
            asked.partition(|line| line.contains("> ff02::1:ff"));
        ensure!(to_group.len() <= 1 && (1..=3).contains(&to_host.len()), "it asks for dom0: {said}");
        Ok(())
    })
}

/// Commands of thc-ipv6, each for some seconds.
const HOSTILE: &[&str] = &[
    "atk6-flood_router26 xenbr0",
    "atk6-flood_solicitate6 xenbr0 fd00:2::15",
    "atk6-flood_advertise6 xenbr0 fd00:2::15",
    "atk6-flood_mld6 xenbr0",
    "atk6-flood_unreach6 xenbr0 fd00:2::15",
    "atk6-fragmentation6 xenbr0 fd00:2::15",
    "atk6-fragmentation6 -f xenbr0 fd00:2::15 1",
    // Echo requests behind all kinds of headers; messages about neighbours, routers and groups; SYNs.
    "atk6-fuzz_ip6 -IFSDHRJ xenbr0 fd00:2::15",
    "atk6-fuzz_ip6 -2 xenbr0 fd00:2::15",
    "atk6-fuzz_ip6 -3 xenbr0 fd00:2::15",
    "atk6-fuzz_ip6 -4 xenbr0 ff02::1",
    "atk6-fuzz_ip6 -9 xenbr0 ff02::1",
    "atk6-fuzz_ip6 -s 80 xenbr0 fd00:2::15",
    "atk6-implementation6 xenbr0 fd00:2::15",
    "atk6-denial6 xenbr0 fd00:2::15 1",
    "atk6-denial6 xenbr0 fd00:2::15 4",
    "atk6-dos-new-ip6 xenbr0",
];

/// While a neighbour does its worst, and after, others are served, and memory stays within its bounds.
fn hostile_neighbours(host: &mut Host) -> Result<()> {
    with_addresses(host, |host| {
        let spec = GuestSpec::new("web", image("web")?).memory(16).vif("xenbr0");
        let guest = host.create(&spec.extra("ipv4=10.0.2.15/24 ipv6=fd00:2::15/64"))?;
        guest.wait_console("main: fd00:2::15", SOON)?;
        for attack in HOSTILE {
            let script = format!("timeout 6 {attack} 2>&1 | tail -c 300; exit ${{PIPESTATUS[0]}}");
            let said = host.sh(&script, SOON)?;
            // One that is not there, or does not understand its options, would prove nothing; 124 is the end of its time.
            let is_done = matches!(said.status, 0 | 124);
            let is_wrong =
                said.status == 127 || said.stdout.contains("rror") || said.stdout.contains("yntax");
            ensure!(is_done || !is_wrong, "{attack}: {said:?}");
            let curl = "curl -6 -g -sf --retry 3 --retry-all-errors --max-time 20 http://[fd00:2::15]/4k.html | wc -c";
            let served = host.sh(curl, SLOW)?;
            ensure!(guest.end()?.is_none(), "the guest is gone after {attack}: {}", guest.console());
            ensure!(
                served.stdout.trim() == "4096",
                "not served after {attack}: {served:?} {}",
                guest.console()
            );
            let free = metric(host, "fata_memory_bytes{kind=\"free\"} ")?;
            ensure!(free >= (16 << 20) / 8 * 3 / 4, "{attack}: {free} octets are free");
        }
        // Floods of which nothing arrived would prove nothing either.
        let refused = metric(host, "fata_net_nd_refused_total ")?;
        ensure!(refused > 100, "{refused} refused");
        Ok(())
    })
}
