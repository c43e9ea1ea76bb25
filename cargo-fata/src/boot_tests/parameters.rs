//! Boot parameters that make no sense: one line, and nothing of the guest starts.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec, Kind};

#[path = "../../assets/bad_parameters/table.rs"]
mod table;

const SOON: Duration = Duration::from_secs(20);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::parameters::bad_ones_stop_the_boot", 300, |host| each_stops_the_boot(host, 15))
        .on_qemu(),
    BootTest::new("boot::parameters::all_bad_ones_stop_the_boot", 1500, |host| each_stops_the_boot(host, 1))
        .long()
        .on_qemu_long(),
    BootTest::new("boot::parameters::nothing_half_configured_starts", 120, nothing_half_configured_starts),
    BootTest::new("boot::parameters::what_was_cut_off_is_refused", 60, what_was_cut_off_is_refused).both(),
];

/// Of the table that processes have too, each `step`-th case.
fn each_stops_the_boot(host: &mut Host, step: usize) -> Result<()> {
    for table::Case { image: name, parameters, said } in table::cases().iter().step_by(step) {
        let guest = host.create(&GuestSpec::new(name, image(name)?).extra(parameters))?;
        let end = guest.wait_gone(SOON)?;
        let console = guest.console();
        ensure!(end == End::Crash, "{parameters}: it ended with {end:?}: {console}");
        ensure!(console == format!("fata: {said}\n"), "{parameters}: not {said:?}, but {console:?}");
    }
    Ok(())
}

/// The part of XenStore that a guest's interface connects by: the ring that it offers, and the back end's state.
fn interface(host: &Host, guest: &Guest, number: usize) -> Result<(bool, String)> {
    let domid = guest.domid();
    let script = format!(
        "xenstore-exists /local/domain/{domid}/device/vif/{number}/tx-ring-ref && echo ring || echo none; \
         xenstore-read /local/domain/0/backend/vif/{domid}/{number}/state"
    );
    let said = host.sh(&script, SOON)?.ok()?.stdout;
    let mut lines = said.lines();
    Ok((lines.next() == Some("ring"), lines.next().unwrap_or_default().to_owned()))
}

/// What is wrong with the second interface is known before the first one is connected.
fn nothing_half_configured_starts(host: &mut Host) -> Result<()> {
    const CONNECTED: &str = "4";
    // What is looked for is there, where a guest does start.
    let guest = host.create(&GuestSpec::new("echo", image("echo")?).network())?;
    guest.wait_console("link up", SOON)?;
    let seen = interface(host, &guest, 0)?;
    ensure!(seen == (true, CONNECTED.to_owned()), "an interface that is up is seen as {seen:?}");
    guest.destroy()?;
    let two = GuestSpec::new("manifest", image("manifest")?).vif("xenbr0").vif("xenbr1");
    for parameters in ["back.gateway=10.0.2.2", "number=8 colour=red"] {
        let guest = host.create(&two.clone().extra(parameters))?;
        ensure!(guest.wait_gone(SOON)? == End::Crash, "{parameters}: it runs: {}", guest.console());
        for number in 0..2 {
            let (has_ring, state) = interface(host, &guest, number)?;
            ensure!(!has_ring && state != CONNECTED, "{parameters}: interface {number} was connected");
        }
        let console = guest.console();
        ensure!(console.starts_with("fata: ") && console.lines().count() == 1, "{parameters}: {console}");
    }
    // One interface of two: the one that is there is left alone.
    let guest = host.create(&GuestSpec::new("manifest", image("manifest")?).vif("xenbr0"))?;
    ensure!(guest.wait_gone(SOON)? == End::Crash, "with one interface of two it runs: {}", guest.console());
    let said = "fata: network interface 1 is missing, the domain has 1: ";
    let console = guest.console();
    ensure!(console.starts_with(said) && console.lines().count() == 1, "not {said:?} alone: {console}");
    let (has_ring, state) = interface(host, &guest, 0)?;
    ensure!(!has_ring && state != CONNECTED, "the interface that is there was connected");
    // A disk that the domain does not have, beside an interface that it has.
    let kv = GuestSpec::new("kv", image("kv")?).memory(64).network().extra("data.disk=xvdc");
    let guest = host.create(&kv)?;
    ensure!(guest.wait_gone(SOON)? == End::Crash, "without its disk it runs: {}", guest.console());
    let console = guest.console();
    ensure!(console.starts_with("fata: ") && console.contains("xvdc"), "it says {console}");
    let (has_ring, state) = interface(host, &guest, 0)?;
    ensure!(!has_ring && state != CONNECTED, "without its disk the interface was connected");
    Ok(())
}

/// Xen's tools cut a command line where its place ends. What is left may make sense, but is not what was meant.
fn what_was_cut_off_is_refused(host: &mut Host) -> Result<()> {
    let line = |octets: usize| format!("greeting={}", "x".repeat(octets - "greeting=".len()));
    let most = match host.kind() {
        Kind::Pv => 1022,
        _ => 4094,
    };
    let said = "fata: the boot parameters are too long: 1022 octets for PV, 4094 for PVH\n";
    let spec = || image("manifest").map(|image| GuestSpec::new("manifest", image));
    // One that fits is read to its end: it asks for help there.
    let guest = host.create(&spec()?.extra(&(line(most - " help".len()) + " help")))?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "{most} octets: {}", guest.console());
    for octets in [most + 1, most + 50] {
        let guest = host.create(&spec()?.extra(&line(octets)))?;
        ensure!(guest.wait_gone(SOON)? == End::Crash, "{octets} octets: {}", guest.console());
        ensure!(guest.console() == said, "{octets} octets: {}", guest.console());
    }
    Ok(())
}
