//! The resolver, against dnsmasq.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(30);

/// The tests of this topic.
pub const TESTS: &[BootTest] =
    &[BootTest::new("boot::dns::resolves", 120, resolves).on_qemu().on_xen_long().as_process_long()];

/// 10.0.3.2 is the first server that the guest knows, 10.0.3.1 comes with the lease.
const ZONE: &str = r#"
    cat > /tmp/zone.conf <<END
        no-daemon
        no-resolv
        no-hosts
        interface=xenbr1
        bind-interfaces
        log-queries=extra
        dhcp-range=10.0.3.50,10.0.3.60,255.255.255.0,2h
        dhcp-leasefile=/tmp/leases
        dhcp-authoritative
        local=/test/
        local-ttl=600
        host-record=www.test,10.9.0.1
        host-record=short.test,10.9.0.2,2
        host-record=a-name-of-several.labels.and-some.length.test,10.9.0.3
        cname=alias.test,www.test
        cname=of-alias.test,alias.test
        host-record=six.test,fd00::1
        addn-hosts=/tmp/many
END
    label() { printf "$1%.0s" $(seq 60); }
    one=$(label a).$(label b).$(label c).test; two=$(label d).$(label e).$(label f).test; three=$(label g).$(label h).$(label i).test
    { echo cname=long.test,$one; echo cname=$one,$two; echo cname=$two,$three; echo host-record=$three,10.9.0.4; } >> /tmp/zone.conf
    for n in $(seq 3); do echo 10.9.1.$n three.test; done > /tmp/many
    for n in $(seq 60); do echo 10.9.2.$n sixty.test; done >> /tmp/many
    ip address add 10.0.3.2/24 dev xenbr1
    rm -f /tmp/leases; dnsmasq --conf-file=/tmp/zone.conf > /tmp/dnsmasq.log 2>&1 & sleep 1"#;

fn resolves(host: &mut Host) -> Result<()> {
    host.sh(ZONE, SOON)?.ok()?;
    let result = ask_all(host);
    let end = "pkill dnsmasq; ip address del 10.0.3.2/24 dev xenbr1 2>/dev/null; cat /tmp/dnsmasq.log";
    let log = host.sh(end, SOON)?.stdout;
    result.with_context(|| format!("dnsmasq said:\n{log}"))
}

/// Typed one after the other: what comes, and how many questions of that name dnsmasq has seen by then.
const NAMES: &[(&str, &str, usize)] = &[
    ("www.test", "10.9.0.1", 1),
    ("www.test", "10.9.0.1", 1),
    ("WWW.Test.", "10.9.0.1", 1),
    ("short.test", "10.9.0.2", 1),
    ("a-name-of-several.labels.and-some.length.test", "10.9.0.3", 1),
    ("of-alias.test", "10.9.0.1", 1),
    ("of-alias.test", "10.9.0.1", 1),
    // Its aliases alone fill a datagram: once more over TCP.
    ("long.test", "10.9.0.4", 2),
    ("long.test", "10.9.0.4", 2),
    ("none.test", "no such name", 1),
    ("none.test", "no such name", 1),
    ("six.test", "no such name", 1),
    // Of two servers, each of which refuses.
    ("elsewhere.example", "name resolution failed", 2),
    ("10.1.2.3", "10.1.2.3", 0),
    ("no..name", "invalid argument", 0),
];

fn ask_all(host: &mut Host) -> Result<()> {
    let spec = GuestSpec::new("resolve", image("resolve")?).vif("xenbr1").extra("dns=10.0.3.2");
    let guest = host.create(&spec)?;
    guest.wait_console("type names", SOON)?;
    for (name, wanted, questions) in NAMES {
        let (found, _) = ask(&guest, name)?;
        ensure!(found == *wanted, "{name}: {found:?}, not {wanted:?}");
        let seen = questions_seen(host, name)?;
        ensure!(seen == *questions, "{name}: {seen} questions, not {questions}");
    }
    many_addresses(&guest)?;
    ports_are_not_used_again(host)?;
    lifetimes_and_servers_that_are_gone(host, &guest)
}

/// Sixty do not fit into an answer of 512 octets: those that do are enough.
fn many_addresses(guest: &Guest) -> Result<()> {
    let (three, _) = ask(guest, "three.test")?;
    let mut three: Vec<&str> = three.split(' ').collect();
    three.sort_unstable();
    ensure!(three == ["10.9.1.1", "10.9.1.2", "10.9.1.3"], "three.test: {three:?}");
    let (sixty, _) = ask(guest, "sixty.test")?;
    let found = sixty.split(' ').filter(|address| address.starts_with("10.9.2.")).count();
    ensure!(found == 16, "sixty.test: {sixty}");
    Ok(())
}

/// dnsmasq logs from where each question came.
fn ports_are_not_used_again(host: &Host) -> Result<()> {
    let script = r"grep 'query\[A\]' /tmp/dnsmasq.log | grep -o '/[0-9]* ' | sort | uniq -c | sort -n";
    let said = host.sh(script, SOON)?.ok()?.stdout;
    let ports: Vec<&str> = said.lines().collect();
    ensure!(ports.len() >= 9 && ports.iter().all(|line| line.trim().starts_with("1 ")), "{said}");
    Ok(())
}

/// A name that is good for two seconds is asked for again then, of the next server where the first says nothing;
/// closed ports are told at once.
fn lifetimes_and_servers_that_are_gone(host: &Host, guest: &Guest) -> Result<()> {
    let expired = || std::thread::sleep(Duration::from_millis(2200));
    for questions in [2, 3] {
        expired();
        if questions == 3 {
            host.sh("ip address del 10.0.3.2/24 dev xenbr1", SOON)?.ok()?;
        }
        let (found, ms) = ask(guest, "short.test")?;
        let seen = questions_seen(host, "short.test")?;
        ensure!(found == "10.9.0.2" && seen == questions, "{found} after {seen} questions, not {questions}");
        ensure!((1000..3000).contains(&ms) == (questions == 3), "question {questions} took {ms} ms");
    }
    expired();
    host.sh("pkill dnsmasq; ip address add 10.0.3.2/24 dev xenbr1", SOON)?.ok()?;
    let (found, ms) = ask(guest, "short.test")?;
    ensure!(found == "name resolution failed" && ms < 1000, "closed ports: {found} after {ms} ms");
    Ok(())
}

fn questions_seen(host: &Host, name: &str) -> Result<usize> {
    let name = name.to_lowercase();
    let script = format!("grep -ciF 'query[A] {} from' /tmp/dnsmasq.log || true", name.trim_end_matches('.'));
    Ok(host.sh(&script, SOON)?.ok()?.stdout.trim().parse()?)
}

/// What it prints when a name is typed, and how many milliseconds it took.
fn ask(guest: &Guest, name: &str) -> Result<(String, u64)> {
    let before = guest.console().len();
    guest.type_line(name)?;
    let is_done = |console: &str| console[before..].contains(&format!("that was: {name}\n"));
    let console = guest.wait_console_until(&format!("answer about {name}"), SOON, is_done)?;
    let start = format!("{name} in ");
    let line = console[before..].lines().find_map(|line| line.strip_prefix(&start)).context("no answer")?;
    let (ms, found) = line.split_once(" ms: ").context("no time")?;
    Ok((found.to_owned(), ms.parse()?))
}
